/* reply - answers in JSON: results, and the error object that every client of the API parses.
 *
 * Where x->has_plain_errors, it is the message alone: {"error": "message"}.
 *
 * The table below is the only place that maps faults to statuses. A message tells the caller what to change; it
 * contains nothing internal (paths, addresses, source). It may quote the caller: invalid UTF-8 is replaced by `?`.
 *
 * Ownership: functions that take a json_t take its reference. Threads: the loop thread. */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include "server/http/exchange.h"
#include "server/http/refusal.h"

#include <jansson.h>

/* X(symbol, status, code, type, is_retryable) */
#define REPLY_FAULTS(X)                                                                                                \
    X(FAULT_BAD_REQUEST, 400, "bad_request", "invalid_request_error", false)                                           \
    X(FAULT_UNAUTHORIZED, 401, "unauthorized", "authentication_error", false)                                          \
    X(FAULT_FORBIDDEN, 403, "forbidden", "authentication_error", false)                                                \
    X(FAULT_NOT_FOUND, 404, "not_found", "invalid_request_error", false)                                               \
    X(FAULT_IMAGE_NOT_CACHED, 404, "image_not_cached", "invalid_request_error", false)                                 \
    X(FAULT_METHOD, 405, "method_not_allowed", "invalid_request_error", false)                                         \
    X(FAULT_UPLOAD_TIMEOUT, 408, "upload_timeout", "invalid_request_error", true)                                      \
    X(FAULT_CONFLICT, 409, "conflict", "invalid_request_error", true)                                                  \
    X(FAULT_BODY_TOO_LARGE, 413, "body_too_large", "invalid_request_error", false)                                     \
    X(FAULT_IMAGE_TOO_LARGE, 413, "image_too_large", "invalid_request_error", false)                                   \
    X(FAULT_TOO_MANY_INPUTS, 413, "too_many_inputs", "invalid_request_error", false)                                   \
    X(FAULT_TEXT_TOO_LONG, 413, "text_too_long", "invalid_request_error", false)                                       \
    X(FAULT_TARGET_TOO_LONG, 414, "target_too_long", "invalid_request_error", false)                                   \
    X(FAULT_EXPECTATION, 417, "expectation_failed", "invalid_request_error", false)                                    \
    X(FAULT_UNSUPPORTED_IMAGE, 415, "unsupported_image", "invalid_request_error", false)                               \
    X(FAULT_UNSUPPORTED_ENCODING, 415, "unsupported_encoding", "invalid_request_error", false)                         \
    X(FAULT_CORRUPT_IMAGE, 422, "corrupt_image", "invalid_request_error", false)                                       \
    X(FAULT_RELOAD_FAILED, 422, "reload_failed", "invalid_request_error", false)                                       \
    X(FAULT_OVERLOADED, 429, "overloaded", "rate_limit_error", true)                                                   \
    X(FAULT_DEADLINE_UNREACHABLE, 429, "deadline_unreachable", "rate_limit_error", true)                               \
    X(FAULT_RATE_LIMITED, 429, "rate_limited", "rate_limit_error", true)                                               \
    X(FAULT_HEADER_TOO_LARGE, 431, "header_too_large", "invalid_request_error", false)                                 \
    X(FAULT_INTERNAL, 500, "internal", "server_error", false)                                                          \
    X(FAULT_NOT_IMPLEMENTED, 501, "not_implemented", "invalid_request_error", false)                                   \
    X(FAULT_COLLECTION_BUSY, 503, "collection_busy", "server_error", true)                                             \
    X(FAULT_COLLECTION_UNAVAILABLE, 503, "collection_unavailable", "server_error", true)                               \
    X(FAULT_CONNECTIONS, 503, "too_many_connections", "rate_limit_error", true)                                        \
    X(FAULT_DRAINING, 503, "draining", "server_error", true)                                                           \
    X(FAULT_NOT_READY, 503, "not_ready", "server_error", true)                                                         \
    X(FAULT_DEADLINE, 504, "deadline_exceeded", "server_error", true)                                                  \
    X(FAULT_VERSION, 505, "version_not_supported", "invalid_request_error", false)
#define REPLY_FAULT_ENUM(symbol, status, code, type, is_retryable) symbol,
enum fault { REPLY_FAULTS(REPLY_FAULT_ENUM) FAULT_COUNT };
#undef REPLY_FAULT_ENUM

enum fault reply_fault(enum err e); /* the fault that an engine error is reported as */
/* For x: x->overload_status may give refusals for load a status other than 429. */
int reply_fault_status(const struct exchange *x, enum fault f);
const char *reply_fault_code(enum fault f);

/* Answers with the error object. param: JSON pointer or field name, or NULL. */
void reply_error(struct exchange *x, enum fault f, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with a time after which to retry (Retry-After, retry_after_ms). */
void reply_retry(struct exchange *x, enum fault f, uint64_t after_us, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Of FAULT_IMAGE_NOT_CACHED. */
extern const char reply_unknown_image[];
/* Answers a refusal by server/http. */
void reply_refused(struct exchange *x, enum refusal why, const char *message);
/* The error object alone, to be put in place of a result; NULL when out of memory. */
json_t *reply_error_object(const struct exchange *x, enum fault f, const char *message, const char *param,
                           const char *stage, uint64_t retry_after_us);

/* An error in place of a result, {"error": ...}; NULL: out of memory. */
void reply_item_error(struct exchange *x, enum fault f, const json_t *item);
/* Answers with the object; NULL (out of memory while it was built) is FAULT_INTERNAL. */
void reply_json(struct exchange *x, int status, json_t *object);
/* The same with an object that was printed before: takes the text. */
void reply_printed(struct exchange *x, int status, const char *content_type, struct buf *text);
void reply_text(struct exchange *x, int status, const char *content_type, const char *text);

#endif
