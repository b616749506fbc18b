/* PROXY headers: one row a form, whole and byte by byte. */
#include "server/http/proxy_header.h"

#include "tests/support/check.h"

/* The outcome, which must be the same however the bytes come. */
static const char *scan(const char *bytes, size_t n, size_t *n_bytes)
{
    static char out[ADDRESS_TEXT_MAX];
    struct proxy_header p, q;
    enum proxy_header_state whole = proxy_header_scan(&p, bytes, n), step = PROXY_HEADER_MORE;
    for (size_t k = 1; k <= n && step == PROXY_HEADER_MORE; k++) {
        step = proxy_header_scan(&q, bytes, k);
    }
    CHECK_INT(whole, step);
    *n_bytes = p.n_bytes;
    if (whole == PROXY_HEADER_WHOLE) {
        CHECK_INT(p.n_bytes, q.n_bytes);
        address_text(&p.client, out);
        return out;
    }
    CHECK((whole == PROXY_HEADER_REFUSED) == (p.message != NULL));
    return whole == PROXY_HEADER_MORE ? "more" : "refused";
}

static const char *line(const char *text)
{
    size_t n;
    const char *out = scan(text, strlen(text), &n);
    const char *feed = strstr(text, "\r\n");
    CHECK(strcmp(out, "more") == 0 || strcmp(out, "refused") == 0 || n == (size_t)(feed + 2 - text));
    return out;
}

static void test_version_1(void)
{
    static const char *const rows[][2] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET / ", "192.0.2.1"},
        {"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", "2001:db8::1"},
        {"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1"},
        {"PROXY UNKNOWN\r\n", "unknown"},
        {"PROXY UNKNOWN ffff:f...f:ffff what ever\r\nGET", "unknown"},
        {"P", "more"},
        {"PROXY TCP4 192.0.2.1", "more"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r", "more"},
        {"GET / HTTP/1.1\r\n", "refused"},
        {"proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n", "refused"},
        {"PROXY  TCP4 192.0.2.1 198.51.100.7 1 2\r\n", "refused"},
        {"PROXY TCP4 192.0.2.1  198.51.100.7 1 2\r\n", "refused"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n", "refused"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n", "refused"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n", "refused"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n", "refused"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n", "refused"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n", "refused"},
        {"PROXY TCP4 192.0.2.256 198.51.100.7 1 2\r\n", "refused"},
        {"PROXY TCP4 2001:db8::1 ::1 1 2\r\n", "refused"},
        {"PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n", "refused"},
        {"PROXY TCP5 192.0.2.1 198.51.100.7 1 2\r\n", "refused"},
        {"PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n", "refused"},
        {"PROXY UNKNOWNS\r\n", "refused"},
        {"PROXY \r\n", "refused"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n", "refused"},
        {"PROXY TCP4 192.0.2.1\r198.51.100.7 1 2\r\n", "refused"},
        {"\r\n\r\nX", "refused"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_STR(line(rows[i][0]), rows[i][1]);
    }
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "PROXY UNKNOWN ", 14);
    size_t n;
    CHECK_STR(scan(longest, 106, &n), "more");
    CHECK_STR(scan(longest, 107, &n), "refused");
    memcpy(longest + 105, "\r\n", 2);
    CHECK_STR(scan(longest, 200, &n), "unknown");
    CHECK_INT(n, 107);
}

/* ---- version 2 ---- */

static char block[4096];

static const char *block_of(unsigned command, unsigned family, const char *rest, size_t length, size_t *n)
{
    memcpy(block, "\r\n\r\n\0\r\nQUIT\n", 12);
    block[12] = (char)command;
    block[13] = (char)family;
    block[14] = (char)(length >> 8);
    block[15] = (char)length;
    memcpy(block + 16, rest, length);
    memcpy(block + 16 + length, "GET", 3);
    return scan(block, 16 + length + 3, n);
}

static void test_version_2(void)
{
    static const char four[] = "\xc0\x00\x02\x01\xc6\x33\x64\x07\x00\x01\x00\x02\x04\x00\x02zz\x01\x00\x00";
    static const char six[36] = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09";
    static const char zeros[3000];
    size_t n;
    CHECK_STR(block_of(0x21, 0x11, four, 12, &n), "192.0.2.1");
    CHECK_INT(n, 28);
    CHECK_STR(block_of(0x21, 0x11, four, 20, &n), "192.0.2.1"); /* two extensions */
    CHECK_STR(block_of(0x21, 0x11, four, 19, &n), "refused");
    CHECK_STR(block_of(0x21, 0x11, four, 16, &n), "refused");
    CHECK_STR(block_of(0x21, 0x11, four, 13, &n), "refused");
    CHECK_STR(block_of(0x21, 0x11, four, 11, &n), "refused");
    CHECK_STR(block_of(0x21, 0x21, six, 36, &n), "2001:db8::9");
    CHECK_STR(block_of(0x21, 0x21, six, 35, &n), "refused");
    CHECK_STR(block_of(0x21, 0x31, zeros, 216, &n), "unknown");
    CHECK_STR(block_of(0x21, 0x00, zeros, 0, &n), "unknown");
    CHECK_STR(block_of(0x21, 0x00, zeros, 7, &n), "unknown");
    CHECK_STR(block_of(0x20, 0x11, four, 12, &n), "unknown"); /* LOCAL: the proxy itself */
    CHECK_STR(block_of(0x20, 0xff, zeros, 5, &n), "unknown");
    CHECK_STR(block_of(0x21, 0x12, four, 12, &n), "192.0.2.1"); /* a client of HTTP/3 */
    CHECK_STR(block_of(0x21, 0x22, six, 36, &n), "2001:db8::9");
    CHECK_STR(block_of(0x21, 0x32, zeros, 216, &n), "unknown");
    static const char mapped[36] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07";
    CHECK_STR(block_of(0x21, 0x21, mapped, 36, &n), "192.0.2.7"); /* not another client than by IPv4 */
    static const unsigned char others[] = {0x41, 0x13, 0x10, 0x01, 0x02, 0x20, 0xff};
    for (size_t i = 0; i < sizeof(others); i++) {
        CHECK_STR(block_of(0x21, others[i], zeros, 216, &n), "refused");
    }
    CHECK_STR(block_of(0x22, 0x11, four, 12, &n), "refused");
    CHECK_STR(block_of(0x11, 0x11, four, 12, &n), "refused");
    CHECK_STR(block_of(0x20, 0x00, zeros, PROXY_HEADER_MAX - 16, &n), "unknown");
    CHECK_STR(block_of(0x20, 0x00, zeros, PROXY_HEADER_MAX - 15, &n), "refused");
    block_of(0x21, 0x11, four, 12, &n);
    CHECK_STR(scan(block, 27, &n), "more");
    block[4] = 1;
    CHECK_STR(scan(block, 31, &n), "refused");
}

int main(void)
{
    test_version_1();
    test_version_2();
    return check_result();
}
