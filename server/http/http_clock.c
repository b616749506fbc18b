#include "server/http/http_private.h"

#include "engine/base/clock.h"

#include <stdio.h>

enum {
    PROXY_US = 5 * HTTP_SECOND_US,
    HANDSHAKE_US = 10 * HTTP_SECOND_US,
    SLICE_US = 1000,
    STALL_US = 4 * WHEEL_STEP_US /* a running loop looks at the clock more often */
};

/* ---- when ---- */

uint64_t http_now(struct http *h)
{
    uint64_t now = clock_us(), gone_us = now > h->seen_us ? now - h->seen_us : 0;
    if (h->is_ticking && gone_us > STALL_US) {
        h->lost_us += gone_us - WHEEL_STEP_US;
    }
    h->seen_us = now;
    return now - h->lost_us;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When n bytes since from_us are too few. */
static uint64_t rate_us(uint64_t from_us, uint64_t n, uint64_t rate)
{
    return rate ? from_us + HTTP_GRACE_US + n * HTTP_SECOND_US / rate : UINT64_MAX;
}

static uint64_t due_us(const struct http_connection *c)
{
    const struct http_options *o = &c->http->options;
    uint64_t upload_us = o->rates.upload_timeout_ms * 1000;
    switch (c->phase) {
    case HTTP_PROXY:
        return c->since_us + PROXY_US;
    case HTTP_HANDSHAKE:
        return c->since_us + HANDSHAKE_US;
    case HTTP_IDLE:
        return c->since_us +
               (c->http->is_draining ? lesser(o->idle_timeout_ms * 1000, HTTP_SECOND_US) : o->idle_timeout_ms * 1000);
    case HTTP_HEAD:
        return c->since_us + lesser(upload_us, o->idle_timeout_ms * 1000);
    case HTTP_BODY:
        return lesser(c->begun_us + upload_us, rate_us(c->since_us, c->n_bytes, o->rates.min_upload_rate));
    case HTTP_ANSWER:
        return c->out.n ? lesser(c->progress_us + o->send_timeout_ms * 1000,
                                 rate_us(c->blocked_us, c->n_bytes, o->rates.min_send_rate))
                        : UINT64_MAX;
    case HTTP_SWALLOW:
        return c->since_us + HTTP_SECOND_US;
    case HTTP_LINGER:
        return c->http->is_draining ? c->since_us + HTTP_SECOND_US
                                    : lesser(c->progress_us + HTTP_SECOND_US, c->since_us + HTTP_LINGER_US);
    default:
        return UINT64_MAX;
    }
}

/* Moving a time back is left to the moment when the earlier one comes: bytes move often. */
void http_clock_arm(struct http_connection *c)
{
    uint64_t due = due_us(c);
    if (due < wheel_due(&c->clock)) {
        wheel_set(&c->http->wheel, &c->clock, due);
    }
}

/* ---- what then ---- */

static void refuse_slow(struct http_connection *c, uint64_t now)
{
    char message[160];
    uint64_t limit_ms = c->http->options.rates.upload_timeout_ms;
    if (c->phase == HTTP_BODY && now < c->begun_us + limit_ms * 1000) {
        snprintf(message, sizeof(message), "the body came slower than server.min_upload_rate, %llu bytes a second",
                 (unsigned long long)c->http->options.rates.min_upload_rate);
    } else {
        limit_ms = c->phase == HTTP_HEAD ? lesser(limit_ms, c->http->options.idle_timeout_ms) : limit_ms;
        snprintf(message, sizeof(message), "the request had not arrived whole after %llu ms",
                 (unsigned long long)limit_ms);
    }
    http_request_refuse(c, REFUSAL_SLOW, message);
}

static void run_out(struct http_connection *c, uint64_t now)
{
    switch (c->phase) {
    case HTTP_HEAD:
    case HTTP_BODY:
        refuse_slow(c, now);
        break;
    case HTTP_ANSWER:
        http_front_lose(c);
        break;
    case HTTP_PROXY:
        c->http->stats.failed_proxy_headers++;
        http_front_end(c);
        break;
    case HTTP_HANDSHAKE:
        c->http->stats.failed_handshakes++;
        http_front_end(c);
        break;
    default:
        http_front_end(c);
    }
}

/* A crowd whose time has run out at once goes in pieces, for the sake of the others. */
static void on_tick(void *user)
{
    struct http *h = user;
    uint64_t now = http_now(h), until_us = clock_us() + SLICE_US;
    struct wheel_entry *e;
    h->is_behind = false;
    while (!h->is_behind && (e = wheel_pop_due(&h->wheel, now)) != NULL) {
        struct http_connection *c = (struct http_connection *)e;
        if (due_us(c) > now) {
            http_clock_arm(c);
        } else {
            run_out(c, now);
        }
        h->is_behind = clock_us() >= until_us;
    }
    http_accept_resume(h);
    h->is_ticking = false;
    http_clock_start(h);
}

void http_clock_start(struct http *h)
{
    if (!h->is_ticking && (h->stats.connections > 0 || h->is_paused)) {
        h->seen_us = clock_us();
        h->is_ticking = true;
        loop_timer_start(h->timer, h->is_behind ? SLICE_US : WHEEL_STEP_US);
    }
}

enum err http_clock_create(struct http *h)
{
    wheel_init(&h->wheel, clock_us());
    return loop_timer_create(&h->timer, h->loop, on_tick, h);
}
