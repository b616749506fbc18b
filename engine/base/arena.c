#include "engine/base/arena.h"

#include "engine/base/err.h"

#include <stdint.h>

void arena_init(struct arena *a, void *block, size_t size)
{
    BUG_ON((uintptr_t)block % ARENA_ALIGN != 0);
    *a = (struct arena){._base = block, ._size = block ? size : SIZE_MAX};
}

/* While measuring, a size that cannot exist sticks at SIZE_MAX. */
static size_t end_of(const struct arena *a, size_t n, size_t size)
{
    size_t bytes, end;
    if (__builtin_mul_overflow(n, size, &bytes) || __builtin_add_overflow(bytes, ARENA_ALIGN - 1, &bytes) ||
        __builtin_add_overflow(a->_used, bytes / ARENA_ALIGN * ARENA_ALIGN, &end)) {
        return SIZE_MAX;
    }
    return end;
}

void *arena_take(struct arena *a, size_t n, size_t size)
{
    size_t end = end_of(a, n, size);
    BUG_ON(end > a->_size);
    void *p = a->_base ? a->_base + a->_used : NULL;
    a->_used = end;
    return p;
}

size_t arena_needed(const struct arena *a)
{
    return a->_used;
}
