/* A line is built in one array on the stack and written at once, so no lock is held while formatting or writing. What
 * does not fit is cut inside values: the last LINE_END bytes are only for what makes the line valid again. */
#include "engine/base/log.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_END = 16, ESCAPED_MAX = 12 };

static _Atomic enum log_level min_level = LOG_INFO;
static _Atomic enum log_format line_format = LOG_TEXT;
static atomic_int line_fd = STDERR_FILENO;

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

/* ---- the line ---- */

struct line {
    char text[LOG_MAX_LINE];
    size_t n;
    bool is_full; /* a value was cut: no further fields */
};

static bool fits(const struct line *l, size_t n)
{
    const size_t room = sizeof(l->text) - LINE_END; /* closing marks may already stand beyond it */
    return !l->is_full && l->n <= room && n <= room - l->n;
}

/* All of the text or nothing. */
static void put(struct line *l, const char *text, size_t n)
{
    if (fits(l, n)) {
        memcpy(l->text + l->n, text, n);
        l->n += n;
    } else {
        l->is_full = true;
    }
}

/* Closing marks go into the reserved end. */
static void put_end(struct line *l, const char *text)
{
    size_t n = strlen(text);
    if (n <= sizeof(l->text) - l->n) {
        memcpy(l->text + l->n, text, n);
        l->n += n;
    }
}

/* ---- escaping ---- */

/* Length of the character at text[0..n) and its code point; a byte that is no UTF-8 counts as U+FFFD. */
static size_t read_char(const unsigned char *text, size_t n, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = text[0];
    size_t length = c < 0x80                ? 1
                    : c >= 0xc2 && c < 0xe0 ? 2
                    : c >= 0xe0 && c < 0xf0 ? 3
                    : c >= 0xf0 && c < 0xf5 ? 4
                                            : 0;
    *code = length == 1 ? c : length ? (uint32_t)(c & (0x7f >> length)) : 0;
    for (size_t i = 1; i < length; i++) {
        if (i >= n || (text[i] & 0xc0) != 0x80) {
            length = 0;
            break;
        }
        *code = *code << 6 | (text[i] & 0x3f);
    }
    bool is_bad = length == 0 || *code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000);
    if (is_bad) {
        *code = 0xfffd;
        return 1;
    }
    return length;
}

/* Characters that could end a line, steer a terminal or turn the direction of what follows. */
static bool must_escape(uint32_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0xfffd;
}

static void put_escaped(struct line *l, const char *text, size_t n)
{
    for (size_t i = 0; i < n && !l->is_full;) {
        uint32_t code;
        size_t length = read_char((const unsigned char *)text + i, n - i, &code);
        if (must_escape(code)) {
            char escaped[ESCAPED_MAX];
            bool is_mark = code == '"' || code == '\\';
            int size = is_mark ? snprintf(escaped, sizeof(escaped), "\\%c", (char)code)
                               : snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)code);
            put(l, escaped, (size_t)size);
        } else {
            put(l, text + i, length);
        }
        i += length;
    }
    if (l->is_full) {
        put_end(l, "...");
    }
}

static bool is_plain(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return n > 0;
}

/* ---- fields ---- */

static void put_str(struct line *l, enum log_format format, const char *text, size_t n)
{
    if (!text) {
        put(l, "null", 4);
    } else if (format == LOG_TEXT && is_plain(text, n) && fits(l, n)) {
        put(l, text, n);
    } else {
        put(l, "\"", 1);
        if (!l->is_full) {
            put_escaped(l, text, n);
            put_end(l, "\"");
        }
    }
}

static void put_value(struct line *l, enum log_format format, const struct log_field *f)
{
    char number[40];
    int n = 0;
    switch (f->type) {
    case LOG_TYPE_STR:
        put_str(l, format, f->str.text, f->str.n);
        return;
    case LOG_TYPE_INT:
        n = snprintf(number, sizeof(number), "%lld", f->i);
        break;
    case LOG_TYPE_UINT:
        n = snprintf(number, sizeof(number), "%llu", f->u);
        break;
    case LOG_TYPE_REAL: /* JSON has no infinity */
        n = isfinite(f->real) ? snprintf(number, sizeof(number), "%.9g", f->real)
                              : snprintf(number, sizeof(number), "null");
        break;
    case LOG_TYPE_BOOL:
        n = snprintf(number, sizeof(number), "%s", f->flag ? "true" : "false");
        break;
    case LOG_TYPE_END:
        break;
    }
    put(l, number, (size_t)n);
}

static void put_field(struct line *l, enum log_format format, const struct log_field *f)
{
    size_t before = l->n;
    put(l, format == LOG_JSON ? ",\"" : " ", format == LOG_JSON ? 2 : 1);
    put(l, f->key, strlen(f->key));
    put(l, format == LOG_JSON ? "\":" : "=", format == LOG_JSON ? 2 : 1);
    if (!fits(l, 1 + ESCAPED_MAX)) { /* not even the beginning of a value fits: leave the field out */
        l->n = before;
        l->is_full = true;
        return;
    }
    size_t begin = l->n;
    put_value(l, format, f);
    if (l->n == begin) { /* a number that did not fit */
        l->n = before;
    }
}

static void put_head(struct line *l, enum log_format format, const struct timespec *now, enum log_level level,
                     const char *event)
{
    struct tm tm;
    char time[32];
    gmtime_r(&now->tv_sec, &tm);
    size_t n = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(time + n, sizeof(time) - n, ".%03dZ", (int)(now->tv_nsec / 1000000));
    if (format == LOG_JSON) {
        put(l, "{\"time\":\"", 9);
        put(l, time, strlen(time));
        put(l, "\",\"level\":\"", 11);
        put(l, level_names[level], strlen(level_names[level]));
        put(l, "\",\"event\":", 10);
        put_str(l, format, event, strlen(event));
    } else {
        put(l, time, strlen(time));
        put(l, " ", 1);
        put(l, level_names[level], strlen(level_names[level]));
        put(l, " ", 1);
        put_escaped(l, event, strlen(event));
    }
}

static void build(struct line *l, enum log_format format, const struct timespec *now, enum log_level level,
                  const char *event, const struct log_field *fields, uint64_t suppressed)
{
    l->n = 0;
    l->is_full = false;
    put_head(l, format, now, level, event);
    if (suppressed) {
        put_field(l, format, &LOG_UINT("suppressed", suppressed));
    }
    for (const struct log_field *f = fields; f->type != LOG_TYPE_END; f++) {
        put_field(l, format, f);
    }
    put_end(l, format == LOG_JSON ? "}\n" : "\n");
}

static void emit(enum log_level level, const char *event, const struct log_field *fields, uint64_t suppressed)
{
    struct line l;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    build(&l, line_format, &now, level, event, fields, suppressed);
    for (size_t done = 0; done < l.n;) {
        ssize_t n = write(line_fd, l.text + done, l.n - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return; /* nobody can be told */
        }
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
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *key; key++) {
        hash = (hash ^ (unsigned char)*key) * 1099511628211u;
    }
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
static bool limit_pass(const char *key, uint64_t now_us, uint64_t *suppressed)
{
    pthread_mutex_lock(&limits_lock);
    struct limit *l = limit_of(hash_of(key), now_us);
    if (now_us - l->window_start_us >= LOG_WINDOW_US) {
        l->window_start_us = now_us;
        l->n = 0;
    }
    bool may_pass = l->n < LOG_BURST;
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

/* ---- the interface ---- */

struct log_field log_field_str(const char *key, const char *text)
{
    return (struct log_field){.key = key, .type = LOG_TYPE_STR, .str = {text, text ? strlen(text) : 0}};
}

void log_setup(enum log_level level, enum log_format format, int fd)
{
    min_level = level;
    line_format = format;
    line_fd = fd;
}

void log_set_level(enum log_level level)
{
    min_level = level;
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
    if (log_enabled(level) && limit_pass(key, clock_us(), &suppressed)) {
        emit(level, event, fields, suppressed);
    }
}

uint64_t log_dropped(void)
{
    return 0;
}

void log_flush(int timeout_ms)
{
    (void)timeout_ms;
}
