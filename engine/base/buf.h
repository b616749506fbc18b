/* buf - growing bytes with a hard cap.
 *
 * The cap is given once, so no input can make a buffer grow without bound. An append that does not fit (the cap, or
 * memory) changes nothing but `err`, and all later appends do nothing: a text can be built piece by piece and checked
 * once at the end. The bytes are always followed by a NUL that is not counted.
 *
 * Ownership: a buf owns its bytes; buf_take hands them over (release with mem_free). Threads: one at a time.
 * Errors:    in `err`: ERR_TEXT_TOO_LONG over the cap, ERR_NOMEM. */
#ifndef ENGINE_BASE_BUF_H
#define ENGINE_BASE_BUF_H

#include "engine/base/err.h"

#include <stdint.h>

struct buf {
    char *bytes; /* NULL until something was appended */
    size_t n;
    enum err err;
    size_t _capacity, _max;
};

void buf_init(struct buf *b, size_t max_bytes); /* at most SIZE_MAX / 4; allocates nothing */
void buf_release(struct buf *b);                /* also fine on a buf that was taken or released */
void buf_reset(struct buf *b);                  /* empties, forgets the error, keeps the memory */

/* Gives back memory until it holds n_bytes; what lies beyond is lost. It may keep more. */
void buf_shrink(struct buf *b, size_t n_bytes);

/* Bytes of memory that it holds. */
size_t buf_held(const struct buf *b);

/* Makes room for n more bytes at once. */
void buf_reserve(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *bytes, size_t n);
void buf_text(struct buf *b, const char *text); /* NUL-terminated */
void buf_uint(struct buf *b, uint64_t n);       /* in decimal */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Gives the bytes and empties the buf. An error in `err` is returned, then *bytes is NULL and the buf is released. */
MUST_USE enum err buf_take(struct buf *b, char **bytes, size_t *n);

#endif
