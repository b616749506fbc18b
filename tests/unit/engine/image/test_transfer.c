#include "engine/image/transfer.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

/* Compressed data look like this: all bytes equally often. */
static size_t fill(uint8_t *p, size_t n)
{
    uint32_t state = 7;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (uint8_t)(state >> 24);
    }
    return n;
}

static void check_told(const uint8_t *bytes, size_t n, const char *part)
{
    struct errbuf e = {""};
    bool is_told = transfer_explain(bytes, n, &e);
    bool is_right = is_told == (part != NULL) && (!part || strstr(e.text, part));
    if (!is_right) {
        fprintf(stderr, "not \"%s\" but \"%s\"\n", part ? part : "nothing", e.text);
    }
    CHECK(is_right);
}

enum change { STRIPPED, NO_LINE_ENDS, NO_NUL, DOS, UNIX, SEVEN_BITS, LATIN, REPLACED };

/* What becomes of the bytes; `out` has room for three times as many. */
static size_t change(enum change how, const uint8_t *in, size_t n, uint8_t *out)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t b = in[i];
        bool is_end = b == '\r' || b == '\n';
        if ((how == STRIPPED && (is_end || b == 0)) || (how == NO_LINE_ENDS && is_end) || (how == NO_NUL && b == 0) ||
            (how == UNIX && b == '\r' && i + 1 < n && in[i + 1] == '\n')) {
            continue;
        }
        if (how == DOS && b == '\n') {
            out[k++] = '\r';
        } else if (how == LATIN && b >= 0x80) {
            out[k++] = 0xc0 | b >> 6;
            b = 0x80 | (b & 0x3f);
        } else if (how == REPLACED && b >= 0x80) {
            out[k++] = 0xef;
            out[k++] = 0xbf;
            b = 0xbd;
        } else if (how == SEVEN_BITS) {
            b &= 0x7f;
        }
        out[k++] = b;
    }
    return k;
}

static void test_changed(void)
{
    static const struct {
        enum change how;
        size_t n;
        const char *told;
    } rows[] = {{STRIPPED, 200, "--data-binary"},
                {STRIPPED, 60000, "--data-binary"},
                {NO_LINE_ENDS, 60000, "--data-binary"},
                {NO_NUL, 9000, "lost its NUL bytes"},
                {DOS, 20000, "text mode"},
                {UNIX, 3000000, "text mode"},
                {SEVEN_BITS, 20000, "7-bit"},
                {LATIN, 2000, "decoded as text"},
                {REPLACED, 2000, "decoded as text"}};
    enum { MAX = 3000000 };
    uint8_t *in = malloc(MAX), *out = malloc(3 * (size_t)MAX);
    for (size_t i = 0; in && i < 20000; i++) {
        in[i] = 0;
    }
    check_told(in, 20000, "zero bytes only");
    for (size_t i = 0; in && out && i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = fill(in, rows[i].n);
        memcpy(in, "\xff\xd8\xff\xe0", 4);
        check_told(in, n, NULL); /* not by chance */
        n = change(rows[i].how, in, n, out);
        check_told(out, n, rows[i].told);
    }
    free(in);
    free(out);
}

static bool has_dos_lines(const uint8_t *bytes, size_t n)
{
    struct errbuf e = {""};
    bool has = transfer_has_dos_lines(bytes, n, &e);
    CHECK(has == (strstr(e.text, "text mode") != NULL));
    return has;
}

/* What decodes without an error although each line feed of it has become two bytes. */
static void test_dos_lines(void)
{
    enum { MAX = 20000 };
    uint8_t *in = malloc(MAX), *out = malloc(2 * (size_t)MAX);
    size_t n = in && out ? fill(in, MAX) : 0;
    size_t n_out = change(DOS, in, n, out);
    CHECK(!has_dos_lines(in, n));
    CHECK(has_dos_lines(out, n_out));
    CHECK(!has_dos_lines(out, 1000)); /* could be chance */
    out[n_out - 1] = '\n';
    CHECK(has_dos_lines(out, n_out)); /* cut after a line end */
    memcpy(out + n_out / 2, "\xff\n\xff", 3);
    CHECK(!has_dos_lines(out, n_out)); /* one that is as it was */
    for (size_t i = 0; i + 3 < MAX; i += 4) {
        memcpy(in + i, "\xff\r\n\xfe", 4);
    }
    CHECK(!has_dos_lines(in, n)); /* a picture of one colour */
    for (size_t i = 0; i + 4 < MAX; i += 5) {
        memcpy(in + i, " ab\r\n", 5);
        in[i] = (uint8_t)(' ' + i / 5 % 90);
    }
    CHECK(!has_dos_lines(in, n)); /* text */
    CHECK(!has_dos_lines(in, 0) && !has_dos_lines((const uint8_t *)"\n", 1));
    free(in);
    free(out);
}

static void test_beginnings(void)
{
    uint8_t p[400];
    fill(p, sizeof(p));
    memcpy(p + 9, "\xff\xd8\xff\xe0", 4);
    check_told(p, sizeof(p), "9 bytes before the JPEG signature");
    memcpy(p, "\n\x89PNG\r\n\x1a\n", 9);
    check_told(p, sizeof(p), "is 1 byte before the PNG signature");
    memcpy(p, "\x89PNG\r\n\x1a\n", 8);
    check_told(p, sizeof(p), NULL); /* it begins as it should */
    memcpy(p, "PNG\r\n\x1a\n", 7);
    check_told(p, sizeof(p), "first byte");
    fill(p, sizeof(p));
    memcpy(p + 30, "RIFF....WEBPVP8 ", 16);
    check_told(p, sizeof(p), "30 bytes before the WebP signature");
    check_told(p, 0, NULL);
    for (size_t n = 0; n < 46; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, p, n);
        check_told(copy, n, n >= 42 ? "WebP" : NULL);
        free(copy);
    }
}

int main(void)
{
    test_changed();
    test_dos_lines();
    test_beginnings();
    return check_result();
}
