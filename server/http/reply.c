#include "server/http/reply.h"

#include "engine/answer/answer_dump.h"
#include "engine/base/utf8.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = ERRBUF_MAX + 256, PARAM_MAX = 128 };

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

json_t *reply_error_object(const struct exchange *x, enum fault f, const char *message, const char *param,
                           const char *stage, uint64_t retry_after_us)
{
    char good_message[MESSAGE_MAX], good_param[PARAM_MAX];
    return json_pack(
        "{s:s, s:s, s:s?, s:s, s:s, s:b, s:o, s:s?}", "message", as_utf8(message, good_message, sizeof(good_message)),
        "type", faults[f].type, "param", param ? as_utf8(param, good_param, sizeof(good_param)) : NULL, "code",
        faults[f].code, "request_id", x->request_id, "retryable", faults[f].is_retryable, "retry_after_ms",
        retry_after_us ? json_integer((json_int_t)((retry_after_us + 999) / 1000)) : json_null(), "stage", stage);
}

void reply_json(struct exchange *x, int status, json_t *object)
{
    struct buf *b = &x->answer;
    buf_reset(b);
    if (object) {
        answer_dump(object, b);
        json_decref(object);
    }
    if (!object || b->err) {
        buf_reset(b);
        buf_printf(b, "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,"
                      "\"code\":\"internal\",\"retryable\":false}}");
        x->error_code = "internal";
        status = 500;
    }
    buf_text(b, "\n");
    exchange_answer(x, status, "application/json");
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

/* Takes the error object. */
static void answer_object(struct exchange *x, enum fault f, json_t *inner)
{
    json_t *error = inner && x->has_plain_errors ? json_incref(json_object_get(inner, "message")) : json_incref(inner);
    json_decref(inner);
    x->error_code = faults[f].code;
    reply_json(x, reply_fault_status(x, f), error ? json_pack("{s:o}", "error", error) : NULL);
}

void reply_item_error(struct exchange *x, enum fault f, const json_t *item)
{
    answer_object(x, f, json_incref(json_object_get(item, "error")));
}

static void answer_error(struct exchange *x, enum fault f, const char *param, uint64_t after_us, const char *fmt,
                         va_list args)
{
    char message[MESSAGE_MAX];
    vsnprintf(message, sizeof(message), fmt, args);
    if (after_us) {
        exchange_out(x, "Retry-After", "%llu", (unsigned long long)((after_us + 999999) / 1000000));
    }
    if (f == FAULT_UNAUTHORIZED) {
        exchange_out(x, "WWW-Authenticate", "Bearer");
    }
    answer_object(x, f, reply_error_object(x, f, message, param, NULL, after_us));
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
