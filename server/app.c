#include "server/app.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/collections/archive.h"
#include "server/gate/route.h"
#include "server/http/stream.h"
#include "server/watch/history.h"
#include "server/work/predict.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { DRAIN_POLL_US = 10000 };

/* ---- the end of an exchange ---- */

static void add_timing(struct exchange *x)
{
    uint64_t now = clock_us();
    double recv = x->received_us ? (double)(x->received_us - x->began_us) * 1e-3 : 0;
    exchange_out(x, "X-Request-Id", "%s", x->request_id);
    if (x->decode_us || x->regions_us || x->fusion_us) {
        exchange_out(
            x, "Server-Timing",
            "recv;dur=%.2f, decode;dur=%.2f, queue;dur=%.2f, regions;dur=%.2f, fusion;dur=%.2f, total;dur=%.2f", recv,
            (double)x->decode_us * 1e-3, (double)x->queue_us * 1e-3, (double)x->regions_us * 1e-3,
            (double)x->fusion_us * 1e-3, (double)(now - x->began_us) * 1e-3);
    } else {
        exchange_out(x, "Server-Timing", "recv;dur=%.2f, total;dur=%.2f", recv, (double)(now - x->began_us) * 1e-3);
    }
}

/* ORCA load report, in the text form. */
static void add_load(const struct app *a, struct exchange *x)
{
    const char *format = x->headers[HEADER_LOAD_FORMAT];
    if (format && strcasecmp(format, "TEXT") == 0 && a->service) {
        struct engine_stats s;
        engine_stats(a->service->engine, &s);
        exchange_out(x, "endpoint-load-metrics", "TEXT application_utilization=%.3f", s.load_ratio);
    }
}

static void on_answer(void *user, struct exchange *x)
{
    struct app *a = user;
    add_timing(x);
    add_load(a, x);
    x->must_close |= a->state == APP_DRAINING;
}

static void write_log(const struct exchange *x, bool is_sent, uint64_t total_us)
{
    bool is_quiet = x->route && (x->route->flags & (ROUTE_PUBLIC | ROUTE_OPS)) && x->status < 400;
    enum log_level level = x->status >= 500 && x->status != 503 ? LOG_WARN : is_quiet ? LOG_DEBUG : LOG_INFO;
    LOG_AT(level, "request", LOG_STR("id", x->request_id), LOG_STR("method", x->method), LOG_STR("path", x->path),
           LOG_STR("route", x->route_name), LOG_INT("status", x->status), LOG_STR("code", x->error_code),
           LOG_STR("peer", x->peer), LOG_UINT("bytes", x->content_length), LOG_INT("images", x->n_images),
           LOG_INT("texts", x->n_texts), LOG_STR("cache", x->cache), LOG_UINT("decode_us", x->decode_us),
           LOG_UINT("queue_us", x->queue_us), LOG_UINT("regions_us", x->regions_us),
           LOG_UINT("fusion_us", x->fusion_us), LOG_UINT("total_us", total_us),
           LOG_INT("regions_batch", x->regions_batch), LOG_INT("fusion_batch", x->fusion_batch),
           LOG_STR("cancelled", x->cancel_reason), LOG_BOOL("sent", is_sent),
           LOG_STR("trace", x->headers[HEADER_TRACEPARENT]));
}

static void on_end(void *user, struct exchange *x, bool is_sent)
{
    struct app *a = user;
    uint64_t now = clock_us();
    if (x->on_abandon) {
        x->cancel_reason = "client_gone";
        x->on_abandon(x, "client_gone");
    }
    if (!x->status) { /* the connection ended while the request was still arriving */
        x->status = 499;
        x->error_code = "client_gone";
    }
    write_log(x, is_sent, now - x->began_us);
    metrics_take(&a->metrics, x, now);
    if (x->route && (x->route->flags & ROUTE_WORK)) {
        history_add(a->history, x, now);
    }
    admission_release(a, x);
}

/* ---- events of http ---- */

static void on_headers(void *user, struct exchange *x)
{
    admission_headers(user, x);
}

static void on_body(void *user, struct exchange *x, const char *bytes, size_t n)
{
    admission_body(user, x, bytes, n);
}

static void on_request(void *user, struct exchange *x)
{
    x->route->run(user, x);
    if (!x->status && x->deadline_us) {
        app_tick_by(user, x->deadline_us);
    }
}

/* ---- what the loop calls ---- */

void app_pump(struct app *a)
{
    for (struct exchange *x = a->live; x; x = x->next) {
        if (x->stream && x->work && !stream_is_empty(x->stream)) {
            if (!x->status) {
                x->is_streaming = true;
                exchange_answer(x, 200, "text/event-stream");
            }
            http_ready(x);
        }
    }
    http_pump(a->http);
    if (a->admin) {
        http_pump(a->admin);
    }
}

static void close_retired(struct app *a)
{
    for (struct service **at = &a->retired; *at;) {
        struct service *s = *at;
        service_reap(s);
        if (s->n_free == s->n_slots) {
            *at = s->next;
            service_close(s);
        } else {
            at = &s->next;
        }
    }
}

static void on_wake(void *user)
{
    struct app *a = user;
    app_load_reap(a);
    if (a->service) {
        service_reap(a->service);
    }
    close_retired(a);
    if (a->archive) {
        archive_reap(a->archive, clock_us());
    }
    predict_resume(a);
    app_pump(a);
}

static void on_tick(void *user)
{
    struct app *a = user;
    uint64_t wait_us = admission_sweep(a);
    http_sweep(a->http);
    if (a->admin) {
        http_sweep(a->admin);
    }
    app_pump(a);
    a->tick_at_us = UINT64_MAX;
    app_tick_by(a, clock_us() + wait_us);
}

void app_tick_by(struct app *a, uint64_t at_us)
{
    uint64_t now = clock_us();
    if (at_us < a->tick_at_us) {
        a->tick_at_us = at_us;
        loop_timer_start(a->tick, at_us > now ? at_us - now : 0);
    }
}

bool app_reload(struct app *a)
{
    return a->state == APP_READY && app_load_begin(a);
}

/* ---- signals ---- */

static uint64_t drain_until_us;

/* Nothing in flight any more, or out of time. */
static void on_drain(void *user)
{
    struct app *a = user;
    uint64_t now = clock_us();
    if (a->state == APP_LEAVING) {
        a->state = APP_DRAINING;
        drain_until_us = now + (uint64_t)a->config.drain.timeout_ms * 1000;
        http_quiesce(a->http);
        log_info("draining", LOG_INT("in_flight", a->n_counted), LOG_INT("timeout_ms", a->config.drain.timeout_ms));
    }
    if (a->n_live == 0 && a->n_counted == 0) {
        loop_stop(a->loop);
        return;
    }
    if (now >= drain_until_us) {
        log_warn("cutting off", LOG_INT("in_flight", a->n_counted));
        admission_cut_all(a);
        app_pump(a);
        drain_until_us = now + (uint64_t)3600 * 1000000; /* what was cut leaves within a step of the engine */
    }
    loop_timer_start(a->drain, DRAIN_POLL_US);
}

static void on_stop(void *user, int signal_number)
{
    struct app *a = user;
    if (a->state == APP_LEAVING || a->state == APP_DRAINING) {
        log_warn("second signal, leaving at once", LOG_INT("signal", signal_number));
        _exit(128 + signal_number);
    }
    if (a->state == APP_LOADING) {
        log_info("stopping while loading", LOG_INT("signal", signal_number));
        loop_stop(a->loop);
        return;
    }
    a->state = APP_LEAVING;
    log_info("stopping", LOG_INT("signal", signal_number), LOG_INT("delay_ms", a->config.drain.delay_ms));
    loop_timer_start(a->drain, (uint64_t)a->config.drain.delay_ms * 1000);
}

static void on_hangup(void *user, int signal_number)
{
    struct app *a = user;
    struct config fresh;
    struct config_request request;
    struct buf text;
    struct auth auth;
    struct errbuf e;
    (void)signal_number;
    buf_init(&text, 65536);
    errbuf_clear(&e);
    if (config_load(&fresh, &request, a->argc, a->argv, a->environ, &text)) {
        log_error("configuration not reloaded", LOG_STR("reason", text.bytes ? text.bytes : "out of memory"));
    } else if (auth_load(&auth, fresh.auth.keys_file, &e)) {
        log_error("configuration not reloaded", LOG_STR("reason", errbuf_text(&e, ERR_BAD_CONFIG)));
    } else {
        buf_reset(&text);
        config_merge_reload(&a->config, &fresh, &text);
        auth_release(&a->auth);
        a->auth = auth;
        reply_set_overload_status(strcmp(a->config.server.overload_status, "503") == 0 ? 503 : 429);
        enum log_level level;
        if (log_level_parse(a->config.log.level, &level)) {
            log_set_level(level);
        }
        log_info("configuration reloaded", LOG_INT("keys", a->auth.n_keys),
                 LOG_STR("needs_restart", text.n ? text.bytes : NULL));
    }
    buf_release(&text);
}

/* ---- start and end ---- */

static enum err open_listeners(struct app *a, struct errbuf *e)
{
    const struct http_handler handler = {a, on_headers, on_body, on_request, on_answer, on_end};
    struct http_options o = {
        .host = a->config.server.host,
        .port = (int)a->config.server.port,
        .max_connections = (int)a->config.server.max_connections,
        .max_connections_per_address = (int)a->config.server.max_connections_per_address,
        .idle_timeout_ms = (uint64_t)a->config.server.idle_timeout_ms,
        .send_timeout_ms = (uint64_t)a->config.server.send_timeout_ms,
        .max_header_bytes = a->config.server.max_header_bytes,
        .tls_certificate = a->tls.certificate,
        .tls_key = a->tls.key,
    };
    enum err rc = http_open(&a->http, a->loop, &o, &handler, e);
    if (!rc && a->config.server.admin_port >= 0) {
        o.is_admin = true;
        o.tls_certificate = o.tls_key = NULL;
        o.host = a->config.server.admin_host;
        o.port = (int)a->config.server.admin_port;
        o.max_connections = 64;
        o.max_connections_per_address = 0;
        rc = http_open(&a->admin, a->loop, &o, &handler, e);
    }
    return rc;
}

static enum err start(struct app *a, struct errbuf *e)
{
    a->started_us = clock_us();
    a->loading_step = "loading the model";
    reply_set_overload_status(strcmp(a->config.server.overload_status, "503") == 0 ? 503 : 429);
    enum err rc = auth_load(&a->auth, a->config.auth.keys_file, e);
    rc = rc ? rc : tls_load(&a->tls, &a->config, e);
    rc = rc ? rc : history_create(&a->history);
    rc = rc ? rc : loop_create(&a->loop, e);
    if (rc) {
        return rc;
    }
    loop_on_wake(a->loop, on_wake, a);
    rc = loop_timer_create(&a->tick, a->loop, on_tick, a);
    rc = rc ? rc : loop_timer_create(&a->drain, a->loop, on_drain, a);
    rc = rc ? rc : loop_signal(a->loop, SIGTERM, on_stop, a);
    rc = rc ? rc : loop_signal(a->loop, SIGINT, on_stop, a);
    rc = rc ? rc : loop_signal(a->loop, SIGHUP, on_hangup, a);
    rc = rc ? rc : open_listeners(a, e);
    if (!rc) {
        log_info("listening", LOG_STR("host", a->config.server.host), LOG_INT("port", http_port(a->http)),
                 LOG_INT("admin_port", a->admin ? http_port(a->admin) : -1), LOG_STR("model_dir", a->config.model.dir));
        a->tick_at_us = UINT64_MAX;
        app_tick_by(a, 0);
        rc = app_load_begin(a) ? OK : err_set(e, ERR_INTERNAL, "cannot start the loading thread");
    }
    return rc;
}

static void stop(struct app *a)
{
    app_load_join(a);
    archive_close(a->archive);
    if (a->service) {
        engine_drain(a->service->engine, 0);
        service_reap(a->service);
    }
    close_retired(a);
    loop_destroy(a->loop);
    http_close(a->http);
    http_close(a->admin);
    service_close(a->service);
    history_destroy(a->history);
    auth_release(&a->auth);
    tls_release(&a->tls);
}

int app_run(struct app *a)
{
    struct errbuf e;
    errbuf_clear(&e);
    signal(SIGPIPE, SIG_IGN);
    enum err rc = start(a, &e);
    if (rc) {
        log_error("cannot start", LOG_STR("code", err_slug(rc)), LOG_STR("reason", errbuf_text(&e, rc)));
        a->exit_code = 1;
    } else {
        loop_run(a->loop);
    }
    stop(a);
    log_info("stopped", LOG_INT("exit_code", a->exit_code));
    return a->exit_code;
}
