#include "engine/base/log_ring.h"

#include "engine/base/clock.h"
#include "engine/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 50, URGENT_BYTES = LOG_RING_BYTES / 8, STOP_EXTRA_MS = 4 * POLL_MS };

/* ---- the descriptor ---- */

enum outcome { WRITTEN, STALLED, BROKEN };

/* One write of what fits without blocking; *done counts on. A pipe that takes anything takes LOG_RING_CHUNK bytes. */
static enum outcome write_some(int fd, const char *text, size_t n, size_t *done, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int ready = fd < 0 ? -1 : poll(&p, 1, wait_ms);
    if (ready == 0 || (ready < 0 && fd >= 0 && errno == EINTR)) {
        return STALLED;
    }
    if (ready < 0 || (p.revents & (POLLERR | POLLHUP | POLLNVAL))) {
        return BROKEN;
    }
    ssize_t written = write(fd, text + *done, n - *done);
    if (written > 0) {
        *done += (size_t)written;
        return WRITTEN;
    }
    return written < 0 && (errno == EINTR || errno == EAGAIN) ? STALLED : BROKEN;
}

static uint64_t count_lines(const char *text, size_t n)
{
    uint64_t lines = 0;
    for (const char *end; n > 0 && (end = memchr(text, '\n', n)); lines++) {
        n -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    return lines;
}

/* By the caller of a line, where there is no thread. */
static bool write_directly(struct log_ring *r, const char *line, size_t n)
{
    size_t done = 0;
    int wait_ms = atomic_load(&r->_is_stalled) ? 0 : LOG_RING_DIRECT_MS;
    enum outcome o;
    do {
        o = write_some(atomic_load(&r->_fd), line, n, &done, wait_ms);
    } while (done < n && o == WRITTEN);
    atomic_store(&r->_is_stalled, o == STALLED);
    return done == n;
}

/* ---- the thread ---- */

/* Whole lines from the front of the ring. */
static size_t peek(const struct log_ring *r, char *out)
{
    size_t n = r->_n < LOG_RING_CHUNK ? r->_n : LOG_RING_CHUNK, first = LOG_RING_BYTES - r->_from;
    first = first < n ? first : n;
    memcpy(out, r->_bytes + r->_from, first);
    memcpy(out + first, r->_bytes, n - first);
    const char *end = memrchr(out, '\n', n);
    return end ? (size_t)(end + 1 - out) : n;
}

static void drop_front(struct log_ring *r, size_t n)
{
    r->_from = (r->_from + n) % LOG_RING_BYTES;
    r->_n -= n;
    if (r->_n == 0) {
        pthread_cond_broadcast(&r->_drained);
    }
}

/* With the lock held. */
static bool must_give_up(const struct log_ring *r)
{
    return r->_must_stop && clock_us() >= r->_stop_us;
}

/* A reader stalls: whether to wait on. */
static bool may_wait(struct log_ring *r)
{
    pthread_mutex_lock(&r->_lock);
    bool may = !must_give_up(r);
    pthread_mutex_unlock(&r->_lock);
    return may;
}

/* Returns the lines lost. Waits for a reader that stalls as long as it takes, or until a stop gives up. */
static uint64_t write_chunk(struct log_ring *r, const char *text, size_t n, int wait_ms)
{
    size_t done = 0, newline = 0;
    int fd = atomic_load(&r->_fd);
    if (r->_is_torn) { /* what a full disk cut must not swallow the next line */
        r->_is_torn = write_some(fd, "\n", 1, &newline, wait_ms) != WRITTEN;
    }
    while (done < n) {
        enum outcome o = write_some(fd, text, n, &done, wait_ms);
        if (o == BROKEN || (o == STALLED && !may_wait(r))) {
            r->_is_torn |= done > 0 && text[done - 1] != '\n';
            return count_lines(text + done, n - done);
        }
    }
    return 0;
}

/* Writes what the ring has; with the lock held, which is given up meanwhile. */
static void write_all(struct log_ring *r)
{
    char chunk[LOG_RING_CHUNK];
    while (r->_n > 0) {
        size_t n = peek(r, chunk);
        int wait_ms = must_give_up(r) ? 0 : POLL_MS;
        pthread_mutex_unlock(&r->_lock);
        atomic_fetch_add(&r->_lost, write_chunk(r, chunk, n, wait_ms));
        pthread_mutex_lock(&r->_lock);
        drop_front(r, n);
    }
}

static void *run(void *user)
{
    struct log_ring *r = user;
    pthread_mutex_lock(&r->_lock);
    for (;;) {
        write_all(r);
        if (r->_must_stop) {
            break;
        }
        pthread_cond_wait(&r->_filled, &r->_lock);
    }
    r->_is_running = false;
    pthread_cond_broadcast(&r->_drained);
    pthread_mutex_unlock(&r->_lock);
    return NULL;
}

/* ---- the interface ---- */

void log_ring_set_fd(struct log_ring *r, int fd)
{
    atomic_store(&r->_fd, fd);
    atomic_store(&r->_is_stalled, false);
}

enum err log_ring_start(struct log_ring *r)
{
    pthread_mutex_lock(&r->_lock);
    r->_must_stop = false;
    r->_is_running = true;
    pthread_mutex_unlock(&r->_lock);
    enum err rc = thread_start(&r->_thread, "log", run, r);
    if (rc) {
        pthread_mutex_lock(&r->_lock);
        r->_is_running = false;
        pthread_mutex_unlock(&r->_lock);
    }
    return rc;
}

/* With the lock held. */
static bool push(struct log_ring *r, const char *line, size_t n, bool is_urgent)
{
    size_t room = LOG_RING_BYTES - r->_n, reserved = is_urgent ? 0 : URGENT_BYTES;
    if (room < reserved || n > room - reserved) {
        return false;
    }
    size_t to = (r->_from + r->_n) % LOG_RING_BYTES, first = LOG_RING_BYTES - to;
    first = first < n ? first : n;
    memcpy(r->_bytes + to, line, first);
    memcpy(r->_bytes, line + first, n - first);
    r->_n += n;
    return true;
}

bool log_ring_add(struct log_ring *r, const char *line, size_t n, bool is_urgent)
{
    BUG_ON(n < 1 || n > LOG_RING_CHUNK || line[n - 1] != '\n');
    pthread_mutex_lock(&r->_lock);
    bool is_running = r->_is_running && !r->_must_stop, was_empty = r->_n == 0;
    bool is_good = is_running && push(r, line, n, is_urgent);
    pthread_mutex_unlock(&r->_lock);
    if (is_good && was_empty) { /* else it is awake; and it would have to wait for the lock */
        pthread_cond_signal(&r->_filled);
    }
    is_good = is_running ? is_good : write_directly(r, line, n);
    if (!is_good) {
        atomic_fetch_add(&r->_lost, 1);
    }
    return is_good;
}

static struct timespec time_at(uint64_t us)
{
    return (struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
}

bool log_ring_flush(struct log_ring *r, int timeout_ms)
{
    struct timespec until = time_at(clock_us() + (uint64_t)timeout_ms * 1000);
    int rc = 0;
    pthread_mutex_lock(&r->_lock);
    while (r->_is_running && r->_n > 0 && rc == 0) {
        rc = pthread_cond_clockwait(&r->_drained, &r->_lock, CLOCK_MONOTONIC, &until);
    }
    bool is_done = r->_n == 0;
    pthread_mutex_unlock(&r->_lock);
    return is_done;
}

bool log_ring_stop(struct log_ring *r, int timeout_ms)
{
    uint64_t lost = log_ring_lost(r), now = clock_us();
    struct timespec until = time_at(now + (uint64_t)(timeout_ms + STOP_EXTRA_MS) * 1000);
    int rc = 0;
    pthread_mutex_lock(&r->_lock);
    bool was_running = r->_is_running;
    r->_must_stop = true;
    r->_stop_us = now + (uint64_t)timeout_ms * 1000;
    pthread_cond_signal(&r->_filled);
    while (r->_is_running && rc == 0) {
        rc = pthread_cond_clockwait(&r->_drained, &r->_lock, CLOCK_MONOTONIC, &until);
    }
    bool has_ended = !r->_is_running;
    pthread_mutex_unlock(&r->_lock);
    if (was_running && has_ended) {
        pthread_join(r->_thread, NULL);
    } else if (was_running) {
        pthread_detach(r->_thread); /* it is inside a write that does not come back */
    }
    atomic_store(&r->_is_stalled, !has_ended || log_ring_lost(r) > lost);
    return has_ended && log_ring_lost(r) == lost;
}

uint64_t log_ring_lost(const struct log_ring *r)
{
    return atomic_load(&r->_lost);
}
