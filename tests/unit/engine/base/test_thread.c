/* A thread yields by that much from where it was, never beyond the end of the scale. */
#include "engine/base/thread.h"

#include "tests/support/check.h"

#include <sys/resource.h>

static int seen[3];

static void *yield(void *user)
{
    int *out = user;
    out[0] = getpriority(PRIO_PROCESS, 0);
    thread_yield_to_others(2);
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
    CHECK_INT(thread_start(&thread, "yields", yield, seen), OK);
    thread_join(thread);
    CHECK_INT(seen[0], before);
    CHECK_INT(seen[1], before + 2 < 19 ? before + 2 : 19);
    CHECK_INT(seen[2], 19);
    CHECK_INT(getpriority(PRIO_PROCESS, 0), before); /* of the one thread only */
    return check_result();
}
