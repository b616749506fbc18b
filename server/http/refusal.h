/* refusal - why the HTTP layer itself refuses a request, before any handler has seen it.
 *
 * reply_refused (reply.h) maps each to its status, code and text. Threads: plain values. */
#ifndef SERVER_REFUSAL_H
#define SERVER_REFUSAL_H

enum refusal {
    REFUSAL_NONE,
    REFUSAL_MALFORMED,   /* 400: the bytes are no HTTP/1 request, or its framing is ambiguous */
    REFUSAL_CUT_SHORT,   /* 400: the client ended its side before the request was complete */
    REFUSAL_SLOW,        /* 408: head or body did not arrive in time or fell below the minimum rate */
    REFUSAL_LONG_TARGET, /* 414: the request line alone is over server.max_header_bytes */
    REFUSAL_EXPECTATION, /* 417: Expect with something other than 100-continue */
    REFUSAL_LONG_HEAD,   /* 431: request line and headers over server.max_header_bytes */
    REFUSAL_CODING,      /* 501: a transfer coding other than chunked */
    REFUSAL_METHOD,      /* 501: CONNECT, or a method longer than any */
    REFUSAL_CONNECTIONS, /* 503: too many connections, in total or from one address */
    REFUSAL_RESOURCES,   /* 503: no descriptor or memory to serve it */
    REFUSAL_DRAINING,    /* 503: the service shuts down, and the request has not arrived whole */
    REFUSAL_VERSION      /* 505: HTTP/0.9, HTTP/2 or another major version */
};

#endif
