/* mem - allocation that can be counted and made to fail on purpose.
 *
 * All memory of the engine comes from here. mem_count() lets a test assert that the forward pass allocates nothing;
 * mem_fail_after(n) makes the n-th allocation from now fail (torture tests).
 *
 * Ownership: every pointer given here is released by mem_free. Threads: all functions are thread-safe. */
#ifndef ENGINE_BASE_MEM_H
#define ENGINE_BASE_MEM_H

#include "engine/base/err.h"

#include <stdint.h>

/* Zeroed, 64-byte aligned; *out is NULL on failure. n = 0 gives a valid pointer. */
MUST_USE enum err mem_alloc(void *out /* T ** */, size_t n_bytes);
/* The same as mem_alloc for n elements of `size` bytes; overflow is ERR_NOMEM. */
MUST_USE enum err mem_array(void *out /* T ** */, size_t n, size_t size);
/* Room for n_bytes in *p (NULL: a new block), keeping as much of the contents as fits, with nothing zeroed; aligned as
 * by malloc. A large block takes memory page by page, as it is written, and is moved without a copy. On failure *p is
 * as it was. */
MUST_USE enum err mem_resize(void *p /* T ** */, size_t n_bytes);
void mem_free(void *p); /* NULL is fine */

/* Call once at start: freed memory then returns to the system instead of staying in arenas (blocks of a megabyte and
 * more at once), so that the process is about as large as what it holds. */
void mem_tune(void);

uint64_t mem_count(void);    /* allocations since start */
size_t mem_live_bytes(void); /* allocated and not yet freed */
void mem_fail_after(long n); /* 1: the next one fails; 0: off */

#endif
