/* The size of a block is asked from the C library when it is freed (malloc_usable_size), so blocks carry no header of
 * ours and 64-byte alignment costs nothing extra. */
#include "engine/base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, PAGE = 4096, LARGE = 4 << 20 };

static atomic_uint_fast64_t count;
static atomic_size_t live_bytes;
static atomic_long fail_in; /* 0: never; 1: the next one fails */

/* Counts down to the planned failure; true for exactly one caller. */
static bool must_fail(void)
{
    long left = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&fail_in, &left, left - 1)) {
            return left == 1;
        }
    }
    return false;
}

/* Weights and workspaces are walked through from end to end: in pages of 2 MB, where the kernel has some left, that
 * takes fewer looks at its tables. It gives them only to what is written whole. A kernel without them refuses, and
 * nothing is lost. */
static void want_large_pages(void *p, size_t size)
{
    size_t before = (uintptr_t)p % PAGE;
    (void)madvise((char *)p - before, (before + size) / PAGE * PAGE, MADV_HUGEPAGE);
}

enum err mem_alloc(void *out, size_t n_bytes)
{
    void *p = NULL;
    if (n_bytes <= (size_t)PTRDIFF_MAX - ALIGN && !must_fail()) {
        size_t size = n_bytes ? (n_bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
        p = aligned_alloc(ALIGN, size);
        if (p) {
            if (size >= LARGE) {
                want_large_pages(p, size);
            }
            memset(p, 0, size);
            atomic_fetch_add_explicit(&live_bytes, malloc_usable_size(p), memory_order_relaxed);
            atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
        }
    }
    memcpy(out, &p, sizeof(p)); /* out is a T ** of the caller */
    return p ? OK : ERR_NOMEM;
}

enum err mem_array(void *out, size_t n, size_t size)
{
    size_t n_bytes;
    if (__builtin_mul_overflow(n, size, &n_bytes)) {
        n_bytes = SIZE_MAX;
    }
    return mem_alloc(out, n_bytes);
}

enum err mem_resize(void *p, size_t n_bytes)
{
    void *old, *grown = NULL;
    memcpy(&old, p, sizeof(old));
    size_t before = old ? malloc_usable_size(old) : 0;
    if (n_bytes <= (size_t)PTRDIFF_MAX && !must_fail()) {
        grown = realloc(old, n_bytes ? n_bytes : 1);
    }
    if (!grown) {
        return ERR_NOMEM;
    }
    memcpy(p, &grown, sizeof(grown));
    atomic_fetch_add_explicit(&live_bytes, malloc_usable_size(grown) - before, memory_order_relaxed);
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    return OK;
}

void mem_free(void *p)
{
    if (p) {
        atomic_fetch_sub_explicit(&live_bytes, malloc_usable_size(p), memory_order_relaxed);
        free(p);
    }
}

void mem_tune(void)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    mallopt(M_ARENA_MAX, 4);
}

uint64_t mem_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}

size_t mem_live_bytes(void)
{
    return atomic_load_explicit(&live_bytes, memory_order_relaxed);
}

void mem_fail_after(long n)
{
    atomic_store(&fail_in, n);
}
