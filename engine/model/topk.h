/* topk - the best of many scores, in order, without sorting the rest.
 *
 * Ties go to the lower index; NaN counts as the best of all, so that a later check always sees it.
 * Threads: any. No allocation, no failure. */
#ifndef ENGINE_MODEL_TOPK_H
#define ENGINE_MODEL_TOPK_H

#include <stddef.h>
#include <stdint.h>

/* Fills keys with the min(n, k) best, best first, and returns how many. n < 2^32. */
size_t topk_select(const float *scores, size_t n, size_t k, uint64_t *keys);
/* The index in a key. */
static inline size_t topk_index(uint64_t key)
{
    return (size_t)(uint32_t)key;
}

#endif
