/* A thread that yields stands behind what the process was started with, whatever that was. */
#include "engine/base/thread.h"

#include "tests/support/check.h"

#include <sys/resource.h>
#include <unistd.h>

enum { BY = 3 };

static int own_nice(void)
{
    return getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void *yield(void *user)
{
    thread_yield_to_others(BY);
    *(int *)user = own_nice();
    return NULL;
}

static void test_yielding(void)
{
    for (int more = 0; more <= 4; more += 4) { /* as if started by nice(1) */
        int before = own_nice() + more, seen = -100;
        CHECK_INT(setpriority(PRIO_PROCESS, (id_t)gettid(), before), 0);
        before = own_nice();
        pthread_t thread;
        CHECK_INT(thread_start(&thread, "yielding", yield, &seen), OK);
        thread_join(thread);
        CHECK_INT(seen, before + BY < 19 ? before + BY : 19);
        CHECK_INT(own_nice(), before);
    }
}

int main(void)
{
    test_yielding();
    return check_result();
}
