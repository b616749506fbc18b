/* The lines of the log: formats, escapes, and that every line is one whole line. */
#include "engine/base/log_line.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct log_line_loss none;
static const struct timespec when = {1795550101, 42999999}; /* 2026-11-24T19:55:01.042Z */

static const char *json(const struct log_field *fields)
{
    static struct log_line l;
    log_line_build(&l, LOG_JSON, &when, LOG_WARN, "event", fields, &none);
    l.text[l.n] = '\0';
    return l.text + strlen("{\"time\":\"2026-11-24T19:55:01.042Z\",\"level\":\"warn\",\"event\":\"event\"");
}

static const char *plain(const struct log_field *fields)
{
    static struct log_line l;
    log_line_build(&l, LOG_TEXT, &when, LOG_WARN, "event", fields, &none);
    l.text[l.n] = '\0';
    return l.text + strlen("2026-11-24T19:55:01.042Z warn event");
}

static void test_formats(void)
{
    struct log_line l;
    log_line_build(&l, LOG_JSON, &when, LOG_ERROR, "a \"b\"", LOG_FIELDS(LOG_INT("n", -5)),
                   &(struct log_line_loss){3, 7});
    l.text[l.n] = '\0';
    CHECK_STR(l.text, "{\"time\":\"2026-11-24T19:55:01.042Z\",\"level\":\"error\",\"event\":\"a "
                      "\\\"b\\\"\",\"suppressed\":3,\"dropped\":7,"
                      "\"n\":-5}\n");
    log_line_build(&l, LOG_TEXT, &when, LOG_DEBUG, "start",
                   LOG_FIELDS(LOG_STR("path", "/a"), LOG_STR("x", "two words")), &none);
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
            struct log_line l;
            log_line_build(
                &l, LOG_JSON, &when, LOG_INFO, "event",
                LOG_FIELDS(LOG_STRN("s", text, length & ~(size_t)1), LOG_INT("n", 1234567890), LOG_STR("t", "end")),
                &none);
            CHECK(l.n <= LOG_MAX_LINE);
            CHECK(memcmp(l.text + l.n - 2, "}\n", 2) == 0);
            CHECK(l.text[l.n - 3] == '"' || strncmp(l.text + l.n - 12, "1234567890", 10) == 0);
        }
    }
    log_line_build(&(struct log_line){.n = 0}, LOG_TEXT, &when, LOG_INFO, text, LOG_FIELDS(),
                   &none); /* a huge event does no harm */
}

/* True if the line is one JSON object of strings and numbers: quotes pair up and nothing follows the closing brace. */
static bool is_whole_object(const struct log_line *l)
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
            struct log_line l;
            unsigned char behind[64];
        } s;
        memset(&s, 0x5a, sizeof(s));
        const struct log_field *fields =
            LOG_FIELDS(LOG_STRN("a", value, n), LOG_STRN("b", value, sizeof(value)), LOG_STR("c", NULL),
                       LOG_UINT("d", UINT64_MAX), LOG_STRN("e", escaped, sizeof(escaped)));
        log_line_build(&s.l, LOG_JSON, &when, LOG_WARN, "event", fields, &none);
        CHECK(s.l.n <= sizeof(s.l.text) && is_whole_object(&s.l));
        log_line_build(&s.l, LOG_TEXT, &when, LOG_WARN, "event", fields, &none);
        CHECK(s.l.n <= sizeof(s.l.text) && s.l.text[s.l.n - 1] == '\n' && !memchr(s.l.text, '\n', s.l.n - 1));
        for (size_t i = 0; i < sizeof(s.behind); i++) {
            CHECK(s.behind[i] == 0x5a);
        }
    }
}

int main(void)
{
    test_formats();
    test_values();
    test_escaping();
    test_invalid_utf8();
    test_cut();
    test_every_length();
    return check_result();
}
