/* http - HTTP/1.1 on libmicrohttpd, driven by the event loop: sockets in, exchanges out.
 *
 * One struct http listens on one address. Per request it calls, on the loop thread:
 *     on_headers  the head is there; the handler may answer at once (a refusal: the body is then thrown away)
 *     on_body     a piece of the body; the handler keeps it or answers
 *     on_request  all is there; the handler answers, or keeps the exchange and answers later by http_ready
 *     on_answer   its answer is about to be sent
 *     on_end      the exchange is about to go; is_sent: the answer went out whole
 *
 * libmicrohttpd 0.9.75 sees no hang-up of a suspended connection, so http_sweep looks; it cannot answer in the middle
 * of a body, so such an answer is written on the socket directly, the rest of the body is read and thrown away for a
 * second, and the connection is closed (RFC 9112 section 9.6).
 *
 * Threads: the loop thread. Errors: http_open says what is wrong with address or port. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "server/http/exchange.h"
#include "server/http/loop.h"

struct http;

struct http_handler {
    void *user;
    void (*on_headers)(void *user, struct exchange *x);
    void (*on_body)(void *user, struct exchange *x, const char *bytes, size_t n);
    void (*on_request)(void *user, struct exchange *x);
    void (*on_answer)(void *user, struct exchange *x); /* the answer stands: last chance to add headers */
    void (*on_end)(void *user, struct exchange *x, bool is_sent);
};

struct http_options {
    const char *host;
    int port; /* 0: a free one */
    int max_connections, max_connections_per_address;
    uint64_t idle_timeout_ms, send_timeout_ms;
    size_t max_header_bytes;
    bool is_admin;
    const char *tls_certificate, *tls_key; /* PEM texts, borrowed until http_close; NULL: plain HTTP */
};

MUST_USE enum err http_open(struct http **out, struct loop *l, const struct http_options *options,
                            const struct http_handler *handler, struct errbuf *e);
/* Every exchange must have been answered. NULL is fine. */
void http_close(struct http *h);
int http_port(const struct http *h);
int http_connections(const struct http *h);
/* No new connections from now on; those there are served. */
void http_quiesce(struct http *h);
void http_drain(struct http *h);
void http_abort(struct http *h);
MUST_USE enum err http_set_certificate(struct http *h, const char *certificate, const char *key, struct errbuf *e);

/* The exchange that on_request kept has its answer (or the stream its next piece). */
void http_ready(struct exchange *x);
/* Answers although the body has not come whole, and closes. */
void http_cut(struct exchange *x);
/* Did the client of an exchange that waits hang up? A half-closed connection counts as such. */
bool http_is_gone(const struct exchange *x);
/* Ends connections that have been idle, or slow with their headers, for too long. Call a few times a second. */
void http_sweep(struct http *h);
/* After http_ready from outside on_request: lets the answers go. */
void http_pump(struct http *h);

#endif
