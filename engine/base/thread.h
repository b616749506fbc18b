/* thread - starts a named thread with all signals blocked: signals go to the main thread.
 *
 * All threads of the program start here, so that what each kind of thread may do can be restricted in one place: the
 * new thread calls the guard, with its name, before its work begins.
 *
 * Errors: ERR_NOMEM when the system cannot create a thread, else the guard's error; in both cases nothing was
 * started. */
#ifndef ENGINE_BASE_THREAD_H
#define ENGINE_BASE_THREAD_H

#include "engine/base/err.h"

#include <pthread.h>

/* name: at most 15 characters; lives until this returns. */
MUST_USE enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg);
void thread_join(pthread_t thread); /* waits until it has ended */
/* Applies to all threads started from now on; NULL: none. Call it while no thread is being started. */
void thread_set_guard(enum err (*guard)(const char *name));
/* For the calling thread; none of them needs privileges, and a refusal by the kernel is ignored.
 *
 * Promptly: it computes little at a time and must not wait for those who compute much; short turns on the processor
 * (Linux 6.12) let it have one as soon as it wakes. */
void thread_answer_promptly(void);
/* It computes much: long turns, which others may interrupt, and a nice value higher by `nice` (0 to 19, see
 * nice(1)). */
void thread_yield_to_others(int nice);

#endif
