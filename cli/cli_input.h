/* cli_input - the work to do, one image at a time: files from the command line, or lines of a JSON Lines file.
 *
 * Ownership: an input owns its bytes and texts; release it. A source borrows the args. Threads: one owner. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "cli/cli_args.h"

struct cli_input {
    char *path;               /* as given; NULL when a line had none */
    const char *const *texts; /* of the args, or own_texts */
    size_t *text_bytes;
    int n_texts;
    bool has_text_list; /* of a line: "questions" */
    char **own_texts;
    uint8_t *bytes; /* of the image */
    size_t n_bytes;
    /* What went wrong before the engine saw it. */
    enum err err;
    struct errbuf error;
};
void cli_input_release(struct cli_input *in);

struct cli_source;
MUST_USE enum err cli_source_open(struct cli_source **out, const struct cli_args *a, struct errbuf *e);
void cli_source_close(struct cli_source *s); /* NULL is fine */
/* Fills the next input; false at the end. An error in one input is recorded in that input. */
bool cli_source_next(struct cli_source *s, struct cli_input *in);
bool cli_source_is_ready(const struct cli_source *s); /* false: reading the next one would block */
int cli_source_count(const struct cli_source *s);     /* inputs in all; 0: unknown */

/* A whole file, or standard input ("-"), of at most CLI_INPUT_MAX_BYTES. Release with mem_free. */
enum { CLI_INPUT_MAX_BYTES = 256 << 20 };
MUST_USE enum err cli_input_read(const char *path, uint8_t **bytes, size_t *n, struct errbuf *e);
/* errno of a file that is not there, in words: a web address gets better ones. */
const char *cli_input_why(const char *path);

#endif
