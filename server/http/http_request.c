/* Requests out of bytes: judged, handed on to libmicrohttpd, answered at once, or refused. */
#include "server/http/http_private.h"

#include "engine/base/clock.h"
#include "server/http/forwarded.h"
#include "server/http/http_exchange.h"

#include <stdio.h>
#include <string.h>

/* ---- refusals ---- */

/* Who sends this request: the connection's address, or whom trusted proxies name. */
static struct address client_of(const struct http_connection *c, const struct head *h)
{
    const struct networks *trusted = c->http->options.trusted;
    struct forwarded f = {.x = {.n = 0}};
    struct head_text value;
    if (!h || !h->lines.bytes || !address_networks_have(trusted, &c->address)) {
        return c->address;
    }
    for (const char *at = NULL; head_next(h, "X-Forwarded-For", &at, &value);) {
        forwarded_add_x(&f, value.bytes, value.n);
    }
    for (const char *at = NULL; head_next(h, "Forwarded", &at, &value);) {
        forwarded_add(&f, value.bytes, value.n);
    }
    return forwarded_client(&f, trusted, &c->address);
}

static struct exchange *give_exchange(struct http_connection *c, const struct head *h)
{
    struct exchange *x;
    if (http_exchange_create(&x, h)) {
        return NULL;
    }
    x->address = client_of(c, h);
    address_text(&x->address, x->peer);
    x->is_admin = c->http->options.is_admin;
    x->connection = c;
    c->exchange = x;
    c->http->n_requests++;
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

void http_request_refuse(struct http_connection *c, enum refusal why, const char *message)
{
    refuse_head(c, NULL, why, message);
}

/* ---- requests ---- */

/* Hands the request to libmicrohttpd. False: no descriptor or memory. */
static bool hand_on(struct http_connection *c, bool has_body)
{
    const struct exchange *x = c->exchange;
    char text[HEAD_MAX_METHOD + 128], framing[64] = "";
    if (!http_inner_open(c)) {
        return false;
    }
    if (has_body && x->is_chunked) {
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
    } else if (has_body) {
        snprintf(framing, sizeof(framing), "Content-Length: %llu\r\n", (unsigned long long)x->content_length);
    }
    snprintf(text, sizeof(text), "%s / HTTP/1.%d\r\nHost: x\r\n%s%s\r\n", x->method, c->minor, framing,
             !c->keeps       ? "Connection: close\r\n"
             : c->minor == 0 ? "Connection: keep-alive\r\n"
                             : "");
    c->http->n_begun++;
    http_inner_send(c, text, NULL, 0, NULL);
    return true;
}

static bool hand_on_body(struct http_connection *c)
{
    if (hand_on(c, true)) {
        return !c->is_over;
    }
    http_request_refuse(c, REFUSAL_RESOURCES, "no descriptor or memory is left for another request");
    return false;
}

static void end_body(struct http_connection *c)
{
    if (!c->is_over) {
        http_front_enter(c, HTTP_WORKING);
    }
}

void http_request_answer(struct http_connection *c)
{
    const struct exchange *x = c->exchange;
    if (!http_request_is_answered(c)) {
        return;
    }
    if (!x->is_streaming && x->answer.n <= HTTP_PIECE) {
        http_answer_directly(c, false);
    } else if (!hand_on(c, false)) {
        http_front_lose(c);
    }
}

bool http_request_is_answered(const struct http_connection *c)
{
    return !c->is_over && !c->inner && c->phase == HTTP_WORKING && c->exchange && c->exchange->status;
}

/* It has come whole, and libmicrohttpd knows nothing of it. */
static void work_on(struct http_connection *c)
{
    const struct http_handler *handler = &c->http->handler;
    struct exchange *x = c->exchange;
    http_front_enter(c, HTTP_WORKING);
    x->received_us = clock_us();
    x->phase = PHASE_WORKING;
    handler->on_request(handler->user, x);
    if (c->exchange == x) { /* else it was cut in there */
        http_request_answer(c);
    }
}

static const char no_memory[] = "the connections use all the memory there is for them";

/* A whole, correct head. */
static void begin(struct http_connection *c, const struct head *h)
{
    const struct http_handler *handler = &c->http->handler;
    struct exchange *x = give_exchange(c, h);
    if (!x) {
        http_front_end(c);
        return;
    }
    c->begun_us = c->since_us;
    x->began_us = c->since_us + c->http->lost_us;
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
    if (!h->is_chunked && h->length == 0) {
        c->keeps &= !h->expects_continue;
        work_on(c);
        return;
    }
    if (h->is_chunked && !hand_on_body(c)) {
        return;
    }
    x->phase = PHASE_BODY;
    http_front_enter(c, HTTP_BODY);
    if (h->expects_continue) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        http_answer_send(c, go_on, sizeof(go_on) - 1);
    }
}

/* ---- taking bytes ---- */

static bool read_head(struct http_connection *c, const char *bytes, size_t n, size_t *taken)
{
    struct head h;
    enum head_state state = head_scan(&h, &c->scan, bytes, n, c->http->options.max_header_bytes);
    if (state == HEAD_MORE) {
        return false;
    }
    c->scan = (struct head_scan){0};
    if (state == HEAD_REFUSED && !c->is_refusable && c->http->n_refused >= HTTP_REFUSALS) {
        c->is_refusable = true; /* found again when its turn comes */
        http_list_work(c);
        return false;
    }
    c->http->n_refused += state == HEAD_REFUSED;
    c->is_refusable = false;
    *taken = state == HEAD_WHOLE ? h.n_bytes : n;
    if (state == HEAD_REFUSED) {
        c->minor = h.minor;
        refuse_head(c, &h, h.why, h.message);
    } else if (!http_accept_has_memory(c, HTTP_REQUEST_BYTES)) {
        c->minor = h.minor;
        refuse_head(c, &h, REFUSAL_RESOURCES, no_memory);
    } else {
        begin(c, &h);
    }
    return true;
}

/* A body that is there at once need not go through the library. */
static void read_whole(struct http_connection *c, const char *bytes, size_t n)
{
    const struct http_handler *handler = &c->http->handler;
    struct exchange *x = c->exchange;
    c->body_left = 0;
    handler->on_body(handler->user, x, bytes, n);
    if (c->exchange != x) { /* cut in there */
        return;
    }
    if (x->status) {
        http_answer_directly(c, true);
    } else {
        work_on(c);
    }
}

static void read_counted(struct http_connection *c, const char *bytes, size_t n, size_t *taken)
{
    *taken = n < c->body_left ? n : (size_t)c->body_left;
    if (!c->inner && *taken == c->body_left) {
        read_whole(c, bytes, *taken);
        return;
    }
    if (!c->inner && !hand_on_body(c)) {
        return;
    }
    c->body_left -= *taken;
    http_front_progress(c, *taken);
    http_inner_send(c, NULL, bytes, *taken, NULL);
    if (c->body_left == 0) {
        end_body(c);
    }
}

static void read_chunked(struct http_connection *c, char *bytes, size_t n, size_t *taken)
{
    char before[24];
    size_t n_data;
    enum chunk_state state = chunk_read(&c->chunk, bytes, n, taken, &n_data);
    if (state == CHUNK_REFUSED) {
        http_request_refuse(c, REFUSAL_MALFORMED, c->chunk.message);
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
        if (c->n_bytes / HTTP_PIECE != (c->n_bytes + n) / HTTP_PIECE) { /* a trickle is none */
            http_front_progress(c, n);
        } else {
            c->n_bytes += n;
        }
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

/* Takes what the phase can use, of one request at most: the next waits for its turn. Returns how much. */
static size_t read_some(struct http_connection *c, char *bytes, size_t n)
{
    size_t at = 0;
    bool goes_on = true;
    while (at < n && goes_on && !c->is_over) {
        size_t taken = 0;
        enum http_phase before = c->phase;
        switch (before) {
        case HTTP_IDLE:
            http_front_enter(c, HTTP_HEAD);
            break;
        case HTTP_HEAD:
            goes_on = read_head(c, bytes + at, n - at, &taken);
            break;
        case HTTP_BODY:
            if (c->exchange->is_chunked) {
                read_chunked(c, bytes + at, n - at, &taken);
            } else {
                read_counted(c, bytes + at, n - at, &taken);
            }
            break;
        case HTTP_SWALLOW:
        case HTTP_LINGER:
            throw_away(c, n - at, &taken);
            break;
        default:
            goes_on = false;
        }
        goes_on &= before == HTTP_IDLE || c->is_over || c->phase != HTTP_IDLE;
        at += taken;
    }
    return at;
}

void http_request_read_waiting(struct http_connection *c)
{
    struct buf waiting = c->in; /* may end with the connection: not under our hands */
    http_front_reset_in(c);
    size_t taken = read_some(c, waiting.bytes, waiting.n);
    if (taken == 0 && !c->is_over) {
        c->in = waiting;
        return;
    }
    if (taken < waiting.n && !c->is_over && c->phase != HTTP_LINGER) {
        buf_append(&c->in, waiting.bytes + taken, waiting.n - taken);
        if (c->in.err) {
            http_front_lose(c);
        }
    }
    buf_release(&waiting);
}

void http_request_read(struct http_connection *c, char *bytes, size_t n)
{
    size_t taken = c->in.n ? 0 : read_some(c, bytes, n);
    if (taken < n && !c->is_over && c->phase != HTTP_LINGER) {
        bool was_empty = c->in.n == 0;
        if (c->phase == HTTP_HEAD && !http_accept_has_memory(c, n - taken)) {
            http_request_refuse(c, REFUSAL_RESOURCES, no_memory);
            return;
        }
        buf_append(&c->in, bytes + taken, n - taken);
        if (c->in.err) {
            http_front_lose(c);
        } else if (!was_empty) {
            http_request_read_waiting(c);
        }
    }
}
