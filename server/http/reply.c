#include "server/http/reply.h"

#include "engine/answer/answer_dump.h"
#include "engine/base/digits.h"
#include "engine/base/utf8.h"

#include <stdio.h>
#include <string.h>

enum {
    MESSAGE_MAX = ERRBUF_MAX + 256,
    PARAM_MAX = 128,
    ERROR_USUAL = 512, /* bytes of an error object; at most, where every letter is escaped: */
    ERROR_MAX = 8 * (MESSAGE_MAX + PARAM_MAX + EXCHANGE_ID_MAX)
};

static const struct {
    int status;
    const char *code, *type;
    bool is_retryable;
} faults[FAULT_COUNT] = {
#define REPLY_FAULT_ROW(symbol, status, code, type, is_retryable) {status, code, type, is_retryable},
    REPLY_FAULTS(REPLY_FAULT_ROW)
#undef REPLY_FAULT_ROW
};

const char reply_unknown_image[] =
    "this instance does not have the image id: it was evicted, or another instance made it; "
    "send the bytes, or let the balancer route by X-Image-Id";

enum fault reply_fault(enum err e)
{
    switch (e) {
    case ERR_BAD_REQUEST:
        return FAULT_BAD_REQUEST;
    case ERR_UNSUPPORTED_IMAGE:
        return FAULT_UNSUPPORTED_IMAGE;
    case ERR_CORRUPT_IMAGE:
        return FAULT_CORRUPT_IMAGE;
    case ERR_IMAGE_TOO_LARGE:
        return FAULT_IMAGE_TOO_LARGE;
    case ERR_TOO_MANY_INPUTS:
        return FAULT_TOO_MANY_INPUTS;
    case ERR_TEXT_TOO_LONG:
        return FAULT_TEXT_TOO_LONG;
    case ERR_IMAGE_NOT_CACHED:
        return FAULT_IMAGE_NOT_CACHED;
    case ERR_OVERLOADED:
        return FAULT_OVERLOADED;
    case ERR_BUSY:
        return FAULT_COLLECTION_BUSY;
    case ERR_UNAVAILABLE:
    case ERR_DISK_FULL:
        return FAULT_COLLECTION_UNAVAILABLE;
    case ERR_DEADLINE:
        return FAULT_DEADLINE;
    case ERR_DRAINING:
    case ERR_CANCELLED:
        return FAULT_DRAINING;
    default:
        return FAULT_INTERNAL;
    }
}

int reply_fault_status(const struct exchange *x, enum fault f)
{
    bool is_load = f == FAULT_OVERLOADED || f == FAULT_DEADLINE_UNREACHABLE;
    return is_load && x->overload_status ? x->overload_status : faults[f].status;
}

const char *reply_fault_code(enum fault f)
{
    return faults[f].code;
}

/* ---- objects ---- */

/* A copy, cut between characters, with ? for each byte that is not UTF-8: callers' names stand in messages. */
static const char *as_utf8(const char *text, char *out, size_t size)
{
    size_t n = 0, left = strlen(text);
    while (left > 0) {
        uint32_t code;
        size_t found = utf8_next(text, left, &code), k = found ? found : 1;
        if (n + k >= size) {
            break;
        }
        memcpy(out + n, found ? text : "?", k);
        n += k;
        text += k;
        left -= k;
    }
    out[n] = '\0';
    return out;
}

/* As jansson prints it; of UTF-8. */
static void print_string(struct buf *b, const char *text)
{
    static const char short_names[] = "btn?fr"; /* from \b on; jansson has no \v */
    buf_append(b, "\"", 1);
    for (const char *at = text; *at; text = at + 1, at++) {
        while ((unsigned char)*at >= 0x20 && *at != '"' && *at != '\\') {
            at++;
        }
        buf_append(b, text, (size_t)(at - text));
        unsigned char c = (unsigned char)*at;
        if (!c) {
            break;
        }
        if (c == '"' || c == '\\') {
            buf_append(b, (char[]){'\\', (char)c}, 2);
        } else if (c >= '\b' && c <= '\r' && c != '\v') {
            buf_append(b, (char[]){'\\', short_names[c - '\b']}, 2);
        } else {
            buf_printf(b, "\\u%04X", c);
        }
    }
    buf_append(b, "\"", 1);
}

static void print_member(struct buf *b, const char *key, const char *text)
{
    buf_text(b, key);
    if (text) {
        print_string(b, text);
    } else {
        buf_text(b, "null");
    }
}

/* Without a tree: a refusal must not take long. */
static void print_error(struct buf *b, const struct exchange *x, enum fault f, const char *message, const char *param,
                        const char *stage, uint64_t retry_after_us)
{
    char good_message[MESSAGE_MAX], good_param[PARAM_MAX];
    print_member(b, "{\"message\":", as_utf8(message, good_message, sizeof(good_message)));
    print_member(b, ",\"type\":", faults[f].type);
    print_member(b, ",\"param\":", param ? as_utf8(param, good_param, sizeof(good_param)) : NULL);
    print_member(b, ",\"code\":", faults[f].code);
    print_member(b, ",\"request_id\":", x->request_id);
    buf_text(b, faults[f].is_retryable ? ",\"retryable\":true,\"retry_after_ms\":"
                                       : ",\"retryable\":false,\"retry_after_ms\":");
    if (retry_after_us) {
        buf_uint(b, (retry_after_us + 999) / 1000);
    } else {
        buf_text(b, "null");
    }
    print_member(b, ",\"stage\":", stage);
    buf_append(b, "}", 1);
}

json_t *reply_error_object(const struct exchange *x, enum fault f, const char *message, const char *param,
                           const char *stage, uint64_t retry_after_us)
{
    struct buf b;
    buf_init(&b, ERROR_MAX);
    print_error(&b, x, f, message, param, stage, retry_after_us);
    json_t *object = b.err ? NULL : json_loadb(b.bytes, b.n, 0, NULL);
    buf_release(&b);
    return object;
}

/* The answer has been printed, or could not be. */
static void end_json(struct exchange *x, int status, bool is_good)
{
    struct buf *b = &x->answer;
    if (!is_good || b->err) {
        buf_reset(b);
        buf_printf(b, "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,"
                      "\"code\":\"internal\",\"retryable\":false}}");
        x->error_code = "internal";
        status = 500;
    }
    buf_text(b, "\n");
    exchange_answer(x, status, "application/json");
}

void reply_json(struct exchange *x, int status, json_t *object)
{
    buf_reset(&x->answer);
    if (object) {
        answer_dump(object, &x->answer);
        json_decref(object);
    }
    end_json(x, status, object != NULL);
}

void reply_printed(struct exchange *x, int status, const char *content_type, struct buf *text)
{
    buf_release(&x->answer);
    x->answer = *text;
    buf_init(text, 0);
    exchange_answer(x, status, content_type);
}

void reply_text(struct exchange *x, int status, const char *content_type, const char *text)
{
    buf_reset(&x->answer);
    buf_text(&x->answer, text);
    exchange_answer(x, status, content_type);
}

/* ---- errors ---- */

void reply_item_error(struct exchange *x, enum fault f, const json_t *item)
{
    json_t *inner = json_object_get(item, "error");
    json_t *error = inner && x->has_plain_errors ? json_object_get(inner, "message") : inner;
    x->error_code = faults[f].code;
    reply_json(x, reply_fault_status(x, f), error ? json_pack("{s:O}", "error", error) : NULL);
}

static void answer_error(struct exchange *x, enum fault f, const char *param, uint64_t after_us, const char *fmt,
                         va_list args)
{
    char message[MESSAGE_MAX], good_message[MESSAGE_MAX], seconds[DIGITS_MAX + 1];
    struct buf *b = &x->answer;
    vsnprintf(message, sizeof(message), fmt, args);
    if (after_us) {
        digits_write(seconds, (after_us + 999999) / 1000000);
        exchange_out_text(x, "Retry-After", seconds);
    }
    if (f == FAULT_UNAUTHORIZED) {
        exchange_out_text(x, "WWW-Authenticate", "Bearer");
    }
    x->error_code = faults[f].code;
    buf_reset(b);
    buf_reserve(b, ERROR_USUAL);
    buf_text(b, "{\"error\":");
    if (x->has_plain_errors) {
        print_string(b, as_utf8(message, good_message, sizeof(good_message)));
    } else {
        print_error(b, x, f, message, param, NULL, after_us);
    }
    buf_append(b, "}", 1);
    end_json(x, reply_fault_status(x, f), true);
    x->must_close |= f == FAULT_DRAINING || f == FAULT_UPLOAD_TIMEOUT;
}

void reply_error(struct exchange *x, enum fault f, const char *param, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    answer_error(x, f, param, 0, fmt, args);
    va_end(args);
}

void reply_retry(struct exchange *x, enum fault f, uint64_t after_us, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    answer_error(x, f, NULL, after_us ? after_us : 1000000, fmt, args);
    va_end(args);
}

void reply_refused(struct exchange *x, enum refusal why, const char *message)
{
    static const enum fault faults_of[] = {
        [REFUSAL_NONE] = FAULT_INTERNAL,
        [REFUSAL_MALFORMED] = FAULT_BAD_REQUEST,
        [REFUSAL_CUT_SHORT] = FAULT_BAD_REQUEST,
        [REFUSAL_SLOW] = FAULT_UPLOAD_TIMEOUT,
        [REFUSAL_LONG_TARGET] = FAULT_TARGET_TOO_LONG,
        [REFUSAL_EXPECTATION] = FAULT_EXPECTATION,
        [REFUSAL_LONG_HEAD] = FAULT_HEADER_TOO_LARGE,
        [REFUSAL_CODING] = FAULT_NOT_IMPLEMENTED,
        [REFUSAL_METHOD] = FAULT_NOT_IMPLEMENTED,
        [REFUSAL_CONNECTIONS] = FAULT_CONNECTIONS,
        [REFUSAL_RESOURCES] = FAULT_CONNECTIONS,
        [REFUSAL_DRAINING] = FAULT_DRAINING,
        [REFUSAL_VERSION] = FAULT_VERSION,
    };
    enum fault f = faults_of[why];
    if (f == FAULT_CONNECTIONS || f == FAULT_DRAINING) {
        reply_retry(x, f, 1000000, "%s", message);
    } else {
        reply_error(x, f, NULL, "%s", message);
    }
    x->must_close = true;
}
