/* The client's side of a connection: reading, judging, handing on. */
#include "server/http/http_private.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BEGUN_MAX = 16 };

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
    enlist(c);
    c->since_us = c->progress_us = clock_us();
    c->n_bytes = 0;
    http_clock_arm(c);
    http_touch(c);
}

void http_front_progress(struct http_connection *c, size_t n)
{
    unlist(c);
    enlist(c);
    c->progress_us = clock_us();
    c->n_bytes += n;
}

/* ---- beginning and end ---- */

struct http_connection *http_front_create(struct http *h, int fd, const struct sockaddr *address, struct peer *peer)
{
    struct http_connection *c;
    if (mem_alloc(&c, sizeof(*c))) {
        close(fd);
        peers_drop(&h->peers, peer);
        return NULL;
    }
    if (wire_open(&c->wire, fd, h->identity) || loop_watch_create(&c->watch, h->loop, fd, on_client, c)) {
        wire_close(&c->wire);
        peers_drop(&h->peers, peer);
        mem_free(c);
        return NULL;
    }
    c->http = h;
    c->peer = peer;
    if (address->sa_family == AF_INET6) {
        memcpy(&c->address.v6, address, sizeof(c->address.v6));
    } else if (address->sa_family == AF_INET) {
        memcpy(&c->address.v4, address, sizeof(c->address.v4));
    }
    buf_init(&c->in, h->options.max_header_bytes + 2 * HTTP_PIECE);
    buf_init(&c->to_inner, 4 * HTTP_PIECE);
    buf_init(&c->out, SIZE_MAX / 4);
    c->phase = h->identity ? HTTP_HANDSHAKE : HTTP_IDLE;
    c->since_us = c->progress_us = clock_us();
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
    peers_drop(&h->peers, c->peer);
    http_unlist_work(c);
    unlist(c);
    buf_release(&c->in);
    buf_release(&c->to_inner);
    buf_release(&c->out);
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

void http_front_linger(struct http_connection *c)
{
    if (c->has_ended) {
        http_front_end(c);
        return;
    }
    wire_finish(&c->wire);
    buf_release(&c->in);
    http_front_enter(c, HTTP_LINGER);
}

/* ---- refusals ---- */

static struct exchange *give_exchange(struct http_connection *c, const struct head *h)
{
    struct exchange *x;
    if (exchange_create(&x, h)) {
        return NULL;
    }
    peers_text(&c->address.any, x->peer);
    x->is_admin = c->http->options.is_admin;
    x->connection = c;
    c->exchange = x;
    return x;
}

static void refuse_head(struct http_connection *c, const struct head *h, enum refusal why, const char *message)
{
    const struct http_handler *handler = &c->http->handler;
    struct exchange *x = c->exchange ? c->exchange : give_exchange(c, h);
    if (!x) {
        http_front_end(c);
        return;
    }
    c->http->stats.refused_requests++;
    handler->on_refused(handler->user, x, why, message);
    BUG_ON(!x->status);
    http_answer_directly(c, true);
}

void http_front_refuse(struct http_connection *c, enum refusal why, const char *message)
{
    refuse_head(c, NULL, why, message);
}

/* ---- requests ---- */

static void send_head(struct http_connection *c, const struct head *h)
{
    char text[HEAD_MAX_METHOD + 128], framing[64] = "";
    if (h->is_chunked) {
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
    } else if (h->has_length) {
        snprintf(framing, sizeof(framing), "Content-Length: %llu\r\n", (unsigned long long)h->length);
    }
    snprintf(text, sizeof(text), "%.*s / HTTP/1.%d\r\nHost: x\r\n%s%s\r\n", (int)h->method.n, h->method.bytes, h->minor,
             framing,
             !h->keeps_alive ? "Connection: close\r\n"
             : h->minor == 0 ? "Connection: keep-alive\r\n"
                             : "");
    http_inner_send(c, text, NULL, 0, NULL);
}

static void end_body(struct http_connection *c)
{
    if (!c->is_over) {
        http_front_enter(c, HTTP_WORKING);
    }
}

/* A whole, correct head. */
static void begin(struct http_connection *c, const struct head *h)
{
    const struct http_handler *handler = &c->http->handler;
    struct exchange *x = give_exchange(c, h);
    if (!x) {
        http_front_end(c);
        return;
    }
    x->began_us = c->since_us;
    x->was_offered = true;
    c->minor = h->minor;
    c->keeps = h->keeps_alive;
    c->body_left = h->length;
    chunk_init(&c->chunk);
    handler->on_headers(handler->user, x);
    if (c->exchange != x) { /* cut in there */
        return;
    }
    if (x->status) {
        http_answer_directly(c, h->expects_continue);
        return;
    }
    if (!http_inner_open(c)) {
        http_front_refuse(c, REFUSAL_RESOURCES, "no descriptor or memory is left for another request");
        return;
    }
    x->phase = PHASE_BODY;
    c->http->n_begun++;
    send_head(c, h);
    if (c->is_over) {
        return;
    }
    if (!h->is_chunked && h->length == 0) {
        end_body(c);
        return;
    }
    http_front_enter(c, HTTP_BODY);
    if (h->expects_continue) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        http_answer_send(c, go_on, sizeof(go_on) - 1);
    }
}

/* ---- taking bytes ---- */

static bool take_head(struct http_connection *c, const char *bytes, size_t n, size_t *taken)
{
    struct head h;
    enum head_state state = head_scan(&h, &c->scan, bytes, n, c->http->options.max_header_bytes);
    if (state == HEAD_MORE) {
        return false;
    }
    c->scan = (struct head_scan){0};
    *taken = state == HEAD_WHOLE ? h.n_bytes : n;
    if (state == HEAD_REFUSED) {
        c->minor = h.minor;
        refuse_head(c, &h, h.why, h.message);
    } else {
        begin(c, &h);
    }
    return true;
}

static void take_counted(struct http_connection *c, const char *bytes, size_t n, size_t *taken)
{
    *taken = n < c->body_left ? n : (size_t)c->body_left;
    c->body_left -= *taken;
    http_front_progress(c, *taken);
    http_inner_send(c, NULL, bytes, *taken, NULL);
    if (c->body_left == 0) {
        end_body(c);
    }
}

static void take_chunked(struct http_connection *c, char *bytes, size_t n, size_t *taken)
{
    char before[24];
    size_t n_data;
    enum chunk_state state = chunk_read(&c->chunk, bytes, n, taken, &n_data);
    if (state == CHUNK_REFUSED) {
        http_front_refuse(c, REFUSAL_MALFORMED, c->chunk.message);
        return;
    }
    if (n_data) {
        http_front_progress(c, n_data);
        snprintf(before, sizeof(before), "%zx\r\n", n_data);
        http_inner_send(c, before, bytes, n_data, state == CHUNK_WHOLE ? "\r\n0\r\n\r\n" : "\r\n");
    } else if (state == CHUNK_WHOLE) {
        http_inner_send(c, "0\r\n\r\n", NULL, 0, NULL);
    }
    if (state == CHUNK_WHOLE) {
        end_body(c);
    }
}

static void throw_away(struct http_connection *c, size_t n, size_t *taken)
{
    if (c->phase == HTTP_LINGER) {
        *taken = n;
        c->n_bytes += n;
        if (c->n_bytes > HTTP_LINGER_BYTES) {
            http_front_end(c);
        }
        return;
    }
    *taken = n < c->swallow_left ? n : (size_t)c->swallow_left;
    c->swallow_left -= *taken;
    if (c->swallow_left == 0) {
        http_front_enter(c, HTTP_IDLE);
    }
}

/* Takes what the phase can use; returns how much. */
static size_t take(struct http_connection *c, char *bytes, size_t n)
{
    size_t at = 0;
    bool goes_on = true;
    while (at < n && goes_on && !c->is_over) {
        size_t taken = 0;
        switch (c->phase) {
        case HTTP_IDLE:
            http_front_enter(c, HTTP_HEAD);
            break;
        case HTTP_HEAD:
            goes_on = take_head(c, bytes + at, n - at, &taken);
            break;
        case HTTP_BODY:
            if (c->exchange->is_chunked) {
                take_chunked(c, bytes + at, n - at, &taken);
            } else {
                take_counted(c, bytes + at, n - at, &taken);
            }
            break;
        case HTTP_SWALLOW:
        case HTTP_LINGER:
            throw_away(c, n - at, &taken);
            break;
        default:
            goes_on = false;
        }
        at += taken;
    }
    return at;
}

static void take_waiting(struct http_connection *c)
{
    size_t taken = take(c, c->in.bytes, c->in.n);
    if (taken == c->in.n || c->is_over) {
        buf_release(&c->in);
    } else {
        c->in.n -= taken;
        memmove(c->in.bytes, c->in.bytes + taken, c->in.n + 1);
    }
}

static void take_fresh(struct http_connection *c, char *bytes, size_t n)
{
    size_t taken = c->in.n ? 0 : take(c, bytes, n);
    if (taken < n && !c->is_over && c->phase != HTTP_LINGER) {
        bool was_empty = c->in.n == 0;
        buf_append(&c->in, bytes + taken, n - taken);
        if (c->in.err) {
            http_front_lose(c);
        } else if (!was_empty) {
            take_waiting(c);
        }
    }
}

/* ---- reading ---- */

static bool wants_bytes(const struct http_connection *c)
{
    switch (c->phase) {
    case HTTP_IDLE:
    case HTTP_HEAD:
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
static void take_end(struct http_connection *c)
{
    c->has_ended = true;
    if (c->phase == HTTP_BODY || (c->phase == HTTP_HEAD && c->in.n > c->scan.start)) {
        http_front_refuse(c, REFUSAL_CUT_SHORT, "the client ended the connection before the request was whole");
    } else {
        http_front_end(c);
    }
}

static void read_once(struct http_connection *c)
{
    struct http *h = c->http;
    ssize_t n;
    if (c->phase == HTTP_LINGER) { /* nobody wants these: not even decrypted */
        n = recv(c->wire.fd, h->scratch, sizeof(h->scratch), 0);
        n = n >= 0 ? n : errno == EAGAIN || errno == EINTR ? WIRE_WAIT : WIRE_DEAD;
    } else {
        n = wire_read(&c->wire, h->scratch, piece(c));
    }
    c->ready &= ~LOOP_READABLE;
    if (n > 0) {
        take_fresh(c, h->scratch, (size_t)n);
        if (!c->is_over && c->phase != HTTP_LINGER && wire_has_pending(&c->wire)) {
            c->ready |= LOOP_READABLE;
        }
    } else if (n == 0) {
        take_end(c);
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

void http_front_serve(struct http_connection *c)
{
    if (c->phase == HTTP_HANDSHAKE) {
        shake_hands(c);
    } else if (c->ready & LOOP_WRITABLE) {
        c->ready &= ~LOOP_WRITABLE;
        http_answer_flush(c);
    }
    if (!c->is_over && c->inner && c->to_inner.n) {
        http_inner_flush(c);
    }
    if (!c->is_over && c->inner && c->out.n == 0 && c->inner->is_ready) {
        c->inner->is_ready = false;
        http_inner_move(c);
    }
    if (!c->is_over && c->in.n && (c->phase == HTTP_IDLE || c->phase == HTTP_SWALLOW)) {
        take_waiting(c);
    } else if (!c->is_over && c->ready & LOOP_READABLE && wants_bytes(c)) {
        read_once(c);
    }
    if (!c->is_over && ((c->ready & LOOP_READABLE && wants_bytes(c)) || (c->in.n && c->phase == HTTP_IDLE))) {
        http_list_work(c);
    }
    http_touch(c);
}

static void on_client(void *user, int events)
{
    struct http_connection *c = user;
    if (events & LOOP_FAULT) {
        http_front_lose(c);
        return;
    }
    if (events & LOOP_HANGUP && !c->has_hung_up && (c->phase == HTTP_WORKING || c->phase == HTTP_ANSWER)) {
        c->has_hung_up = true;
        http_answer_probe(c);
    }
    c->ready |= events & (LOOP_READABLE | LOOP_WRITABLE);
    if (c->is_over) {
        return;
    }
    if (c->phase == HTTP_IDLE || c->phase == HTTP_HEAD) { /* short work, first in line */
        struct http *h = c->http;
        http_front_serve(c);
        if (h->n_begun >= BEGUN_MAX) { /* a crowd: few inner connections serve it, in its order */
            http_turn(h);
        }
    } else {
        http_list_work(c);
        http_touch(c);
    }
}

void http_front_settle(struct http_connection *c)
{
    int events = c->out.n || (c->phase == HTTP_HANDSHAKE && c->wire.is_writing) ? LOOP_WRITABLE : 0;
    if (wants_bytes(c) || (c->phase == HTTP_HANDSHAKE && !c->wire.is_writing)) {
        events |= LOOP_READABLE;
    } else if ((c->phase == HTTP_WORKING || c->phase == HTTP_ANSWER) && !c->has_hung_up) {
        events |= LOOP_HANGUP;
    }
    loop_watch_set(c->watch, events ? events : LOOP_QUIET);
    if (c->inner) {
        loop_watch_set(c->inner->watch, (c->out.n ? 0 : LOOP_READABLE) | (c->to_inner.n ? LOOP_WRITABLE : 0));
    }
    size_t held = c->in.n + c->to_inner.n + (c->out.n - c->out_at) + c->answer_bytes;
    c->http->stats.buffered_bytes += held - c->accounted;
    c->accounted = held;
}
