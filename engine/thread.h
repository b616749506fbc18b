/* thread - starts a named thread that no signal disturbs: signals are for the main thread. Errors: ERR_NOMEM. */
#ifndef ENGINE_THREAD_H
#define ENGINE_THREAD_H

#include "engine/base/err.h"

#include <pthread.h>

/* name: at most 15 characters. */
MUST_USE enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg);

#endif
