#include "server/app.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/thread.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SWEEP_US = 50000,
    IDLE_SWEEP_US = 500000,
    SLICE_US = 1000,
    LEARN_US = 100000,
    LOAD_AVERAGE_S = 60,
    LAST_LINES_MS = 300
};

/* ---- what the loop calls ---- */

void app_pump(struct app *a)
{
    work_pump(&a->api.desk);
}

/* Continues what has come back, only some of it if it is a lot; returns the archive's next deadline. */
static uint64_t reap(struct app *a, uint64_t now)
{
    side_reap(a->api.desk.side); /* slots come back there too, for those who wait in line */
    services_reap(a->api.desk.services, now + SLICE_US);
    uint64_t next_us = a->api.archive ? archive_reap(a->api.archive, now) : UINT64_MAX;
    app_pump(a);
    return next_us;
}

void app_learn(struct app *a, uint64_t now)
{
    struct engine_stats s;
    const struct service *serving = services_current(a->api.desk.services);
    if (serving) {
        double passed_s = a->learned_us ? (double)(now - a->learned_us) * 1e-6 : 0;
        a->learned_us = now;
        engine_stats(serving->engine, &s);
        a->api.load_1m += (s.load_ratio - a->api.load_1m) * (1 - exp(-passed_s / LOAD_AVERAGE_S));
        a->api.engine_moved_us = s.heartbeat_us;
        gate_learn(a->api.desk.gate, now, &s);
        ledger_mirror(&a->ledger, LEDGER_DECODING, s.decode_bytes, s.decode_peak_bytes);
        ledger_mirror(&a->ledger, LEDGER_CACHES, s.cache_bytes, s.cache_bytes);
    }
    struct http_stats clients, admin = {.connections = 0};
    http_stats(a->http, &clients);
    if (a->admin) {
        http_stats(a->admin, &admin);
    }
    ledger_mirror(&a->ledger, LEDGER_CONNECTIONS, clients.held_bytes + admin.held_bytes,
                  clients.held_peak_bytes + admin.held_peak_bytes);
}

static void on_wake(void *user)
{
    struct app *a = user;
    uint64_t next_us = reap(a, clock_us());
    if (next_us != UINT64_MAX) {
        app_tick_by(a, next_us);
    }
}

static bool on_clearing(void *user)
{
    struct app *a = user;
    return work_clear(&a->api.desk, false);
}

static void on_tick(void *user)
{
    struct app *a = user;
    uint64_t now = clock_us(), wait_us = a->n_live > 0 || a->api.desk.n > 0 ? SWEEP_US : IDLE_SWEEP_US;
    uint64_t deadline_us = work_sweep(&a->api.desk, now);
    if (now - a->learned_us >= LEARN_US) {
        app_learn(a, now);
    }
    uint64_t next_us = reap(a, now);
    wait_us = deadline_us < wait_us ? deadline_us : wait_us;
    a->tick_at_us = UINT64_MAX;
    app_tick_by(a, next_us < now + wait_us ? next_us : now + wait_us);
}

void app_tick_by(struct app *a, uint64_t at_us)
{
    uint64_t now = clock_us();
    if (at_us < a->tick_at_us) {
        a->tick_at_us = at_us;
        loop_timer_start(a->tick, at_us > now ? at_us - now : 0);
    }
}

/* ---- start ---- */

static enum err open_listeners(struct app *a, struct errbuf *e)
{
    struct http_handler handler = app_exchange_handler;
    struct http_options o = {
        .host = a->config.server.host,
        .port = (int)a->config.server.port,
        .socket = a->config.server.socket,
        .socket_mode = (unsigned)strtoul(a->config.server.socket_mode, NULL, 8),
        .trusted = &a->trusted,
        .has_proxy_header = a->config.server.proxy_protocol,
        .max_connections = (int)a->config.server.max_connections,
        .max_connections_per_address = (int)a->config.server.max_connections_per_address,
        .idle_timeout_ms = (uint64_t)a->config.server.idle_timeout_ms,
        .send_timeout_ms = (uint64_t)a->config.server.send_timeout_ms,
        .rates = app_drain_rates(&a->config),
        .max_header_bytes = a->config.server.max_header_bytes,
        .tls_certificate = a->tls.certificate,
        .tls_key = a->tls.key,
    };
    handler.user = a;
    enum err rc = http_open(&a->http, a->loop, &o, &handler, e);
    if (!rc && a->config.server.admin_port >= 0) {
        o.is_admin = true;
        o.socket = "";
        o.has_proxy_header = false;
        o.tls_certificate = o.tls_key = NULL;
        o.host = a->config.server.admin_host;
        o.port = (int)a->config.server.admin_port;
        o.max_connections = 64;
        o.max_connections_per_address = 0;
        rc = http_open(&a->admin, a->loop, &o, &handler, e);
    }
    a->api.http = a->http;
    a->api.admin = a->admin;
    a->api.admission.has_admin_port = a->admin != NULL;
    return rc;
}

static enum err reload(void *user, struct errbuf *e)
{
    struct app *a = user;
    if (a->api.is_leaving || a->api.admission.state != ADMISSION_OPEN) {
        return err_set(e, ERR_OVERLOADED, "%s",
                       a->api.is_leaving ? "the service is shutting down"
                                         : "a model is being loaded already; try again when it is done");
    }
    return app_model_load(a, e);
}

/* Ties the parts together; they point at each other and live as long as the application. */
static void connect_parts(struct app *a)
{
    struct api *p = &a->api;
    p->config = &a->config;
    p->desk.config = &a->config;
    p->desk.loop = a->loop;
    p->desk.ledger = &a->ledger;
    p->desk.user = a;
    p->desk.make_room = app_exchange_make_room;
    p->plan = &a->plan;
    p->loading_step = "loading the model";
    p->user = a;
    p->reload = reload;
    p->admission.config = &a->config;
    p->admission.auth = &a->auth;
    p->admission.routes = &api_routes;
    metrics_begin(&p->metrics, &api_routes);
    p->admission.gate = p->desk.gate;
}

/* What the process needs before it is bound: the loop, its clocks and signals, and the sockets. */
static enum err open_loop(struct app *a, struct errbuf *e)
{
    enum err rc = address_networks_parse(&a->trusted, a->config.server.trusted_proxies, "server.trusted_proxies", e);
    rc = rc ? rc : auth_load(&a->auth, a->config.auth.keys_file, NULL, e);
    rc = rc ? rc : tls_load(&a->tls, &a->config, e);
    rc = rc ? rc : history_create(&a->api.history);
    rc = rc ? rc : loop_create(&a->loop, e);
    if (!rc) {
        loop_on_wake(a->loop, on_wake, a);
    }
    rc = rc ? rc : loop_timer_create(&a->tick, a->loop, on_tick, a);
    rc = rc ? rc : loop_turn_create(&a->clearing, a->loop, on_clearing, a);
    rc = rc ? rc : loop_timer_create(&a->drain, a->loop, app_drain_on_timer, a);
    rc = rc ? rc : loop_signal(a->loop, SIGTERM, app_drain_on_stop, a);
    rc = rc ? rc : loop_signal(a->loop, SIGINT, app_drain_on_stop, a);
    rc = rc ? rc : loop_signal(a->loop, SIGHUP, app_drain_on_hangup, a);
    return rc ? rc : open_listeners(a, e);
}

/* Before any thread is started: what binds the process binds those that come after it. */
static enum err bind_process(struct app *a, struct errbuf *e)
{
    const struct config *c = &a->config;
    const struct sandbox_options o = {
        .is_required = strcmp(c->server.sandbox, "require") == 0,
        .read = c->server.sandbox_read,
        .read_too = {c->model.dir, c->auth.keys_file, c->server.tls_certificate, c->server.tls_key, a->config_file},
        .write = {c->collections.path, c->server.socket},
    };
    struct sandbox_state *s = &a->sandbox;
    a->api.sandbox = s;
    enum err rc = OK;
    if (strcmp(c->server.sandbox, "off") == 0) {
        snprintf(s->missing, sizeof(s->missing), "server.sandbox=off");
    } else {
        rc = sandbox_close(&o, s, e);
    }
    if (!rc) {
        log_info("sandbox", LOG_BOOL("system_calls", s->has_calls), LOG_BOOL("files", s->has_files),
                 LOG_BOOL("privileges", s->has_privileges), LOG_INT("landlock_abi", s->landlock_abi),
                 LOG_STR("missing", s->missing[0] ? s->missing : NULL));
    }
    return rc;
}

static enum err open_parts(struct app *a, struct errbuf *e)
{
    if (log_start()) {
        log_warn("no thread for the log: a reader that stalls holds the service up");
    }
    enum err rc = side_open(&a->api.desk.side, a->loop, (int)a->config.engine.nice, e);
    rc = rc ? rc : app_model_open(a, e);
    if (!rc) {
        connect_parts(a);
    }
    return rc;
}

static enum err start(struct app *a, struct errbuf *e)
{
    http_raise_descriptor_limit();
    a->api.started_us = clock_us();
    enum err rc = open_loop(a, e);
    rc = rc ? rc : bind_process(a, e);
    rc = rc ? rc : open_parts(a, e);
    if (!rc) {
        log_info("listening", LOG_STR("host", a->config.server.host), LOG_INT("port", http_port(a->http)),
                 LOG_INT("admin_port", a->admin ? http_port(a->admin) : -1), LOG_STR("model_dir", a->config.model.dir));
        a->tick_at_us = UINT64_MAX;
        app_tick_by(a, 0);
        rc = app_model_load(a, e);
    }
    return rc;
}

/* ---- end ---- */

/* Exchanges first, so that all work is abandoned; then what was handed out comes back; then its owners go. False:
 * they cannot, a load does not end. */
static bool stop(struct app *a)
{
    struct desk *d = &a->api.desk;
    if (a->http) {
        http_abort(a->http);
    }
    if (a->admin) {
        http_abort(a->admin);
    }
    bool is_closable = !d->services || services_drain(d->services);
    archive_close(a->api.archive);
    side_close(d->side);
    work_clear(d, true);
    BUG_ON(d->n > 0);
    if (!is_closable) { /* everybody has been answered; a model is still being read that nobody wants */
        return false;
    }
    http_close(a->http);
    http_close(a->admin);
    services_destroy(d->services);
    gate_destroy(d->gate);
    loop_turn_destroy(a->clearing);
    loop_destroy(a->loop);
    history_destroy(a->api.history);
    auth_release(&a->auth);
    tls_release(&a->tls);
    return true;
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
        thread_answer_promptly();
        loop_run(a->loop);
    }
    bool is_closed = stop(a);
    log_info("stopped", LOG_INT("exit_code", a->exit_code));
    if (!is_closed) {
        log_flush(LAST_LINES_MS);
        _exit(a->exit_code);
    }
    return a->exit_code;
}
