#include "engine/base/buf.h"

#include "engine/base/digits.h"
#include "engine/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
    BUG_ON(max_bytes > SIZE_MAX / 4);
    *b = (struct buf){._max = max_bytes};
}

void buf_release(struct buf *b)
{
    mem_free(b->bytes);
    b->bytes = NULL;
    b->n = b->_capacity = 0;
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->err = OK;
    if (b->bytes) {
        b->bytes[0] = '\0';
    }
}

/* Room for n more bytes and the NUL; `_capacity` counts both. */
static bool has_room(struct buf *b, size_t n)
{
    if (b->err) {
        return false;
    }
    if (n > b->_max - b->n) {
        b->err = ERR_TEXT_TOO_LONG;
        return false;
    }
    size_t needed = b->n + n + 1;
    if (b->bytes && needed <= b->_capacity) {
        return true;
    }
    /* Doubling, but never past the cap. */
    size_t capacity = b->_capacity > needed / 2 ? 2 * b->_capacity : needed;
    capacity = capacity < FIRST_CAPACITY ? FIRST_CAPACITY : capacity;
    capacity = capacity > b->_max ? b->_max + 1 : capacity;
    if (mem_resize(&b->bytes, capacity)) {
        b->err = ERR_NOMEM;
        return false;
    }
    b->bytes[b->n] = '\0';
    b->_capacity = capacity;
    return true;
}

void buf_shrink(struct buf *b, size_t n_bytes)
{
    if (n_bytes > 0 && n_bytes < b->_capacity && !mem_resize(&b->bytes, n_bytes)) {
        b->_capacity = n_bytes;
        b->n = b->n < n_bytes ? b->n : n_bytes - 1;
        b->bytes[b->n] = '\0';
    }
}

size_t buf_held(const struct buf *b)
{
    return b->_capacity;
}

void buf_reserve(struct buf *b, size_t n)
{
    (void)has_room(b, n);
}

void buf_append(struct buf *b, const void *bytes, size_t n)
{
    if (has_room(b, n)) {
        if (n) {
            memcpy(b->bytes + b->n, bytes, n);
        }
        b->n += n;
        b->bytes[b->n] = '\0';
    }
}

void buf_text(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_uint(struct buf *b, uint64_t n)
{
    char digits[DIGITS_MAX + 1];
    buf_append(b, digits, digits_write(digits, n));
}

/* Into the room that is there already; only a text that does not fit is printed twice. */
void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = b->bytes && !b->err ? b->_capacity - b->n : 0;
    int n = vsnprintf(room ? b->bytes + b->n : NULL, room, fmt, args);
    BUG_ON(n < 0); /* a bad format is our own mistake */
    if ((size_t)n < room) {
        b->n += (size_t)n;
    } else {
        if (room) {
            b->bytes[b->n] = '\0'; /* as it was */
        }
        if (has_room(b, (size_t)n)) {
            vsnprintf(b->bytes + b->n, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
        }
    }
    va_end(again);
    va_end(args);
}

enum err buf_take(struct buf *b, char **bytes, size_t *n)
{
    enum err rc = b->err;
    *bytes = NULL;
    *n = 0;
    if (!rc && has_room(b, 0)) { /* an empty text has its NUL too */
        *bytes = b->bytes;
        *n = b->n;
        b->bytes = NULL;
    } else {
        rc = b->err;
    }
    buf_release(b);
    b->err = OK;
    return rc;
}
