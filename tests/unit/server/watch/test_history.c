/* The ring of the last requests: newest first, no more than its size, nothing of an exchange after it is gone. */
#include "server/watch/history.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

static struct exchange ended(int i)
{
    struct exchange x = {.route_name = "caption",
                         .error_code = "internal",
                         .cancel_reason = "deadline",
                         .status = 200 + i % 300,
                         .began_us = 1000,
                         .received_us = 1200,
                         .timings = {.decode_us = 1,
                                     .queue_us = 2,
                                     .regions_us = 3,
                                     .fusion_us = 4,
                                     .regions_batch = 5,
                                     .fusion_batch = 6,
                                     .n_images = 7,
                                     .n_texts = 8,
                                     .cache = "miss"}};
    snprintf(x.request_id, sizeof(x.request_id), "id-%d", i);
    return x;
}

static struct history *make(void)
{
    struct history *h = NULL;
    CHECK_INT(history_create(&h), OK);
    return h;
}

static void test_empty(void)
{
    struct history *h = make();
    CHECK(history_get(h, 0) == NULL);
    CHECK(history_get(h, -1) == NULL);
    CHECK(history_get(h, HISTORY_SIZE) == NULL);
    history_destroy(h);
    history_destroy(NULL);
}

static void test_an_entry(void)
{
    struct history *h = make();
    struct exchange x = ended(0);
    history_add(h, &x, 5000);
    memset(&x, 0xee, sizeof(x)); /* only what lives for ever is borrowed */
    const struct history_entry *e = history_get(h, 0);
    CHECK(e != NULL && history_get(h, 1) == NULL);
    CHECK_STR(e->id, "id-0");
    CHECK_STR(e->route, "caption");
    CHECK_STR(e->error_code, "internal");
    CHECK_STR(e->cancel_reason, "deadline");
    CHECK_STR(e->timings.cache, "miss");
    const struct timings *t = &e->timings;
    CHECK(e->status == 200 && t->n_images == 7 && t->n_texts == 8 && t->regions_batch == 5 && t->fusion_batch == 6);
    CHECK(e->number == 1 && e->began_us == 1000 && e->recv_us == 200 && e->total_us == 4000);
    CHECK(t->decode_us == 1 && t->queue_us == 2 && t->regions_us == 3 && t->fusion_us == 4);
    history_destroy(h);
}

/* Refused at its headers: the body never came. */
static void test_never_received(void)
{
    struct history *h = make();
    struct exchange x = ended(0);
    x.received_us = 0;
    memset(x.request_id, 'i', EXCHANGE_ID_MAX);
    x.request_id[EXCHANGE_ID_MAX] = '\0';
    history_add(h, &x, 1000);
    const struct history_entry *e = history_get(h, 0);
    CHECK(e && e->recv_us == 0 && e->total_us == 0);
    CHECK(e && strlen(e->id) == EXCHANGE_ID_MAX);
    history_destroy(h);
}

static void test_the_oldest_goes(void)
{
    char id[32];
    struct history *h = make();
    uint64_t allocations = mem_count();
    for (int n = 1; n <= 2 * HISTORY_SIZE + 3; n++) {
        struct exchange x = ended(n);
        history_add(h, &x, 2000);
        int max = n < HISTORY_SIZE ? n : HISTORY_SIZE;
        snprintf(id, sizeof(id), "id-%d", n);
        CHECK_STR(history_get(h, 0)->id, id);
        snprintf(id, sizeof(id), "id-%d", n - max + 1);
        CHECK_STR(history_get(h, max - 1)->id, id);
        CHECK(history_get(h, max) == NULL);
    }
    for (int i = 0; i < HISTORY_SIZE; i++) {
        CHECK_INT(history_get(h, i)->number, 2 * HISTORY_SIZE + 3 - i);
    }
    CHECK_INT(mem_count(), allocations);
    history_destroy(h);
}

static void test_no_memory(void)
{
    struct history *h;
    mem_fail_after(1);
    CHECK_INT(history_create(&h), ERR_NOMEM);
    mem_fail_after(0);
}

int main(void)
{
    test_empty();
    test_an_entry();
    test_never_received();
    test_the_oldest_goes();
    test_no_memory();
    return check_result();
}
