/* loop - the event loop: descriptors, one-shot timers, signals, turns and wake-ups from other threads (libuv).
 *
 * Ownership: timers and signals belong to the loop until loop_destroy; a watch belongs to its creator and must be
 *            destroyed before the loop. Callbacks get the `user` they were registered with.
 * Threads:   everything belongs to the loop thread, except loop_wake, which any thread and any signal handler may call.
 * Errors:    creation only; running cannot fail. */
#ifndef SERVER_LOOP_H
#define SERVER_LOOP_H

#include "engine/base/err.h"

#include <stdint.h>

struct loop;
struct loop_timer;
struct loop_watch;
typedef void loop_callback(void *user);
typedef void loop_signal_callback(void *user, int signal_number);

MUST_USE enum err loop_create(struct loop **out, struct errbuf *e);
void loop_destroy(struct loop *l); /* NULL is fine */
void loop_run(struct loop *l);     /* until loop_stop */
void loop_stop(struct loop *l);
/* CPU time of the longest turn so far, from one wait for events to the next. */
double loop_longest_turn_s(const struct loop *l);

/* Calls back on the loop thread, once for any number of wakes since the last call. One callback a loop. */
void loop_on_wake(struct loop *l, loop_callback *callback, void *user);
void loop_wake(struct loop *l);

/* Calls back once per turn, before the loop waits for events, for work that the turn's callbacks have left. True: there
 * is more, call again without waiting. */
typedef bool loop_turn_callback(void *user);
struct loop_turn;
MUST_USE enum err loop_turn_create(struct loop_turn **out, struct loop *l, loop_turn_callback *callback, void *user);
void loop_turn_destroy(struct loop_turn *t); /* NULL is fine */

/* Events of a descriptor. LOOP_FAULT (reset) is reported once, whatever was asked for; LOOP_HANGUP: the other side will
 * send no more. */
enum loop_events { LOOP_READABLE = 1, LOOP_WRITABLE = 2, LOOP_HANGUP = 4, LOOP_FAULT = 8 };
typedef void loop_ready_callback(void *user, int events);

/* The descriptor stays the caller's and must be open until loop_watch_destroy. Level-triggered, each watch at most once
 * per turn. Begins with no events, which costs nothing: while you cannot handle events, ask for none. */
MUST_USE enum err loop_watch_create(struct loop_watch **out, struct loop *l, int fd, loop_ready_callback *callback,
                                    void *user);
void loop_watch_set(struct loop_watch *w, int events);
/* No callback from now on; also from within its own callback. NULL is fine. */
void loop_watch_destroy(struct loop_watch *w);

MUST_USE enum err loop_signal(struct loop *l, int signal_number, loop_signal_callback *callback, void *user);

MUST_USE enum err loop_timer_create(struct loop_timer **out, struct loop *l, loop_callback *callback, void *user);
/* Once, `delay_us` from now (0: as soon as the loop turns); replaces an earlier start. Millisecond steps, rounded
 * up. */
void loop_timer_start(struct loop_timer *t, uint64_t delay_us);
void loop_timer_stop(struct loop_timer *t);

#endif
