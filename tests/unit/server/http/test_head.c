/* RFC 9110 and 9112 row by row: what a request's head may be, and what must be refused. Every row is fed whole and byte
 * by byte; both must end the same way. */
#include "server/http/head.h"

#include "tests/support/check.h"

#include <stdlib.h>

enum { MAX_BYTES = 512 };

static struct head last;

/* A copy of exactly n bytes, so that the sanitizers see each look past them. */
static enum head_state feed(const char *bytes, size_t n, size_t step, size_t max_bytes)
{
    static char *copy;
    struct head_scan s = {0};
    enum head_state state = HEAD_MORE;
    for (size_t k = step < n ? step : n; state == HEAD_MORE; k = k + step < n ? k + step : n) {
        free(copy);
        copy = malloc(k ? k : 1);
        if (!copy) {
            abort();
        }
        memcpy(copy, bytes, k);
        state = head_scan(&last, &s, copy, k, max_bytes);
        if (k == n) {
            break;
        }
    }
    return state;
}

#define H   "Host: a\r\n"
#define END "\r\n"

/* ---- refusals ---- */

#define ROW(text, why)                                                                                                 \
    {                                                                                                                  \
        text, sizeof(text) - 1, why                                                                                    \
    }
static const struct {
    const char *bytes;
    size_t n;
    enum refusal why;
} refused[] = {
    /* lines */
    ROW("GET / HTTP/1.1\n" H END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: a\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\rHost: a\r\r", REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X: a\rb\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X: a\0b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X\0: a\r\n" END, REFUSAL_MALFORMED),
    ROW("GET /\0 HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X: a\x01\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X: a\x7f\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X: a\x0b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n Host: a\r\n" END, REFUSAL_MALFORMED),
    ROW("\nGET / HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    /* request line */
    ROW("GET\r\n" END, REFUSAL_MALFORMED),
    ROW(" GET / HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET  / HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /  HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1 \r\n" H END, REFUSAL_MALFORMED),
    ROW("GET\t/\tHTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /a b HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("G(T / HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("G\x80T / HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH / HTTP/1.1\r\n" H END, REFUSAL_METHOD),
    ROW("CONNECT a:443 HTTP/1.1\r\n" H END, REFUSAL_METHOD),
    ROW("GET /\r\n", REFUSAL_VERSION),
    ROW("GET / HTTP/2.0\r\n" H END, REFUSAL_VERSION),
    ROW("GET / HTTP/0.9\r\n" H END, REFUSAL_VERSION),
    ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSAL_VERSION),
    ROW("GET / HTTP/1.10\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/11\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.x\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET / http/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET / XTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("\x16\x03\x01\x02\x00", REFUSAL_MALFORMED),
    /* target */
    ROW("GET a HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET * HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("OPTIONS *x HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /a#b HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /\xc3\xa9 HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /\x01 HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /%00 HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /%zz HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /%4 HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET /a% HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET ftp://a/ HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET http:///a HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET http://me@a/ HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    ROW("GET http://a:b/ HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
    /* fields */
    ROW("GET / HTTP/1.1\r\n" H "nonsense\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H ": a\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "A B: a\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "A\x80: a\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X : a\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "X\t: a\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "Content-Type: a\r\nContent-Type: a\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "Authorization: a\r\nauthorization: b\r\n" END, REFUSAL_MALFORMED),
    /* Host */
    ROW("GET / HTTP/1.1\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H H END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.0\r\n" H H END, REFUSAL_MALFORMED),
    ROW("GET http://a/ HTTP/1.1\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: a b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: a/b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: a@b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: a:b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: :80\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: [::1\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: [x]\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: a, b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\nHost: %\r\n" END, REFUSAL_MALFORMED),
    /* length and coding */
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 3 4\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 3.0\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length:\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length : 3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n" END, REFUSAL_CODING),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked,\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" END, REFUSAL_CODING),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\nContent-Length: 3\r\n" END, REFUSAL_MALFORMED),
    ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a=b\r\n" END, REFUSAL_MALFORMED),
    ROW("GET / HTTP/1.1\r\n" H "Expect: a-gift\r\n" END, REFUSAL_EXPECTATION),
    ROW("GET / HTTP/1.1\r\n" H "Expect: 100-continue, a-gift\r\n" END, REFUSAL_EXPECTATION),
    ROW("GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: a-gift\r\n" END, REFUSAL_EXPECTATION),
    ROW("options * HTTP/1.1\r\n" H END, REFUSAL_MALFORMED),
};
#undef ROW

static void test_refusals(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        for (size_t step = 1; step <= 1000; step += 999) {
            enum head_state state = feed(refused[i].bytes, refused[i].n, step, MAX_BYTES);
            if (state != HEAD_REFUSED || last.why != refused[i].why) {
                fprintf(stderr, "row %zu, %zu at a time: %.40s\n", i, step, refused[i].bytes);
            }
            CHECK_INT(state, HEAD_REFUSED);
            CHECK_INT(last.why, refused[i].why);
            CHECK(last.message && last.message[0]);
        }
    }
}

/* ---- what is understood ---- */

static bool is_text(struct head_text t, const char *expected)
{
    return expected ? t.bytes && t.n == strlen(expected) && memcmp(t.bytes, expected, t.n) == 0 : !t.bytes;
}

static void test_targets(void)
{
    static const struct {
        const char *line, *method, *path, *query;
    } rows[] = {
        {"GET / HTTP/1.1", "GET", "/", NULL},
        {"POST /a/b?c=d&e HTTP/1.1", "POST", "/a/b", "c=d&e"},
        {"GET /? HTTP/1.1", "GET", "/", ""},
        {"GET /a?b?c HTTP/1.1", "GET", "/a", "b?c"},
        {"GET //a HTTP/1.1", "GET", "//a", NULL},
        {"GET /%41%2f HTTP/1.1", "GET", "/%41%2f", NULL},
        {"GET /a?b=%zz%00 HTTP/1.1", "GET", "/a", "b=%zz%00"}, /* values are judged where they are read */
        {"OPTIONS * HTTP/1.1", "OPTIONS", "*", NULL},
        {"OPTIONS /a HTTP/1.1", "OPTIONS", "/a", NULL},
        {"GET http://a HTTP/1.1", "GET", "/", NULL},
        {"GET http://a?b=c HTTP/1.1", "GET", "/", "b=c"},
        {"GET HTTP://a:80/b?c HTTP/1.1", "GET", "/b", "c"},
        {"GET https://[::1]:80/b HTTP/1.1", "GET", "/b", NULL},
        {"brew /a HTTP/1.9", "brew", "/a", NULL},
        {"M-SEARCH /a HTTP/1.1", "M-SEARCH", "/a", NULL},
    };
    char text[256];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int n = snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", rows[i].line);
        CHECK_INT(feed(text, (size_t)n, 1, MAX_BYTES), HEAD_WHOLE);
        CHECK(is_text(last.method, rows[i].method) && is_text(last.path, rows[i].path) &&
              is_text(last.query, rows[i].query));
        CHECK_INT(last.n_bytes, n);
        CHECK_INT(last.minor, 1);
    }
}

static void test_framing(void)
{
    static const struct {
        const char *version, *fields;
        bool keeps_alive, expects, is_chunked, has_length;
        uint64_t length;
    } rows[] = {
        {"1.1", "", true, false, false, false, 0},
        {"1.1", "Connection: close\r\n", false, false, false, false, 0},
        {"1.1", "Connection: x, CLOSE ,y\r\n", false, false, false, false, 0},
        {"1.1", "Connection: x\r\nConnection: close\r\n", false, false, false, false, 0},
        {"1.1", "Connection: closed, keep-alive\r\n", true, false, false, false, 0},
        {"1.0", "", false, false, false, false, 0},
        {"1.0", "Connection: Keep-Alive\r\n", true, false, false, false, 0},
        {"1.0", "Connection: keep-alive, close\r\n", false, false, false, false, 0},
        {"1.0", "Expect: 100-continue\r\n", false, false, false, false, 0},
        {"1.1", "Expect: 100-Continue\r\n", true, true, false, false, 0},
        {"1.1", "Expect:\r\n", true, false, false, false, 0},
        {"1.1", "Expect: 100-continue, 100-continue\r\n", true, true, false, false, 0},
        {"1.1", "Content-Length: 0\r\n", true, false, false, true, 0},
        {"1.1", "Content-Length:  0042 \t\r\n", true, false, false, true, 42},
        {"1.1", "Content-Length: 18446744073709551615\r\n", true, false, false, true, UINT64_MAX},
        {"1.1", "Content-Length: 18446744073709551616\r\n", true, false, false, true, UINT64_MAX},
        {"1.1", "Content-Length: 99999999999999999999999\r\n", true, false, false, true, UINT64_MAX},
        {"1.1", "Transfer-Encoding: CHUNKED \r\n", true, false, true, false, 0},
    };
    char text[256];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int n = snprintf(text, sizeof(text), "POST / HTTP/%s\r\nHost: a\r\n%s\r\n", rows[i].version, rows[i].fields);
        CHECK_INT(feed(text, (size_t)n, 1, MAX_BYTES), HEAD_WHOLE);
        CHECK_INT(last.keeps_alive, rows[i].keeps_alive);
        CHECK_INT(last.expects_continue, rows[i].expects);
        CHECK_INT(last.is_chunked, rows[i].is_chunked);
        CHECK_INT(last.has_length, rows[i].has_length);
        CHECK(last.length == rows[i].length);
    }
}

static void test_fields(void)
{
    const char text[] = "GET / HTTP/1.1\r\nhost:\r\nACCEPT:\t a/b ,c/d\t \r\nAccept: e\r\nX-Request-Id:\r\n"
                        "Content-Type: \xc3\xa9 \"x\"\r\nEmpty:\r\n\r\nGET";
    CHECK_INT(feed(text, sizeof(text) - 1, 1000, MAX_BYTES), HEAD_WHOLE);
    CHECK(is_text(last.fields[HEADER_ACCEPT], "a/b ,c/d")); /* the first one, trimmed */
    CHECK(is_text(last.fields[HEADER_REQUEST_ID], ""));
    CHECK(is_text(last.fields[HEADER_CONTENT_TYPE], "\xc3\xa9 \"x\""));
    CHECK(is_text(last.fields[HEADER_ORIGIN], NULL));
    CHECK_INT(last.n_bytes, sizeof(text) - 1 - 3);
    for (size_t i = 0; i < sizeof("a a:1 [::1] [::1]:8 a.b-c_d~e %41") - 1;) {
        static const char hosts[] = "a a:1 [::1] [::1]:8 a.b-c_d~e %41";
        char head[128];
        int k = (int)strcspn(hosts + i, " ");
        int n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: %.*s\r\n\r\n", k, hosts + i);
        CHECK_INT(feed(head, (size_t)n, 1000, MAX_BYTES), HEAD_WHOLE);
        i += (size_t)k + 1;
    }
    static const char *const bad_hosts[] = {"a:65536", "a:-1",     "a:1:1",     ":80",   "[]",      "[::1",
                                            "[1:2]",   "[:::]",    "[1.2.3.4]", "[::g]", "::1",     "[::1]a",
                                            "me@a",    "http://a", "a,b c",     "a%zz",  "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(bad_hosts) / sizeof(bad_hosts[0]); i++) {
        char head[128];
        int n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad_hosts[i]);
        CHECK_INT(feed(head, (size_t)n, 1000, MAX_BYTES), HEAD_REFUSED);
        CHECK_INT(last.why, REFUSAL_MALFORMED);
    }
}

/* The target's authority counts, whatever Host says. */
static void test_host_of_absolute_form(void)
{
    const char text[] = "GET http://b:80/c HTTP/1.1\r\nHost: a\r\n\r\n";
    CHECK_INT(feed(text, sizeof(text) - 1, 1000, MAX_BYTES), HEAD_WHOLE);
    CHECK(is_text(last.fields[HEADER_HOST], "b:80"));
    CHECK(last.has_other_host);
    const char same[] = "GET http://b:80/c HTTP/1.1\r\nHost: B:80\r\n\r\n";
    CHECK_INT(feed(same, sizeof(same) - 1, 1000, MAX_BYTES), HEAD_WHOLE);
    CHECK(!last.has_other_host);
    const char plain[] = "GET /c HTTP/1.1\r\nHost: a\r\n\r\n";
    CHECK_INT(feed(plain, sizeof(plain) - 1, 1000, MAX_BYTES), HEAD_WHOLE);
    CHECK(!last.has_other_host);
}

/* ---- size and pieces ---- */

static void test_exact_size(void)
{
    char text[MAX_BYTES + 64];
    for (int extra = -1; extra <= 1; extra++) {
        int head = snprintf(text, sizeof(text), "\r\nGET / HTTP/1.1\r\nHost: a\r\nX: ");
        int n = MAX_BYTES + 2 + extra; /* the empty line before does not count */
        memset(text + head, 'x', sizeof(text) - (size_t)head);
        memcpy(text + n - 4, "\r\n\r\n", 4);
        for (size_t step = 1; step <= 1000; step += 999) {
            enum head_state state = feed(text, (size_t)n, step, MAX_BYTES);
            CHECK_INT(state, extra <= 0 ? HEAD_WHOLE : HEAD_REFUSED);
            CHECK_INT(last.why, extra <= 0 ? REFUSAL_NONE : REFUSAL_LONG_HEAD);
        }
    }
    memset(text, 'x', sizeof(text));
    memcpy(text, "GET /", 5);
    CHECK_INT(feed(text, MAX_BYTES - 1, 1, MAX_BYTES), HEAD_MORE);
    CHECK_INT(feed(text, MAX_BYTES, 1, MAX_BYTES), HEAD_REFUSED); /* no end can come in time */
    CHECK_INT(last.why, REFUSAL_LONG_TARGET);
}

static void test_pieces(void)
{
    const char text[] = "\r\n\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    size_t whole = sizeof(text) - 1 - 3;
    for (size_t n = 0; n < whole; n++) {
        CHECK_INT(feed(text, n, 1, MAX_BYTES), HEAD_MORE);
    }
    for (size_t step = 1; step < sizeof(text); step++) {
        CHECK_INT(feed(text, sizeof(text) - 1, step, MAX_BYTES), HEAD_WHOLE);
        CHECK_INT(last.n_bytes, whole);
        CHECK_INT(last.length, 3);
    }
}

/* ---- escapes ---- */

static void test_decode(void)
{
    static const struct {
        const char *text, *plain, *query;
        bool is_good;
    } rows[] = {
        {"a%41+%2B", "aA++", "aA +", true},
        {"%", "%", "%", false},
        {"%4", "%4", "%4", false},
        {"%4g%41", "%4gA", "%4gA", false},
        {"", "", "", true},
        {"%c3%A9", "\xc3\xa9", "\xc3\xa9", true},
        {"a%", "a%", "a%", false},
        {"%2541", "%41", "%41", true},
    };
    char out[32];
    bool is_good;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int is_query = 0; is_query < 2; is_query++) {
            const char *expected = is_query ? rows[i].query : rows[i].plain;
            size_t n = head_decode(out, rows[i].text, strlen(rows[i].text), is_query, &is_good);
            CHECK(n == strlen(expected) && memcmp(out, expected, n) == 0);
            CHECK_INT(is_good, rows[i].is_good);
        }
    }
    CHECK_INT(head_decode(out, "a%00b", 5, true, &is_good), 3);
    CHECK(!is_good && memcmp(out, "a\0b", 3) == 0);
}

int main(void)
{
    test_refusals();
    test_targets();
    test_framing();
    test_fields();
    test_host_of_absolute_form();
    test_exact_size();
    test_pieces();
    test_decode();
    feed("x", 1, 1, MAX_BYTES);
    return check_result();
}
