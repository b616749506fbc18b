/* cli_json - the program's JSON: lines in, lines out (a server's answers are read by cli_collection). A line has the
 * request ("file" or "files", and for retrieve "texts"), followed by the same bytes as the HTTP API's answer
 * (engine/answer).
 *
 * Threads: one owner. Errors: ERR_BAD_REQUEST says what is wrong with a line. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "cli/cli_input.h"
#include "engine/base/buf.h"
#include "engine/engine.h"
#include "engine/profile.h"

#include <stdio.h>

/* ---- lines in ---- */

struct cli_json_line {
    const char *image; /* borrowed until the release, texts too */
    int n_texts;
    bool has_text_list;
    void *_root, *_texts; /* json_t */
};
/* {"image": path} and, for vqa, "question" or "questions", for retrieve "texts"; other keys are errors. line: [n] */
MUST_USE enum err cli_json_parse_line(struct cli_json_line *out, enum cli_command c, const char *line, size_t n,
                                      struct errbuf *e);
const char *cli_json_line_text(const struct cli_json_line *l, int i);
void cli_json_release_line(struct cli_json_line *l);

/* ---- lines out ---- */

/* One line for a finished job; job->result.err is OK. */
void cli_json_print_result(FILE *to, const struct cli_args *a, const struct engine_info *info,
                           const struct cli_input *in, const struct job *job);
void cli_json_print_error(FILE *to, const struct cli_input *in, enum err rc, const struct errbuf *error,
                          const char *stage);

/* Appends the same lines, with line ends, to `to`. */
void cli_json_result(struct buf *to, const struct cli_args *a, const struct engine_info *info,
                     const struct cli_input *in, const struct job *job);
void cli_json_error(struct buf *to, const struct cli_input *in, enum err rc, const struct errbuf *error,
                    const char *stage);

/* For what is not JSON: a line for each warning of texts that were cut. False: there are none. */
bool cli_json_print_text_warnings(FILE *to, const struct job *job);

/* ---- lines of an earlier run ---- */

/* FOREIGN: not an answer of this command. DONE: its picture is put into `file`, which is reset first. */
enum cli_json_seen { CLI_JSON_DONE, CLI_JSON_FAILED, CLI_JSON_FOREIGN };
enum cli_json_seen cli_json_read_result(const char *line, size_t n, enum cli_command c, struct buf *file);

/* retrieve with several images: collected one by one, then printed as one line. */
struct cli_json_images;
MUST_USE enum err cli_json_images_create(struct cli_json_images **out, int n);
void cli_json_images_destroy(struct cli_json_images *s); /* NULL is fine */
void cli_json_images_add(struct cli_json_images *s, int i, const struct cli_args *a, const struct cli_input *in,
                         const struct job *job);
void cli_json_images_add_error(struct cli_json_images *s, int i, enum err rc, const struct errbuf *error,
                               const char *stage);
/* scores: [n, a->n_texts] */
void cli_json_images_print(FILE *to, const struct cli_json_images *s, const struct cli_args *a,
                           const struct engine_info *info, const float *scores);

void cli_json_print_inspect(FILE *to, const struct engine_info *info, const char *dir);

/* One row of figures. */
struct cli_json_figure {
    const char *name, *unit;
    double median, min, max;
    int n;
};
void cli_json_print_figure(FILE *to, const struct cli_json_figure *f);
/* One row of a plan (inspect --plan) or of stages (bench --stages). Sums are over all runs, except ms, which is per
 * picture. */
void cli_json_print_profile_row(FILE *to, const struct profile *p, const struct profile_row *r);

#endif
