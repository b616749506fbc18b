/* log - one line per event on a descriptor (stderr), as JSON or as text for people.
 *
 *     log_info("listening", LOG_STR("address", address), LOG_INT("port", port));
 *     {"time":"2026-11-23T20:15:01.042Z","level":"info","event":"listening","address":"::","port":8080}
 *     2026-11-23T20:15:01.042Z info listening address=:: port=8080
 *
 * Values may come from clients: quotes, control characters, line separators, direction overrides and invalid UTF-8 are
 * escaped in both formats, so a value can neither forge a line nor steer a terminal. Event names and keys are ours:
 * plain ASCII words. A line is at most LOG_MAX_LINE bytes (values are cut, the line stays valid) and leaves whole, so
 * lines of several threads never mix.
 *
 * Writing never blocks: from log_start to log_stop a thread of the log writes (log_ring.h), and when nobody reads,
 * lines are dropped. The next line that gets through carries "dropped", their number. Outside of that time the caller
 * writes and waits at most a fifth of a second for a stalled reader. Lines not yet written are lost when the process is
 * killed or crashes; before an abort of our own and at exit they are flushed.
 *
 * A limited line (log_limited) belongs to a key, by default its place in the source: LOG_BURST lines in LOG_WINDOW_US,
 * then silence; the next line let through carries "suppressed", the number of lines held back. Request lines
 * (log_request) have a bound for all of them together, each second, and one for each key: the address of a client that
 * makes errors.
 *
 * Threads: everything here is thread-safe but log_setup, log_start and log_stop, which belong to main. */
#ifndef ENGINE_BASE_LOG_H
#define ENGINE_BASE_LOG_H

#include "engine/base/err.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON };
enum { LOG_MAX_LINE = 4096, LOG_BURST = 5, LOG_REQUEST_BURST = 100, LOG_WINDOW_US = 10 * 1000000 };

enum log_type { LOG_TYPE_END, LOG_TYPE_STR, LOG_TYPE_INT, LOG_TYPE_UINT, LOG_TYPE_REAL, LOG_TYPE_BOOL };
struct log_field {
    const char *key;
    enum log_type type;
    union {
        struct {
            const char *text; /* NULL prints as null */
            size_t n;
        } str;
        long long i;
        unsigned long long u;
        double real;
        bool flag;
    };
};

/* One key and value; a text is borrowed for the call. */
#define LOG_STR(name, value)      log_field_str((name), (value))
#define LOG_STRN(name, text_, n_) ((struct log_field){.key = (name), .type = LOG_TYPE_STR, .str = {(text_), (n_)}})
#define LOG_INT(name, value)      ((struct log_field){.key = (name), .type = LOG_TYPE_INT, .i = (value)})
#define LOG_UINT(name, value)     ((struct log_field){.key = (name), .type = LOG_TYPE_UINT, .u = (value)})
#define LOG_REAL(name, value)     ((struct log_field){.key = (name), .type = LOG_TYPE_REAL, .real = (value)})
#define LOG_BOOL(name, value)     ((struct log_field){.key = (name), .type = LOG_TYPE_BOOL, .flag = (value)})
struct log_field log_field_str(const char *key, const char *text);

/* Before log_setup: level info, text, standard error. */
void log_setup(enum log_level level, enum log_format format, int fd);
MUST_USE enum err log_start(void); /* ERR_IO: no thread; callers go on to write */
/* Waits until all lines are written, at most so long. True: they are. */
bool log_flush(int timeout_ms);
/* Flushes and ends the thread; what a stalled reader has not taken by then is lost. True: nothing was. */
bool log_stop(int timeout_ms);
uint64_t log_dropped(void); /* lines lost so far: nobody read them, or the descriptor refused them */
/* Lines of log_request in a second; 0 (the default): no bound. Any time. */
void log_set_request_rate(unsigned lines_per_second);
void log_set_level(enum log_level level);                    /* any time */
bool log_level_parse(const char *name, enum log_level *out); /* "debug", "info", "warn", "error", "off" */
const char *log_level_name(enum log_level level);
bool log_enabled(enum log_level level);

/* fields end with LOG_TYPE_END. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);
void log_write_limited(enum log_level level, const char *key, const char *event, const struct log_field *fields);
void log_write_request(enum log_level level, const char *key, const char *event, const struct log_field *fields);

#define LOG_FIELDS_END  ((struct log_field){.key = NULL, .type = LOG_TYPE_END})
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) LOG_FIELDS_END})
#define LOG_AT(level, event, ...)                                                                                      \
    do {                                                                                                               \
        if (log_enabled(level)) {                                                                                      \
            log_write((level), (event), LOG_FIELDS(__VA_ARGS__));                                                      \
        }                                                                                                              \
    } while (0)
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)

/* key: a text that names who or what is limited (an address, an event), or LOG_HERE: this place in the source. */
#define LOG_LINE_TEXT_(line) #line
#define LOG_LINE_TEXT(line)  LOG_LINE_TEXT_(line)
#define LOG_HERE             __FILE__ ":" LOG_LINE_TEXT(__LINE__)
#define log_limited(level, key, event, ...)                                                                            \
    do {                                                                                                               \
        if (log_enabled(level)) {                                                                                      \
            log_write_limited((level), (key), (event), LOG_FIELDS(__VA_ARGS__));                                       \
        }                                                                                                              \
    } while (0)
/* key: NULL, or whose lines are limited (LOG_REQUEST_BURST in LOG_WINDOW_US). */
#define log_request(level, key, event, ...)                                                                            \
    do {                                                                                                               \
        if (log_enabled(level)) {                                                                                      \
            log_write_request((level), (key), (event), LOG_FIELDS(__VA_ARGS__));                                       \
        }                                                                                                              \
    } while (0)

#endif
