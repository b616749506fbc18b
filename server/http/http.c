#include "server/http/http_private.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/http/tls.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { SLICE_US = 700, LATER_EVERY = 5, CONNECTION_DESCRIPTORS = 3 };

/* ---- the turn ---- */

void http_touch(struct http_connection *c)
{
    if (!c->is_touched) {
        c->is_touched = true;
        c->next_touched = c->http->touched;
        c->http->touched = c;
    }
}

static struct http_list *list_of(struct http_connection *c)
{
    return c->is_later ? &c->http->later : &c->http->work;
}

void http_list_work(struct http_connection *c)
{
    if (c->is_working || c->is_over) {
        return;
    }
    c->is_working = true;
    c->is_later = c->is_refusable || c->is_lost || c->ready & LOOP_HANGUP || c->phase == HTTP_LINGER ||
                  (c->phase == HTTP_IDLE && c->in.n > 0) || c->peer->n_in_line >= HTTP_IN_LINE;
    c->peer->n_in_line += !c->is_later;
    struct http_list *l = list_of(c);
    c->by_work = (struct http_link){l->last, NULL};
    *(l->last ? &l->last->by_work.next : &l->first) = c;
    l->last = c;
    l->n++;
}

void http_unlist_work(struct http_connection *c)
{
    struct http_list *l = list_of(c);
    if (!c->is_working) {
        return;
    }
    c->is_working = false;
    c->peer->n_in_line -= !c->is_later;
    *(c->by_work.previous ? &c->by_work.previous->by_work.next : &l->first) = c->by_work.next;
    *(c->by_work.next ? &c->by_work.next->by_work.previous : &l->last) = c->by_work.previous;
    l->n--;
}

/* What was touched: its answer goes on, its watches and its account are put right. After until_us answers wait for
 * their place in line. */
static void settle(struct http *h, uint64_t until_us)
{
    while (h->touched) {
        struct http_connection *c = h->touched;
        h->touched = c->next_touched;
        c->is_touched = false;
        if (http_request_is_answered(c)) {
            if (clock_us() < until_us) {
                http_request_answer(c);
            } else {
                http_list_work(c);
            }
        }
        if (!c->is_over && c->inner && c->is_queued && c->out.n == 0) {
            if (clock_us() < until_us) {
                http_inner_move(c);
            } else {
                c->inner->is_ready = true;
                http_list_work(c);
            }
        }
        if (c->is_touched) { /* its turn comes again */
            continue;
        }
        if (c->is_over) {
            mem_free(c);
        } else {
            http_front_settle(c);
        }
    }
}

void http_turn(struct http *h, uint64_t until_us)
{
    if (h->must_run) {
        http_inner_run(h);
    }
    settle(h, until_us);
}

/* Of those that can wait one behind four others. */
static struct http_connection *next_in_line(struct http *h, int i)
{
    bool is_later = h->later.first && (!h->work.first || i % LATER_EVERY == LATER_EVERY - 1);
    return is_later ? h->later.first : h->work.first;
}

/* Each in turn, for a bounded time and number: what comes in between must not wait longer. */
static void serve_work(struct http *h, uint64_t until_us)
{
    struct http_connection *c;
    for (int i = 0, n = h->work.n + h->later.n; i < n && (c = next_in_line(h, i)) != NULL; i++) {
        http_unlist_work(c);
        http_front_serve(c);
        if (h->n_begun >= HTTP_BEGUN_MAX) {
            http_turn(h, until_us);
        }
        if (h->n_requests >= HTTP_TURN_MAX || clock_us() >= until_us) {
            break;
        }
    }
}

static void begin_turn(struct http *h)
{
    h->stats.max_a_turn = h->n_requests > h->stats.max_a_turn ? h->n_requests : h->stats.max_a_turn;
    h->n_at_once = h->n_refused = h->n_requests = 0;
}

static bool on_turn(void *user)
{
    struct http *h = user;
    uint64_t until_us = clock_us() + SLICE_US;
    serve_work(h, until_us);
    http_turn(h, until_us);
    begin_turn(h);
    return h->work.n > 0 || h->later.n > 0 || h->must_run;
}

/* ---- opening and closing ---- */

uint64_t http_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        return 0;
    }
    rlim_t was = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) ? was : limit.rlim_cur;
}

/* An active connection takes its socket and a pair, one that lingers its socket; some are left for files, logs and the
 * database. */
static void lower_limit(struct http_options *o)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        return;
    }
    rlim_t others = limit.rlim_cur / 4 < 256 ? limit.rlim_cur / 4 : 256, left = limit.rlim_cur - others;
    rlim_t each =
        CONNECTION_DESCRIPTORS * HTTP_LINGERING_PART + 1; /* for this many counted connections and one that lingers */
    rlim_t max = left > HTTP_LINGERING_MIN ? (left - HTTP_LINGERING_MIN) * HTTP_LINGERING_PART / each : 1;
    if ((rlim_t)o->max_connections > max) {
        log_warn("fewer connections than configured: descriptors are short", LOG_INT("configured", o->max_connections),
                 LOG_UINT("connections", max), LOG_UINT("descriptors", limit.rlim_cur));
        o->max_connections = (int)max;
    }
}

enum err http_open(struct http **out, struct loop *l, const struct http_options *options,
                   const struct http_handler *handler, struct errbuf *e)
{
    struct http *h;
    enum err rc = mem_alloc(&h, sizeof(*h));
    *out = NULL;
    if (rc) {
        return rc;
    }
    h->loop = l;
    h->options = *options;
    h->handler = *handler;
    h->port = h->spare = -1;
    h->max_held_bytes = SIZE_MAX;
    lower_limit(&h->options);
    if (options->tls_key) {
        rc = tls_identity_create(&h->identity, options->tls_certificate, options->tls_key, e);
    }
    h->options.tls_certificate = h->options.tls_key = NULL;
    rc = rc ? rc : http_clock_create(h);
    rc = rc ? rc : http_inner_start(h, e);
    rc = rc ? rc : loop_turn_create(&h->turn, l, on_turn, h);
    rc = rc ? rc : http_accept_open(h, e);
    if (rc) {
        http_close(h);
        return rc;
    }
    *out = h;
    return OK;
}

void http_close(struct http *h)
{
    if (!h) {
        return;
    }
    http_accept_close(h);
    http_abort(h);
    settle(h, 0);
    http_inner_stop(h);
    loop_watch_destroy(h->daemon_watch);
    loop_turn_destroy(h->turn);
    if (h->timer) {
        loop_timer_stop(h->timer);
    }
    tls_identity_drop(h->identity);
    mem_free(h);
}

int http_port(const struct http *h)
{
    return h->port;
}

enum err http_set_certificate(struct http *h, const char *certificate, const char *key, struct errbuf *e)
{
    struct tls_identity *fresh;
    enum err rc = tls_identity_create(&fresh, certificate, key, e);
    if (!rc) {
        tls_identity_drop(h->identity);
        h->identity = fresh;
    }
    return rc;
}

void http_set_rates(struct http *h, const struct http_rates *rates)
{
    h->options.rates = *rates;
    for (int p = HTTP_HEAD; p <= HTTP_ANSWER; p++) {
        for (struct http_connection *c = h->phases[p].first; c; c = c->by_phase.next) {
            http_clock_arm(c);
        }
    }
}

void http_set_memory(struct http *h, size_t n_bytes)
{
    h->max_held_bytes = n_bytes;
}

/* ---- leaving ---- */

void http_drain(struct http *h)
{
    h->is_draining = true;
    for (struct http_connection *c = h->phases[HTTP_IDLE].first; c; c = c->by_phase.next) {
        c->since_us = http_now(h);
        http_clock_arm(c);
    }
    for (struct http_connection *c = h->phases[HTTP_LINGER].first; c; c = c->by_phase.next) {
        http_clock_arm(c);
    }
}

bool http_has_bytes(const struct http_connection *c)
{
    char byte;
    return c->in.n > 0 || recv(c->wire.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void http_quiesce(struct http *h)
{
    h->is_quiet = true;
    h->is_draining = true;
    http_accept_close(h);
    for (struct http_connection *c = h->phases[HTTP_IDLE].first, *next; c; c = next) {
        next = c->by_phase.next;
        if (!http_has_bytes(c)) {
            http_front_end(c);
        }
    }
}

void http_refuse_unfinished(struct http *h, const char *message)
{
    static const enum http_phase phases[] = {HTTP_HEAD, HTTP_BODY};
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        while (h->phases[phases[i]].first) {
            http_request_refuse(h->phases[phases[i]].first, REFUSAL_DRAINING, message);
        }
    }
}

void http_abort(struct http *h)
{
    h->is_draining = true;
    for (int p = 0; p < HTTP_PHASE_COUNT; p++) {
        while (h->phases[p].first) {
            http_front_lose(h->phases[p].first);
        }
    }
    if (h->daemon) {
        http_inner_run(h);
    }
}

/* ---- exchanges ---- */

void http_ready(struct exchange *x)
{
    struct http_connection *c = x->connection;
    if (c->inner && c->inner->is_suspended) {
        c->inner->is_suspended = false;
        c->http->must_run = true;
        MHD_resume_connection(c->inner->mhd);
    } else if (!c->inner) {
        http_touch(c);
    }
}

void http_cut(struct exchange *x)
{
    if (x->phase == PHASE_BODY) {
        http_answer_directly(x->connection, true);
    } else {
        http_ready(x);
    }
}

struct exchange *http_most_stalled(struct http *h, uint64_t *stalled_us)
{
    const struct http_connection *c = h->phases[HTTP_BODY].first;
    if (!c) {
        return NULL;
    }
    *stalled_us = http_now(h) - c->progress_us;
    return c->exchange;
}

struct exchange *http_slowest_reader(struct http *h, uint64_t *taking_us)
{
    struct http_connection *c = h->phases[HTTP_ANSWER].first;
    while (c && (c->out.n == 0 || c->exchange->is_streaming)) {
        c = c->by_phase.next;
    }
    if (!c) {
        return NULL;
    }
    *taking_us = http_now(h) - c->since_us;
    return c->exchange;
}

void http_drop(struct exchange *x)
{
    http_front_lose(x->connection);
}

/* ---- figures ---- */

void http_stats(const struct http *h, struct http_stats *out)
{
    *out = h->stats;
    out->max_connections = h->options.max_connections;
    for (int p = 0; p < HTTP_PHASE_COUNT; p++) {
        out->phases[p] = h->phases[p].n;
    }
}

int http_connections(const struct http *h)
{
    return h->stats.connections;
}
