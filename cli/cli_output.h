/* cli_output - the results of a long run in a file that other programs read: JSON lines (.jsonl) or CSV (.csv).
 *
 * All rows of a picture are written by one call, so the file holds complete pictures whenever the program stops. An
 * existing file is never overwritten: resuming keeps what succeeded and leaves out what failed or was cut off; links
 * and permissions stay as they are.
 *
 * Ownership: borrows the args and info. Threads: one owner. Errors: ERR_IO, ERR_BAD_REQUEST (a file of another
 * command), ERR_NOMEM; those of writing are kept until the close. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli/cli_input.h"

struct cli_output;
MUST_USE enum err cli_output_open(struct cli_output **out, const struct cli_args *a, const struct engine_info *info,
                                  struct errbuf *e);
/* Did the run being resumed finish it? */
bool cli_output_has(struct cli_output *o, const char *file);
void cli_output_result(struct cli_output *o, const struct cli_input *in, const struct job *job);
void cli_output_error(struct cli_output *o, const struct cli_input *in, enum err rc, const struct errbuf *error,
                      const char *stage);
bool cli_output_has_failed(const struct cli_output *o); /* a write failed; continuing is pointless */
/* Everything is on disk when it returns OK. NULL is fine. */
MUST_USE enum err cli_output_close(struct cli_output *o, struct errbuf *e);

#endif
