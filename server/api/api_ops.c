#include "server/api/api.h"

#include "engine/base/clock.h"
#include "server/api/openapi.h"
#include "server/gate/route.h"
#include "server/http/reply.h"
#include "server/version.h"
#include "server/watch/history.h"

#include <stdlib.h>
#include <string.h>

enum { STALLED_US = 30000000 };

/* ---- health ---- */

void api_live(struct app *a, struct exchange *x)
{
    if (a->service) {
        struct engine_stats s;
        engine_stats(a->service->engine, &s);
        uint64_t now = clock_us();
        if (now > s.heartbeat_us && now - s.heartbeat_us > STALLED_US) {
            reply_error(x, FAULT_INTERNAL, NULL, "the engine has not moved for %llu s",
                        (unsigned long long)((now - s.heartbeat_us) / 1000000));
            return;
        }
    }
    reply_text(x, 200, "text/plain", "ok\n");
}

static const char *why_not_ready(const struct app *a)
{
    return a->state == APP_LOADING ? a->loading_step : "shutting down";
}

void api_ready(struct app *a, struct exchange *x)
{
    const char *most = exchange_query(x, "max_load");
    if (a->state != APP_READY) {
        reply_retry(x, a->state == APP_LOADING ? FAULT_NOT_READY : FAULT_DRAINING, 1000000, "not ready: %s",
                    why_not_ready(a));
        return;
    }
    if (most) {
        struct engine_stats s;
        char *end;
        double limit = strtod(most, &end);
        if (end == most || *end || !(limit > 0 && limit <= 1)) {
            reply_error(x, FAULT_BAD_REQUEST, "max_load", "max_load must be a number above 0, at most 1");
            return;
        }
        engine_stats(a->service->engine, &s);
        if (s.load_ratio > limit) {
            reply_retry(x, FAULT_OVERLOADED, 1000000, "load is %.2f, above %.2f", s.load_ratio, limit);
            return;
        }
    }
    reply_text(x, 200, "text/plain", "ready\n");
}

void api_startup(struct app *a, struct exchange *x)
{
    if (a->state == APP_LOADING) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "starting: %s", why_not_ready(a));
    } else {
        reply_text(x, 200, "text/plain", "started\n");
    }
}

/* ---- figures ---- */

void api_metrics(struct app *a, struct exchange *x)
{
    struct metrics_state s = {
        .inflight = a->n_counted,
        .connections = http_connections(a->http) + (a->admin ? http_connections(a->admin) : 0),
        .state = a->state == APP_READY     ? 1
                 : a->state == APP_LOADING ? 0
                                           : 2,
        .body_bytes = a->body_bytes,
        .started_us = a->started_us,
        .reloads = a->reloads,
    };
    if (a->service) {
        engine_stats(a->service->engine, &s.stats);
        s.info = a->service->info;
        s.has_engine = true;
    }
    buf_reset(&x->answer);
    metrics_print(&a->metrics, &s, &x->answer);
    exchange_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8");
}

void api_version(struct app *a, struct exchange *x)
{
    json_t *object = json_pack("{s:s, s:s}", "name", "minivlm-server", "version", MINIVLM_VERSION);
    if (object && a->service) {
        const struct engine_info *i = &a->service->info;
        json_object_set_new(object, "model",
                            json_pack("{s:s, s:s, s:s, s:I, s:i, s:i}", "name", i->model_name, "version",
                                      i->model_version, "sha256", i->model_sha256, "parameters",
                                      (json_int_t)i->parameters, "max_regions", i->max_regions, "answers",
                                      i->n_answers));
        json_object_set_new(object, "engine",
                            json_pack("{s:s, s:s, s:i, s:i, s:I}", "isa", i->isa, "gemm", i->gemm, "threads",
                                      i->engine_threads, "decode_threads", i->decode_threads, "memory_bytes",
                                      (json_int_t)i->memory_bytes));
    }
    reply_json(x, 200, object);
}

void api_openapi(struct app *a, struct exchange *x)
{
    (void)a;
    buf_reset(&x->answer);
    buf_append(&x->answer, openapi_json, openapi_json_bytes);
    exchange_answer(x, 200, "application/json");
}

/* ---- administration ---- */

void api_reload(struct app *a, struct exchange *x)
{
    if (!app_reload(a)) {
        reply_error(x, FAULT_CONFLICT, NULL, "a model is being loaded already");
    } else {
        reply_json(x, 202, json_pack("{s:s}", "status", "loading"));
    }
}

static json_t *entry(const struct history_entry *e)
{
    return json_pack("{s:s, s:s, s:i, s:s?, s:s?, s:s?, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "id", e->id,
                     "route", e->route, "status", e->status, "code", e->error_code, "cancelled", e->cancel_reason,
                     "cache", e->cache, "images", e->n_images, "texts", e->n_texts, "regions_batch", e->regions_batch,
                     "fusion_batch", e->fusion_batch, "recv_ms", (double)e->recv_us * 1e-3, "decode_ms",
                     (double)e->decode_us * 1e-3, "queue_ms", (double)e->queue_us * 1e-3, "regions_ms",
                     (double)e->regions_us * 1e-3, "fusion_ms", (double)e->fusion_us * 1e-3, "total_ms",
                     (double)e->total_us * 1e-3);
}

void api_debug(struct app *a, struct exchange *x)
{
    json_t *list = json_array();
    const struct history_entry *e;
    for (int i = 0; (e = history_get(a->history, i)); i++) {
        json_array_append_new(list, entry(e));
    }
    reply_json(x, 200, json_pack("{s:o}", "requests", list));
}

void api_debug_one(struct app *a, struct exchange *x)
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
