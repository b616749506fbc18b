/* log_ring - lines on their way to a descriptor that may stall, fill up or go away.
 *
 * Lines wait in a ring of LOG_RING_BYTES; a thread writes them, whole lines at a time and never more than a pipe takes
 * at once. Adding copies under a short lock and never waits: with the ring full, or the last eighth of it for lines
 * that are not urgent, a line is refused, and the caller counts it. What the descriptor refuses (disk full, reader
 * gone) is lost; log_ring_lost tells how many lines.
 *
 * Before log_ring_start and after log_ring_stop a line is written by its caller, who waits at most
 * LOG_RING_DIRECT_MS for a stalled reader.
 *
 * Ownership: the caller's storage, begun as LOG_RING_INIT. Threads: add, flush and lost from any thread; the others
 * from one. After a stop that could not end its thread the storage must live on. */
#ifndef ENGINE_BASE_LOG_RING_H
#define ENGINE_BASE_LOG_RING_H

#include "engine/base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { LOG_RING_BYTES = 256 << 10, LOG_RING_CHUNK = 4096, LOG_RING_DIRECT_MS = 200 };

struct log_ring {
    pthread_mutex_t _lock; /* guards what is not atomic; a leaf */
    pthread_cond_t _filled, _drained;
    pthread_t _thread;
    char _bytes[LOG_RING_BYTES];
    size_t _from, _n;
    bool _is_running, _must_stop;
    uint64_t _stop_us;       /* when a stop gives up */
    bool _is_torn;           /* the thread's: a line was written in part and the rest was lost */
    atomic_bool _is_stalled; /* a caller waited in vain: the next one does not */
    atomic_int _fd;
    atomic_uint_fast64_t _lost;
};
#define LOG_RING_INIT(fd)                                                                                              \
    {                                                                                                                  \
        ._lock = PTHREAD_MUTEX_INITIALIZER, ._filled = PTHREAD_COND_INITIALIZER, ._drained = PTHREAD_COND_INITIALIZER, \
        ._fd = (fd)                                                                                                    \
    }

void log_ring_set_fd(struct log_ring *r, int fd); /* a closed one: all lines are lost */
/* Fails like thread_start; callers then continue to write their own lines. */
MUST_USE enum err log_ring_start(struct log_ring *r);
/* A line of at most LOG_RING_CHUNK bytes that ends with its only newline. False: it is lost, and counted. */
bool log_ring_add(struct log_ring *r, const char *line, size_t n, bool is_urgent);
/* Waits until all is written, at most so long. */
bool log_ring_flush(struct log_ring *r, int timeout_ms);
/* Writes what is there, at most so long, and ends the thread. False: it does not end, or lines were lost. */
bool log_ring_stop(struct log_ring *r, int timeout_ms);
/* Lines lost so far. */
uint64_t log_ring_lost(const struct log_ring *r);

#endif
