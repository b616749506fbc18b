#include "engine/base/mem.h"

#include "tests/support/check.h"

#include <pthread.h>
#include <stdint.h>

static void test_blocks(void)
{
    size_t live = mem_live_bytes();
    uint64_t count = mem_count();
    for (size_t n = 0; n < 300; n += 7) {
        unsigned char *p = NULL;
        CHECK_INT(mem_alloc(&p, n), OK);
        CHECK(p != NULL && (uintptr_t)p % 64 == 0);
        int sum = 0;
        for (size_t i = 0; i < n; i++) {
            sum += p[i];
            p[i] = 0xff; /* so that a reused block would show */
        }
        CHECK_INT(sum, 0);
        CHECK(mem_live_bytes() >= live + n);
        mem_free(p);
    }
    mem_free(NULL);
    CHECK_INT(mem_live_bytes(), live);
    CHECK_INT(mem_count() - count, 43);
}

static void test_resize(void)
{
    size_t live = mem_live_bytes();
    unsigned char *p = NULL;
    CHECK_INT(mem_resize(&p, 10), OK);
    for (int i = 0; i < 10; i++) {
        p[i] = (unsigned char)i;
    }
    CHECK_INT(mem_resize(&p, 3 << 20), OK);
    CHECK(mem_live_bytes() >= live + (3 << 20));
    CHECK(p[0] == 0 && p[9] == 9);
    unsigned char *before = p;
    mem_fail_after(1);
    CHECK_INT(mem_resize(&p, 4 << 20), ERR_NOMEM);
    CHECK(p == before && p[9] == 9);
    CHECK_INT(mem_resize(&p, SIZE_MAX), ERR_NOMEM);
    CHECK_INT(mem_resize(&p, 0), OK);
    CHECK(p != NULL && mem_live_bytes() < live + 4096);
    mem_free(p);
    CHECK_INT(mem_live_bytes(), live);
}

static void test_arrays(void)
{
    int *p = NULL;
    CHECK_INT(mem_array(&p, 10, sizeof(*p)), OK);
    p[9] = 1;
    mem_free(p);
    uint64_t count = mem_count();
    p = (int *)(void *)&count;
    CHECK_INT(mem_array(&p, SIZE_MAX / 2, 4), ERR_NOMEM);
    CHECK(p == NULL);
    CHECK_INT(mem_array(&p, SIZE_MAX, SIZE_MAX), ERR_NOMEM);
    CHECK_INT(mem_alloc(&p, SIZE_MAX), ERR_NOMEM);
    CHECK_INT(mem_alloc(&p, SIZE_MAX - 63), ERR_NOMEM); /* rounding up would wrap to nothing */
    CHECK_INT(mem_array(&p, 0, 8), OK);
    CHECK(p != NULL);
    mem_free(p);
    CHECK_INT(mem_count(), count + 1);
}

static void test_planned_failure(void)
{
    void *p[5] = {NULL};
    mem_fail_after(3);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(mem_alloc(&p[i], 1), i == 2 ? ERR_NOMEM : OK);
        CHECK((p[i] == NULL) == (i == 2));
        mem_free(p[i]);
    }
    mem_fail_after(1);
    mem_fail_after(0);
    CHECK_INT(mem_alloc(&p[0], 1), OK);
    mem_free(p[0]);
}

static int failures_of[4];

static void *allocate_many(void *out)
{
    for (int i = 0; i < 1000; i++) {
        void *p;
        *(int *)out += mem_alloc(&p, (size_t)i) != OK;
        mem_free(p);
    }
    return NULL;
}

/* Exactly one of all threads meets the failure; the counters lose nothing. */
static void test_threads(void)
{
    pthread_t threads[4];
    size_t live = mem_live_bytes();
    uint64_t count = mem_count();
    mem_fail_after(500);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, allocate_many, &failures_of[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_INT(failures_of[0] + failures_of[1] + failures_of[2] + failures_of[3], 1);
    CHECK_INT(mem_live_bytes(), live);
    CHECK_INT(mem_count() - count, 3999);
}

int main(void)
{
    test_blocks();
    test_resize();
    test_arrays();
    test_planned_failure();
    test_threads();
    return check_result();
}
