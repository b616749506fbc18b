#include "cli/cli_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum err cli_lines_open(struct cli_lines *l, const char *path, struct errbuf *e)
{
    *l = (struct cli_lines){._fd = STDIN_FILENO};
    buf_init(&l->_bytes, CLI_LINES_MAX_BYTES);
    if (strcmp(path, "-") != 0) {
        l->_fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    return l->_fd < 0 ? err_set(e, ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

void cli_lines_close(struct cli_lines *l)
{
    if (l->_fd > STDIN_FILENO) {
        close(l->_fd);
    }
    buf_release(&l->_bytes);
    *l = (struct cli_lines){._fd = -1};
}

static char *find_end(const struct cli_lines *l)
{
    size_t n = l->_bytes.n - l->_at;
    return n > 0 ? memchr(l->_bytes.bytes + l->_at, '\n', n) : NULL;
}

/* Moves what is left to the front and reads on. */
static void read_more(struct cli_lines *l)
{
    char piece[65536];
    if (l->_at > 0) {
        l->_bytes.n -= l->_at;
        memmove(l->_bytes.bytes, l->_bytes.bytes + l->_at, l->_bytes.n + 1); /* its NUL too */
        l->_at = 0;
    }
    ssize_t got = read(l->_fd, piece, sizeof(piece));
    if (got < 0) {
        l->err = err_set(&l->error, ERR_IO, "%s", strerror(errno));
    } else if (got == 0) {
        l->_at_end = true;
    } else {
        buf_append(&l->_bytes, piece, (size_t)got);
        if (l->_bytes.err) {
            l->err = err_set(&l->error, l->_bytes.err, "it is longer than %d MB", CLI_LINES_MAX_BYTES >> 20);
        }
    }
}

bool cli_lines_next(struct cli_lines *l, const char **line, size_t *n)
{
    char *end;
    while (!(end = find_end(l)) && !l->_at_end && !l->err) {
        read_more(l);
    }
    if (l->err || (!end && l->_at == l->_bytes.n)) {
        return false;
    }
    *line = l->_bytes.bytes + l->_at;
    *n = end ? (size_t)(end - *line) : l->_bytes.n - l->_at;
    l->_bytes.bytes[l->_at + *n] = '\0'; /* over the line's end, or where a NUL stands already */
    l->_at += *n + (end != NULL);
    return true;
}

bool cli_lines_is_ready(const struct cli_lines *l)
{
    struct pollfd p = {.fd = l->_fd, .events = POLLIN};
    return l->_at_end || l->err || find_end(l) || poll(&p, 1, 0) != 0;
}
