/* An exchange on its way through the service: admission, work, answer, and what is told of it afterwards. */
#include "engine/base/clock.h"
#include "engine/base/digits.h"
#include "engine/base/log.h"
#include "server/app.h"
#include "server/http/peers.h"

#include <string.h>
#include <strings.h>

enum {
    SMALL_BODY = 65536,
    SMALL_ANSWER = 2048, /* not refused: the refusal would be no smaller */
    STALLED_US = 2000000 /* who has kept others waiting for so long goes first when the room is needed */
};

/* ---- arriving ---- */

static void abandon(struct exchange *x)
{
    if (x->on_abandon) {
        x->cancel_reason = "client_gone";
        x->on_abandon(x, "client_gone");
    }
}

static void on_headers(void *user, struct exchange *x)
{
    struct app *a = user;
    a->n_live++;
    if (admission_headers(&a->api.admission, x) && (x->route->flags & ROUTE_WORK) &&
        (!(x->route->flags & ROUTE_STORE) || api_collection_put_check(&a->api, x))) {
        work_create(&a->api.desk, x);
    }
}

static void on_body(void *user, struct exchange *x, const char *bytes, size_t n)
{
    (void)user;
    x->body_bytes += n;
    if (x->work) {
        work_body(x->work, bytes, n);
    } else if (x->body_bytes > SMALL_BODY) {
        reply_error(x, FAULT_BODY_TOO_LARGE, NULL, "this route does not accept a body; send none");
    }
}

/* Before its head was understood, while its body came, or because it came too slowly. */
static void on_refused(void *user, struct exchange *x, enum refusal why, const char *message)
{
    struct app *a = user;
    if (!x->was_offered) {
        a->n_live++;
        x->route_name = "none";
    }
    if (x->on_abandon) {
        x->on_abandon(x, "refused");
    }
    reply_refused(x, why, message);
}

static void on_gone(void *user, struct exchange *x)
{
    (void)user;
    abandon(x);
    x->error_code = "client_gone";
}

static void on_request(void *user, struct exchange *x)
{
    struct app *a = user;
    x->route->run(&a->api, x);
    if (x->work && x->deadline_us) {
        app_tick_by(a, x->work->deadline_us);
    }
}

/* ---- answering ---- */

/* ; name;dur= and milliseconds, behind what `text` holds already */
static void add_stage(char text[EXCHANGE_MAX_VALUE], size_t *n, const char *name, uint64_t us)
{
    char digits[DIGITS_MAX + 1];
    uint64_t hundredths = (us + 5) / 10;
    size_t n_name = strlen(name), n_digits = digits_write(digits, hundredths / 100);
    BUG_ON(*n + n_name + n_digits + sizeof(", ;dur=.00") > EXCHANGE_MAX_VALUE);
    char *at = text + *n;
    at = *n ? mempcpy(at, ", ", 2) : at;
    at = mempcpy(at, name, n_name);
    at = mempcpy(at, ";dur=", 5);
    at = mempcpy(at, digits, n_digits);
    *at++ = '.';
    *at++ = (char)('0' + hundredths / 10 % 10);
    *at++ = (char)('0' + hundredths % 10);
    *at = '\0';
    *n = (size_t)(at - text);
}

static void add_timing(struct exchange *x)
{
    const struct timings *t = &x->timings;
    char text[EXCHANGE_MAX_VALUE];
    size_t n = 0;
    uint64_t now = clock_us();
    add_stage(text, &n, "recv", x->received_us ? x->received_us - x->began_us : 0);
    if (t->decode_us || t->regions_us || t->fusion_us) {
        add_stage(text, &n, "decode", t->decode_us);
        add_stage(text, &n, "queue", t->queue_us);
        add_stage(text, &n, "regions", t->regions_us);
        add_stage(text, &n, "fusion", t->fusion_us);
    }
    add_stage(text, &n, "total", now - x->began_us);
    exchange_out_text(x, "X-Request-Id", x->request_id);
    exchange_out_text(x, "Server-Timing", text);
}

/* ORCA load report, in the text form. */
static void add_load(const struct app *a, struct exchange *x)
{
    const char *format = x->headers[HEADER_LOAD_FORMAT];
    const struct service *serving = services_current(a->api.desk.services);
    if (format && strcasecmp(format, "TEXT") == 0 && serving) {
        struct engine_stats s;
        engine_stats(serving->engine, &s);
        exchange_out(x, "endpoint-load-metrics", "TEXT application_utilization=%.3f", s.load_ratio);
    }
}

/* Who takes his answer slowly makes room for those who would take theirs at once. */
static bool drop_slow_reader(struct app *a)
{
    uint64_t taking_us = 0;
    struct exchange *slowest = http_slowest_reader(a->http, &taking_us);
    if (!slowest || taking_us < STALLED_US) {
        return false;
    }
    slowest->cancel_reason = "slow_reader";
    http_drop(slowest);
    return true;
}

/* Whose share its bytes are, also of what was refused before anybody knew who calls. */
static uint64_t client_of(const struct exchange *x)
{
    return x->caller.client ? x->caller.client : peers_number(&x->address);
}

static enum gate_verdict find_room(struct app *a, const struct exchange *x)
{
    enum gate_verdict v = gate_bytes_take(a->api.desk.gate, client_of(x), LEDGER_ANSWERS, x->answer.n);
    while (v != GATE_ACCEPTED && drop_slow_reader(a)) {
        v = gate_bytes_take(a->api.desk.gate, client_of(x), LEDGER_ANSWERS, x->answer.n);
    }
    return v;
}

/* What has been computed and does not fit any more becomes a refusal, unless that would be no smaller. */
static void charge_answer(struct app *a, struct exchange *x)
{
    enum gate_verdict v = x->answer.n > SMALL_ANSWER ? find_room(a, x) : GATE_ACCEPTED;
    if (v != GATE_ACCEPTED) {
        x->status = 0;
        reply_retry(x, FAULT_OVERLOADED, 1000000, "%s",
                    v == GATE_SHARE_USED ? "answers that you have not read yet use up your share of the memory for them"
                                         : "answers not yet read use all the memory reserved for them");
    }
    x->answer_bytes = x->answer.n;
    if (x->answer_bytes <= SMALL_ANSWER) {
        ledger_note(&a->ledger, LEDGER_ANSWERS, x->answer_bytes);
    }
}

static void return_room(struct app *a, const struct exchange *x)
{
    if (x->answer_bytes <= SMALL_ANSWER) {
        ledger_give(&a->ledger, LEDGER_ANSWERS, x->answer_bytes);
    } else {
        gate_bytes_give(a->api.desk.gate, client_of(x), LEDGER_ANSWERS, x->answer_bytes);
    }
}

static void on_answer(void *user, struct exchange *x)
{
    struct app *a = user;
    charge_answer(a, x);
    add_timing(x);
    add_load(a, x);
}

/* ---- the end ---- */

static void write_log(const struct exchange *x, bool is_sent, uint64_t total_us)
{
    const struct timings *t = &x->timings;
    bool is_quiet = x->route && (x->route->flags & (ROUTE_PUBLIC | ROUTE_OPS)) && x->status < 400;
    enum log_level level = x->status >= 500 && x->status != 503 ? LOG_WARN : is_quiet ? LOG_DEBUG : LOG_INFO;
    const char *key = x->status >= 400 ? x->peer : NULL; /* who makes errors is not given all of the log */
    log_request(level, key, "request", LOG_STR("id", x->request_id), LOG_STR("method", x->method),
                LOG_STR("path", x->path), LOG_STR("route", x->route_name), LOG_INT("status", x->status),
                LOG_STR("code", x->error_code), LOG_STR("peer", x->peer),
                LOG_STR("key", x->caller.key[0] ? x->caller.key : NULL), LOG_UINT("bytes", x->content_length),
                LOG_INT("images", t->n_images), LOG_INT("texts", t->n_texts), LOG_STR("cache", t->cache),
                LOG_UINT("decode_us", t->decode_us), LOG_UINT("queue_us", t->queue_us),
                LOG_UINT("regions_us", t->regions_us), LOG_UINT("fusion_us", t->fusion_us),
                LOG_UINT("total_us", total_us), LOG_INT("regions_batch", t->regions_batch),
                LOG_INT("fusion_batch", t->fusion_batch), LOG_STR("cancelled", x->cancel_reason),
                LOG_BOOL("sent", is_sent), LOG_STR("trace", x->headers[HEADER_TRACEPARENT]));
}

static void on_end(void *user, struct exchange *x, bool is_sent)
{
    struct app *a = user;
    uint64_t now = clock_us();
    abandon(x);
    if (!x->status) { /* the connection ended before there was an answer */
        x->status = 499;
        x->error_code = "client_gone";
    }
    write_log(x, is_sent, now - x->began_us);
    metrics_count(&a->api.metrics, x, now);
    if (x->route && (x->route->flags & ROUTE_WORK)) {
        history_add(a->api.history, x, now);
    }
    return_room(a, x);
    auth_leave(x->caller.use);
    a->n_live--;
}

bool app_exchange_make_room(void *user, const struct exchange *x)
{
    const struct app *a = user;
    uint64_t stalled_us = 0;
    struct exchange *slowest = http_most_stalled(a->http, &stalled_us);
    if (!slowest || slowest == x || stalled_us < STALLED_US) {
        return false;
    }
    abandon(slowest);
    slowest->cancel_reason = "stalled";
    reply_error(slowest, FAULT_UPLOAD_TIMEOUT, NULL, "nothing came for %llu ms, and others needed the room",
                (unsigned long long)(stalled_us / 1000));
    http_cut(slowest);
    return true;
}

const struct http_handler app_exchange_handler = {
    .on_headers = on_headers,
    .on_body = on_body,
    .on_request = on_request,
    .on_refused = on_refused,
    .on_answer = on_answer,
    .on_gone = on_gone,
    .on_end = on_end,
};
