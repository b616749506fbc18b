/* Signals: leaving in time whatever clients do, and new values of the configuration. */
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/app.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { POLL_US = 10000, LAST_US = 500000, LAST_LINES_MS = 300 };

static void enter_drain(struct app *a, uint64_t now)
{
    a->api.admission.state = ADMISSION_DRAINING;
    a->drain_until_us = now + (uint64_t)a->config.drain.timeout_ms * 1000;
    http_quiesce(a->http);
    if (a->admin) {
        http_quiesce(a->admin);
    }
    log_info("draining", LOG_INT("in_flight", a->api.desk.n), LOG_INT("timeout_ms", a->config.drain.timeout_ms));
}

/* Some clients are still reading their last answer, or sending what nobody wants any more; that has a clock. */
static bool has_last_words(const struct app *a)
{
    struct http_stats s;
    http_stats(a->http, &s);
    return s.phases[HTTP_ANSWER] + s.phases[HTTP_LINGER] > 0;
}

/* Who has not been answered is told so. */
static void cut(struct app *a)
{
    static const char message[] = "the service is shutting down, and the request had not arrived whole";
    work_cut_all(&a->api.desk);
    http_refuse_unfinished(a->http, message);
    if (a->admin) {
        http_refuse_unfinished(a->admin, message);
    }
    app_pump(a);
}

/* Nothing in flight any more, or out of time. */
void app_drain_on_timer(void *user)
{
    struct app *a = user;
    uint64_t now = clock_us();
    if (a->api.admission.state != ADMISSION_DRAINING) {
        enter_drain(a, now);
    }
    bool is_over = a->n_live == 0 && a->api.desk.n == 0 && !has_last_words(a);
    if (is_over || (a->is_cut && now >= a->drain_until_us)) {
        loop_stop(a->loop);
        return;
    }
    if (!a->is_cut && now >= a->drain_until_us) {
        log_warn("cutting off", LOG_INT("in_flight", a->api.desk.n), LOG_INT("connections", http_connections(a->http)));
        a->is_cut = true;
        a->drain_until_us = now + LAST_US; /* for the last answers to go out */
    }
    if (a->is_cut) { /* again and again: a body may become whole after the first time */
        cut(a);
    }
    loop_timer_start(a->drain, POLL_US);
}

void app_drain_on_stop(void *user, int signal_number)
{
    struct app *a = user;
    if (a->api.is_leaving) {
        log_warn("second signal, leaving at once", LOG_INT("signal", signal_number));
        log_flush(LAST_LINES_MS);
        _exit(128 + signal_number);
    }
    a->api.is_leaving = true;
    if (a->api.admission.state == ADMISSION_LOADING) {
        log_info("stopping while loading", LOG_INT("signal", signal_number));
        loop_stop(a->loop);
        return;
    }
    log_info("stopping", LOG_INT("signal", signal_number), LOG_INT("delay_ms", a->config.drain.delay_ms));
    http_drain(a->http);
    if (a->admin) {
        http_drain(a->admin);
    }
    loop_timer_start(a->drain, (uint64_t)a->config.drain.delay_ms * 1000);
}

/* ---- SIGHUP ---- */

struct http_rates app_drain_rates(const struct config *c)
{
    return (struct http_rates){.upload_timeout_ms = (uint64_t)c->server.upload_timeout_ms,
                               .min_upload_rate = c->server.min_upload_rate,
                               .min_send_rate = c->server.min_send_rate};
}

static void apply_config(struct app *a, const struct config *fresh, struct buf *ignored)
{
    enum log_level level;
    config_merge_reload(&a->config, fresh, ignored);
    const struct http_rates rates = app_drain_rates(&a->config);
    http_set_rates(a->http, &rates);
    if (a->admin) {
        http_set_rates(a->admin, &rates);
    }
    if (log_level_parse(a->config.log.level, &level)) {
        log_set_level(level);
    }
    log_set_request_rate((unsigned)a->config.log.requests_per_second);
}

void app_drain_on_hangup(void *user, int signal_number)
{
    struct app *a = user;
    struct config fresh;
    struct config_request request;
    struct buf text;
    struct auth auth = {.keys = NULL};
    struct tls tls = {.certificate = NULL};
    struct networks trusted;
    struct errbuf e;
    (void)signal_number;
    buf_init(&text, 65536);
    errbuf_clear(&e);
    if (config_load(&fresh, &request, a->argc, a->argv, a->environ, &text)) {
        log_error("configuration not reloaded", LOG_STR("reason", text.bytes ? text.bytes : "out of memory"));
    } else if (address_networks_parse(&trusted, fresh.server.trusted_proxies, "server.trusted_proxies", &e) ||
               auth_load(&auth, fresh.auth.keys_file, &a->auth, &e) || tls_load(&tls, &a->config, &e) ||
               (tls.key && http_set_certificate(a->http, tls.certificate, tls.key, &e))) {
        log_error("configuration not reloaded", LOG_STR("reason", errbuf_text(&e, ERR_BAD_CONFIG)));
        auth_release(&auth);
        tls_release(&tls);
    } else {
        buf_reset(&text);
        apply_config(a, &fresh, &text);
        auth_release(&a->auth);
        tls_release(&a->tls);
        a->auth = auth;
        a->tls = tls;
        a->trusted = trusted;
        log_info("configuration reloaded", LOG_INT("keys", a->auth.n_keys),
                 LOG_STR("needs_restart", text.n ? text.bytes : NULL));
    }
    buf_release(&text);
}
