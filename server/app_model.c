#include "engine/base/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/log.h"
#include "server/app.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- options ---- */

static void engine_options_of(const struct config *c, struct engine_options *o)
{
    engine_default_options(o);
    o->model_dir = c->model.dir;
    BUG_ON(!engine_find_precision(c->engine.precision, &o->precision));
    BUG_ON(!engine_find_isa(c->engine.isa, &o->isa_cap)); /* ISA_CHOICES is one list */
    o->use_openblas = c->engine.openblas;
    o->verify_hash = c->model.verify;
    o->engine_threads = c->engine.threads ? (int)c->engine.threads : o->engine_threads;
    o->decode_threads = c->engine.decode_threads ? (int)c->engine.decode_threads : o->decode_threads;
    o->split_threads = (int)c->engine.split_threads;
    o->max_jobs = (int)c->limits.requests;
    o->max_texts = (int)c->limits.texts;
    o->max_text_bytes = c->limits.text_bytes;
    o->input_slots = 2 * o->engine_threads + o->decode_threads;
    o->max_captions = c->engine.max_captions ? (int)c->engine.max_captions : 8 + 4 * o->engine_threads;
    o->max_step_rows = (int)c->engine.max_step_rows;
    o->max_image_batch = (int)c->engine.max_image_batch;
    o->nice = (int)c->engine.nice;
    o->batch_wait_us = (uint64_t)c->engine.batch_wait_us;
    o->continuous = strcmp(c->engine.batching, "continuous") == 0;
    o->cache_bytes = c->cache.bytes; /* a ceiling; on_outcome says what the plan leaves of it */
    o->max_pixels = (uint64_t)c->limits.pixels;
    o->max_progressive_pixels = (uint64_t)c->limits.progressive_pixels;
    o->fast_scaling = c->image.fast_scaling;
    if (strcmp(c->engine.batching, "off") == 0) {
        o->max_captions = 1;
        o->continuous = false;
    }
}

/* ---- what a loaded model must pass ---- */

static void log_plan(const struct plan *p)
{
    log_info("memory plan", LOG_UINT("limit_mb", p->limit >> 20), LOG_UINT("total_mb", p->total >> 20),
             LOG_UINT("process_mb", p->process >> 20), LOG_UINT("threads_mb", p->threads >> 20),
             LOG_UINT("engine_mb", p->engine >> 20), LOG_UINT("archive_mb", p->archive >> 20),
             LOG_UINT("spare_mb", p->spare >> 20), LOG_UINT("bodies_mb", p->bodies >> 20),
             LOG_UINT("parsing_mb", p->parsing >> 20), LOG_UINT("decoding_mb", p->decoding >> 20),
             LOG_UINT("results_mb", p->results >> 20), LOG_UINT("answers_mb", p->answers >> 20),
             LOG_UINT("streams_mb", p->streams >> 20), LOG_UINT("collections_mb", p->collections >> 20),
             LOG_UINT("connections_mb", p->connections >> 20), LOG_UINT("cache_mb", p->cache >> 20),
             LOG_BOOL("tight", p->is_tight));
}

static enum err make_plan(struct app *a, const struct service *fresh, struct errbuf *e)
{
    struct cpu_memory memory;
    struct ledger_limits limits;
    cpu_memory("", &memory);
    uint64_t limit = a->config.limits.memory_bytes ? a->config.limits.memory_bytes : memory.limit_bytes;
    uint64_t archive = a->config.collections.path[0] ? archive_own_bytes() : 0;
    enum err rc = plan_make(&a->plan, &a->config, &fresh->info, archive, limit, e);
    if (!rc) {
        plan_ledger_limits(&a->plan, &limits);
        ledger_set_limits(&a->ledger, &limits);
        http_set_memory(a->http, a->plan.connections - (a->admin ? PLAN_ADMIN_BYTES : 0));
        if (a->admin) {
            http_set_memory(a->admin, PLAN_ADMIN_BYTES);
        }
        log_plan(&a->plan);
    }
    return rc;
}

static void wake(void *user)
{
    loop_wake(user);
}

static enum err open_archive(struct app *a, struct errbuf *e)
{
    const struct archive_options o = {.path = a->config.collections.path, .wake = wake, .user = a->loop};
    if (!a->config.collections.path[0] || a->api.archive) {
        return OK;
    }
    return archive_open(&a->api.archive, &o, e);
}

static enum err accept(void *user, const struct service *fresh, struct errbuf *e)
{
    struct app *a = user;
    enum err rc = make_plan(a, fresh, e);
    return rc ? rc : open_archive(a, e);
}

/* For whoever has just started it: where to look, and a line to try. */
static void log_invitation(const struct app *a)
{
    static const char photo[] = "docs/photos/cat.jpg";
    const struct config *c = &a->config;
    const char *host = c->server.host;
    char root[3 * CONFIG_TEXT_MAX], curl[5 * CONFIG_TEXT_MAX];
    int n = (int)strcspn(host, " ,"); /* the first of several */
    bool is_near = (n == 7 && memcmp(host, "0.0.0.0", 7) == 0) || (n == 9 && memcmp(host, "127.0.0.1", 9) == 0) ||
                   (n == 2 && memcmp(host, "::", 2) == 0);
    bool is_six = !is_near && memchr(host, ':', (size_t)n);
    bool has_port = http_port(a->http) > 0;
    if (has_port) {
        snprintf(root, sizeof(root), "%s://%s%.*s%s:%d%s/", c->server.tls_certificate[0] ? "https" : "http",
                 is_six ? "[" : "", is_near ? 9 : n, is_near ? "localhost" : host, is_six ? "]" : "",
                 http_port(a->http), c->server.prefix);
    } else {
        snprintf(root, sizeof(root), "http://localhost%s/", c->server.prefix);
    }
    snprintf(curl, sizeof(curl), "curl%s%s%s --data-binary @%s %scaption", has_port ? "" : " --unix-socket ",
             has_port ? "" : c->server.socket, a->auth.keys ? " -H \"Authorization: Bearer KEY\"" : "",
             access(photo, R_OK) == 0 ? photo : "photo.jpg", root);
    log_info("try it", LOG_STR("open", c->server.page && has_port ? root : NULL), LOG_STR("run", curl));
}

static void on_outcome(void *user, const struct services_outcome *o)
{
    struct app *a = user;
    bool is_first = a->api.admission.state == ADMISSION_LOADING;
    if (o->err) {
        log_error("model not loaded", LOG_STR("model_dir", a->config.model.dir), LOG_STR("code", err_slug(o->err)),
                  LOG_STR("reason", errbuf_text(&o->error, o->err)));
        if (is_first) {
            a->exit_code = 1;
            loop_stop(a->loop);
        }
        return;
    }
    const struct service *serving = services_current(a->api.desk.services);
    const struct engine_info *i = &serving->info;
    engine_limit(serving->engine, a->plan.cache, a->plan.decoding);
    gate_set_engine(a->api.desk.gate, i);
    app_learn(a, clock_us()); /* what the self-test has cost */
    if (is_first) {
        a->api.admission.state = ADMISSION_OPEN;
    }
    log_info("ready", LOG_STR("model", i->model_name), LOG_STR("model_version", i->model_version),
             LOG_STR("isa", i->isa), LOG_STR("gemm", i->gemm), LOG_INT("engine_threads", i->engine_threads),
             LOG_INT("decode_threads", i->decode_threads), LOG_UINT("memory_mb", i->memory_bytes >> 20),
             LOG_UINT("planned_mb", a->plan.total >> 20), LOG_UINT("limit_mb", a->plan.limit >> 20),
             LOG_UINT("start_ms", (clock_us() - a->api.started_us) / 1000));
    if (is_first) {
        log_invitation(a);
    }
}

/* ---- the interface ---- */

enum err app_model_open(struct app *a, struct errbuf *e)
{
    const struct gate_options gate = {.max_jobs = (int)a->config.limits.requests, .ledger = &a->ledger};
    const struct services_options services = {.loop = a->loop,
                                              .side = a->api.desk.side,
                                              .ledger = &a->ledger,
                                              .user = a,
                                              .accept = accept,
                                              .on_outcome = on_outcome};
    struct ledger_limits none = {.total = UINT64_MAX};
    for (int i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        none.account[i] = UINT64_MAX;
    }
    ledger_init(&a->ledger, &none);
    enum err rc = gate_create(&a->api.desk.gate, &gate);
    rc = rc ? rc : services_create(&a->api.desk.services, &services);
    return rc ? err_set(e, rc, "out of memory") : OK;
}

enum err app_model_load(struct app *a, struct errbuf *e)
{
    struct engine_options o;
    engine_options_of(&a->config, &o);
    return services_load(a->api.desk.services, &o, e);
}
