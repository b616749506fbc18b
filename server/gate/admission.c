/* The one gate: what is refused is refused here, before its body is read, so that behind it every queue has room. */
#include "engine/base/clock.h"
#include "engine/base/sha256.h"
#include "server/app.h"
#include "server/gate/route.h"
#include "server/http/reply.h"

#include <stdio.h>
#include <string.h>

enum { SMALL_BODY = 65536, SWEEP_US = 50000, IDLE_SWEEP_US = 500000 };

/* ---- headers ---- */

static bool is_allowed_origin(const struct app *a, const char *origin)
{
    const char *list = a->config.server.cors_origins;
    size_t n = strlen(origin);
    if (strcmp(list, "*") == 0) {
        return true;
    }
    for (const char *at = strstr(list, origin); at; at = strstr(at + 1, origin)) {
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

/* True when a preflight was answered. */
static bool take_cors(const struct app *a, struct exchange *x)
{
    const char *origin = x->headers[HEADER_ORIGIN];
    if (!origin || !origin[0] || !a->config.server.cors_origins[0] || !is_allowed_origin(a, origin)) {
        return false;
    }
    exchange_out(x, "Access-Control-Allow-Origin", "%s", origin);
    exchange_out(x, "Vary", "Origin");
    exchange_out(x, "Access-Control-Expose-Headers", "X-Request-Id, Server-Timing, X-Cache, Retry-After");
    if (strcmp(x->method, "OPTIONS") != 0) {
        return false;
    }
    exchange_out(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE");
    exchange_out(x, "Access-Control-Allow-Headers",
                 "Authorization, Content-Type, Priority, X-Request-Id, "
                 "X-Request-Timeout-Ms, Cache-Control");
    exchange_out(x, "Access-Control-Max-Age", "600");
    x->route_name = "preflight";
    reply_text(x, 204, NULL, "");
    return true;
}

static bool take_route(const struct app *a, struct exchange *x)
{
    struct buf allow;
    buf_init(&allow, 128);
    enum route_result found = route_find(x->method, x->path, x->is_admin, a->admin != NULL, &x->route, &allow);
    x->route_name = found == ROUTE_FOUND ? x->route->name : "none";
    if (found == ROUTE_NO_PATH) {
        reply_error(x, FAULT_NOT_FOUND, NULL, "no such route; the routes are listed in /openapi.json");
    } else if (found == ROUTE_NO_METHOD) {
        exchange_out(x, "Allow", "%s", allow.bytes ? allow.bytes : "");
        reply_error(x, FAULT_METHOD, NULL, "this route takes %s", allow.bytes ? allow.bytes : "another method");
    }
    buf_release(&allow);
    return found == ROUTE_FOUND;
}

static bool take_query(struct exchange *x)
{
    const char *unknown = route_unknown_query(x->route, x);
    if (unknown) {
        reply_error(x, FAULT_BAD_REQUEST, unknown, "unknown parameter \"%.64s\"", unknown);
    }
    return !unknown;
}

static uint64_t hash_name(const char *text)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */
    for (; *text; text++) {
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    }
    return h;
}

static bool take_key(const struct app *a, struct exchange *x)
{
    x->client = hash_name(x->peer);
    if (!a->auth.keys || (x->route->flags & ROUTE_PUBLIC)) {
        return true;
    }
    const struct auth_key *key = auth_check(&a->auth, x->headers[HEADER_AUTHORIZATION]);
    if (!key) {
        reply_error(x, FAULT_UNAUTHORIZED, "Authorization", "this service needs an API key: Authorization: Bearer KEY");
        return false;
    }
    x->client = hash_name(key->name);
    sha256_hmac(key->digest, sizeof(key->digest), "image ids", 9, x->id_key);
    sha256_hmac(key->digest, sizeof(key->digest), "image id mask", 13, x->id_mask);
    x->has_id_key = true;
    return true;
}

static bool take_state(const struct app *a, struct exchange *x)
{
    if (a->state == APP_LOADING) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "the model is being loaded; see /startupz");
    } else if (a->state == APP_DRAINING) {
        reply_retry(x, FAULT_DRAINING, 1000000, "the service is shutting down; another replica will answer");
    }
    return x->status == 0;
}

static bool take_size(struct app *a, struct exchange *x)
{
    uint64_t most = x->route->flags & ROUTE_WORK ? a->config.limits.body_bytes : SMALL_BODY;
    if (x->content_length > most) {
        reply_error(x, FAULT_BODY_TOO_LARGE, "Content-Length", "the body may have %llu bytes",
                    (unsigned long long)most);
        return false;
    }
    if (x->has_too_much_query) {
        reply_error(x, FAULT_BAD_REQUEST, NULL, "more than %d query parameters", EXCHANGE_MAX_QUERY);
        return false;
    }
    if (a->body_bytes + x->content_length > a->config.limits.body_memory_bytes) {
        reply_retry(x, FAULT_OVERLOADED, 1000000, "the bodies of all requests together are over the limit");
        return false;
    }
    buf_init(&x->body, most);
    a->body_bytes += x->content_length;
    x->reserved_bytes = x->content_length;
    return true;
}

static bool take_place(struct app *a, struct exchange *x)
{
    const char *faulty;
    if (!exchange_take_deadline(x, (uint64_t)a->config.limits.timeout_ms, &faulty)) {
        reply_error(x, FAULT_BAD_REQUEST, faulty, "%s must be a whole number of milliseconds", faulty);
        return false;
    }
    uint64_t forecast_us = engine_forecast(a->service->engine, JOB_CAPTION, false, 1);
    if (a->n_counted >= a->config.limits.requests) {
        reply_retry(x, FAULT_OVERLOADED, forecast_us, "%d requests are in flight, as many as are allowed",
                    a->n_counted);
        return false;
    }
    if (x->began_us + forecast_us > x->deadline_us && a->n_counted > 0) {
        reply_retry(x, FAULT_DEADLINE_UNREACHABLE, forecast_us,
                    "an answer would take about %llu ms, which is after the deadline",
                    (unsigned long long)(forecast_us / 1000));
        return false;
    }
    a->n_counted++;
    x->is_counted = true;
    return true;
}

void admission_enlist(struct app *a, struct exchange *x)
{
    x->next = a->live;
    if (a->live) {
        a->live->previous = x;
    }
    a->live = x;
    if (a->n_live++ == 0) {
        app_tick_by(a, x->began_us + SWEEP_US);
    }
}

void admission_headers(struct app *a, struct exchange *x)
{
    admission_enlist(a, x);
    if (strcmp(x->path, "*") == 0) { /* OPTIONS * */
        exchange_out(x, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
        reply_text(x, 204, NULL, "");
        return;
    }
    if (take_cors(a, x) || !take_route(a, x) || !take_key(a, x) || !take_query(x)) {
        return;
    }
    bool is_work = x->route->flags & ROUTE_WORK;
    if ((is_work && !take_state(a, x)) || !take_size(a, x)) {
        return;
    }
    if (is_work) {
        take_place(a, x);
    }
}

/* ---- body ---- */

void admission_body(struct app *a, struct exchange *x, const char *bytes, size_t n)
{
    size_t needed = x->body.n + n;
    if (needed > x->reserved_bytes) { /* chunked */
        if (a->body_bytes + needed - x->reserved_bytes > a->config.limits.body_memory_bytes) {
            reply_retry(x, FAULT_OVERLOADED, 1000000, "the bodies of all requests together are over the limit");
            return;
        }
        a->body_bytes += needed - x->reserved_bytes;
        x->reserved_bytes = needed;
    }
    if (x->body.n == 0 && x->content_length > 0) {
        buf_reserve(&x->body, x->content_length);
    }
    buf_append(&x->body, bytes, n);
    if (x->body.err == ERR_TEXT_TOO_LONG) {
        reply_error(x, FAULT_BODY_TOO_LARGE, NULL, "the body is over the limit");
    } else if (x->body.err) {
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
    }
}

void admission_release(struct app *a, struct exchange *x)
{
    *(x->previous ? &x->previous->next : &a->live) = x->next;
    if (x->next) {
        x->next->previous = x->previous;
    }
    a->n_live--;
    a->n_counted -= x->is_counted;
    a->body_bytes -= x->reserved_bytes;
    x->reserved_bytes = 0;
    x->is_counted = false;
}

/* ---- time ---- */

static void give_up(struct exchange *x, const char *why)
{
    x->cancel_reason = why;
    if (x->on_abandon) {
        x->on_abandon(x, why);
    }
}

static void sweep_one(struct app *a, struct exchange *x, uint64_t now)
{
    (void)a;
    if (x->phase == PHASE_WORKING && x->status == 0 && x->deadline_us && now >= x->deadline_us) {
        give_up(x, "deadline");
        reply_error(x, FAULT_DEADLINE, NULL, "the deadline passed after %llu ms",
                    (unsigned long long)((x->deadline_us - x->began_us) / 1000));
        http_ready(x);
    }
}

uint64_t admission_sweep(struct app *a)
{
    uint64_t now = clock_us(), wait_us = a->n_live > 0 ? SWEEP_US : IDLE_SWEEP_US;
    for (struct exchange *x = a->live, *next; x; x = next) {
        next = x->next;
        sweep_one(a, x, now);
        if (x->phase == PHASE_WORKING && x->deadline_us > now && x->deadline_us - now < wait_us) {
            wait_us = x->deadline_us - now;
        }
    }
    return wait_us;
}

void admission_cut_all(struct app *a)
{
    for (struct exchange *x = a->live, *next; x; x = next) {
        next = x->next;
        if (x->phase == PHASE_WORKING && x->status == 0) {
            give_up(x, "drain");
            reply_retry(x, FAULT_DRAINING, 1000000, "the service is shutting down; another replica will answer");
            http_ready(x);
        } else if (x->phase == PHASE_BODY && x->status == 0) {
            reply_retry(x, FAULT_DRAINING, 1000000, "the service is shutting down; another replica will answer");
            http_cut(x);
        } else if (x->phase == PHASE_ANSWERED && x->is_streaming && x->work) {
            give_up(x, "drain");
            http_ready(x);
        }
    }
}
