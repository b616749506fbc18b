/* cli_json - the only file of the program that knows JSON: lines in, lines out. Keys are those of the HTTP API where it
 * has them; "file" (or, for lines of --jsonl, "image") names the input.
 *
 * Threads: one owner. Errors: ERR_BAD_REQUEST says what is wrong with a line. */
#ifndef ENGINE_CLI_CLI_JSON_H
#define ENGINE_CLI_CLI_JSON_H

#include "cli/cli_input.h"
#include "engine/engine.h"
#include "engine/profile.h"

#include <stdio.h>

/* ---- lines in ---- */

struct cli_json_line {
    const char *image; /* borrowed until the release, texts too */
    int n_texts;
    void *_root, *_texts; /* json_t */
};
/* {"image": path} and, for vqa, "question" or "questions", for retrieve "texts"; other keys are errors. line: [n] */
MUST_USE enum err cli_json_parse_line(struct cli_json_line *out, enum cli_command c, const char *line, size_t n,
                                      struct errbuf *e);
const char *cli_json_line_text(const struct cli_json_line *l, int i);
void cli_json_release_line(struct cli_json_line *l);

/* ---- lines out ---- */

/* One line for a finished job; job->result.err is OK. */
void cli_json_print_result(FILE *to, const struct cli_args *a, const char *model, const struct cli_input *in,
                           const struct job *job);
void cli_json_print_error(FILE *to, const struct cli_args *a, const struct cli_input *in, enum err rc,
                          const struct errbuf *error, const char *stage);
/* retrieve with several images: one line for each text with its images, best first. order: [n] indices of files. */
void cli_json_print_ranking(FILE *to, const char *text, const struct cli_args *a, const int *order, const float *scores,
                            int n);
void cli_json_print_inspect(FILE *to, const struct engine_info *info, const char *dir);

/* One row of figures. */
struct cli_json_figure {
    const char *name, *unit;
    double median, least, most;
    int n;
};
void cli_json_print_figure(FILE *to, const struct cli_json_figure *f);
/* One row of a plan (inspect --plan) or of stages (bench --stages). Sums are over all runs but for ms, which is that of
 * one picture. */
void cli_json_print_profile_row(FILE *to, const struct profile *p, const struct profile_row *r);

#endif
