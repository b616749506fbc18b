/* thread - starts a named thread that no signal disturbs: signals are for the main thread.
 *
 * All threads of the program begin here, so that what each kind of thread may do can be bound at one place: the guard
 * is called by the new thread, with its name, before its work begins.
 *
 * Errors: ERR_NOMEM when the system has no thread to give, else what the guard says; then nothing was started. */
#ifndef ENGINE_BASE_THREAD_H
#define ENGINE_BASE_THREAD_H

#include "engine/base/err.h"

#include <pthread.h>

/* name: at most 15 characters; lives until this returns. */
MUST_USE enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg);
void thread_join(pthread_t thread); /* until it has ended */
/* For all threads that start from now on; NULL: none. Call it while no thread is being started. */
void thread_set_guard(enum err (*guard)(const char *name));
/* The calling thread yields to others by so much more than before (0 to 19, as of nice(1)); a kernel that refuses is
 * ignored. */
void thread_yield_to_others(int nice);

#endif
