/* scratch - a block of memory that only grows, used again for every picture.
 *
 * Ownership: a scratch owns its block. Threads: one at a time. Errors: ERR_NOMEM, and the block is then empty. */
#ifndef ENGINE_IMAGE_SCRATCH_H
#define ENGINE_IMAGE_SCRATCH_H

#include "engine/base/err.h"

#include <stdint.h>

struct scratch {
    uint8_t *bytes; /* 64-byte aligned; NULL until something was reserved */
    size_t _size;
};

/* At least n * size bytes; what was in the block is lost when it grows. Begin with a zeroed struct. */
MUST_USE enum err scratch_reserve(struct scratch *s, size_t n, size_t size);
/* Releases a block of more than `keep` bytes. */
void scratch_trim(struct scratch *s, size_t keep);
void scratch_release(struct scratch *s);

#endif
