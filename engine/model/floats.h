/* floats - a block of floats handed out from front to back, each piece on a multiple of 16.
 *
 * The same code runs twice, as with engine/base/arena.h: over no block (NULL), which measures, then over a block of
 * `used` floats, which places. Pieces are not freed. Threads: one at a time. Failure: none. */
#ifndef ENGINE_MODEL_FLOATS_H
#define ENGINE_MODEL_FLOATS_H

#include <stddef.h>

struct floats {
    float *base; /* NULL while measuring */
    size_t used;
};

/* Room for n floats, not zeroed; NULL while measuring. */
static inline void *floats_take(struct floats *f, size_t n)
{
    float *here = f->base ? f->base + f->used : NULL;
    f->used += (n + 15) / 16 * 16;
    return here;
}

#endif
