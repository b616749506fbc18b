/* Addresses and networks as text. */
#include "server/http/address.h"

#include "tests/support/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct address parse(const char *text)
{
    struct address a;
    address_parse(&a, text, strlen(text));
    return a;
}

static const char *round_trip(const char *text)
{
    static char out[ADDRESS_TEXT_MAX];
    struct address a = parse(text);
    address_text(&a, out);
    return out;
}

static void test_addresses(void)
{
    static const char *const good[][2] = {{"10.0.0.1", "10.0.0.1"},
                                          {"::1", "::1"},
                                          {"::ffff:10.0.0.1", "10.0.0.1"},
                                          {"2001:DB8:0:0::5", "2001:db8::5"},
                                          {"::ffff:a00:1", "10.0.0.1"}};
    static const char *const bad[] = {"",          "10.0.0",     "10.0.0.256", "010.0.0.1",    "10.0.0.1 ", "[::1]",
                                      "fe80::1%1", "10.0.0.1:8", "0x0a.0.0.1", "localhost",    "1",         ":::",
                                      "1::2::3",   "10.0.0.1/8", "10.0.0.1.2", "::ffff:1.2.3", "unix"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_STR(round_trip(good[i][0]), good[i][1]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_STR(round_trip(bad[i]), "unknown");
    }
    struct address a;
    CHECK(!address_parse(&a, "10.0.0.1\0", 9));
    CHECK(address_parse(&a, "10.0.0.12", 8) && a.bytes[3] == 1);
}

static void test_sockets(void)
{
    char text[ADDRESS_TEXT_MAX];
    struct address a;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    inet_pton(AF_INET6, "::ffff:192.0.2.9", &six.sin6_addr);
    address_of(&a, (struct sockaddr *)&six);
    address_text(&a, text);
    CHECK_STR(text, "192.0.2.9");
    struct sockaddr other = {.sa_family = AF_UNIX};
    address_of(&a, &other);
    address_text(&a, text);
    CHECK_STR(text, "unix");
}

static bool is_in(const char *list, const char *address)
{
    struct networks n;
    struct errbuf e;
    struct address a = parse(address);
    errbuf_clear(&e);
    CHECK_INT(address_networks_parse(&n, list, "k", &e), OK);
    return address_networks_have(&n, &a);
}

static void test_networks(void)
{
    CHECK(!is_in("", "10.0.0.1"));
    CHECK(is_in("10.0.0.0/8", "10.255.0.1") && !is_in("10.0.0.0/8", "11.0.0.1"));
    CHECK(is_in("192.168.4.0/22", "192.168.7.255") && !is_in("192.168.4.0/22", "192.168.8.0"));
    CHECK(is_in("10.0.0.1", "10.0.0.1") && !is_in("10.0.0.1", "10.0.0.2"));
    CHECK(is_in("0.0.0.0/0", "8.8.8.8") && !is_in("0.0.0.0/0", "::1"));
    CHECK(is_in("::/0", "fe80::1") && !is_in("::/0", "10.0.0.1"));
    CHECK(is_in("fd00::/8", "fdff::1") && !is_in("fd00::/8", "fe00::1"));
    CHECK(is_in("2001:db8::/33", "2001:db8:7fff::") && !is_in("2001:db8::/33", "2001:db8:8000::"));
    CHECK(is_in(" 10.0.0.1,\t::1 ", "::1"));
    CHECK(is_in("10.0.0.0/8", "::ffff:10.1.1.1") && is_in("::ffff:10.0.0.0/104", "10.2.2.2"));
    CHECK(!is_in("0.0.0.0/0 ::/0", "unknown")); /* who has no address is nobody's */
    struct networks n;
    struct address unix_peer = {.family = ADDRESS_UNIX};
    struct errbuf e;
    CHECK_INT(address_networks_parse(&n, "10.0.0.0/8", "k", &e), OK);
    CHECK(!address_networks_have(&n, &unix_peer));
    CHECK_INT(address_networks_parse(&n, "unix", "k", &e), OK);
    CHECK(address_networks_have(&n, &unix_peer));
}

static void test_faults(void)
{
    static const char *const rows[] = {"10.0.0.1/8",     "10.0.0.0/33", "10.0.0.0/",   "10.0.0.0/08",
                                       "10.0.0.0/-1",    "::/129",      "proxy.local", "10.0.0.0/255.0.0.0",
                                       "10.0.0.0/8;::1", "fd00::1/8",   "*",           "::ffff:10.0.0.0/8"};
    struct networks n;
    struct errbuf e;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        errbuf_clear(&e);
        CHECK_INT(address_networks_parse(&n, rows[i], "server.trusted_proxies", &e), ERR_BAD_CONFIG);
        CHECK(strstr(e.text, "server.trusted_proxies: \"") == e.text && strstr(e.text, rows[i]));
    }
    char many[65 * 10 + 1] = "";
    for (int i = 0; i < 65; i++) {
        snprintf(many + strlen(many), 11, "10.0.0.%d ", i);
    }
    CHECK_INT(address_networks_parse(&n, many, "k", &e), ERR_BAD_CONFIG);
    CHECK(strstr(e.text, "too many"));
}

int main(void)
{
    test_addresses();
    test_sockets();
    test_networks();
    test_faults();
    return check_result();
}
