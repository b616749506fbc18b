/* Connections counted by address. */
#include "server/http/peers.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

static struct peers peers;

static struct peer *add(const char *text)
{
    struct address a;
    address_parse(&a, text, strlen(text));
    return peers_add(&peers, &a);
}

static void test_counts(void)
{
    size_t before = mem_live_bytes();
    struct peer *a = add("10.0.0.1");
    CHECK(add("10.0.0.1") == a && a->n == 2);
    struct peer *b = add("10.0.0.2"), *mapped = add("::ffff:10.0.0.1");
    CHECK(b != a && b->n == 1);
    CHECK(mapped == a && a->n == 3);
    struct peer *six = add("2001:db8:1:2::1");
    CHECK(add("2001:db8:1:2:ffff::9") == six && six->n == 2); /* one host has a whole /64 */
    struct peer *other = add("2001:db8:1:3::1");
    CHECK(other != six);
    struct peer *none = add("unknown");
    CHECK(none != a && none->n == 1);
    peers_drop(&peers, a);
    peers_drop(&peers, a);
    CHECK(a->n == 1 && add("10.0.0.1") == a);
    peers_drop(&peers, a);
    peers_drop(&peers, a);
    peers_drop(&peers, b);
    peers_drop(&peers, six);
    peers_drop(&peers, six);
    peers_drop(&peers, other);
    peers_drop(&peers, none);
    CHECK_INT(mem_live_bytes(), before);
}

static void test_many(void)
{
    static struct peer *all[5000];
    size_t before = mem_live_bytes();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            char text[32];
            snprintf(text, sizeof(text), "10.1.%d.%d", i / 250, i % 250);
            struct peer *p = add(text);
            CHECK(round == 0 || p == all[i]);
            all[i] = p;
            CHECK_INT(p->n, round + 1);
        }
    }
    for (int i = 0; i < 10000; i++) {
        peers_drop(&peers, all[i % 5000]);
    }
    CHECK_INT(mem_live_bytes(), before);
    mem_fail_after(1);
    CHECK(add("10.9.9.9") == NULL);
    mem_fail_after(0);
}

static void test_heaviest(void)
{
    CHECK(peers_heaviest(&peers, 1) == NULL);
    struct peer *a = add("10.0.0.1"), *b = add("10.0.0.2"), *c = add("2001:db8::1");
    add("10.0.0.2");
    CHECK(peers_heaviest(&peers, PEERS_LOOK_US + 1) == b);
    add("2001:db8::2");
    add("2001:db8::3");
    CHECK(peers_heaviest(&peers, PEERS_LOOK_US + 2) == c);
    c->n_over = 2;
    CHECK(peers_heaviest(&peers, 2 * PEERS_LOOK_US + 1) == b);
    c->n_over = 0;
    CHECK(peers_heaviest(&peers, 3 * PEERS_LOOK_US + 1) == c);
    for (int i = 0; i < 3; i++) {
        peers_drop(&peers, c);
    }
    CHECK(peers_heaviest(&peers, 3 * PEERS_LOOK_US + 2) == NULL); /* it is gone, and who is next was not looked for */
    CHECK(peers_heaviest(&peers, 4 * PEERS_LOOK_US + 1) == b);
    peers_drop(&peers, a);
    peers_drop(&peers, b);
    peers_drop(&peers, b);
    CHECK(peers_heaviest(&peers, 5 * PEERS_LOOK_US + 1) == NULL);
}

static uint64_t number(const char *text)
{
    struct address a;
    CHECK(address_parse(&a, text, strlen(text)));
    return peers_number(&a);
}

static void test_numbers(void)
{
    CHECK(number("10.0.0.1") == number("::ffff:10.0.0.1") && number("10.0.0.1") != number("10.0.0.2"));
    CHECK(number("2001:db8:1:2::1") == number("2001:db8:1:2:9::") &&
          number("2001:db8:1:3::1") != number("2001:db8:1:2::1"));
}

int main(void)
{
    test_counts();
    test_many();
    test_heaviest();
    test_numbers();
    return check_result();
}
