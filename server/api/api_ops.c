#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/version.h"
#include "server/api/api.h"
#include "server/api/openapi.h"
#include "server/http/value.h"

#include <stdlib.h>
#include <string.h>

enum { STALLED_US = 30000000 };

/* ---- health ---- */

static bool is_stalled(uint64_t moved_us)
{
    uint64_t now = clock_us();
    return now > moved_us && now - moved_us > STALLED_US;
}

/* Health must not wait for engine threads, as a question to the engine may: it is asked only when its heartbeat, a
 * moment ago, would be a bad answer. */
bool api_ops_is_live(struct api *a, struct exchange *x)
{
    const struct service *serving = services_current(a->desk.services);
    if (serving && is_stalled(a->engine_moved_us)) {
        struct engine_stats s;
        engine_stats(serving->engine, &s);
        if (is_stalled(s.heartbeat_us)) {
            reply_error(x, FAULT_INTERNAL, NULL, "the engine has not moved for %llu s",
                        (unsigned long long)(clock_since(clock_us(), s.heartbeat_us) / 1000000));
            return false;
        }
    }
    return true;
}

void api_live(struct api *a, struct exchange *x)
{
    if (api_ops_is_live(a, x)) {
        reply_text(x, 200, "text/plain", "ok\n");
    }
}

static bool is_loading(const struct api *a)
{
    return a->admission.state == ADMISSION_LOADING;
}

static const char *why_not_ready(const struct api *a)
{
    return is_loading(a) ? a->loading_step : "shutting down";
}

bool api_ops_is_ready(struct api *a, struct exchange *x)
{
    if (a->admission.state != ADMISSION_OPEN || a->is_leaving) {
        reply_retry(x, is_loading(a) ? FAULT_NOT_READY : FAULT_DRAINING, 1000000, "not ready: %s", why_not_ready(a));
        return false;
    }
    return true;
}

void api_ready(struct api *a, struct exchange *x)
{
    const char *max_load = exchange_query_given(x, "max_load");
    if (!api_ops_is_ready(a, x)) {
        return;
    }
    if (max_load) {
        struct engine_stats s;
        double limit = 0;
        if (!value_number(max_load, strlen(max_load), &limit) || !(limit > 0 && limit <= 1)) {
            reply_error(x, FAULT_BAD_REQUEST, "max_load", "max_load must be a number above 0, at most 1");
            return;
        }
        engine_stats(services_current(a->desk.services)->engine, &s);
        if (s.load_ratio > limit) {
            reply_retry(x, FAULT_OVERLOADED, 1000000, "load is %.2f, above %.2f", s.load_ratio, limit);
            return;
        }
    }
    reply_text(x, 200, "text/plain", "ready\n");
}

void api_startup(struct api *a, struct exchange *x)
{
    if (is_loading(a)) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "starting: %s", why_not_ready(a));
    } else {
        reply_text(x, 200, "text/plain", "started\n");
    }
}

/* ---- figures ---- */

void api_metrics(struct api *a, struct exchange *x)
{
    const struct service *serving = services_current(a->desk.services);
    struct services_status models;
    struct http_stats main_port, admin_port = {.connections = 0};
    http_stats(a->http, &main_port);
    if (a->admin) {
        http_stats(a->admin, &admin_port);
    }
    struct metrics_state s = {
        .is_ready = a->admission.state == ADMISSION_OPEN && !a->is_leaving,
        .connections = main_port.connections + admin_port.connections,
        .max_a_turn = main_port.max_a_turn,
        .longest_turn_s = loop_longest_turn_s(a->desk.loop),
        .connections_refused = main_port.refused_connections + admin_port.refused_connections,
        .connections_evicted = main_port.evicted_connections + admin_port.evicted_connections,
        .handshakes_failed = main_port.failed_handshakes,
        .proxy_headers_failed = main_port.failed_proxy_headers,
        .requests_refused = main_port.refused_requests + admin_port.refused_requests,
        .started_us = a->started_us,
        .log_dropped = log_dropped(),
        .auth = a->admission.auth,
        .load_1m = a->load_1m,
        .sandbox = a->sandbox,
    };
    services_status(a->desk.services, &models);
    s.reloads = models.n_loaded > 0 ? models.n_loaded - 1 : 0;
    s.reloads_failed = models.n_loaded > 0 ? models.n_failed : 0;
    gate_stats(a->desk.gate, &s.gate);
    ledger_figures(a->desk.ledger, &s.ledger);
    if (serving) {
        engine_stats(serving->engine, &s.stats);
        s.info = serving->info;
        s.has_engine = true;
    }
    buf_reset(&x->answer);
    metrics_print(&a->metrics, &s, &x->answer);
    exchange_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8");
}

void api_version(struct api *a, struct exchange *x)
{
    json_t *object = json_pack("{s:s, s:s}", "name", "minivlm-server", "version", VERSION_TEXT);
    const struct service *serving = services_current(a->desk.services);
    if (object && serving) {
        const struct engine_info *i = &serving->info;
        json_object_set_new(object, "model",
                            json_pack("{s:s, s:s, s:s, s:I, s:i, s:i}", "name", i->model_name, "version",
                                      i->model_version, "sha256", i->model_sha256, "parameters",
                                      (json_int_t)i->parameters, "max_regions", i->max_regions, "answers",
                                      i->n_answers));
        json_object_set_new(object, "engine",
                            json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:I}", "isa", i->isa, "gemm", i->gemm,
                                      "precision", i->precision, "threads", i->engine_threads, "split_threads",
                                      i->split_threads, "decode_threads", i->decode_threads, "memory_bytes",
                                      (json_int_t)i->memory_bytes));
    }
    reply_json(x, 200, object);
}

void api_openapi(struct api *a, struct exchange *x)
{
    static const char root[] = "[{\"url\": \"/\"}]"; /* its servers */
    const char *prefix = a->config->server.prefix;
    const char *at = prefix[0] ? strstr(openapi_json, root) : NULL;
    size_t n = at ? (size_t)(at - openapi_json) : 0;
    buf_reset(&x->answer);
    if (at) {
        buf_append(&x->answer, openapi_json, n);
        buf_printf(&x->answer, "[{\"url\": \"%s\"}]", prefix);
        n += sizeof(root) - 1;
    }
    buf_append(&x->answer, openapi_json + n, openapi_json_bytes - n);
    exchange_answer(x, 200, "application/json");
}

/* ---- administration ---- */

static json_t *entry(const struct history_entry *e)
{
    const struct timings *t = &e->timings;
    return json_pack("{s:s, s:s, s:i, s:s?, s:s?, s:s?, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "id", e->id,
                     "route", e->route, "status", e->status, "code", e->error_code, "cancelled", e->cancel_reason,
                     "cache", t->cache, "images", t->n_images, "texts", t->n_texts, "regions_batch", t->regions_batch,
                     "fusion_batch", t->fusion_batch, "recv_ms", (double)e->recv_us * 1e-3, "decode_ms",
                     (double)t->decode_us * 1e-3, "queue_ms", (double)t->queue_us * 1e-3, "regions_ms",
                     (double)t->regions_us * 1e-3, "fusion_ms", (double)t->fusion_us * 1e-3, "total_ms",
                     (double)e->total_us * 1e-3);
}

void api_debug(struct api *a, struct exchange *x)
{
    json_t *list = json_array();
    const struct history_entry *e;
    for (int i = 0; (e = history_get(a->history, i)); i++) {
        json_array_append_new(list, entry(e));
    }
    reply_json(x, 200, json_pack("{s:o}", "requests", list));
}

void api_debug_one(struct api *a, struct exchange *x)
{
    char id[EXCHANGE_ID_MAX + 1];
    const struct history_entry *e;
    bool is_id = route_segment(x->path, 2, id, sizeof(id));
    for (int i = 0; is_id && (e = history_get(a->history, i)); i++) {
        if (strcmp(e->id, id) == 0) {
            reply_json(x, 200, entry(e));
            return;
        }
    }
    reply_error(x, FAULT_NOT_FOUND, NULL, "not among the last %d requests", HISTORY_SIZE);
}
