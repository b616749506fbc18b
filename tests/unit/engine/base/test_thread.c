/* A thread yields by that much from where it was, never beyond the end of the scale. Turns on the processor belong to
 * one thread. */
#include "engine/base/thread.c"

#include "tests/support/check.h"

static int seen[3];
static uint64_t turns[2];

/* 0: this kernel does not tell, or has none. */
static uint64_t turn_ns(void)
{
    struct attributes a;
    return get_attributes(&a) ? a.runtime_ns : 0;
}

static void *yield(void *user)
{
    int *out = user;
    turns[0] = turn_ns();
    out[0] = getpriority(PRIO_PROCESS, 0);
    thread_yield_to_others(2);
    turns[1] = turn_ns();
    out[1] = getpriority(PRIO_PROCESS, 0);
    thread_yield_to_others(19);
    out[2] = getpriority(PRIO_PROCESS, 0);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    setpriority(PRIO_PROCESS, 0, 10);
    int before = getpriority(PRIO_PROCESS, 0);
    uint64_t usual = turn_ns();
    thread_answer_promptly();
    uint64_t prompt = turn_ns();
    CHECK_INT(thread_start(&thread, "yields", yield, seen), OK);
    thread_join(thread);
    CHECK_INT(seen[0], before);
    CHECK_INT(seen[1], before + 2 < 19 ? before + 2 : 19);
    CHECK_INT(seen[2], 19);
    CHECK_INT(getpriority(PRIO_PROCESS, 0), before);                /* of the one thread only */
    CHECK(prompt == usual || (prompt < usual && usual < turns[1])); /* equal: before Linux 6.12 */
    CHECK_INT(turns[0], usual);
    CHECK_INT(turn_ns(), prompt);
    return check_result();
}
