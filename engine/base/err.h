/* err - errors as values.
 *
 * Every function that can fail returns `enum err` and is must-use. Text for people goes into a
 * caller's `struct errbuf` (may be NULL); it says what is wrong and what to change. The slug is the
 * stable name that the HTTP API and the command line print. Three classes:
 *   our own mistake   BUG_ON(cond): prints and aborts in every build
 *   a bad start       the caller prints errbuf and exits
 *   a bad request     is recorded in the job; the service continues
 * Threads: everything here is thread-safe; an errbuf belongs to one thread at a time. */
#ifndef ENGINE_BASE_ERR_H
#define ENGINE_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* X(symbol, slug, default text) */
#define ERR_LIST(X)                                                                                                    \
    X(OK, "ok", "no error")                                                                                            \
    X(ERR_NOMEM, "out_of_memory", "out of memory")                                                                     \
    X(ERR_IO, "io_error", "input or output failed")                                                                    \
    X(ERR_BAD_CONFIG, "bad_config", "the configuration is not valid")                                                  \
    X(ERR_BAD_MODEL, "bad_model", "the model directory is not valid")                                                  \
    X(ERR_BAD_REQUEST, "bad_request", "the request is not valid")                                                      \
    X(ERR_UNSUPPORTED_IMAGE, "unsupported_image", "unsupported image type")                                            \
    X(ERR_CORRUPT_IMAGE, "corrupt_image", "the image is truncated or corrupt")                                         \
    X(ERR_IMAGE_TOO_LARGE, "image_too_large", "the image has too many pixels")                                         \
    X(ERR_TOO_MANY_INPUTS, "too_many_inputs", "too many images or texts")                                              \
    X(ERR_TEXT_TOO_LONG, "text_too_long", "the text is too long")                                                      \
    X(ERR_IMAGE_NOT_CACHED, "image_not_cached", "the image id is not known; send the bytes")                           \
    X(ERR_OVERLOADED, "overloaded", "the queue is full")                                                               \
    X(ERR_BUSY, "collection_busy", "another process has locked the collections; try again")                            \
    X(ERR_UNAVAILABLE, "collection_unavailable", "the collections cannot be used now; nothing was changed")            \
    X(ERR_DISK_FULL, "disk_full",                                                                                      \
      "the disk of the collections is full; nothing was changed; delete images or free some of the disk")              \
    X(ERR_DEADLINE, "deadline_exceeded", "the deadline passed")                                                        \
    X(ERR_CANCELLED, "cancelled", "the work was cancelled")                                                            \
    X(ERR_DRAINING, "draining", "the service is shutting down")                                                        \
    X(ERR_INTERNAL, "internal", "internal error")

#define ERR_ENUM(symbol, slug, text) symbol,
enum err { ERR_LIST(ERR_ENUM) ERR_COUNT };
#undef ERR_ENUM

#define MUST_USE __attribute__((warn_unused_result))

enum { ERRBUF_MAX = 512 };
struct errbuf {
    char text[ERRBUF_MAX];
};

const char *err_slug(enum err e); /* "corrupt_image" */
const char *err_text(enum err e); /* the default message */

/* Writes the formatted text (cut if long) and returns `e`, so that `return err_set(...)` reads well. */
enum err err_set(struct errbuf *buf, enum err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void errbuf_clear(struct errbuf *buf);
/* The text, or the default message of `e` when the buffer is NULL or empty. */
const char *errbuf_text(const struct errbuf *buf, enum err e);

__attribute__((noreturn)) void bug(const char *file, int line, const char *what);
#define BUG_ON(cond)                                                                                                   \
    do {                                                                                                               \
        if (__builtin_expect(!!(cond), 0)) {                                                                           \
            bug(__FILE__, __LINE__, #cond);                                                                            \
        }                                                                                                              \
    } while (0)

#endif
