/* Answers: given to libmicrohttpd or written here, and on their way to the client. */
#include "server/http/http_private.h"

#include "engine/base/mem.h"
#include "server/http/stream.h"

#include <string.h>
#include <time.h>

enum { HEAD_MAX = 16384, HEAD_USUAL = 512, STREAM_BLOCK = 4096 };

/* ---- by libmicrohttpd ---- */

static ssize_t on_read(void *user, uint64_t position, char *out, size_t n)
{
    struct http_inner *inner = user;
    struct http_connection *c = inner->front;
    bool is_ended;
    (void)position;
    if (!c || !c->exchange) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t taken = stream_take(c->exchange->stream, out, n, &is_ended);
    http_touch(c);
    if (taken > 0) {
        return (ssize_t)taken;
    }
    if (is_ended) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    inner->is_suspended = true;
    MHD_suspend_connection(inner->mhd);
    return 0;
}

static struct MHD_Response *make_response(struct http_connection *c)
{
    struct exchange *x = c->exchange;
    if (x->is_streaming) {
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_read, c->inner, NULL);
    }
    size_t n;
    char *bytes;
    if (buf_take(&x->answer, &bytes, &n) || !bytes) {
        return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    }
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(n, bytes, mem_free);
    if (!r) {
        mem_free(bytes);
        return NULL;
    }
    return r;
}

enum MHD_Result http_answer_queue(struct http_connection *c)
{
    struct exchange *x = c->exchange;
    c->http->handler.on_answer(c->http->handler.user, x);
    struct MHD_Response *r = make_response(c);
    if (!r) {
        return MHD_NO;
    }
    if (x->content_type) {
        MHD_add_response_header(r, "Content-Type", x->content_type);
    }
    for (int i = 0; i < x->n_out; i++) {
        MHD_add_response_header(r, x->out[i].name, x->out[i].value);
    }
    c->keeps &= !x->must_close && !c->http->is_draining && !(x->is_streaming && c->minor == 0);
    if (!c->keeps) {
        MHD_add_response_header(r, "Connection", "close");
    }
    enum MHD_Result rc = MHD_queue_response(c->inner->mhd, (unsigned)x->status, r);
    MHD_destroy_response(r);
    c->is_queued = rc == MHD_YES;
    x->phase = PHASE_ANSWERED;
    http_front_enter(c, HTTP_ANSWER);
    return rc;
}

/* ---- directly ---- */

/* The date, printed once a second. */
static void add_date(struct http *h, struct buf *b)
{
    struct tm tm;
    time_t now = time(NULL);
    if (now != h->date_s) {
        h->date_s = now;
        gmtime_r(&now, &tm);
        strftime(h->date, sizeof(h->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    buf_text(b, h->date);
}

static void add_field(struct buf *b, const char *name, const char *value)
{
    buf_text(b, name);
    buf_append(b, ": ", 2);
    buf_text(b, value);
    buf_append(b, "\r\n", 2);
}

static void add_head(const struct http_connection *c, struct buf *b)
{
    const struct exchange *x = c->exchange;
    const char *reason = MHD_get_reason_phrase_for((unsigned)x->status);
    buf_text(b, "HTTP/1.1 ");
    buf_uint(b, (uint64_t)x->status);
    buf_append(b, " ", 1);
    buf_text(b, reason ? reason : "Error");
    buf_text(b, "\r\nDate: ");
    add_date(c->http, b);
    buf_append(b, "\r\n", 2);
    if (!c->keeps || c->minor == 0) {
        add_field(b, "Connection", c->keeps ? "keep-alive" : "close");
    }
    if (x->status >= 200 && x->status != 204 && x->status != 304) {
        buf_text(b, "Content-Length: ");
        buf_uint(b, x->answer.n);
        buf_append(b, "\r\n", 2);
    }
    if (x->content_type) {
        add_field(b, "Content-Type", x->content_type);
    }
    for (int i = 0; i < x->n_out; i++) {
        add_field(b, x->out[i].name, x->out[i].value);
    }
    buf_append(b, "\r\n", 2);
}

void http_answer_directly(struct http_connection *c, bool closes)
{
    struct exchange *x = c->exchange;
    struct buf b;
    if (c->inner && !c->inner->is_complete) { /* the library has part of this request */
        http_inner_forsake(c);
    }
    c->http->handler.on_answer(c->http->handler.user, x);
    c->keeps &=
        !closes && !x->must_close && !c->http->is_draining && !x->is_chunked && c->body_left <= HTTP_SWALLOW_BYTES;
    c->swallow_left = c->keeps ? c->body_left : 0;
    x->phase = PHASE_ANSWERED;
    buf_init(&b, HEAD_MAX + x->answer.n);
    buf_reserve(&b, HEAD_USUAL + x->answer.n);
    add_head(c, &b);
    if (strcmp(x->method, "HEAD") != 0) {
        buf_append(&b, x->answer.bytes, x->answer.n);
    }
    http_front_enter(c, HTTP_ANSWER);
    c->is_drained = true;
    if (b.err) {
        http_front_lose(c);
    } else {
        http_answer_send(c, b.bytes, b.n);
        http_answer_finish(c);
    }
    buf_release(&b);
}

/* ---- to the client ---- */

void http_answer_send(struct http_connection *c, const char *bytes, size_t n)
{
    if (c->is_early && n) { /* its first letter is there already */
        c->is_early = false;
        bytes++;
        n--;
    }
    while (n && c->out.n == 0) {
        ssize_t k = wire_write(&c->wire, bytes, n);
        if (k == WIRE_WAIT) {
            break;
        }
        if (k < 0) {
            http_front_lose(c);
            return;
        }
        bytes += k;
        n -= (size_t)k;
    }
    if (n == 0) {
        return;
    }
    if (c->out.n == 0) {
        c->blocked_us = c->progress_us = http_now(c->http);
        c->n_bytes = 0;
    }
    buf_append(&c->out, bytes, n);
    if (c->out.err) {
        http_front_lose(c);
        return;
    }
    http_clock_arm(c);
    http_touch(c);
}

void http_answer_flush(struct http_connection *c)
{
    while (c->out_at < c->out.n) {
        ssize_t k = wire_write(&c->wire, c->out.bytes + c->out_at, c->out.n - c->out_at);
        if (k == WIRE_WAIT) {
            return;
        }
        if (k < 0) {
            http_front_lose(c);
            return;
        }
        c->out_at += (size_t)k;
        c->n_bytes += (size_t)k;
        c->progress_us = http_now(c->http);
    }
    buf_release(&c->out);
    c->out_at = 0;
    http_answer_finish(c);
}

void http_answer_probe(struct http_connection *c)
{
    if (c->phase != HTTP_WORKING || c->is_early || c->out.n) {
        return;
    }
    ssize_t k = wire_write(&c->wire, "H", 1);
    if (k == WIRE_DEAD) {
        http_front_lose(c);
        return;
    }
    c->is_early = k == 1;
    http_touch(c);
}

void http_answer_finish(struct http_connection *c)
{
    struct exchange *x = c->exchange;
    if (!x || !c->is_drained || c->out.n || c->is_over) {
        return;
    }
    c->exchange = NULL;
    c->is_queued = c->is_drained = c->is_early = false;
    http_inner_return(c);
    c->http->handler.on_end(c->http->handler.user, x, true);
    exchange_destroy(x);
    if (!c->keeps) {
        http_front_linger(c);
        return;
    }
    http_front_enter(c, c->swallow_left ? HTTP_SWALLOW : HTTP_IDLE);
    if (c->in.n) {
        http_list_work(c);
    }
}
