/* decode_pool - the threads that turn a job's bytes into the network's input.
 *
 * Each takes the most urgent job and prepares it (tokenises its texts, computes the image id, looks it up in the cache)
 * or, when no job is left to prepare, decodes the most urgent picture into an input slot. Preparing comes first because
 * it is short and shows which pictures need no decoding.
 *
 * Decoding has lanes and a budget of memory (scheduler_pop_decode): large pictures never take all workers, so that
 * small ones do not get stuck behind them, and a picture waits until its memory fits beside that of the others. A
 * picture that could never fit is refused once its header has been read.
 *
 * Ownership: each worker owns a decoder and a preprocessor.
 * Threads:   open and close belong to the engine's owner. */
#ifndef ENGINE_DECODE_POOL_H
#define ENGINE_DECODE_POOL_H

#include "engine/engine.h"

struct decode_pool;

MUST_USE enum err decode_pool_open(struct decode_pool **out, struct engine *e, int n_threads);
void decode_pool_close(struct decode_pool *p); /* NULL is fine; the scheduler is stopping */

#endif
