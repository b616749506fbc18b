/* cli_text - results as human-readable text.
 *
 *     caption     dog.jpg: a brown dog runs on grass        (without the name when there is one image only)
 *     vqa         a line for each question, then "  0.93  dog" for each answer
 *     retrieve    "  0.98  a dog" for each sentence, best first
 *     regions     "0.93  34.0 50.5 410.2 300.0  dog" for each
 *
 * Threads: one owner. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "cli/cli_input.h"

#include <stdio.h>

void cli_text_print_result(FILE *to, const struct cli_args *a, const struct cli_input *in, const struct job *job);
void cli_text_print_ranking(FILE *to, const char *text, const struct cli_args *a, const int *order, const float *scores,
                            int n);
void cli_text_print_inspect(FILE *to, const struct engine_info *info, const char *dir);

/* Indices 0..n-1 by descending score; ties keep their order. */
void cli_text_order(int *order, const float *scores, int n);

#endif
