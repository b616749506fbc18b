/* The chunked coding: every row whole and in pieces of every size; what follows the body is left alone. */
#include "server/http/chunk.h"

#include "tests/support/check.h"

#include <stdlib.h>

/* Feeds n bytes in pieces of `step`; the data is gathered in out. */
static enum chunk_state feed(const char *bytes, size_t n, size_t step, char *out, size_t *n_out, size_t *n_taken)
{
    struct chunk c;
    enum chunk_state state = CHUNK_MORE;
    chunk_init(&c);
    *n_out = *n_taken = 0;
    for (size_t at = 0; at < n && state == CHUNK_MORE;) {
        size_t k = n - at < step ? n - at : step, taken, data;
        char *piece = malloc(k); /* exactly as long as it is, for the sanitizers */
        if (!piece) {
            abort();
        }
        memcpy(piece, bytes + at, k);
        state = chunk_read(&c, piece, k, &taken, &data);
        CHECK(data <= taken && taken <= k && (state != CHUNK_MORE || taken == k));
        memcpy(out + *n_out, piece, data);
        *n_out += data;
        *n_taken += taken;
        at += taken;
        CHECK(state != CHUNK_REFUSED || c.message);
        free(piece);
    }
    return state;
}

static const struct {
    const char *text;
    enum chunk_state state;
    const char *data; /* of whole bodies */
    size_t n_left;    /* bytes behind it */
} bodies[] = {
    {"0\r\n\r\n", CHUNK_WHOLE, "", 0},
    {"3\r\nabc\r\n0\r\n\r\n", CHUNK_WHOLE, "abc", 0},
    {"3\r\nabc\r\n0\r\n\r\nGET /", CHUNK_WHOLE, "abc", 5},
    {"1\r\na\r\n0002\r\nbc\r\n00\r\n\r\n", CHUNK_WHOLE, "abc", 0},
    {"A\r\n0123456789\r\n0\r\n\r\n", CHUNK_WHOLE, "0123456789", 0},
    {"a;x=y;z=\"q\"\r\n0123456789\r\n0;last\r\n\r\n", CHUNK_WHOLE, "0123456789", 0},
    {"3 \t ; x = y\r\nabc\r\n0\t;z\r\n\r\n", CHUNK_WHOLE, "abc", 0},
    {"3\r\nabc\r\n0\r\nA:\r\nB: \xe4 :\r\n\r\n", CHUNK_WHOLE, "abc", 0},
    {"3\r\n\r\n\r\r\n0\r\n\r\n", CHUNK_WHOLE, "\r\n\r", 0},
    {"3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 40\r\n\r\nx", CHUNK_WHOLE, "abc", 1},
    {"3\r\nabc\r\n0\r\n", CHUNK_MORE, NULL, 0},
    {"3\r\nabc\r\n", CHUNK_MORE, NULL, 0},
    {"3\r\nab", CHUNK_MORE, NULL, 0},
    {"fffffffffffffff\r\n", CHUNK_MORE, NULL, 0},
    {"0000000000000003\r\nabc\r\n0\r\n\r\n", CHUNK_WHOLE, "abc", 0},
    {"00000000000000003\r\nabc\r\n0\r\n\r\n", CHUNK_REFUSED, NULL, 0}, /* 17 digits */
    {"1000000000000000\r\n", CHUNK_REFUSED, NULL, 0},                  /* 2^60 */
    {"ffffffffffffffff\r\n", CHUNK_REFUSED, NULL, 0},
    {"10000000000000003\r\n", CHUNK_REFUSED, NULL, 0},
    {"\r\n", CHUNK_REFUSED, NULL, 0},
    {";a\r\n", CHUNK_REFUSED, NULL, 0},
    {"z\r\n", CHUNK_REFUSED, NULL, 0},
    {"-3\r\n", CHUNK_REFUSED, NULL, 0},
    {"+3\r\n", CHUNK_REFUSED, NULL, 0},
    {"0x3\r\n", CHUNK_REFUSED, NULL, 0},
    {" 3\r\n", CHUNK_REFUSED, NULL, 0},
    {"3 \r\n", CHUNK_REFUSED, NULL, 0},
    {"3\t\r\n", CHUNK_REFUSED, NULL, 0},
    {"3 3\r\n", CHUNK_REFUSED, NULL, 0},
    {" ;a\r\n", CHUNK_REFUSED, NULL, 0},
    {"3\nabc", CHUNK_REFUSED, NULL, 0},
    {"3\r\r\n", CHUNK_REFUSED, NULL, 0},
    {"3;a\nabc", CHUNK_REFUSED, NULL, 0},
    {"3;a\rb", CHUNK_REFUSED, NULL, 0},
    {"3;\x01\r\n", CHUNK_REFUSED, NULL, 0},
    {"3\r\nabcd\r\n", CHUNK_REFUSED, NULL, 0},
    {"3\r\nabc\n", CHUNK_REFUSED, NULL, 0},
    {"3\r\nabc\rx", CHUNK_REFUSED, NULL, 0},
    {"3\r\nabc0\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\nA: b\n\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\nA: b\rc", CHUNK_REFUSED, NULL, 0},
    {"0\r\nA\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\nA : b\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\n: b\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\n A: b\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\nA: b\r\n c\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\nA\x80: b\r\n", CHUNK_REFUSED, NULL, 0},
    {"0\r\n\rx", CHUNK_REFUSED, NULL, 0},
    {"0\r\n\n", CHUNK_REFUSED, NULL, 0},
};

static void test_rows(void)
{
    char out[64];
    size_t n_out, n_taken;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        size_t n = strlen(bodies[i].text);
        for (size_t step = 1; step <= n; step++) {
            enum chunk_state state = feed(bodies[i].text, n, step, out, &n_out, &n_taken);
            if (state != bodies[i].state) {
                fprintf(stderr, "row %zu, %zu at a time\n", i, step);
            }
            CHECK_INT(state, bodies[i].state);
            if (bodies[i].data) {
                CHECK(n_out == strlen(bodies[i].data) && memcmp(out, bodies[i].data, n_out) == 0);
                CHECK_INT(n_taken, n - bodies[i].n_left);
            }
        }
    }
}

static void test_extra_is_bounded(void)
{
    static char text[4 * CHUNK_MAX_EXTRA], out[sizeof(text)];
    size_t n_out, n_taken;
    for (int extra = 0; extra <= 1; extra++) {
        int n = snprintf(text, sizeof(text), "0;%0*d\r\n\r\n", CHUNK_MAX_EXTRA + extra, 0);
        CHECK_INT(feed(text, (size_t)n, 100, out, &n_out, &n_taken), extra ? CHUNK_REFUSED : CHUNK_WHOLE);
        n = snprintf(text, sizeof(text), "0\r\nA:%0*d\r\n\r\n", CHUNK_MAX_EXTRA - 2 + extra, 0);
        CHECK_INT(feed(text, (size_t)n, 100, out, &n_out, &n_taken), extra ? CHUNK_REFUSED : CHUNK_WHOLE);
        n = snprintf(text, sizeof(text), "0\r\n%0*d:\r\n\r\n", CHUNK_MAX_EXTRA - 1 + extra, 0);
        CHECK_INT(feed(text, (size_t)n, 100, out, &n_out, &n_taken), extra ? CHUNK_REFUSED : CHUNK_WHOLE);
        n = snprintf(text, sizeof(text), "0%*s;\r\n\r\n", CHUNK_MAX_EXTRA + extra, "");
        CHECK_INT(feed(text, (size_t)n, 100, out, &n_out, &n_taken), extra ? CHUNK_REFUSED : CHUNK_WHOLE);
    }
    /* in small portions, too */
    size_t n = 0;
    while (n < 3 * CHUNK_MAX_EXTRA) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "1;abcdef\r\nx\r\n");
    }
    CHECK_INT(feed(text, n, 100, out, &n_out, &n_taken), CHUNK_REFUSED);
}

int main(void)
{
    test_rows();
    test_extra_is_bounded();
    return check_result();
}
