/* arena - one block of memory handed out from front to back.
 *
 * The same code runs twice: first over an arena without memory, which measures, then over a block of arena_needed()
 * bytes, which places. Everything is 64-byte aligned. Single pieces are not freed.
 *
 *     struct arena a;
 *     arena_init(&a, NULL, 0);            measure
 *     place_everything(&a);
 *     mem_alloc(&block, arena_needed(&a));
 *     arena_init(&a, block, arena_needed(&a));
 *     place_everything(&a);               place
 *
 * Ownership: borrows the block. Threads: one at a time.
 * Failure:   none while measuring (a size that cannot exist makes arena_needed SIZE_MAX, which mem_alloc refuses);
 *            taking more than was measured is a BUG. */
#ifndef ENGINE_BASE_ARENA_H
#define ENGINE_BASE_ARENA_H

#include <stddef.h>

enum { ARENA_ALIGN = 64 };

struct arena {
    unsigned char *_base; /* NULL while measuring */
    size_t _size, _used;
};

/* block NULL: measuring pass, size is ignored. Else block is ARENA_ALIGN-aligned. */
void arena_init(struct arena *a, void *block, size_t size);
/* Room for n elements of `size` bytes, not zeroed; NULL while measuring. */
void *arena_take(struct arena *a, size_t n, size_t size);
/* The bytes that were taken: what the block must have. */
size_t arena_needed(const struct arena *a);

#endif
