/* cli_lines - lines of a file, a pipe or a terminal, read so that the caller can ask whether the next one is available:
 * a program that writes a line and waits for its answer must get it before it writes the next.
 *
 * Ownership: a line is valid until the next call. Threads: one owner. Errors: in `err` and `error`, once a call has
 * reported the end. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "engine/base/buf.h"

enum { CLI_LINES_MAX_BYTES = 16 << 20 }; /* of one line */

struct cli_lines {
    enum err err;
    struct errbuf error;
    int _fd;
    struct buf _bytes; /* read but not yet returned, from _at on */
    size_t _at;
    bool _at_end;
};

MUST_USE enum err cli_lines_open(struct cli_lines *l, const char *path, struct errbuf *e); /* "-": standard input */
void cli_lines_close(struct cli_lines *l);
/* The next line without its end, followed by a NUL; false at the end and on errors. */
bool cli_lines_next(struct cli_lines *l, const char **line, size_t *n);
bool cli_lines_is_ready(const struct cli_lines *l); /* false: cli_lines_next would wait */

#endif
