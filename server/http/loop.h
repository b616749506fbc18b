/* loop - the event loop: descriptors, one-shot timers, signals and wake-ups from other threads (libuv).
 *
 * Ownership: the loop owns all its sources until loop_destroy. Callbacks get the `user` they were given with.
 * Threads:   everything belongs to the loop thread but loop_wake, which any thread and any signal handler may call.
 * Errors:    creation only; running cannot fail. */
#ifndef SERVER_LOOP_H
#define SERVER_LOOP_H

#include "engine/base/err.h"

#include <stdint.h>

struct loop;
struct loop_timer;
typedef void loop_callback(void *user);
typedef void loop_signal_callback(void *user, int signal_number);

MUST_USE enum err loop_create(struct loop **out, struct errbuf *e);
void loop_destroy(struct loop *l); /* NULL is fine */
void loop_run(struct loop *l);     /* until loop_stop */
void loop_stop(struct loop *l);

/* Calls back on the loop thread, once for any number of wakes since the last call. One callback a loop. */
void loop_on_wake(struct loop *l, loop_callback *callback, void *user);
void loop_wake(struct loop *l);

/* Calls back while fd is readable. The descriptor stays the caller's and must outlive the loop. */
MUST_USE enum err loop_watch(struct loop *l, int fd, loop_callback *callback, void *user);
MUST_USE enum err loop_signal(struct loop *l, int signal_number, loop_signal_callback *callback, void *user);

MUST_USE enum err loop_timer_create(struct loop_timer **out, struct loop *l, loop_callback *callback, void *user);
/* Once, `delay_us` from now (0: as soon as the loop turns); replaces an earlier start. Millisecond steps, rounded up.
 */
void loop_timer_start(struct loop_timer *t, uint64_t delay_us);
void loop_timer_stop(struct loop_timer *t);

#endif
