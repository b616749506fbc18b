/* faults - a library to preload: the system fails where a test says so (tests/e2e/test_torture.py).
 *
 * The file named by FAULTS_FILE holds twelve 32-bit numbers, which the test changes while the program runs:
 *
 *     0  allocation that fails (of engine/base/mem, which alone uses aligned_alloc): 1 the next one, 0 none
 *     1  thread that does not start: 1 the next one
 *     2  descriptor that there is not (open, accept, socketpair, ...; the errno is number 11): 1 the next one
 *     3  not 0: the disk is full (writing to regular files)
 *     4  not 0: reading and writing take one to some hundred bytes at a time
 *     5  not 0: every third call that may be interrupted is
 *     6  seconds that the clock of the day is ahead
 *     7  how many faults there were
 *     8  allocation of the libraries that fails (malloc, calloc, realloc): 1 the next one
 *     9  not 0: there are no random numbers (ENOSYS)
 *    10  not 0: what is written does not reach the disk (fsync and fdatasync: EIO)
 *    11  errno of number 2; 0: EMFILE */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { ALLOCATION, THREAD, DESCRIPTOR, FULL, SHORT, INTERRUPT, CLOCK, COUNT, LIBRARY, RANDOM, SYNC, ERRNO, NUMBERS };

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

/* ---- memory of the libraries: the C library's own names for what stands behind its ---- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    if (is_due(LIBRARY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    if (is_due(LIBRARY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    if (n > 0 && is_due(LIBRARY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, n);
}

/* ---- descriptors ---- */

static int has_none(void)
{
    if (!is_due(DESCRIPTOR)) {
        return 0;
    }
    int why = atomic_load(&numbers[ERRNO]);
    errno = why ? why : EMFILE;
    return 1;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return has_none() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int accept4(int fd, struct sockaddr *from, socklen_t *n, int flags)
{
    return is_interrupted() || has_none() ? -1 : (int)syscall(SYS_accept4, fd, from, n, flags);
}

int socket(int domain, int type, int protocol)
{
    return has_none() ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int out[2])
{
    return has_none() ? -1 : (int)syscall(SYS_socketpair, domain, type, protocol, out);
}

int eventfd(unsigned n, int flags)
{
    return has_none() ? -1 : (int)syscall(SYS_eventfd2, n, flags);
}

int epoll_create1(int flags)
{
    return has_none() ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

int pipe2(int out[2], int flags)
{
    return has_none() ? -1 : (int)syscall(SYS_pipe2, out, flags);
}

int dup(int fd)
{
    return has_none() ? -1 : (int)syscall(SYS_dup, fd);
}

/* ---- reading, writing, waiting ---- */

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

/* The first part of a list alone, as a kernel may. */
static struct msghdr first_of(const struct msghdr *m, struct iovec *first)
{
    struct msghdr out = *m;
    if (atomic_load(&numbers[SHORT]) && m->msg_iovlen > 0) {
        *first = m->msg_iov[0];
        first->iov_len = shortened(first->iov_len);
        out.msg_iov = first;
        out.msg_iovlen = 1;
    }
    return out;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct iovec first;
    struct msghdr sent = first_of(m, &first);
    return is_interrupted() ? -1 : syscall(SYS_sendmsg, fd, &sent, flags);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    struct iovec first = n > 0 ? parts[0] : (struct iovec){NULL, 0};
    if (is_interrupted() || is_full(fd)) {
        return -1;
    }
    if (!atomic_load(&numbers[SHORT]) || n < 1) {
        return syscall(SYS_writev, fd, parts, n);
    }
    first.iov_len = shortened(first.iov_len);
    return syscall(SYS_writev, fd, &first, 1);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int wait_ms)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_epoll_wait, fd, events, n, wait_ms);
}

int epoll_pwait(int fd, struct epoll_event *events, int n, int wait_ms, const sigset_t *signals)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_epoll_pwait, fd, events, n, wait_ms, signals, 8);
}

int poll(struct pollfd *fds, nfds_t n, int wait_ms)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_poll, fds, n, wait_ms);
}

/* ---- the disk ---- */

static int is_lost(void)
{
    if (!atomic_load(&numbers[SYNC])) {
        return 0;
    }
    atomic_fetch_add(&numbers[COUNT], 1);
    errno = EIO;
    return 1;
}

int fsync(int fd)
{
    return is_lost() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return is_lost() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t n)
{
    return is_full(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int ftruncate64(int fd, off_t n) __attribute__((alias("ftruncate")));

int fallocate(int fd, int mode, off_t at, off_t n)
{
    return is_full(fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, n);
}

int fallocate64(int fd, int mode, off_t at, off_t n) __attribute__((alias("fallocate")));

/* ---- chance and time ---- */

ssize_t getrandom(void *out, size_t n, unsigned flags)
{
    if (!atomic_load(&numbers[RANDOM])) {
        return syscall(SYS_getrandom, out, n, flags);
    }
    atomic_fetch_add(&numbers[COUNT], 1);
    errno = ENOSYS;
    return -1;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    int rc = (int)syscall(SYS_gettimeofday, out, zone);
    out->tv_sec += atomic_load(&numbers[CLOCK]);
    return rc;
}

time_t time(time_t *out)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    if (out) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, out);
    out->tv_sec += clock == CLOCK_REALTIME ? atomic_load(&numbers[CLOCK]) : 0;
    return rc;
}
