/* monitor - a lock that knows who is inside, and what its threads wait for.
 *
 * State behind a monitor is touched inside only: between monitor_enter and monitor_leave, which includes after
 * monitor_wait has returned. Functions that need this say so with monitor_check, which ends the process when the caller
 * forgot it.
 *
 * Ownership: the caller's storage. Threads: any. Errors: none; misuse is a BUG. */
#ifndef ENGINE_BASE_MONITOR_H
#define ENGINE_BASE_MONITOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MONITOR_EVENTS = 4 };

struct monitor {
    pthread_mutex_t _lock;
    struct {
        atomic_uint bell; /* changes with each wake */
        int n_waiting;    /* or woken, and not yet inside again */
    } _events[MONITOR_EVENTS];
    pthread_t _holder;
    bool _is_held;
};

void monitor_init(struct monitor *m);
void monitor_release(struct monitor *m);

void monitor_enter(struct monitor *m);
void monitor_leave(struct monitor *m);
void monitor_check(const struct monitor *m);

/* Call inside. Releases the lock while it waits for the event, until clock_us() is until_us (UINT64_MAX: no limit); may
 * wake spuriously. False: the time is up. */
bool monitor_wait(struct monitor *m, int event, uint64_t until_us);
/* Call inside. These never wait for those whom they wake. */
void monitor_wake(struct monitor *m, int event); /* one that waits */
void monitor_wake_all(struct monitor *m, int event);

#endif
