/* http - HTTP/1.1: sockets in, exchanges out.
 *
 * One struct http listens on one address. The front is our own: it owns every client socket (plain or TLS), checks
 * requests against RFC 9110 and 9112 (head.h, chunk.h), enforces the time limits and decides who may connect. A request
 * without a body, or with one that is there at once, it hands to the handler itself, and it sends short answers to
 * these. Behind it, libmicrohttpd gets the others, streams and long answers, one of each connection at a time, checked
 * and normalised, through a socket pair that exists meanwhile; it carries the body to the handler and writes the
 * answer, whose bytes the front moves to the client.
 *
 * Per request it calls, on the loop thread:
 *     on_headers  the head is complete; the handler may answer at once (a refusal: the body is then discarded)
 *     on_body     a piece of the body; the handler keeps it or answers
 *     on_request  the request is complete; the handler answers, or keeps the exchange and answers later by http_ready
 *     on_refused  server/http refuses the request, in any phase before an answer; the handler must answer
 *                 (reply_refused has the words). x->was_offered: on_headers has seen the exchange
 *     on_answer   its answer is about to be sent
 *     on_gone     the client was lost while its exchange was being worked on
 *     on_end      the exchange is about to go; is_sent: the kernel has taken the answer's last byte for the client
 * Each exchange gets exactly one on_end, and at most one answer of exactly one head. Requests of a connection are
 * served in order; the bytes of the next one wait in the kernel, except for a bounded buffer.
 *
 * A client that ends its sending side after a whole request is served. To learn whether it is still there, the front
 * sends the first letter of the answer ahead ("H" of "HTTP/1.1"): a client that has gone resets the connection, and
 * on_gone is called.
 *
 * A request answered before its body has arrived is answered at once, by the front. If at most HTTP_SWALLOW_BYTES of
 * the declared body are missing, they are discarded and the connection is kept; otherwise it is closed, after reading
 * and discarding for a bounded time.
 *
 * Threads: the loop thread. Errors: http_open says what is wrong with address, port or certificate. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "server/http/exchange.h"
#include "server/http/loop.h"
#include "server/http/refusal.h"

/* Every phase of a connection has a time limit.
 * X(symbol, name, clock, what happens when it runs out) */
#define HTTP_PHASES(X)                                                                                                 \
    X(HTTP_PROXY, "proxy", "5 s for the PROXY header of a trusted proxy", "closed; a failed header")                   \
    X(HTTP_HANDSHAKE, "handshake", "10 s", "closed; a failed handshake")                                               \
    X(HTTP_IDLE, "idle", "server.idle_timeout_ms; 1 s while draining", "closed")                                       \
    X(HTTP_HEAD, "head", "the lesser of server.idle_timeout_ms and server.upload_timeout_ms, from the first byte",     \
      "408, closed")                                                                                                   \
    X(HTTP_BODY, "body", "server.upload_timeout_ms in whole; server.min_upload_rate after 5 s", "408, closed")         \
    X(HTTP_WORKING, "working", "the deadline of the request, which its handler keeps", "504 by the handler")           \
    X(HTTP_ANSWER, "answer", "server.send_timeout_ms without progress; server.min_send_rate after 5 s of waiting",     \
      "closed; not sent")                                                                                              \
    X(HTTP_SWALLOW, "swallow", "1 s for the rest of a refused body of at most 64 KiB", "closed")                       \
    X(HTTP_LINGER, "linger",                                                                                           \
      "1 s without 64 KiB, 5 s or 64 MiB after the last answer of a connection; 1 s while draining", "closed")
#define HTTP_PHASE_ENUM(symbol, name, clock, end) symbol,
enum http_phase { HTTP_PHASES(HTTP_PHASE_ENUM) HTTP_PHASE_COUNT };
#undef HTTP_PHASE_ENUM

enum { HTTP_SWALLOW_BYTES = 65536 };

struct http;

struct http_handler {
    void *user;
    void (*on_headers)(void *user, struct exchange *x);
    void (*on_body)(void *user, struct exchange *x, const char *bytes, size_t n);
    void (*on_request)(void *user, struct exchange *x);
    void (*on_refused)(void *user, struct exchange *x, enum refusal why, const char *message);
    void (*on_answer)(void *user, struct exchange *x); /* the answer is set: last chance to add headers */
    void (*on_gone)(void *user, struct exchange *x);
    void (*on_end)(void *user, struct exchange *x, bool is_sent);
};

/* What SIGHUP may change. */
struct http_rates {
    uint64_t upload_timeout_ms;
    uint64_t min_upload_rate, min_send_rate; /* bytes a second; 0: none */
};

struct http_options {
    const char *host;                /* one or more, separated by spaces; a name means all its addresses */
    int port;                        /* 0: a free one, the same at each host; -1: none */
    const char *socket;              /* path of a UNIX socket to listen on too; "": none */
    unsigned socket_mode;            /* its permissions */
    const struct networks *trusted;  /* trusted proxies; borrowed, may change between turns */
    bool has_proxy_header;           /* each of their connections begins with a PROXY header */
    int max_connections;             /* lowered to what descriptors allow */
    int max_connections_per_address; /* 0: a share, see http_accept.c */
    uint64_t idle_timeout_ms, send_timeout_ms;
    struct http_rates rates;
    size_t max_header_bytes;
    bool is_admin;
    const char *tls_certificate, *tls_key; /* PEM texts, read by http_open; NULL: plain HTTP */
};

MUST_USE enum err http_open(struct http **out, struct loop *l, const struct http_options *options,
                            const struct http_handler *handler, struct errbuf *e);
/* Ends what is left as http_abort does. Before loop_destroy. NULL is fine. */
void http_close(struct http *h);
int http_port(const struct http *h); /* -1: a UNIX socket alone */
/* Connections that begin from now on get this certificate; a faulty one changes nothing. TLS ports only. */
MUST_USE enum err http_set_certificate(struct http *h, const char *certificate, const char *key, struct errbuf *e);
void http_set_rates(struct http *h, const struct http_rates *rates);
/* Sets the bytes that all connections may hold at once; until it is called there is no bound. Above it, idle or stalled
 * connections are closed; if there are none, new connections, growing heads and requests are refused with 503. */
void http_set_memory(struct http *h, size_t n_bytes);

/* ---- shutting down, in this order ---- */

/* From now on every answer carries `Connection: close`, and a connection without a request for a second is closed. */
void http_drain(struct http *h);
/* No new connections: the port is closed, and idle ones are closed at once, except those whose next request has already
 * arrived. */
void http_quiesce(struct http *h);
/* Refuses the requests that have not arrived whole; the other answers may still go out. */
void http_refuse_unfinished(struct http *h, const char *message);
/* Cuts all that is left, without answers: each exchange gets its on_end before this returns. */
void http_abort(struct http *h);

/* ---- exchanges ---- */

/* The exchange that on_request kept has its answer (or the stream its next piece). It goes out within this turn. */
void http_ready(struct exchange *x);
/* Answers before the body is complete, and closes the connection. */
void http_cut(struct exchange *x);
/* The exchange whose upload has made no progress for longest, for a gate that needs its place; NULL: no upload. */
struct exchange *http_most_stalled(struct http *h, uint64_t *stalled_us);
/* The exchange whose client has been reading its answer for longest without finishing, for a ledger that needs the
 * room; NULL: there is none. Streams are excluded, because they do not hold a whole answer. */
struct exchange *http_slowest_reader(struct http *h, uint64_t *taking_us);
/* Closes the connection in the middle of the answer. */
void http_drop(struct exchange *x);

/* ---- figures ---- */

struct http_stats {
    int connections, phases[HTTP_PHASE_COUNT]; /* open, in total and by phase */
    int max_connections;                       /* as lowered */
    uint64_t accepted, refused_connections, evicted_connections, failed_handshakes, failed_proxy_headers,
        refused_requests;
    size_t held_bytes, held_peak_bytes; /* of memory, for connections without their answers and the work on them */
    int max_a_turn; /* largest number so far of requests begun or refused between two checks for other events */
};
void http_stats(const struct http *h, struct http_stats *out);
int http_connections(const struct http *h);
/* Raises the soft limit of descriptors to the hard one and returns it. Once, at start. */
uint64_t http_raise_descriptor_limit(void);

#endif
