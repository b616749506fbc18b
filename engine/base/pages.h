/* pages - a large zeroed block that costs memory only where it has been touched.
 *
 * For room that is reserved at start but filled on demand: a cache, or slots for jobs that may never all run at once.
 * The kernel hands out a page when it is first written; mem_alloc would write all of them at once.
 *
 * Ownership: a pages owns its block, released by pages_release. Threads: the block is plain memory.
 * Errors:    ERR_NOMEM; planted failures of mem.h work here too. */
#ifndef ENGINE_BASE_PAGES_H
#define ENGINE_BASE_PAGES_H

#include "engine/base/err.h"

struct pages {
    void *block; /* page-aligned; NULL when empty */
    size_t _n_bytes;
};

/* n elements of `size` bytes, at least one page. *p is empty on failure. */
MUST_USE enum err pages_init(struct pages *p, size_t n, size_t size);
void pages_release(struct pages *p); /* also fine on an empty one */

#endif
