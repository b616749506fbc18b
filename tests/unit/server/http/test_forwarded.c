/* Whose request it is: one row a way to write it, to lie, or to slip. */
#include "server/http/forwarded.h"

#include "engine/base/buf.h"
#include "tests/support/check.h"

/* Lines of X-Forwarded-For and of Forwarded, with | between; the peer is 10.0.0.1 and 10/8, fd00::/8 are trusted. */
static const char *client_of(const char *x, const char *rfc, const char *peer)
{
    static char out[ADDRESS_TEXT_MAX];
    struct networks trusted;
    struct forwarded f = {.x = {.n = 0}};
    struct address a;
    CHECK_INT(address_networks_parse(&trusted, "10.0.0.0/8 fd00::/8", "k", NULL), OK);
    for (; x; x = strchr(x, '|') ? strchr(x, '|') + 1 : NULL) {
        forwarded_add_x(&f, x, strcspn(x, "|"));
    }
    for (; rfc; rfc = strchr(rfc, '|') ? strchr(rfc, '|') + 1 : NULL) {
        forwarded_add(&f, rfc, strcspn(rfc, "|"));
    }
    address_parse(&a, peer, strlen(peer));
    a = forwarded_client(&f, &trusted, &a);
    address_text(&a, out);
    return out;
}

static void test_x(void)
{
    static const struct {
        const char *value, *client;
    } rows[] = {
        {"", "10.0.0.1"},
        {"192.0.2.1", "192.0.2.1"},
        {"  192.0.2.1\t", "192.0.2.1"},
        {"192.0.2.1:4711", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"6.6.6.6, 192.0.2.1", "192.0.2.1"},  /* what the client wrote before */
        {"6.6.6.6|192.0.2.1", "192.0.2.1"},   /* the proxy adds a line of its own */
        {"192.0.2.1, 10.0.0.9", "192.0.2.1"}, /* two proxies of ours */
        {"192.0.2.1|10.0.0.9,fd00::7", "192.0.2.1"},
        {"10.1.1.1, 10.2.2.2", "10.1.1.1"},        /* ours from the first to the last */
        {"6.6.6.6, 7.7.7.7, 10.0.0.9", "7.7.7.7"}, /* not beyond the first that is not ours */
        {"192.0.2.1, unknown", "10.0.0.1"},
        {"192.0.2.1, _hidden, 10.0.0.9", "10.0.0.9"},
        {"192.0.2.1, 300.1.1.1", "10.0.0.1"},
        {"192.0.2.1,,", "192.0.2.1"},
        {"[192.0.2.1]", "10.0.0.1"},
        {"192.0.2.1:port", "10.0.0.1"},
        {"192.0.2.1:", "10.0.0.1"},
        {"[::1", "10.0.0.1"},
        {"localhost", "10.0.0.1"},
        {"[::ffff:192.0.2.1]:80", "192.0.2.1"},
        {"6.6.6.6, ::ffff:10.0.0.9", "6.6.6.6"}, /* ours, as a dual-stack socket calls it */
        {"fe80::1%eth0", "10.0.0.1"},
        {"192.0.2.1, 10.0.0.9:_p", "192.0.2.1"},
        {"0x7f000001", "10.0.0.1"},
        {"for=192.0.2.1", "10.0.0.1"},
        {"\"192.0.2.1\"", "10.0.0.1"},
        {"192.0.2.1 6.6.6.6", "10.0.0.1"},
        {"192.0.2.1, 10.0.0.9 , 10.0.0.8:55", "192.0.2.1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_STR(client_of(rows[i].value, NULL, "10.0.0.1"), rows[i].client);
    }
    CHECK_STR(client_of("192.0.2.1", NULL, "203.0.113.5"), "203.0.113.5"); /* not ours: not believed */
    CHECK_STR(client_of("192.0.2.1", "for=192.0.2.1", "203.0.113.5"), "203.0.113.5");
}

static void test_rfc7239(void)
{
    static const struct {
        const char *value, *client;
    } rows[] = {
        {"for=192.0.2.1", "192.0.2.1"},
        {"For=192.0.2.1;proto=https;by=203.0.113.43", "192.0.2.1"},
        {"proto=http; for=\"192.0.2.1:80\"", "192.0.2.1"},
        {"for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"},
        {"for=\"[2001:db8::1]\"", "2001:db8::1"},
        {"for=6.6.6.6, for=192.0.2.1", "192.0.2.1"},
        {"for=6.6.6.6|for=192.0.2.1", "192.0.2.1"},
        {"for=192.0.2.1,for=10.0.0.9;by=\"a,b\"", "192.0.2.1"},
        {"for=192.0.2.1;host=\"x\\\",for=6.6.6.6\"", "192.0.2.1"},
        {"for=unknown", "10.0.0.1"},
        {"for=_SEVKISEK", "10.0.0.1"},
        {"for=\"192.0.2.1:_port\"", "192.0.2.1"},
        {"for=192.0.2.1, proto=https", "10.0.0.1"}, /* the last proxy names nobody */
        {"for=192.0.2.1;for=192.0.2.2", "10.0.0.1"},
        {"for = 192.0.2.1", "10.0.0.1"},
        {"for=\"6.6.6.6, for=192.0.2.1", "10.0.0.1"}, /* a quote left open by the client */
        {"for=\"6.6.6.6, for=\"[2001:db8::1]\"", "10.0.0.1"},
        {"xfor=192.0.2.1", "10.0.0.1"},
        {"for=\"_gazonk\"", "10.0.0.1"},
        {"for=\"_x:_y\", for=10.0.0.9", "10.0.0.9"},
        {"for=\"unknown:47\"", "10.0.0.1"},
        {"for=[2001:db8::1]:80", "2001:db8::1"}, /* without the quotes that it needs */
        {"FOR=\"[::FFFF:192.0.2.1]\"", "192.0.2.1"},
        {"for=\"[2001:db8::1\"", "10.0.0.1"},
        {"for=\"\"", "10.0.0.1"},
        {"for=", "10.0.0.1"},
        {"for=192.0.2.1 for=6.6.6.6", "10.0.0.1"},
        {"by=6.6.6.6;for=192.0.2.1;by=\"for=6.6.6.6\"", "192.0.2.1"},
        {",,for=192.0.2.1,", "192.0.2.1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_STR(client_of(NULL, rows[i].value, "10.0.0.1"), rows[i].client);
    }
}

static void test_both(void)
{
    CHECK_STR(client_of("192.0.2.1", "for=192.0.2.1", "10.0.0.1"), "192.0.2.1");
    CHECK_STR(client_of("192.0.2.1", "for=6.6.6.6", "10.0.0.1"), "10.0.0.1"); /* one of them was not looked at */
}

static void test_long_lists(void)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_text(&text, "192.0.2.1");
    for (int i = 0; i < FORWARDED_MAX - 1; i++) {
        buf_text(&text, ",10.0.0.2");
    }
    CHECK_STR(client_of(text.bytes, NULL, "10.0.0.1"), "192.0.2.1");
    buf_text(&text, ",10.0.0.2");
    CHECK_STR(client_of(text.bytes, NULL, "10.0.0.1"), "10.0.0.2");
    buf_reset(&text);
    for (int i = 0; i < 300; i++) {
        buf_text(&text, "7.7.7.7,");
    }
    buf_text(&text, "192.0.2.1");
    CHECK_STR(client_of(text.bytes, NULL, "10.0.0.1"), "192.0.2.1");
    buf_release(&text);
}

int main(void)
{
    test_x();
    test_rfc7239();
    test_both();
    test_long_lists();
    return check_result();
}
