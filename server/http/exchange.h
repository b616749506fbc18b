/* exchange - one HTTP request and its answer, without sockets: filled by server/http, read and answered by the
 * handlers.
 *
 *     HEADERS -> BODY -> WORKING -> ANSWERED
 *
 * A handler answers by exchange_answer (or reply.h) in any phase before ANSWERED. Answering before the body has arrived
 * refuses the request and discards its body.
 *
 * Ownership: created at the headers (or when bytes that never became a request are refused) and destroyed when the last
 *            byte of the answer is out or the connection has died. It owns copies of all its strings and the answer:
 *            nothing is borrowed from a connection.
 * Threads:   loop thread, all of it. */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include "engine/base/buf.h"
#include "server/http/address.h"
#include "server/http/caller.h"
#include "server/http/timings.h"

#include <stdint.h>

/* Of a deadline; longer ones are refused. */
#define EXCHANGE_MAX_TIMEOUT_MS UINT64_C(1000000000000)

/* X(symbol, name): request headers that are read */
#define EXCHANGE_HEADERS(X)                                                                                            \
    X(HEADER_ACCEPT, "Accept")                                                                                         \
    X(HEADER_ACCEPT_ENCODING, "Accept-Encoding")                                                                       \
    X(HEADER_ASKED_HEADERS, "Access-Control-Request-Headers")                                                          \
    X(HEADER_ASKED_PRIVATE, "Access-Control-Request-Private-Network")                                                  \
    X(HEADER_AUTHORIZATION, "Authorization")                                                                           \
    X(HEADER_CACHE_CONTROL, "Cache-Control")                                                                           \
    X(HEADER_CONTENT_ENCODING, "Content-Encoding")                                                                     \
    X(HEADER_CONTENT_TYPE, "Content-Type")                                                                             \
    X(HEADER_ENVOY_TIMEOUT, "x-envoy-expected-rq-timeout-ms")                                                          \
    X(HEADER_INFERENCE_LENGTH, "Inference-Header-Content-Length")                                                      \
    X(HEADER_HOST, "Host")                                                                                             \
    X(HEADER_IF_NONE_MATCH, "If-None-Match")                                                                           \
    X(HEADER_LOAD_FORMAT, "endpoint-load-metrics-format")                                                              \
    X(HEADER_ORIGIN, "Origin")                                                                                         \
    X(HEADER_PRIORITY, "Priority")                                                                                     \
    X(HEADER_REQUEST_ID, "X-Request-Id")                                                                               \
    X(HEADER_SEC_FETCH_SITE, "Sec-Fetch-Site")                                                                         \
    X(HEADER_TIMEOUT, "X-Request-Timeout-Ms")                                                                          \
    X(HEADER_TRACEPARENT, "traceparent")
#define EXCHANGE_HEADER_ENUM(symbol, name) symbol,
enum exchange_header { EXCHANGE_HEADERS(EXCHANGE_HEADER_ENUM) HEADER_COUNT };
#undef EXCHANGE_HEADER_ENUM
const char *exchange_header_name(enum exchange_header h);

enum exchange_phase { PHASE_HEADERS, PHASE_BODY, PHASE_WORKING, PHASE_ANSWERED };
enum {
    EXCHANGE_MAX_QUERY = 512,
    EXCHANGE_MAX_OUT = 16,
    EXCHANGE_MAX_VALUE = 256,
    EXCHANGE_ID_MAX = 128,
    EXCHANGE_PATH_MAX = 1024,
    EXCHANGE_ANSWER_MAX = 64 << 20,
    EXCHANGE_NO_PRIORITY = 3
};

/* A name and value from the query string, a form or the answer's headers. */
struct exchange_pair {
    const char *name, *value;
    size_t n_name, n_value;
};

struct exchange_out {
    const char *name; /* a string constant */
    char value[EXCHANGE_MAX_VALUE];
};

struct route;
struct stream;
struct work;

struct exchange {
    /* ---- request ---- */
    const char *method, *path;   /* decoded; "*" of OPTIONS; "" when a refused request did not get so far */
    struct exchange_pair *query; /* decoded; values may hold NULs, n_value counts */
    int n_query;
    bool has_too_much_query;
    const char *headers[HEADER_COUNT]; /* NULL: not sent */
    bool is_admin;                     /* arrived on the admin port */
    bool is_chunked;
    bool has_other_host;     /* Host differs from the absolute-form target, which is in headers[HEADER_HOST] */
    bool was_offered;        /* on_headers has seen it; false if server/http refused it before */
    uint64_t content_length; /* 0 without one */
    uint64_t body_bytes;     /* that have arrived */
    struct address address;  /* of the client, as reported by trusted proxies (forwarded.h) */
    char peer[ADDRESS_TEXT_MAX];
    char request_id[EXCHANGE_ID_MAX + 1];
    /* ---- its state ---- */
    enum exchange_phase phase;
    uint64_t began_us, received_us, deadline_us; /* deadline 0: none */
    const struct route *route;                   /* NULL: unknown */
    const char *route_name;                      /* for metrics */
    struct caller caller;
    bool has_plain_errors; /* errors are {"error": "message"}, as clients of this route read them */
    int overload_status;   /* of refusals for load; 0: 429 */
    struct work *work;     /* NULL: none, or it is done */
    void (*on_abandon)(struct exchange *x, const char *why); /* deadline passed or client gone: give up the work */
    /* ---- answer ---- */
    int status; /* 0: none yet */
    struct buf answer;
    const char *content_type; /* a string constant */
    struct exchange_out out[EXCHANGE_MAX_OUT];
    int n_out;
    bool must_close;
    struct stream *stream; /* pieces of a streamed answer; sent instead of `answer` once is_streaming */
    bool is_streaming;
    /* ---- for log and metrics ---- */
    const char *error_code, *cancel_reason;
    struct timings timings;
    size_t answer_bytes; /* of the memory ledger */
    /* ---- owned by server/http ---- */
    void *connection;
    void *strings; /* one block that holds method, path, query and headers */
};

/* An empty one that begins now; http_exchange.h fills it. ERR_NOMEM. */
MUST_USE enum err exchange_create(struct exchange **out);
void exchange_destroy(struct exchange *x); /* NULL is fine */

/* The text of a query parameter; NULL when not given. The last one counts. */
const char *exchange_query(const struct exchange *x, const char *name);
/* The same for numbers and booleans, where an empty value counts as not given: NULL. */
const char *exchange_query_given(const struct exchange *x, const char *name);

/* Sets status and content type; `answer` holds the text. Call once. */
void exchange_answer(struct exchange *x, int status, const char *content_type);
/* Adds a header to the answer; a value that is too long or has control characters is left out. */
void exchange_out(struct exchange *x, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void exchange_out_text(struct exchange *x, const char *name,
                       const char *value); /* the same, for what needs no printf */

/* Takes the caller's X-Request-Id when it is 1 to 128 visible ASCII characters, else makes a UUIDv7. */
void exchange_read_id(struct exchange *x);

/* Sets the deadline: the earliest of query, headers and limit. False with the name of the faulty parameter. */
bool exchange_read_deadline(struct exchange *x, uint64_t limit_ms, const char **faulty);
/* RFC 9218, u=0..7; others: the default. */
int exchange_priority(const struct exchange *x);

#endif
