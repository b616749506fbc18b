/* memcap - a library to preload: counts the memory a program allocates and ends it where a memory control group would.
 *
 *     LD_PRELOAD=libmemcap.so MEMCAP_BYTES=300000000 MEMCAP_REPORT=/tmp/report minivlm-server ...
 *
 * Counts what malloc and its family hand out: usable size and 16 bytes of head each. A control group counts pages that
 * were touched; this counts what was asked for, works where no control group may be made, and is the same on every run
 * of the same program. Above MEMCAP_BYTES a line goes to standard error and the process exits with 137.
 * MEMCAP_REPORT names a file of three numbers of eight bytes: held now, held at most, and the limit, which whoever maps
 * the file may change.
 *
 * Threads: any. Not counted: stacks of threads, mappings, and what malloc keeps free. Needs glibc; sanitizers have
 * allocators of their own, so their builds do without. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t each);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);
extern void __libc_free(void *p);

enum { HEAD_BYTES = 16 };

struct report {
    _Atomic uint64_t held, peak, limit;
};
static struct report own = {.limit = UINT64_MAX}, *report = &own;

__attribute__((constructor)) static void memcap_begin(void)
{
    const char *bytes = getenv("MEMCAP_BYTES"), *path = getenv("MEMCAP_REPORT");
    if (bytes) {
        own.limit = strtoull(bytes, NULL, 10);
    }
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0 && ftruncate(fd, sizeof own) == 0) {
        struct report *shared = (void *)syscall(SYS_mmap, NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared != MAP_FAILED) {
            shared->held = own.held;
            shared->peak = own.peak;
            shared->limit = own.limit;
            report = shared;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void take(size_t n)
{
    uint64_t now = atomic_fetch_add_explicit(&report->held, n, memory_order_relaxed) + n;
    uint64_t peak = atomic_load_explicit(&report->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(&report->peak, &peak, now, memory_order_relaxed,
                                                                memory_order_relaxed)) {
    }
    if (now > atomic_load_explicit(&report->limit, memory_order_relaxed)) {
        static const char words[] =
            "memcap: more memory than the limit; a control group would have killed the process\n";
        ssize_t ignored = write(2, words, sizeof words - 1);
        (void)ignored;
        _exit(137);
    }
}

static void give(size_t n)
{
    atomic_fetch_sub_explicit(&report->held, n, memory_order_relaxed);
}

static void *taken(void *p)
{
    if (p) {
        take(malloc_usable_size(p) + HEAD_BYTES);
    }
    return p;
}

void *malloc(size_t n)
{
    return taken(__libc_malloc(n));
}

void *calloc(size_t n, size_t each)
{
    return taken(__libc_calloc(n, each));
}

void *realloc(void *p, size_t n)
{
    size_t before = p ? malloc_usable_size(p) + HEAD_BYTES : 0;
    void *out = __libc_realloc(p, n);
    if (out || n == 0) {
        give(before);
    }
    return taken(out);
}

void *reallocarray(void *p, size_t n, size_t each)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, each, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, bytes);
}

void free(void *p)
{
    if (p) {
        give(malloc_usable_size(p) + HEAD_BYTES);
    }
    __libc_free(p);
}

void *memalign(size_t alignment, size_t n)
{
    return taken(__libc_memalign(alignment, n));
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return taken(__libc_memalign(alignment, n));
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *p = __libc_memalign(alignment, n);
    if (!p) {
        return ENOMEM;
    }
    *out = taken(p);
    return 0;
}
