/* A line is built in one array on the stack and added to the ring at once, so no lock is held while formatting. */
#include "engine/base/log.h"

#include "engine/base/clock.h"
#include "engine/base/hash.h"
#include "engine/base/log_line.h"
#include "engine/base/log_ring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic enum log_level min_level = LOG_INFO;
static _Atomic enum log_format line_format = LOG_TEXT;
static struct log_ring ring = LOG_RING_INIT(STDERR_FILENO);
static atomic_uint_fast64_t n_told; /* of the lost lines, those that a later line counted */

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

/* ---- emitting ---- */

/* Lost lines that no line has told of yet; they are told by this one. */
static uint64_t pop_lost(void)
{
    uint_fast64_t told = atomic_load(&n_told), lost = log_ring_lost(&ring);
    return lost > told && atomic_compare_exchange_strong(&n_told, &told, lost) ? lost - told : 0;
}

static void emit(enum log_level level, const char *event, const struct log_field *fields, uint64_t suppressed)
{
    struct log_line l;
    struct timespec now;
    struct log_line_loss loss = {.suppressed = suppressed, .dropped = pop_lost()};
    clock_gettime(CLOCK_REALTIME, &now);
    log_line_build(&l, line_format, &now, level, event, fields, &loss);
    if (!log_ring_add(&ring, l.text, l.n, level >= LOG_WARN)) {
        atomic_fetch_sub(&n_told, loss.dropped);
    }
}

/* ---- limits ---- */

/* A small table of recent keys; the least recent of a key's few places makes room. Losing one only means that a key may
 * speak again too early. */
enum { LIMIT_SETS = 64, LIMIT_WAYS = 4 };
struct limit {
    uint64_t hash; /* of the key; 0: unused */
    uint64_t window_start_us;
    uint64_t n, suppressed; /* in this window; since the last line let through */
};
static struct limit limits[LIMIT_SETS][LIMIT_WAYS];
static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER; /* guards limits; a leaf */

static uint64_t hash_of(const char *key)
{
    uint64_t hash = hash_text(key);
    hash ^= hash >> 32;
    return hash ? hash : 1;
}

static struct limit *limit_of(uint64_t hash, uint64_t now_us)
{
    struct limit *set = limits[hash % LIMIT_SETS], *oldest = set;
    for (int i = 0; i < LIMIT_WAYS; i++) {
        if (set[i].hash == hash) {
            return &set[i];
        }
        if (set[i].window_start_us < oldest->window_start_us) {
            oldest = &set[i];
        }
    }
    *oldest = (struct limit){.hash = hash, .window_start_us = now_us};
    return oldest;
}

/* True if the line may be written; then *suppressed says how many of its key were not. */
static bool limit_pass(const char *key, unsigned burst, uint64_t now_us, uint64_t *suppressed)
{
    pthread_mutex_lock(&limits_lock);
    struct limit *l = limit_of(hash_of(key), now_us);
    if (clock_since(now_us, l->window_start_us) >= LOG_WINDOW_US) {
        l->window_start_us = now_us;
        l->n = 0;
    }
    bool may_pass = l->n < burst;
    if (may_pass) {
        l->n++;
        *suppressed = l->suppressed;
        l->suppressed = 0;
    } else {
        l->suppressed++;
    }
    pthread_mutex_unlock(&limits_lock);
    return may_pass;
}

/* Lines of all requests together, each second. Guarded by limits_lock. */
static struct {
    unsigned max; /* 0: no bound */
    uint64_t start_us, n, suppressed;
} rate;

static bool rate_pass(uint64_t now_us, uint64_t *suppressed)
{
    pthread_mutex_lock(&limits_lock);
    if (clock_since(now_us, rate.start_us) >= 1000000) {
        rate.start_us = now_us;
        rate.n = 0;
    }
    bool may_pass = rate.max == 0 || rate.n < rate.max;
    if (may_pass) {
        rate.n++;
        *suppressed += rate.suppressed;
        rate.suppressed = 0;
    } else {
        rate.suppressed += 1 + *suppressed; /* with those that this line would have told of */
    }
    pthread_mutex_unlock(&limits_lock);
    return may_pass;
}

/* ---- the interface ---- */

struct log_field log_field_str(const char *key, const char *text)
{
    return (struct log_field){.key = key, .type = LOG_TYPE_STR, .str = {text, text ? strlen(text) : 0}};
}

void log_setup(enum log_level level, enum log_format format, int fd)
{
    min_level = level;
    line_format = format;
    log_ring_set_fd(&ring, fd);
}

void log_set_level(enum log_level level)
{
    min_level = level;
}

void log_set_request_rate(unsigned lines_per_second)
{
    pthread_mutex_lock(&limits_lock);
    rate.max = lines_per_second;
    pthread_mutex_unlock(&limits_lock);
}

enum err log_start(void)
{
    return log_ring_start(&ring);
}

bool log_flush(int timeout_ms)
{
    return log_ring_flush(&ring, timeout_ms);
}

bool log_stop(int timeout_ms)
{
    if (log_ring_lost(&ring) > atomic_load(&n_told)) {
        log_warn("log lines dropped");
    }
    return log_ring_stop(&ring, timeout_ms);
}

uint64_t log_dropped(void)
{
    return log_ring_lost(&ring);
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (int i = LOG_DEBUG; i <= LOG_OFF; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_enabled(enum log_level level)
{
    return level >= min_level && level < LOG_OFF;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    if (log_enabled(level)) {
        emit(level, event, fields, 0);
    }
}

void log_write_limited(enum log_level level, const char *key, const char *event, const struct log_field *fields)
{
    uint64_t suppressed = 0;
    if (log_enabled(level) && limit_pass(key, LOG_BURST, clock_us(), &suppressed)) {
        emit(level, event, fields, suppressed);
    }
}

void log_write_request(enum log_level level, const char *key, const char *event, const struct log_field *fields)
{
    uint64_t suppressed = 0, now_us = clock_us();
    if (log_enabled(level) && (!key || limit_pass(key, LOG_REQUEST_BURST, now_us, &suppressed)) &&
        rate_pass(now_us, &suppressed)) {
        emit(level, event, fields, suppressed);
    }
}
