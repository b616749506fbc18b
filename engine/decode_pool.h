/* decode_pool - the threads that turn a job's bytes into what the network reads.
 *
 * Each takes the most urgent job and prepares it (tokens of its texts, id of its image, look into the cache), or, when
 * no job is left to prepare, decodes the most urgent picture into an input slot. Preparing goes first because it is
 * short and shows which pictures need no decoding.
 *
 * Decoding has lanes and a budget of memory (scheduler_pop_decode): large pictures never take all workers, so that
 * small ones are not stuck behind them, and a picture waits until its memory fits beside that of the others. One that
 * could never fit is refused when its header has been read.
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
