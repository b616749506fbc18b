/* Lines from a pipe: what is there, what has to be waited for, where it ends. */
#include "cli/cli_lines.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void open_pipe(struct cli_lines *l, int ends[2])
{
    char path[64];
    CHECK(pipe(ends) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    CHECK_INT(cli_lines_open(l, path, NULL), OK);
    close(ends[0]);
}

static void put(const int ends[2], const char *text)
{
    CHECK(write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
}

static void check_next(struct cli_lines *l, const char *expected)
{
    const char *line = "";
    size_t n = 0;
    CHECK(cli_lines_next(l, &line, &n));
    CHECK_STR(line, expected);
    CHECK_INT(n, strlen(expected));
}

static void test_pipe(void)
{
    struct cli_lines l;
    const char *line;
    size_t n;
    int ends[2];
    open_pipe(&l, ends);
    CHECK(!cli_lines_is_ready(&l));
    put(ends, "one\n\nthr");
    CHECK(cli_lines_is_ready(&l));
    check_next(&l, "one");
    CHECK(cli_lines_is_ready(&l)); /* the empty one has been read along */
    check_next(&l, "");
    CHECK(!cli_lines_is_ready(&l));
    put(ends, "ee\nlast");
    check_next(&l, "three");
    close(ends[1]);
    check_next(&l, "last");
    CHECK(!cli_lines_next(&l, &line, &n));
    CHECK(cli_lines_is_ready(&l)); /* the end is not waited for */
    CHECK_INT(l.err, OK);
    cli_lines_close(&l);
}

static void test_long_lines(void)
{
    enum { LONG = 300000 };
    char name[] = "/tmp/test_cli_lines.XXXXXX", *text = malloc(LONG + 1);
    int fd = mkstemp(name);
    struct cli_lines l;
    const char *line = NULL;
    size_t n = 0;
    memset(text, 'x', LONG);
    text[LONG] = '\n';
    for (int i = 0; i < 3; i++) {
        CHECK(write(fd, text, LONG + 1) == LONG + 1);
    }
    close(fd);
    CHECK_INT(cli_lines_open(&l, name, NULL), OK);
    for (int i = 0; i < 3; i++) {
        CHECK(cli_lines_next(&l, &line, &n));
        CHECK_INT(n, LONG);
        CHECK(n == LONG && memcmp(line, text, LONG) == 0 && line[n] == '\0');
    }
    CHECK(!cli_lines_next(&l, &line, &n));
    cli_lines_close(&l);
    unlink(name);
    free(text);
}

static void test_faults(void)
{
    struct cli_lines l;
    struct errbuf e;
    const char *line;
    size_t n;
    CHECK_INT(cli_lines_open(&l, "/does/not/exist", &e), ERR_IO);
    CHECK_STR(e.text, "/does/not/exist: No such file or directory");
    CHECK_INT(cli_lines_open(&l, "/tmp", &e), OK);
    CHECK(!cli_lines_next(&l, &line, &n));
    CHECK_INT(l.err, ERR_IO);
    cli_lines_close(&l);
    CHECK_INT(cli_lines_open(&l, "/dev/zero", &e), OK);
    CHECK(!cli_lines_next(&l, &line, &n));
    CHECK_INT(l.err, ERR_TEXT_TOO_LONG);
    cli_lines_close(&l);
}

int main(void)
{
    test_pipe();
    test_long_lines();
    test_faults();
    return check_result();
}
