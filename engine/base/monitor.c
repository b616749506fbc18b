/* Events are bells (futexes) and no condition variables: pthread_cond_signal waits for threads that it woke earlier,
 * and a thread of low priority may take long to come. */
#include "engine/base/monitor.h"

#include "engine/base/err.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void monitor_init(struct monitor *m)
{
    *m = (struct monitor){._is_held = false};
    pthread_mutex_init(&m->_lock, NULL);
}

void monitor_release(struct monitor *m)
{
    BUG_ON(m->_is_held);
    pthread_mutex_destroy(&m->_lock);
}

static void note_holder(struct monitor *m)
{
    m->_holder = pthread_self();
    m->_is_held = true;
}

void monitor_enter(struct monitor *m)
{
    pthread_mutex_lock(&m->_lock);
    note_holder(m);
}

void monitor_check(const struct monitor *m)
{
    BUG_ON(!m->_is_held || !pthread_equal(m->_holder, pthread_self()));
}

void monitor_leave(struct monitor *m)
{
    monitor_check(m);
    m->_is_held = false;
    pthread_mutex_unlock(&m->_lock);
}

/* Sleeps while the bell is as it was. False: the time is up. */
static bool sleep_until(atomic_uint *bell, unsigned was, uint64_t until_us)
{
    struct timespec t = {.tv_sec = (time_t)(until_us / 1000000), .tv_nsec = (long)(until_us % 1000000) * 1000};
    bool is_bounded = until_us / 1000000 <= INT32_MAX;
    long rc = syscall(SYS_futex, bell, FUTEX_WAIT_BITSET_PRIVATE, was, is_bounded ? &t : NULL, NULL,
                      FUTEX_BITSET_MATCH_ANY); /* until a time of CLOCK_MONOTONIC */
    return rc == 0 || errno != ETIMEDOUT;
}

bool monitor_wait(struct monitor *m, int event, uint64_t until_us)
{
    monitor_check(m);
    unsigned bell = atomic_load(&m->_events[event].bell);
    m->_events[event].n_waiting++;
    monitor_leave(m);
    bool has_time = sleep_until(&m->_events[event].bell, bell, until_us);
    monitor_enter(m);
    m->_events[event].n_waiting--;
    return has_time;
}

static void ring(struct monitor *m, int event, int n)
{
    monitor_check(m);
    if (m->_events[event].n_waiting > 0) {
        atomic_fetch_add(&m->_events[event].bell, 1);
        (void)syscall(SYS_futex, &m->_events[event].bell, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
    }
}

void monitor_wake(struct monitor *m, int event)
{
    ring(m, event, 1);
}

void monitor_wake_all(struct monitor *m, int event)
{
    ring(m, event, INT32_MAX);
}
