#include "server/http/http_private.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/http/stream.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- streams ---- */

static ssize_t on_read(void *user, uint64_t position, char *out, size_t n)
{
    struct http_connection *c = user;
    bool is_ended;
    (void)position;
    size_t taken = stream_take(c->exchange->stream, out, n, &is_ended);
    if (taken > 0) {
        return (ssize_t)taken;
    }
    if (is_ended) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    c->is_suspended = true;
    MHD_suspend_connection(c->mhd);
    return 0;
}

/* ---- ordinary answers ---- */

static struct MHD_Response *make_response(struct http_connection *c)
{
    struct exchange *x = c->exchange;
    if (x->is_streaming) {
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_read, c, NULL);
    }
    size_t n;
    char *bytes;
    if (buf_take(&x->answer, &bytes, &n) || !bytes) {
        return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    }
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(n, bytes, mem_free);
    if (!r) {
        mem_free(bytes);
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
    if (x->must_close || c->http->is_quiet) {
        MHD_add_response_header(r, "Connection", "close");
    }
    unsigned seconds = (unsigned)((c->http->options.send_timeout_ms + 999) / 1000);
    MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
    enum MHD_Result rc = MHD_queue_response(c->mhd, (unsigned)x->status, r);
    MHD_destroy_response(r);
    c->is_queued = rc == MHD_YES;
    x->phase = PHASE_ANSWERED;
    return rc;
}

/* ---- answers in the middle of a body ---- */

static const char *reason(int status)
{
    const char *text = MHD_get_reason_phrase_for((unsigned)status);
    return text ? text : "Error";
}

void http_answer_raw(struct http_connection *c)
{
    struct exchange *x = c->exchange;
    struct buf head;
    c->http->handler.on_answer(c->http->handler.user, x);
    buf_init(&head, 16384);
    buf_printf(&head, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", x->status, reason(x->status),
               x->answer.n);
    if (x->content_type) {
        buf_printf(&head, "Content-Type: %s\r\n", x->content_type);
    }
    for (int i = 0; i < x->n_out; i++) {
        buf_printf(&head, "%s: %s\r\n", x->out[i].name, x->out[i].value);
    }
    buf_text(&head, "\r\n");
    buf_append(&head, x->answer.bytes, x->answer.n);
    if (!head.err) {
        /* A few hundred bytes on a socket on which nothing else is being sent: they fit, or the client is lost. */
        ssize_t n = send(c->fd, head.bytes, head.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)n;
    }
    shutdown(c->fd, SHUT_WR);
    buf_release(&head);
    c->cut_us = clock_us();
    x->phase = PHASE_ANSWERED;
}
