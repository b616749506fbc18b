/* thread - starts a named thread that no signal disturbs: signals are for the main thread. Errors: ERR_NOMEM. */
#ifndef ENGINE_THREAD_H
#define ENGINE_THREAD_H

#include "engine/base/err.h"

#include <pthread.h>

/* name: at most 15 characters. */
MUST_USE enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg);
/* The calling thread yields to others by so much (0 to 19, as of nice(1)); a kernel that refuses is ignored. */
void thread_yield_to_others(int nice);

#endif
