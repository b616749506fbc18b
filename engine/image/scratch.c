#include "engine/image/scratch.h"

#include "engine/base/mem.h"

enum err scratch_reserve(struct scratch *s, size_t n, size_t size)
{
    size_t n_bytes;
    if (__builtin_mul_overflow(n, size, &n_bytes)) {
        return ERR_NOMEM;
    }
    if (s->bytes && n_bytes <= s->_size) {
        return OK;
    }
    scratch_release(s); /* before, not after: two large blocks never stand side by side */
    enum err rc = mem_alloc(&s->bytes, n_bytes);
    s->_size = rc ? 0 : n_bytes;
    return rc;
}

void scratch_trim(struct scratch *s, size_t keep)
{
    if (s->_size > keep) {
        scratch_release(s);
    }
}

void scratch_release(struct scratch *s)
{
    mem_free(s->bytes);
    s->bytes = NULL;
    s->_size = 0;
}
