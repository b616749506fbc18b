/* The one decoder: every code point there and back, every kind of bad sequence, and nothing read behind the end. */
#include "engine/base/utf8.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static bool is_valid(const char *text, size_t n)
{
    return utf8_valid(text, n) == n;
}

/* ---- UTF-8 ---- */

static void test_utf8(void)
{
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {
        {"", true},
        {"a\x7f\x01", true},
        {"\xc2\x80", true}, /* U+0080 */
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true}, /* U+0800 */
        {"\xed\x9f\xbf", true}, /* U+D7FF */
        {"\xee\x80\x80", true}, /* U+E000 */
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true}, /* U+10000 */
        {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF */
        {"\x80", false},
        {"\xbf", false},
        {"\xc0\x80", false}, /* overlong NUL */
        {"\xc0\xaf", false}, /* overlong / */
        {"\xc1\xbf", false},
        {"\xc2", false},
        {"\xc2\x7f", false},
        {"\xc2\xc0", false},
        {"\xe0\x80\xaf", false},
        {"\xe0\x9f\xbf", false},
        {"\xe0\xa0", false},
        {"\xe0\xa0\x7f", false},
        {"\xe1\x80\xc0", false},
        {"\xed\xa0\x80", false}, /* a surrogate */
        {"\xed\xbf\xbf", false},
        {"\xf0\x80\x80\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf0\x90\x80", false},
        {"\xf4\x90\x80\x80", false}, /* U+110000 */
        {"\xf5\x80\x80\x80", false},
        {"\xf8\x88\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"a\xc3\xa9z", true},
        {"a\xc3", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *exact = malloc(strlen(cases[i].text) + 1); /* asan sees a byte too much */
        memcpy(exact, cases[i].text, strlen(cases[i].text));
        if (is_valid(exact, strlen(cases[i].text)) != cases[i].is_good) {
            fprintf(stderr, "row %zu\n", i);
        }
        CHECK_INT(is_valid(exact, strlen(cases[i].text)), cases[i].is_good);
        free(exact);
    }
    CHECK(is_valid("a\0b", 3));
}

static void test_every_code_point(void)
{
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char text[UTF8_MAX];
        uint32_t again = 0;
        size_t n = utf8_write(c, text);
        bool is_code_point = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        bool is_good = is_code_point ? n >= 1 && utf8_next(text, n, &again) == n && again == c : n == 0;
        for (size_t less = 0; is_good && less < n; less++) { /* cut off: no character */
            is_good = utf8_next(text, less, &again) == 0 && again == 0xfffd;
        }
        if (!is_good) {
            fprintf(stderr, "U+%04X\n", (unsigned)c);
        }
        CHECK(is_good);
    }
}

/* A bad byte at every place of a long text, on the fast way and off it. */
static void test_places(void)
{
    enum { N = 40 };
    for (size_t at = 0; at < N; at++) {
        char *text = malloc(N);
        memset(text, 'a', N);
        text[at] = (char)0x80;
        CHECK_INT(utf8_valid(text, N), at);
        CHECK_INT(utf8_count(text, N), N);
        text[at] = (char)0xc3;
        if (at + 1 < N) {
            text[at + 1] = (char)0xa9;
        }
        CHECK_INT(utf8_valid(text, N), at + 1 < N ? N : at);
        CHECK_INT(utf8_count(text, N), at + 1 < N ? N - 1 : N);
        free(text);
    }
    CHECK_INT(utf8_valid("", 0), 0);
    CHECK_INT(utf8_count("", 0), 0);
}

int main(void)
{
    test_utf8();
    test_every_code_point();
    test_places();
    return check_result();
}
