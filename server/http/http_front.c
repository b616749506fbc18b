/* The client's side of a connection: its phases, its bytes, its end. */
#include "server/http/http_private.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_US = 300, AT_ONCE_US = 500 };

static void on_client(void *user, int events);

/* ---- phases ---- */

static void unlist(struct http_connection *c)
{
    struct http_list *l = &c->http->phases[c->phase];
    *(c->by_phase.previous ? &c->by_phase.previous->by_phase.next : &l->first) = c->by_phase.next;
    *(c->by_phase.next ? &c->by_phase.next->by_phase.previous : &l->last) = c->by_phase.previous;
    l->n--;
}

static void enlist(struct http_connection *c)
{
    struct http_list *l = &c->http->phases[c->phase];
    c->by_phase = (struct http_link){l->last, NULL};
    *(l->last ? &l->last->by_phase.next : &l->first) = c;
    l->last = c;
    l->n++;
}

void http_front_enter(struct http_connection *c, enum http_phase p)
{
    unlist(c);
    c->phase = p;
    c->is_refusable = false;
    enlist(c);
    c->since_us = c->progress_us = http_now(c->http);
    c->n_bytes = 0;
    http_clock_arm(c);
    http_touch(c);
}

void http_front_progress(struct http_connection *c, size_t n)
{
    unlist(c);
    enlist(c);
    c->progress_us = http_now(c->http);
    c->n_bytes += n;
}

/* ---- beginning and end ---- */

void http_front_reset_in(struct http_connection *c)
{
    buf_init(&c->in, c->http->options.max_header_bytes + 2 * HTTP_PIECE);
}

static enum http_phase first_phase(const struct http_connection *c)
{
    return c->http->identity ? HTTP_HANDSHAKE : HTTP_IDLE;
}

void http_front_begin(struct http_connection *c)
{
    http_front_enter(c, first_phase(c));
}

struct http_connection *http_front_create(struct http *h, int fd, const struct address *address, struct peer *peer)
{
    struct http_connection *c;
    if (mem_alloc(&c, sizeof(*c))) {
        close(fd);
        peers_drop(&h->peers, peer);
        return NULL;
    }
    c->http = h;
    if (wire_open(&c->wire, fd, h->identity) || loop_watch_create(&c->watch, h->loop, fd, on_client, c)) {
        wire_close(&c->wire);
        peers_drop(&h->peers, peer);
        mem_free(c);
        return NULL;
    }
    c->peer = peer;
    c->address = *address;
    http_front_reset_in(c);
    buf_init(&c->to_inner, 4 * HTTP_PIECE);
    buf_init(&c->out, SIZE_MAX / 4);
    c->phase =
        h->options.has_proxy_header && address_networks_have(h->options.trusted, address) ? HTTP_PROXY : first_phase(c);
    c->since_us = c->progress_us = http_now(h);
    h->stats.connections++;
    enlist(c);
    http_clock_arm(c);
    http_clock_start(h);
    http_touch(c);
    return c;
}

void http_front_end(struct http_connection *c)
{
    struct http *h = c->http;
    if (c->is_over) {
        return;
    }
    BUG_ON(c->exchange);
    c->is_over = true;
    http_inner_forsake(c);
    loop_watch_destroy(c->watch);
    c->watch = NULL;
    wire_close(&c->wire);
    wheel_remove(&c->clock);
    http_unlist_work(c);
    c->peer->held -= c->accounted;
    c->peer->n_over -= c->phase == HTTP_LINGER;
    peers_drop(&h->peers, c->peer);
    unlist(c);
    buf_release(&c->in);
    buf_release(&c->to_inner);
    buf_release(&c->out);
    h->stats.held_bytes -= c->accounted;
    h->stats.connections--;
    http_touch(c);
}

void http_front_lose(struct http_connection *c)
{
    struct exchange *x = c->exchange;
    const struct http_handler *handler = &c->http->handler;
    if (c->is_over) {
        return;
    }
    if (x) {
        bool is_worked_on = x->phase == PHASE_WORKING || (x->phase == PHASE_ANSWERED && x->is_streaming);
        c->exchange = NULL;
        http_inner_forsake(c);
        if (is_worked_on) {
            handler->on_gone(handler->user, x);
        }
        handler->on_end(handler->user, x, false);
        exchange_destroy(x);
    }
    http_front_end(c);
}

int http_max_lingering(const struct http *h)
{
    return HTTP_LINGERING_MIN + h->options.max_connections / HTTP_LINGERING_PART;
}

void http_front_linger(struct http_connection *c)
{
    struct http *h = c->http;
    if (c->has_ended) {
        http_front_end(c);
        return;
    }
    if (h->phases[HTTP_LINGER].n >= http_max_lingering(h)) {
        http_front_end(h->phases[HTTP_LINGER].first);
    }
    int unread = 4 * HTTP_PIECE; /* in the kernel, which frees it when we close: megabytes take a millisecond */
    setsockopt(c->wire.fd, SOL_SOCKET, SO_RCVBUF, &unread, sizeof(unread));
    wire_finish(&c->wire);
    buf_release(&c->in);
    http_front_enter(c, HTTP_LINGER);
    c->peer->n_over++;
}

/* ---- reading ---- */

static bool wants_bytes(const struct http_connection *c)
{
    switch (c->phase) {
    case HTTP_IDLE: /* the next request is here already */
        return !c->has_ended && c->in.n == 0;
    case HTTP_HEAD:
        return !c->has_ended && !c->is_refusable;
    case HTTP_PROXY:
    case HTTP_SWALLOW:
    case HTTP_LINGER:
        return !c->has_ended;
    case HTTP_BODY:
        return c->to_inner.n == 0 && !c->has_ended;
    default:
        return false;
    }
}

static size_t piece(const struct http_connection *c)
{
    if (c->phase == HTTP_LINGER || c->phase == HTTP_SWALLOW) {
        return HTTP_PIECE;
    }
    if (c->phase == HTTP_BODY && !c->exchange->is_chunked && c->body_left > HTTP_HEAD_PIECE) {
        return c->body_left < HTTP_PIECE ? (size_t)c->body_left : HTTP_PIECE;
    }
    return HTTP_HEAD_PIECE;
}

/* The client has ended its side. */
static void see_end(struct http_connection *c)
{
    c->has_ended = true;
    if (c->phase == HTTP_BODY || (c->phase == HTTP_HEAD && c->in.n > c->scan.start)) {
        http_request_refuse(c, REFUSAL_CUT_SHORT, "the client ended the connection before the request was whole");
    } else {
        http_front_end(c);
    }
}

static void read_once(struct http_connection *c)
{
    struct http *h = c->http;
    ssize_t n;
    if (c->phase == HTTP_PROXY) {
        c->ready &= ~LOOP_READABLE;
        http_proxy_read(c);
        return;
    }
    if (c->phase == HTTP_LINGER) { /* nobody wants these: not even decrypted */
        do {
            n = recv(c->wire.fd, h->scratch, sizeof(h->scratch), 0);
        } while (n < 0 && errno == EINTR);
        n = n >= 0 ? n : errno == EAGAIN ? WIRE_WAIT : WIRE_DEAD;
    } else {
        n = wire_read(&c->wire, h->scratch, piece(c));
    }
    c->ready &= ~LOOP_READABLE;
    if (n > 0) {
        http_request_read(c, h->scratch, (size_t)n);
        if (!c->is_over && c->phase != HTTP_LINGER && wire_has_pending(&c->wire)) {
            c->ready |= LOOP_READABLE;
        }
    } else if (n == 0) {
        see_end(c);
    } else if (n == WIRE_DEAD) {
        http_front_lose(c);
    }
}

/* ---- serving ---- */

static void shake_hands(struct http_connection *c)
{
    int rc = wire_handshake(&c->wire);
    c->ready = 0;
    if (rc == 1) {
        http_front_enter(c, HTTP_IDLE);
        c->ready = wire_has_pending(&c->wire) ? LOOP_READABLE : 0;
    } else if (rc == WIRE_DEAD) {
        c->http->stats.failed_handshakes++;
        http_front_end(c);
    }
}

/* The client will send no more: is it still there? */
static void see_hangup(struct http_connection *c)
{
    c->ready &= ~LOOP_HANGUP;
    if (!c->has_hung_up && (c->phase == HTTP_WORKING || c->phase == HTTP_ANSWER)) {
        c->has_hung_up = true;
        http_answer_probe(c);
    }
}

void http_front_serve(struct http_connection *c)
{
    if (c->is_lost) {
        http_front_lose(c);
    } else if (c->phase == HTTP_HANDSHAKE) {
        shake_hands(c);
    } else if (c->ready & LOOP_WRITABLE) {
        c->ready &= ~LOOP_WRITABLE;
        http_answer_flush(c);
    }
    if (!c->is_over && c->ready & LOOP_HANGUP) {
        see_hangup(c);
    }
    http_request_answer(c);
    if (!c->is_over && c->inner && c->to_inner.n) {
        http_inner_flush(c);
    }
    if (!c->is_over && c->inner && c->out.n == 0 && c->inner->is_ready) {
        c->inner->is_ready = false;
        http_inner_move(c);
    }
    if (!c->is_over && c->in.n && (c->phase == HTTP_IDLE || c->phase == HTTP_SWALLOW || c->is_refusable)) {
        http_request_read_waiting(c);
    } else if (!c->is_over && c->ready & LOOP_READABLE && wants_bytes(c)) {
        read_once(c);
    }
    if (!c->is_over &&
        ((c->ready & LOOP_READABLE && wants_bytes(c)) || (c->in.n && c->phase == HTTP_IDLE) || c->is_refusable)) {
        http_list_work(c);
    }
    http_touch(c);
}

static void on_client(void *user, int events)
{
    struct http_connection *c = user;
    struct http *h = c->http;
    c->is_lost |= (events & LOOP_FAULT) != 0;
    c->ready |= events & (LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP);
    bool is_short = !c->is_lost && !(events & LOOP_HANGUP) &&
                    ((c->phase == HTTP_IDLE && c->in.n == 0) || (c->phase == HTTP_HEAD && !c->is_refusable));
    if (is_short && h->n_at_once < HTTP_AT_ONCE) { /* first in line and answered at once */
        uint64_t now = clock_us();
        h->at_once_until_us = h->n_at_once++ == 0 ? now + AT_ONCE_US : h->at_once_until_us;
        http_unlist_work(c);
        http_front_serve(c);
        if (h->n_begun > 0) {
            http_turn(h, now + FIRST_US < h->at_once_until_us ? now + FIRST_US : h->at_once_until_us);
        }
    } else {
        http_list_work(c);
        http_touch(c);
    }
}

static void account(struct http_connection *c)
{
    struct http_stats *s = &c->http->stats;
    size_t held = sizeof(*c) + HTTP_OTHER_BYTES + buf_held(&c->in) + buf_held(&c->to_inner) + buf_held(&c->out) +
                  (c->wire.session ? HTTP_TLS_BYTES : 0) + (c->exchange ? sizeof(*c->exchange) + HTTP_OTHER_BYTES : 0) +
                  (c->inner ? HTTP_INNER_BYTES : 0);
    s->held_bytes += held - c->accounted;
    c->peer->held += held - c->accounted;
    s->held_peak_bytes = s->held_bytes > s->held_peak_bytes ? s->held_bytes : s->held_peak_bytes;
    c->accounted = held;
}

void http_front_settle(struct http_connection *c)
{
    int events = c->out.n || (c->phase == HTTP_HANDSHAKE && c->wire.is_writing) ? LOOP_WRITABLE : 0;
    if (wants_bytes(c) || (c->phase == HTTP_HANDSHAKE && !c->wire.is_writing)) {
        events |= LOOP_READABLE | LOOP_HANGUP;
    } else if ((c->phase == HTTP_WORKING || c->phase == HTTP_ANSWER) && !c->has_hung_up) {
        events |= LOOP_HANGUP;
    }
    loop_watch_set(c->watch, c->is_working ? 0 : events); /* what is in line need not be reported again */
    if (c->inner) {
        loop_watch_set(c->inner->watch, (c->out.n ? 0 : LOOP_READABLE) | (c->to_inner.n ? LOOP_WRITABLE : 0));
    }
    account(c);
}
