#include "engine/base/arena.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

struct things {
    char *a, *b, *c;
    double *d;
};

static void place(struct arena *arena, struct things *t)
{
    t->a = arena_take(arena, 10, 1);
    t->b = arena_take(arena, 100, 1);
    t->c = arena_take(arena, 65, 1);
    t->d = arena_take(arena, 9, sizeof(double));
}

static void test_measure_then_place(void)
{
    struct arena a;
    struct things t;
    unsigned char *block = NULL;
    arena_init(&a, NULL, 0);
    place(&a, &t);
    CHECK(t.a == NULL && t.d == NULL);
    CHECK_INT(arena_needed(&a), 64 + 128 + 128 + 128);
    size_t size = arena_needed(&a);
    CHECK_INT(mem_alloc(&block, size), OK);
    arena_init(&a, block, size);
    place(&a, &t);
    CHECK((unsigned char *)t.a == block);
    CHECK((unsigned char *)t.b == block + 64);
    CHECK((unsigned char *)t.c == block + 64 + 128);
    CHECK((unsigned char *)t.d == block + 64 + 128 + 128);
    CHECK_INT(arena_needed(&a), size);
    mem_free(block);
}

/* Sizes that cannot exist are measured as more than any memory, and stay so. */
static void test_overflow_while_measuring(void)
{
    struct arena a;
    arena_init(&a, NULL, 0);
    (void)arena_take(&a, SIZE_MAX / 2, 3);
    CHECK(arena_needed(&a) == SIZE_MAX);
    (void)arena_take(&a, 1, 1);
    CHECK(arena_needed(&a) == SIZE_MAX);
    arena_init(&a, NULL, 0);
    (void)arena_take(&a, SIZE_MAX / 2, 1);
    (void)arena_take(&a, SIZE_MAX / 2 + 60, 1);
    CHECK(arena_needed(&a) == SIZE_MAX);
}

/* In a child, because a BUG ends the process. */
static void test_taking_too_much_is_a_bug(void)
{
    pid_t child = fork();
    if (child == 0) {
        static _Alignas(64) unsigned char block[128];
        struct arena a;
        close(STDERR_FILENO);
        arena_init(&a, block, sizeof(block));
        (void)arena_take(&a, 65, 1);
        (void)arena_take(&a, 1, 1);
        _exit(0);
    }
    int status = 0;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    test_measure_then_place();
    test_overflow_while_measuring();
    test_taking_too_much_is_a_bug();
    return check_result();
}
