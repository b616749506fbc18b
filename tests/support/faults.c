/* faults - a library to preload: the system fails where a test says so (tests/e2e/test_torture.py).
 *
 * The file named by FAULTS_FILE holds eight 32-bit numbers, which the test changes while the program runs:
 *
 *     0  allocation that fails (of engine/base/mem, which alone uses aligned_alloc): 1 the next one, 0 none
 *     1  thread that does not start: 1 the next one
 *     2  open that fails with EMFILE: 1 the next one
 *     3  not 0: the disk is full (writing to regular files)
 *     4  not 0: reading and writing take one to some hundred bytes at a time
 *     5  not 0: every third call that may be interrupted is
 *     6  seconds that the clock of the day is ahead
 *     7  how many faults there were */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ALLOCATION, THREAD, OPEN, FULL, SHORT, INTERRUPT, CLOCK, COUNT, NUMBERS };

static atomic_int none[NUMBERS], *numbers = none;
static atomic_uint turn;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(none), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        _exit(125);
    }
    numbers = p;
    close(fd);
}

/* Counts down; true for the call that fails. */
static int is_due(int what)
{
    int left = atomic_load(&numbers[what]);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&numbers[what], &left, left - 1)) {
            if (left == 1) {
                atomic_fetch_add(&numbers[COUNT], 1);
            }
            return left == 1;
        }
    }
    return 0;
}

static int is_interrupted(void)
{
    if (!atomic_load(&numbers[INTERRUPT]) || atomic_fetch_add(&turn, 1) % 3) {
        return 0;
    }
    atomic_fetch_add(&numbers[COUNT], 1);
    errno = EINTR;
    return 1;
}

static size_t shortened(size_t n)
{
    size_t max = 8 + atomic_fetch_add(&turn, 1) * 7 % 500;
    if (!atomic_load(&numbers[SHORT]) || n <= 8 || n <= max) { /* eight: what wakes a loop goes whole */
        return n;
    }
    atomic_fetch_add(&numbers[COUNT], 1);
    return max;
}

static int is_full(int fd)
{
    struct stat st;
    if (!atomic_load(&numbers[FULL]) || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        return 0;
    }
    atomic_fetch_add(&numbers[COUNT], 1);
    errno = ENOSPC;
    return 1;
}

void *aligned_alloc(size_t alignment, size_t n)
{
    void *p = NULL;
    if (is_due(ALLOCATION) || posix_memalign(&p, alignment, n)) {
        errno = ENOMEM;
        return NULL;
    }
    return p;
}

int pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (is_due(THREAD)) {
        return EAGAIN;
    }
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "pthread_create");
        __builtin_memcpy(&real, &found, sizeof(real));
    }
    return real(out, attributes, run, arg);
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (is_due(OPEN)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

ssize_t read(int fd, void *to, size_t n)
{
    return is_interrupted() ? -1 : syscall(SYS_read, fd, to, shortened(n));
}

ssize_t write(int fd, const void *from, size_t n)
{
    return is_interrupted() || is_full(fd) ? -1 : syscall(SYS_write, fd, from, shortened(n));
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    return is_interrupted() ? -1 : syscall(SYS_pread64, fd, to, shortened(n), at);
}

ssize_t pread64(int fd, void *to, size_t n, off_t at) __attribute__((alias("pread")));

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
    return is_interrupted() || is_full(fd) ? -1 : syscall(SYS_pwrite64, fd, from, shortened(n), at);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at) __attribute__((alias("pwrite")));

/* Linux gives of a UNIX socket all that is there, and libmicrohttpd, whose end of the inner pair is one, relies on
 * it. */
static int is_unix(int fd)
{
    int domain = 0;
    socklen_t n = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX;
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
    return is_interrupted()
               ? -1
               : syscall(SYS_recvfrom, fd, to, flags & MSG_PEEK || is_unix(fd) ? n : shortened(n), flags, NULL, NULL);
}

ssize_t send(int fd, const void *from, size_t n, int flags)
{
    return is_interrupted() ? -1 : syscall(SYS_sendto, fd, from, shortened(n), flags, NULL, 0);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, out);
    out->tv_sec += clock == CLOCK_REALTIME ? atomic_load(&numbers[CLOCK]) : 0;
    return rc;
}
