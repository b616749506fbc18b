#include "engine/base/log.c"

#include "tests/support/check.h"

#include <fcntl.h>
#include <stdlib.h>

static const struct timespec when = {1795550101, 42999999}; /* 2026-11-24T19:55:01.042Z */

static const char *json(const struct log_field *fields)
{
    static struct line l;
    build(&l, LOG_JSON, &when, LOG_WARN, "event", fields, 0);
    l.text[l.n] = '\0';
    return l.text + strlen("{\"time\":\"2026-11-24T19:55:01.042Z\",\"level\":\"warn\",\"event\":\"event\"");
}

static const char *plain(const struct log_field *fields)
{
    static struct line l;
    build(&l, LOG_TEXT, &when, LOG_WARN, "event", fields, 0);
    l.text[l.n] = '\0';
    return l.text + strlen("2026-11-24T19:55:01.042Z warn event");
}

static void test_formats(void)
{
    struct line l;
    build(&l, LOG_JSON, &when, LOG_ERROR, "a \"b\"", LOG_FIELDS(LOG_INT("n", -5)), 3);
    l.text[l.n] = '\0';
    CHECK_STR(l.text,
              "{\"time\":\"2026-11-24T19:55:01.042Z\",\"level\":\"error\",\"event\":\"a \\\"b\\\"\",\"suppressed\":3,"
              "\"n\":-5}\n");
    build(&l, LOG_TEXT, &when, LOG_DEBUG, "start", LOG_FIELDS(LOG_STR("path", "/a"), LOG_STR("x", "two words")), 0);
    l.text[l.n] = '\0';
    CHECK_STR(l.text, "2026-11-24T19:55:01.042Z debug start path=/a x=\"two words\"\n");
    CHECK_STR(json(LOG_FIELDS()), "}\n");
    CHECK_STR(plain(LOG_FIELDS()), "\n");
}

static void test_values(void)
{
    CHECK_STR(json(LOG_FIELDS(LOG_UINT("u", UINT64_MAX), LOG_BOOL("yes", true), LOG_BOOL("no", false))),
              ",\"u\":18446744073709551615,\"yes\":true,\"no\":false}\n");
    CHECK_STR(json(LOG_FIELDS(LOG_REAL("r", 0.25), LOG_REAL("inf", INFINITY), LOG_REAL("nan", NAN))),
              ",\"r\":0.25,\"inf\":null,\"nan\":null}\n");
    CHECK_STR(json(LOG_FIELDS(LOG_STR("s", NULL), LOG_STR("e", ""), LOG_STRN("n", "abcdef", 3))),
              ",\"s\":null,\"e\":\"\",\"n\":\"abc\"}\n");
    CHECK_STR(plain(LOG_FIELDS(LOG_STR("s", NULL), LOG_STR("e", ""), LOG_REAL("r", 1e300))),
              " s=null e=\"\" r=1e+300\n");
}

/* Nothing that a client can send makes a second line, a quote that closes, or a character that steers a terminal. */
static void test_escaping(void)
{
    CHECK_STR(json(LOG_FIELDS(LOG_STR("s", "a\nb\r\t\x1b[31m\"\\\x7f"))),
              ",\"s\":\"a\\u000ab\\u000d\\u0009\\u001b[31m\\\"\\\\\\u007f\"}\n");
    CHECK_STR(json(LOG_FIELDS(LOG_STRN("s", "a\0b", 3))), ",\"s\":\"a\\u0000b\"}\n");
    CHECK_STR(json(LOG_FIELDS(LOG_STR("s", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb1"))),
              ",\"s\":\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb1\"}\n");
    CHECK_STR(json(LOG_FIELDS(LOG_STR("s", "\xe2\x80\xae\xe2\x80\xa8\xc2\x85\xef\xbb\xbf"))),
              ",\"s\":\"\\u202e\\u2028\\u0085\\ufeff\"}\n");
    CHECK_STR(plain(LOG_FIELDS(LOG_STR("s", "x=1\nfake line"))), " s=\"x=1\\u000afake line\"\n");
    CHECK_STR(plain(LOG_FIELDS(LOG_STR("s", "a=b"))), " s=\"a=b\"\n");
}

/* Overlong forms, surrogates, lone and missing continuation bytes: each byte becomes U+FFFD. */
static void test_invalid_utf8(void)
{
    static const char *const bad[] = {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
                                      "\x80", "\xf5",     "\xe0\x80\xaf", "\xf0\x80\x80\xaf"};
    static const int n_marks[] = {1, 2, 3, 4, 2, 1, 1, 3, 4};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char expected[64] = ",\"s\":\"";
        size_t n = strlen(expected);
        for (int k = 0; k < n_marks[i]; k++, n += 6) {
            memcpy(expected + n, "\\ufffd", 7);
        }
        memcpy(expected + n, "\"}\n", 4);
        CHECK_STR(json(LOG_FIELDS(LOG_STR("s", bad[i]))), expected);
    }
    /* A character cut at the end of the value does not read on. */
    CHECK_STR(json(LOG_FIELDS(LOG_STRN("s", "\xc3\xbc", 1))), ",\"s\":\"\\ufffd\"}\n");
}

static void test_cut(void)
{
    static char text[3 * LOG_MAX_LINE + 1];
    for (int kind = 0; kind < 3; kind++) { /* plain, escaped, two bytes a character */
        for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
            memcpy(text + i, kind == 0 ? "xx" : kind == 1 ? "\n\"" : "\xc3\xbc", 2);
        }
        for (size_t length = LOG_MAX_LINE - 200; length < LOG_MAX_LINE + 40; length++) {
            struct line l;
            build(&l, LOG_JSON, &when, LOG_INFO, "event",
                  LOG_FIELDS(LOG_STRN("s", text, length & ~(size_t)1), LOG_INT("n", 1234567890), LOG_STR("t", "end")),
                  0);
            CHECK(l.n <= LOG_MAX_LINE);
            CHECK(memcmp(l.text + l.n - 2, "}\n", 2) == 0);
            CHECK(l.text[l.n - 3] == '"' || strncmp(l.text + l.n - 12, "1234567890", 10) == 0);
        }
    }
    build(&(struct line){.n = 0}, LOG_TEXT, &when, LOG_INFO, text, LOG_FIELDS(), 0); /* a huge event does no harm */
}

/* True if the line is one JSON object of strings and numbers: quotes pair up and nothing follows the closing brace. */
static bool is_whole_object(const struct line *l)
{
    bool in_string = false;
    for (size_t i = 0; i < l->n; i++) {
        if (in_string && l->text[i] == '\\') {
            i++;
        } else if (l->text[i] == '"') {
            in_string = !in_string;
        }
    }
    return !in_string && l->n >= 2 && memcmp(l->text + l->n - 2, "}\n", 2) == 0;
}

/* A value may end at any byte of the line, also exactly where the reserved end begins: what follows is left out, and
 * no byte is written behind the line. */
static void test_every_length(void)
{
    static char value[LOG_MAX_LINE + 64], escaped[LOG_MAX_LINE + 64];
    memset(value, 'a', sizeof(value));
    memset(escaped, '\n', sizeof(escaped));
    for (size_t n = 0; n < sizeof(value); n++) {
        struct {
            struct line l;
            unsigned char behind[64];
        } s;
        memset(&s, 0x5a, sizeof(s));
        const struct log_field *fields =
            LOG_FIELDS(LOG_STRN("a", value, n), LOG_STRN("b", value, sizeof(value)), LOG_STR("c", NULL),
                       LOG_UINT("d", UINT64_MAX), LOG_STRN("e", escaped, sizeof(escaped)));
        build(&s.l, LOG_JSON, &when, LOG_WARN, "event", fields, 0);
        CHECK(s.l.n <= sizeof(s.l.text) && is_whole_object(&s.l));
        build(&s.l, LOG_TEXT, &when, LOG_WARN, "event", fields, 0);
        CHECK(s.l.n <= sizeof(s.l.text) && s.l.text[s.l.n - 1] == '\n' && !memchr(s.l.text, '\n', s.l.n - 1));
        for (size_t i = 0; i < sizeof(s.behind); i++) {
            CHECK(s.behind[i] == 0x5a);
        }
    }
}

static void test_limit(void)
{
    uint64_t suppressed = 99, now = 1000000;
    for (int i = 0; i < LOG_BURST; i++) {
        CHECK(limit_pass("key", now, &suppressed));
        CHECK_INT(suppressed, 0);
    }
    for (int i = 0; i < 7; i++) {
        CHECK(!limit_pass("key", now + LOG_WINDOW_US - 1, &suppressed));
    }
    CHECK(limit_pass("other", now, &suppressed)); /* keys are apart */
    CHECK(limit_pass("key", now + LOG_WINDOW_US, &suppressed));
    CHECK_INT(suppressed, 7);
    CHECK(limit_pass("key", now + LOG_WINDOW_US, &suppressed));
    CHECK_INT(suppressed, 0);
    for (int i = 0; i < 5000; i++) { /* more keys than the table holds: all may speak, memory stays */
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        CHECK(limit_pass(key, now + (uint64_t)i, &suppressed));
    }
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
    for (int i = 0; i < 4; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    log_setup(LOG_INFO, LOG_TEXT, STDERR_FILENO);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        n++;
        good += line[4] == '-' && strstr(line, "Z info thread text=\"the same line") != NULL &&
                strcmp(line + strlen(line) - 10, "possible\"\n") == 0;
    }
    CHECK_INT(n, 1200);
    CHECK_INT(good, 1200);
    if (f) {
        fclose(f);
    }
    close(fd);
    unlink(path);
}

int main(void)
{
    test_formats();
    test_values();
    test_escaping();
    test_invalid_utf8();
    test_cut();
    test_every_length();
    test_limit();
    test_levels();
    test_descriptor();
    test_threads();
    return check_result();
}
