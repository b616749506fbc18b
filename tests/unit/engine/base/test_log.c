#include "engine/base/log.c"

#include "tests/support/check.h"

#include <fcntl.h>
#include <stdlib.h>

static void test_limit(void)
{
    uint64_t suppressed = 99, now = 1000000;
    for (int i = 0; i < LOG_BURST; i++) {
        CHECK(limit_pass("key", LOG_BURST, now, &suppressed));
        CHECK_INT(suppressed, 0);
    }
    for (int i = 0; i < 7; i++) {
        CHECK(!limit_pass("key", LOG_BURST, now + LOG_WINDOW_US - 1, &suppressed));
    }
    CHECK(limit_pass("other", LOG_BURST, now, &suppressed)); /* keys are apart */
    CHECK(limit_pass("key", LOG_BURST, now + LOG_WINDOW_US, &suppressed));
    CHECK_INT(suppressed, 7);
    CHECK(limit_pass("key", LOG_BURST, now + LOG_WINDOW_US, &suppressed));
    CHECK_INT(suppressed, 0);
    for (int i = 0; i < LOG_BURST; i++) {
        CHECK(limit_pass("threads", LOG_BURST, now, &suppressed));
    }
    CHECK(!limit_pass("threads", LOG_BURST, now - 1, &suppressed)); /* read before another thread began the window */
    for (int i = 0; i < 5000; i++) { /* more keys than the table holds: all may speak, memory stays */
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        CHECK(limit_pass(key, LOG_BURST, now + (uint64_t)i, &suppressed));
    }
}

/* A bound for all requests, each second; and what was held back is told once. */
static void test_request_rate(void)
{
    uint64_t suppressed = 0, now = 5000000;
    log_set_request_rate(3);
    for (int i = 0; i < 3; i++) {
        CHECK(rate_pass(now + (uint64_t)i, &suppressed));
        CHECK_INT(suppressed, 0);
    }
    for (int i = 0; i < 10; i++) {
        suppressed = i == 9 ? 5 : 0; /* a key's own, which this line would have told */
        CHECK(!rate_pass(now + 999999, &suppressed));
    }
    suppressed = 0;
    CHECK(!rate_pass(now - 1, &suppressed)); /* read before another thread began the second */
    suppressed = 2;
    CHECK(rate_pass(now + 1000000, &suppressed));
    CHECK_INT(suppressed, 2 + 11 + 5);
    suppressed = 0;
    CHECK(rate_pass(now + 1000000, &suppressed));
    CHECK_INT(suppressed, 0);
    log_set_request_rate(0);
    for (int i = 0; i < 5000; i++) {
        CHECK(rate_pass(now + 1000000, &suppressed));
    }
}

/* A reader that stalls: callers go on, lines are dropped and counted, and the next line that gets through tells. */
static void test_stalled_reader(void)
{
    static char text[4 * LOG_RING_BYTES];
    int ends[2];
    size_t n = 0;
    CHECK_INT(pipe(ends), 0);
    uint64_t before = log_dropped();
    log_setup(LOG_INFO, LOG_JSON, ends[1]);
    CHECK_INT(log_start(), OK);
    for (int i = 0; i < 10000; i++) { /* more than pipe and ring hold */
        log_info("filling", LOG_STR("text", "the quick brown fox jumps over the lazy dog"), LOG_INT("i", i));
    }
    log_error("urgent lines have room left");
    uint64_t dropped = log_dropped() - before;
    CHECK(dropped > 1000 && dropped < 10000);
    CHECK(!log_flush(1));
    /* the reader wakes up */
    CHECK_INT(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    while (!log_flush(10)) {
        ssize_t got = read(ends[0], text + n, sizeof(text) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    log_info("after");
    CHECK(log_stop(1000));
    for (ssize_t got; (got = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0;) {
        n += (size_t)got;
    }
    text[n] = '\0';
    CHECK(strstr(text, "urgent lines have room left") != NULL);
    uint64_t lines = 0;
    unsigned long long told = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        CHECK(line[0] == '{' && end[-1] == '}');
        *end = '\0';
        const char *at = strstr(line, "\"dropped\":");
        told += at ? strtoull(at + 10, NULL, 10) : 0;
    }
    CHECK_INT(lines + dropped, 10002);
    CHECK_INT(told, dropped);
    log_setup(LOG_INFO, LOG_TEXT, STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
}

static void test_levels(void)
{
    enum log_level level = LOG_OFF;
    CHECK(log_level_parse("warn", &level));
    CHECK_INT(level, LOG_WARN);
    CHECK(!log_level_parse("loud", &level));
    CHECK_STR(log_level_name(LOG_ERROR), "error");
}

/* The whole way: two lines on a descriptor, a third below the level; fields of silent lines are not evaluated. */
static void test_descriptor(void)
{
    char path[] = "/tmp/test_log_XXXXXX", text[2000] = "";
    int fd = mkstemp(path), evaluated = 0;
    log_setup(LOG_INFO, LOG_JSON, fd);
    log_info("one", LOG_STR("a", "b"));
    log_debug("silent", LOG_INT("n", ++evaluated));
    log_limited(LOG_ERROR, LOG_HERE, "two", LOG_INT("n", ++evaluated));
    log_setup(LOG_OFF, LOG_JSON, fd);
    log_error("silent too");
    log_setup(LOG_INFO, LOG_TEXT, STDERR_FILENO);
    CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
    CHECK_INT(evaluated, 1);
    CHECK(strstr(text, "\"event\":\"one\",\"a\":\"b\"}\n{\"time\":") != NULL);
    CHECK(strstr(text, "\"event\":\"two\",\"n\":1}\n") != NULL);
    CHECK(strstr(text, "silent") == NULL);
    close(fd);
    unlink(path);
    log_setup(LOG_INFO, LOG_TEXT, fd); /* closed: the line is lost and nothing else */
    log_info("lost");
    log_setup(LOG_INFO, LOG_TEXT, STDERR_FILENO);
}

static void *write_many(void *fd)
{
    (void)fd;
    for (int i = 0; i < 300; i++) {
        log_info("thread",
                 LOG_STR("text", "the same line from every thread, long enough to be torn if it were possible"));
    }
    return NULL;
}

static void test_threads(void)
{
    char path[] = "/tmp/test_log_XXXXXX", line[512];
    pthread_t threads[4];
    int fd = mkstemp(path), n = 0, good = 0;
    CHECK_INT(fcntl(fd, F_SETFL, O_APPEND), 0);
    log_setup(LOG_INFO, LOG_TEXT, fd);
    log_info("first"); /* tells of the line lost above */
    CHECK_INT(log_start(), OK);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(log_stop(10000));
    log_setup(LOG_INFO, LOG_TEXT, STDERR_FILENO);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        n++;
        good += line[4] == '-' && strstr(line, "Z info thread text=\"the same line") != NULL &&
                strcmp(line + strlen(line) - 10, "possible\"\n") == 0;
    }
    CHECK_INT(n, 1201);
    CHECK_INT(good, 1200);
    if (f) {
        fclose(f);
    }
    close(fd);
    unlink(path);
}

int main(void)
{
    test_limit();
    test_request_rate();
    test_levels();
    test_descriptor();
    test_threads();
    test_stalled_reader();
    return check_result();
}
