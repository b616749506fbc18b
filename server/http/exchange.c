#include "server/http/exchange.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/http/stream.h"
#include "server/http/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#define EXCHANGE_HEADER_TEXT(symbol, name) name,
static const char *const header_names[HEADER_COUNT] = {EXCHANGE_HEADERS(EXCHANGE_HEADER_TEXT)};

const char *exchange_header_name(enum exchange_header h)
{
    return header_names[h];
}

/* ---- life ---- */

enum err exchange_create(struct exchange **out)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        struct exchange *x = *out;
        x->method = x->path = "";
        x->route_name = "none";
        x->began_us = clock_us();
        buf_init(&x->answer, EXCHANGE_ANSWER_MAX);
    }
    return rc;
}

void exchange_destroy(struct exchange *x)
{
    if (!x) {
        return;
    }
    if (x->stream) {
        stream_drop(x->stream);
    }
    buf_release(&x->answer);
    mem_free(x->strings);
    mem_free(x);
}

/* ---- reading ---- */

const char *exchange_query(const struct exchange *x, const char *name)
{
    for (int i = x->n_query - 1; i >= 0; i--) {
        if (strcmp(x->query[i].name, name) == 0) {
            return x->query[i].value ? x->query[i].value : "";
        }
    }
    return NULL;
}

const char *exchange_query_given(const struct exchange *x, const char *name)
{
    const char *value = exchange_query(x, name);
    return value && *value ? value : NULL;
}

void exchange_answer(struct exchange *x, int status, const char *content_type)
{
    BUG_ON(x->status != 0);
    x->status = status;
    x->content_type = content_type;
}

/* The value of the next header of the answer has been written; n: its length, perhaps too much. */
static void keep_out(struct exchange *x, const char *name, size_t n)
{
    struct exchange_out *o = &x->out[x->n_out];
    bool is_good = n < sizeof(o->value);
    for (size_t i = 0; i < n && is_good; i++) {
        is_good = (unsigned char)o->value[i] >= 0x20 && o->value[i] != 0x7f;
    }
    o->name = name;
    x->n_out += is_good;
}

void exchange_out(struct exchange *x, const char *name, const char *fmt, ...)
{
    BUG_ON(x->n_out == EXCHANGE_MAX_OUT);
    struct exchange_out *o = &x->out[x->n_out];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(o->value, sizeof(o->value), fmt, args);
    va_end(args);
    keep_out(x, name, n < 0 ? SIZE_MAX : (size_t)n);
}

void exchange_out_text(struct exchange *x, const char *name, const char *value)
{
    BUG_ON(x->n_out == EXCHANGE_MAX_OUT);
    size_t n = strlen(value);
    if (n < sizeof(x->out[0].value)) {
        memcpy(x->out[x->n_out].value, value, n + 1);
    }
    keep_out(x, name, n);
}

/* ---- request id ---- */

static bool is_good_id(const char *id)
{
    size_t n = strlen(id);
    for (size_t i = 0; i < n; i++) {
        if (id[i] <= 0x20 || id[i] >= 0x7f) {
            return false;
        }
    }
    return n >= 1 && n <= EXCHANGE_ID_MAX;
}

/* Fetched for many ids at once. False: the system has none. */
static bool random_bytes(uint8_t out[16])
{
    static uint8_t pool[256]; /* as much as the kernel gives whatever signals come */
    static size_t n_left;
    if (n_left == 0) {
        n_left = getrandom(pool, sizeof(pool), GRND_NONBLOCK) == (ssize_t)sizeof(pool) ? sizeof(pool) : 0;
    }
    bool is_there = n_left > 0;
    if (is_there) {
        n_left -= 16;
        memcpy(out, pool + n_left, 16);
    }
    return is_there;
}

/* RFC 9562 section 5.7: 48 bits of milliseconds, then random ones. */
static void make_uuid7(char out[37])
{
    static const char digits[] = "0123456789abcdef";
    static uint64_t last; /* no two are the same, even when the system has no random numbers */
    uint8_t b[16] = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (!random_bytes(b)) {
        last = clock_us() > last ? clock_us() : last + 1;
        for (int i = 0; i < 8; i++) {
            b[15 - i] = (uint8_t)(last >> 8 * i);
        }
    }
    for (int i = 0; i < 6; i++) {
        b[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    b[6] = (uint8_t)(0x70 | (b[6] & 0x0f));
    b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
    char *p = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *p++ = '-';
        }
        *p++ = digits[b[i] >> 4];
        *p++ = digits[b[i] & 15];
    }
    *p = '\0';
}

void exchange_read_id(struct exchange *x)
{
    const char *given = x->headers[HEADER_REQUEST_ID];
    if (given && is_good_id(given)) {
        snprintf(x->request_id, sizeof(x->request_id), "%s", given);
    } else {
        make_uuid7(x->request_id);
    }
}

/* ---- deadline and priority ---- */

bool exchange_read_deadline(struct exchange *x, uint64_t limit_ms, const char **faulty)
{
    const struct {
        const char *name, *value;
    } sources[] = {
        {"timeout_ms", exchange_query_given(x, "timeout_ms")},
        {"X-Request-Timeout-Ms", x->headers[HEADER_TIMEOUT]},
        {"x-envoy-expected-rq-timeout-ms", x->headers[HEADER_ENVOY_TIMEOUT]},
    };
    uint64_t min_ms = limit_ms;
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        uint64_t ms;
        if (!sources[i].value) {
            continue;
        }
        if (!value_whole(sources[i].value, 1, EXCHANGE_MAX_TIMEOUT_MS, &ms)) {
            *faulty = sources[i].name;
            return false;
        }
        min_ms = ms < min_ms ? ms : min_ms;
    }
    x->deadline_us = x->began_us + min_ms * 1000;
    return true;
}

int exchange_priority(const struct exchange *x)
{
    const char *text = x->headers[HEADER_PRIORITY];
    for (; text && *text; text += strcspn(text, ","), text += *text == ',') {
        text += strspn(text, " \t");
        if (text[0] == 'u' && text[1] == '=' && text[2] >= '0' && text[2] <= '7' &&
            (!text[3] || strchr(",; \t", text[3]))) {
            return text[2] - '0';
        }
    }
    return EXCHANGE_NO_PRIORITY;
}
