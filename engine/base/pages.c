#include "engine/base/pages.h"

#include "engine/base/mem.h"

#include <stdint.h>
#include <sys/mman.h>

enum err pages_init(struct pages *p, size_t n, size_t size)
{
    *p = (struct pages){0};
    size_t n_bytes;
    if (__builtin_mul_overflow(n, size, &n_bytes) || n_bytes > (size_t)PTRDIFF_MAX) {
        return ERR_NOMEM;
    }
    /* Passes through mem_alloc once, so that a torture test can make it fail. */
    void *probe;
    enum err rc = mem_alloc(&probe, 1);
    if (rc) {
        return rc;
    }
    mem_free(probe);
    n_bytes = n_bytes ? n_bytes : 1;
    void *block = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) {
        return ERR_NOMEM;
    }
    *p = (struct pages){.block = block, ._n_bytes = n_bytes};
    return OK;
}

void pages_release(struct pages *p)
{
    if (p->block) {
        munmap(p->block, p->_n_bytes);
    }
    *p = (struct pages){0};
}
