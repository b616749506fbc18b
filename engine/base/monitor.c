#include "engine/base/monitor.h"

#include "engine/base/err.h"

#include <errno.h>
#include <time.h>

void monitor_init(struct monitor *m)
{
    pthread_condattr_t attributes;
    *m = (struct monitor){._is_held = false};
    pthread_mutex_init(&m->_lock, NULL);
    pthread_condattr_init(&attributes); /* these cannot fail on Linux */
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    for (int i = 0; i < MONITOR_EVENTS; i++) {
        pthread_cond_init(&m->_events[i], &attributes);
    }
    pthread_condattr_destroy(&attributes);
}

void monitor_release(struct monitor *m)
{
    BUG_ON(m->_is_held);
    for (int i = 0; i < MONITOR_EVENTS; i++) {
        pthread_cond_destroy(&m->_events[i]);
    }
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

bool monitor_wait(struct monitor *m, int event, uint64_t until_us)
{
    int rc;
    monitor_check(m);
    m->_is_held = false;
    if (until_us / 1000000 > INT32_MAX) {
        rc = pthread_cond_wait(&m->_events[event], &m->_lock);
    } else {
        struct timespec t = {.tv_sec = (time_t)(until_us / 1000000), .tv_nsec = (long)(until_us % 1000000) * 1000};
        rc = pthread_cond_timedwait(&m->_events[event], &m->_lock, &t);
    }
    note_holder(m);
    return rc != ETIMEDOUT;
}

void monitor_wake(struct monitor *m, int event)
{
    pthread_cond_signal(&m->_events[event]);
}

void monitor_wake_all(struct monitor *m, int event)
{
    pthread_cond_broadcast(&m->_events[event]);
}
