/* Which model serves, and putting another in its place. */
#include "engine/answer/answer.h"
#include "engine/base/clock.h"
#include "server/api/api.h"
#include "server/http/value.h"

#include <stdio.h>
#include <string.h>

/* ---- POST /admin/reload ---- */

static void answer_outcome(struct work *w, const struct services_outcome *o)
{
    char file[CONFIG_TEXT_MAX + 16];
    if (o->err) {
        snprintf(file, sizeof(file), "%s/config.json", w->desk->config->model.dir);
        reply_error(w->x, FAULT_RELOAD_FAILED, NULL, "the new model was not loaded; the old one stays in use: %.400s%s",
                    errbuf_text(&o->error, o->err),
                    sandbox_hides(file) ? "; the sandbox hides it: name its folder in server.sandbox_read" : "");
        work_finish(w);
    } else {
        work_answer(w, 200,
                    json_pack("{s:s, s:s, s:s, s:f}", "status", "current", "model", o->model, "sha256", o->sha256,
                              "loaded_ms", (double)o->load_us * 1e-3));
    }
}

static void on_outcome(struct services_waiter *waiter, const struct services_outcome *o)
{
    struct work *w = (struct work *)((char *)waiter - offsetof(struct work, for_model));
    answer_outcome(w, o);
}

static void wait_begin(struct work *w)
{
    w->for_model.on_outcome = on_outcome;
    services_wait(w->desk->services, &w->for_model);
}

static const struct work_kind wait_kind = {.begin = wait_begin};

void api_reload(struct api *a, struct exchange *x)
{
    struct errbuf e;
    const char *wait = exchange_query_given(x, "wait");
    bool must_wait = false;
    if (wait && !value_bool(wait, strlen(wait), &must_wait)) {
        reply_error(x, FAULT_BAD_REQUEST, "wait", "wait must be true or false");
        return;
    }
    errbuf_clear(&e);
    enum err rc = a->reload(a->user, &e);
    if (rc) {
        reply_error(x, FAULT_CONFLICT, NULL, "%.400s", errbuf_text(&e, rc));
    } else if (!must_wait) {
        reply_json(x, 202, json_pack("{s:s}", "status", "loading"));
    } else {
        struct work *w = work_create(&a->desk, x);
        if (w) {
            work_run_plain(w, &wait_kind);
        }
    }
}

/* ---- GET /admin/model ---- */

static json_t *service_object(const struct service *s, uint64_t now)
{
    return json_pack("{s:s, s:o, s:s, s:i, s:f, s:I}", "state", service_state_name(s->state), "model",
                     answer_model(&s->info), "sha256", s->info.model_sha256, "references", s->references, "age_s",
                     (double)(now - s->loaded_us) * 1e-6, "memory_bytes", (json_int_t)s->info.memory_bytes);
}

void api_model(struct api *a, struct exchange *x)
{
    struct services_status s;
    uint64_t now = clock_us();
    json_t *list = json_array(), *last = json_null();
    services_status(a->desk.services, &s);
    for (int i = 0; i < s.n; i++) {
        json_array_append_new(list, service_object(s.services[i], now));
    }
    if (s.is_loading) {
        json_array_append_new(list, json_pack("{s:s, s:f}", "state", service_state_name(SERVICE_LOADING), "age_s",
                                              (double)(now - s.loading_since_us) * 1e-6));
    }
    if (s.last.number > 0) {
        bool has_failed = s.last.err;
        last = json_pack("{s:s, s:s?, s:s?, s:f}", "outcome", has_failed ? "failed" : "ok", "model",
                         has_failed ? NULL : s.last.model, "reason",
                         has_failed ? errbuf_text(&s.last.error, s.last.err) : NULL, "loaded_ms",
                         (double)s.last.load_us * 1e-3);
    }
    reply_json(x, 200,
               json_pack("{s:o, s:o, s:I, s:I}", "services", list, "last_load", last, "loaded", (json_int_t)s.n_loaded,
                         "failed", (json_int_t)s.n_failed));
}
