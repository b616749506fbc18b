/* log_line - one line of the log: time, level, event and fields as text or JSON.
 *
 * Whatever the bytes of event and values are, the line is one line, valid UTF-8 and, as JSON, one object; it ends with
 * its only newline. What does not fit into LOG_MAX_LINE is cut.
 *
 * Ownership: the caller's storage. Threads: pure. */
#ifndef ENGINE_BASE_LOG_LINE_H
#define ENGINE_BASE_LOG_LINE_H

#include "engine/base/log.h"

#include <time.h>

struct log_line {
    char text[LOG_MAX_LINE];
    size_t n;
    bool _is_full; /* a value was cut: no further fields */
};

/* Lines that are missing before this one; told when not 0. */
struct log_line_loss {
    uint64_t suppressed; /* by a limit */
    uint64_t dropped;    /* because nobody took them */
};

void log_line_build(struct log_line *l, enum log_format format, const struct timespec *now, enum log_level level,
                    const char *event, const struct log_field *fields, const struct log_line_loss *loss);

#endif
