#include "engine/base/bqueue.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdint.h>

static int items[64];

static void test_order_and_bound(void)
{
    struct bqueue *q = NULL;
    CHECK_INT(bqueue_create(&q, 3), OK);
    CHECK(bqueue_try_pop(q) == NULL);
    for (int round = 0; round < 5; round++) { /* the ring wraps */
        for (int i = 0; i < 3; i++) {
            CHECK(bqueue_try_push(q, &items[i]));
        }
        CHECK(!bqueue_try_push(q, &items[3]));
        CHECK_INT(bqueue_count(q), 3);
        CHECK(bqueue_pop(q) == &items[0]);
        CHECK(bqueue_try_push(q, &items[4]));
        CHECK(bqueue_pop(q) == &items[1]);
        CHECK(bqueue_try_pop(q) == &items[2]);
        CHECK(bqueue_pop(q) == &items[4]);
        CHECK_INT(bqueue_count(q), 0);
    }
    bqueue_destroy(q);
    bqueue_destroy(NULL);
}

static void test_close(void)
{
    struct bqueue *q = NULL;
    CHECK_INT(bqueue_create(&q, 2), OK);
    CHECK(bqueue_try_push(q, &items[0]));
    bqueue_close(q);
    bqueue_close(q);
    CHECK(!bqueue_try_push(q, &items[1])); /* closed */
    CHECK(bqueue_pop(q) == &items[0]);     /* drained first */
    CHECK(bqueue_pop(q) == NULL);
    bqueue_destroy(q);
}

static void test_torture(void)
{
    struct bqueue *q = (struct bqueue *)(void *)items;
    size_t live = mem_live_bytes();
    mem_fail_after(1);
    CHECK_INT(bqueue_create(&q, 2), ERR_NOMEM);
    CHECK(q == NULL);
    CHECK_INT(bqueue_create(&q, SIZE_MAX / 4), ERR_NOMEM);
    CHECK_INT(mem_live_bytes(), live);
}

/* Several pushers and poppers: every item arrives once, and close lets all poppers end. */
enum { N_THREADS = 3, N_EACH = 2000 };
static struct bqueue *shared;
static unsigned char taken[N_THREADS * N_EACH];
static char pool[N_THREADS * N_EACH];

static void *push_all(void *first)
{
    for (int i = 0; i < N_EACH; i++) {
        while (!bqueue_try_push(shared, (char *)first + i)) {
        }
    }
    return NULL;
}

static void *pop_all(void *n)
{
    char *item;
    while ((item = bqueue_pop(shared)) != NULL) {
        __atomic_fetch_add(&taken[item - pool], 1, __ATOMIC_RELAXED);
        ++*(int *)n;
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t pushers[N_THREADS], poppers[N_THREADS];
    int counts[N_THREADS] = {0}, total = 0;
    CHECK_INT(bqueue_create(&shared, 7), OK);
    for (int i = 0; i < N_THREADS; i++) {
        CHECK_INT(pthread_create(&poppers[i], NULL, pop_all, &counts[i]), 0);
        CHECK_INT(pthread_create(&pushers[i], NULL, push_all, pool + (ptrdiff_t)i * N_EACH), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(pushers[i], NULL);
    }
    bqueue_close(shared);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(poppers[i], NULL);
        total += counts[i];
    }
    CHECK_INT(total, N_THREADS * N_EACH);
    for (int i = 0; i < N_THREADS * N_EACH; i++) {
        CHECK_INT(taken[i], 1);
    }
    bqueue_destroy(shared);
}

int main(void)
{
    test_order_and_bound();
    test_close();
    test_torture();
    test_threads();
    return check_result();
}
