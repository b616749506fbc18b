/* What does not fit is cut inside values: the last LINE_END bytes are only for what makes the line valid again. */
#include "engine/base/log_line.h"

#include "engine/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LINE_END = 16, ESCAPED_MAX = 12 };

static bool fits(const struct log_line *l, size_t n)
{
    const size_t room = sizeof(l->text) - LINE_END; /* closing marks may already stand beyond it */
    return !l->_is_full && l->n <= room && n <= room - l->n;
}

/* All of the text or nothing. */
static void put(struct log_line *l, const char *text, size_t n)
{
    if (fits(l, n)) {
        memcpy(l->text + l->n, text, n);
        l->n += n;
    } else {
        l->_is_full = true;
    }
}

/* Closing marks go into the reserved end. */
static void put_end(struct log_line *l, const char *text)
{
    size_t n = strlen(text);
    if (n <= sizeof(l->text) - l->n) {
        memcpy(l->text + l->n, text, n);
        l->n += n;
    }
}

/* ---- escaping ---- */

/* Characters that could end a line, steer a terminal or turn the direction of what follows. */
static bool must_escape(uint32_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0xfffd;
}

static void put_escaped(struct log_line *l, const char *text, size_t n)
{
    for (size_t i = 0; i < n && !l->_is_full;) {
        uint32_t code;
        size_t length = utf8_next(text + i, n - i, &code);
        length = length ? length : 1; /* a byte that is not UTF-8: U+FFFD, which is escaped */
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
    if (l->_is_full) {
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

static void put_str(struct log_line *l, enum log_format format, const char *text, size_t n)
{
    if (!text) {
        put(l, "null", 4);
    } else if (format == LOG_TEXT && is_plain(text, n) && fits(l, n)) {
        put(l, text, n);
    } else {
        put(l, "\"", 1);
        if (!l->_is_full) {
            put_escaped(l, text, n);
            put_end(l, "\"");
        }
    }
}

static void put_value(struct log_line *l, enum log_format format, const struct log_field *f)
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

static void put_field(struct log_line *l, enum log_format format, const struct log_field *f)
{
    size_t before = l->n;
    put(l, format == LOG_JSON ? ",\"" : " ", format == LOG_JSON ? 2 : 1);
    put(l, f->key, strlen(f->key));
    put(l, format == LOG_JSON ? "\":" : "=", format == LOG_JSON ? 2 : 1);
    if (!fits(l, 1 + ESCAPED_MAX)) { /* not even the beginning of a value fits: leave the field out */
        l->n = before;
        l->_is_full = true;
        return;
    }
    size_t begin = l->n;
    put_value(l, format, f);
    if (l->n == begin) { /* a number that did not fit */
        l->n = before;
    }
}

static void put_head(struct log_line *l, enum log_format format, const struct timespec *now, enum log_level level,
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
        put(l, log_level_name(level), strlen(log_level_name(level)));
        put(l, "\",\"event\":", 10);
        put_str(l, format, event, strlen(event));
    } else {
        put(l, time, strlen(time));
        put(l, " ", 1);
        put(l, log_level_name(level), strlen(log_level_name(level)));
        put(l, " ", 1);
        put_escaped(l, event, strlen(event));
    }
}

void log_line_build(struct log_line *l, enum log_format format, const struct timespec *now, enum log_level level,
                    const char *event, const struct log_field *fields, const struct log_line_loss *loss)
{
    l->n = 0;
    l->_is_full = false;
    put_head(l, format, now, level, event);
    if (loss->suppressed) {
        put_field(l, format, &LOG_UINT("suppressed", loss->suppressed));
    }
    if (loss->dropped) {
        put_field(l, format, &LOG_UINT("dropped", loss->dropped));
    }
    for (const struct log_field *f = fields; f->type != LOG_TYPE_END; f++) {
        put_field(l, format, f);
    }
    put_end(l, format == LOG_JSON ? "}\n" : "\n");
}
