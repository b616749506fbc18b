#include "server/collections/archive_queue.h"

#include "tests/support/check.h"

#include <stdint.h>
#include <string.h>

enum { MAX = 64 };

static struct archive_queue_item items[400];
static int n_items;

static struct archive_queue_item *item(uint64_t client, uint64_t deadline_us)
{
    struct archive_queue_item *i = &items[n_items++];
    *i = (struct archive_queue_item){.client = client, .deadline_us = deadline_us};
    return i;
}

static void add(struct archive_queue *q, uint64_t client)
{
    CHECK(archive_queue_add(q, item(client, UINT64_MAX), MAX));
}

static char taken(struct archive_queue *q)
{
    struct archive_queue_item *i = archive_queue_pop(q);
    return i ? (char)i->client : '.';
}

static void test_turns(void)
{
    struct archive_queue q = {0};
    char order[16] = "";
    n_items = 0;
    for (int i = 0; i < 4; i++) {
        add(&q, 'a');
    }
    add(&q, 'b');
    add(&q, 'b');
    add(&q, 'c');
    CHECK_INT(q.n, 7);
    for (int i = 0; i < 8; i++) {
        order[i] = taken(&q);
    }
    CHECK_STR(order, "abcabaa.");
    CHECK_INT(q.n, 0);
}

/* Who comes late waits for one of a crowd; who comes back at once does not starve it. */
static void test_crowd(void)
{
    struct archive_queue q = {0};
    char order[24] = "";
    n_items = 0;
    for (int i = 0; i < 40; i++) {
        add(&q, 'a');
    }
    CHECK(taken(&q) == 'a');
    for (int i = 0; i < 20; i++) { /* b has one waiting at all times */
        if (i % 2 == 0) {
            add(&q, 'b');
        }
        order[i] = taken(&q);
    }
    CHECK_STR(order, "abababababababababab");
}

static void test_in_order(void)
{
    struct archive_queue q = {0};
    n_items = 0;
    for (int i = 0; i < 60; i++) {
        CHECK(archive_queue_add(&q, item((uint64_t)i % 3, UINT64_MAX), MAX));
    }
    int last[3] = {-1, -1, -1};
    for (struct archive_queue_item *i; (i = archive_queue_pop(&q));) {
        int at = (int)(i - items);
        CHECK(at > last[i->client]);
        last[i->client] = at;
    }
}

static void test_bound(void)
{
    struct archive_queue q = {0};
    n_items = 0;
    for (int i = 0; i < 3; i++) {
        CHECK(archive_queue_add(&q, item(7, UINT64_MAX), 3));
    }
    CHECK(!archive_queue_add(&q, item(7, UINT64_MAX), 3));
    CHECK(archive_queue_add(&q, item(8, UINT64_MAX), 3));
    CHECK_INT(q.n, 4);
    CHECK(archive_queue_pop(&q) == &items[0]);
    CHECK(archive_queue_add(&q, item(7, UINT64_MAX), 3));
}

static void test_deadlines(void)
{
    struct archive_queue q = {0};
    n_items = 0;
    CHECK(archive_queue_earliest(&q) == UINT64_MAX && !archive_queue_pop_late(&q, UINT64_MAX - 1));
    for (uint64_t i = 0; i < 5; i++) {
        CHECK(archive_queue_add(&q, item(i % 2, 100 - 10 * i), MAX));
    }
    add(&q, 1);
    CHECK_INT(archive_queue_earliest(&q), 60);
    CHECK(!archive_queue_pop_late(&q, 59));
    CHECK(archive_queue_pop_late(&q, 60) == &items[4]);
    int n = 0;
    while (archive_queue_pop_late(&q, 99)) {
        n++;
    }
    CHECK(n == 3 && q.n == 2 && archive_queue_earliest(&q) == 100);
    CHECK(archive_queue_remove(&q, &items[0]) && !archive_queue_remove(&q, &items[0]));
    CHECK(archive_queue_pop(&q) == &items[5] && !archive_queue_pop(&q));
}

int main(void)
{
    test_turns();
    test_crowd();
    test_in_order();
    test_bound();
    test_deadlines();
    return check_result();
}
