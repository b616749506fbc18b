/* http_private - what the files of http share: connections of clients (the front) and of libmicrohttpd (the inner
 * side).
 *
 *     http.c         opening, closing, the turn          http_accept.c  who may connect
 *     http_front.c   phases, reading, the end            http_clock.c   the phases' clocks
 *     http_request.c requests out of bytes               http_inner.c   libmicrohttpd
 *     http_listen.c  sockets to listen on                http_proxy.c   PROXY headers
 *     http_answer.c  answers on their way out
 *
 * A connection is ended at once but freed at the end of the turn, so that no caller up the stack holds freed memory.
 * Threads: the loop thread. */
#ifndef SERVER_HTTP_PRIVATE_H
#define SERVER_HTTP_PRIVATE_H

#include "server/http/chunk.h"
#include "server/http/head.h"
#include "server/http/http.h"
#include "server/http/peers.h"
#include "server/http/wheel.h"
#include "server/http/wire.h"

#include <microhttpd.h>
#include <sys/stat.h>
#include <time.h>

enum {
    HTTP_PIECE = 65536,      /* bytes moved in one go */
    HTTP_HEAD_PIECE = 16384, /* read in one go where the next request may follow */
    HTTP_SECOND_US = 1000000,
    HTTP_GRACE_US = 5000000,      /* before a minimum rate counts */
    HTTP_LINGER_BYTES = 64 << 20, /* more than a body: a client that reads only after sending gets its answer */
    HTTP_LINGER_US = 5000000,
    HTTP_LINGERING_MIN = 8, /* connections that may linger, and one more for each this many that count */
    HTTP_LINGERING_PART = 8,
    HTTP_LISTENERS_MAX = 8,
    HTTP_BEGUN_MAX = 16, /* requests, before libmicrohttpd runs: few inner connections serve many clients */
    /* Quotas of one turn of the loop, so that every client waits for a bounded part of the others' work only. */
    HTTP_AT_ONCE = 16,  /* connections served on their event; the others queue */
    HTTP_REFUSALS = 4,  /* heads refused on their event or first in the queue; the others last */
    HTTP_TURN_MAX = 48, /* requests in all */
    HTTP_IN_LINE = 32,  /* queued connections of one address; its others last */
    /* Memory, measured: of libmicrohttpd for one request at most; of a TLS session; of the rest of a connection and of
       a request beside their structs. */
    HTTP_INNER_BYTES = 32768,
    HTTP_TLS_BYTES = 12288,
    HTTP_OTHER_BYTES = 1024,
    HTTP_REQUEST_BYTES = HTTP_INNER_BYTES + (int)sizeof(struct exchange) + HTTP_OTHER_BYTES
};

struct http_connection;

/* One connection of libmicrohttpd, by a socket pair; lives until the library has closed its end. */
struct http_inner {
    struct http *http;
    struct http_inner *next;       /* of the free ones */
    struct http_connection *front; /* NULL: free, or abandoned and libmicrohttpd is about to notice */
    struct MHD_Connection *mhd;    /* NULL: closed by the library */
    struct loop_watch *watch;
    int fd;
    bool is_suspended, is_ready;
    bool is_complete; /* the library has written the whole answer, or has seen nothing of the request */
};

struct http_link {
    struct http_connection *previous, *next;
};

struct http_list {
    struct http_connection *first, *last;
    int n;
};

struct http_listener {
    struct http *http;
    struct loop_watch *watch;
    int fd;
};

/* Of one client's socket. */
struct http_connection {
    struct wheel_entry clock; /* the first member */
    struct http *http;
    struct wire wire;
    struct loop_watch *watch;
    struct address address; /* the client's, according to the connection: its own, or from the PROXY header */
    struct peer *peer;
    enum http_phase phase;
    struct http_link by_phase; /* ordered by progress, the oldest first */
    struct http_link by_work;  /* in http->work or http->later: bytes to move when there is time */
    struct http_connection *next_touched;
    /* in the front's time, http_now: when the phase and the request began, when bytes last moved */
    uint64_t since_us, begun_us, progress_us;
    uint64_t n_bytes;             /* bytes moved since then (an answer: since the client last kept us waiting) */
    struct buf in, to_inner, out; /* not yet checked; not yet taken by the library; not yet by the client */
    size_t out_at;                /* of `out`, taken already */
    uint64_t blocked_us;          /* since when `out` waits */
    size_t accounted;             /* of http->stats.held_bytes */
    struct http_inner *inner;     /* while a request needs it */
    struct exchange *exchange;    /* NULL between requests */
    struct head_scan scan;
    struct chunk chunk;
    uint64_t body_left, swallow_left;
    int minor;
    int ready;                  /* events not yet served */
    bool keeps;                 /* another request may follow */
    bool has_hung_up;           /* the client will send no more than what is on its way already */
    bool has_ended;             /* all of that has been read */
    bool is_early;              /* the answer's first letter has been sent */
    bool is_queued, is_drained; /* the library has the answer; has written all of it */
    bool is_refusable;          /* its head is to be refused, which can wait */
    bool is_lost;               /* reset by the client, which can also wait */
    bool is_over, is_working, is_later, is_touched;
};

struct http {
    struct MHD_Daemon *daemon;
    struct loop *loop;
    struct loop_turn *turn;
    struct loop_timer *timer;
    struct loop_watch *daemon_watch;
    struct http_listener listeners[HTTP_LISTENERS_MAX];
    int n_listeners;
    struct stat socket; /* the file of the UNIX socket, to recognise it; st_ino 0: none */
    struct http_options options;
    struct http_handler handler;
    struct tls_identity *identity; /* NULL: plain */
    int port, spare;               /* spare: a descriptor to give up when none are left */
    bool is_draining, is_quiet, is_paused, must_run, is_ticking,
        is_behind; /* the clock: more has expired than was ended */
    struct http_list phases[HTTP_PHASE_COUNT];
    struct http_list work, later;           /* later: pipelined requests, refusals, hang-ups, what
                                               is thrown away, and where an address has many in line */
    struct http_connection *touched, *over; /* `over` is linked by next_touched */
    struct http_inner *adding;              /* while it is being handed to the library */
    struct http_inner *spares;              /* free ones */
    int n_spares, n_begun;                  /* requests begun since the library last ran */
    int n_at_once, n_refused, n_requests;   /* of this turn, against the quotas */
    uint64_t at_once_until_us;
    struct wheel wheel;
    uint64_t seen_us, lost_us; /* http_clock.c: last check of the clock; time during which the loop did not run */
    struct peers peers;
    struct http_stats stats;
    size_t max_held_bytes;
    time_t date_s; /* of `date`, the header's value */
    char date[40];
    char scratch[HTTP_PIECE];
};

/* ---- http.c ---- */

/* Its watches and account are updated at the end of the turn. */
void http_touch(struct http_connection *c);
/* Queues it for the part of the turn that moves bytes; after those that wait for the first time. */
void http_list_work(struct http_connection *c);
void http_unlist_work(struct http_connection *c);
/* Whether something has come that was not looked at yet. */
bool http_has_bytes(const struct http_connection *c);
/* Runs libmicrohttpd and moves its answers, until until_us; then updates what was touched. From callbacks of the loop
 * only. */
void http_turn(struct http *h, uint64_t until_us);

/* ---- http_accept.c ---- */

MUST_USE enum err http_accept_open(struct http *h, struct errbuf *e);
void http_accept_close(struct http *h);
void http_accept_resume(struct http *h); /* after a pause for lack of memory */
/* Whether this peer's new connection, already counted, is within the share of an address. */
bool http_accept_is_within_share(const struct http *h, const struct peer *peer);
/* Lets this connection hold n more bytes, ending idle or stalled ones as needed. */
bool http_accept_has_memory(struct http_connection *c, size_t n);

/* ---- http_listen.c ---- */

/* Fills h->listeners and h->port; the descriptors are http_listen_close's. */
MUST_USE enum err http_listen_open(struct http *h, struct errbuf *e);
void http_listen_close(struct http *h);

/* ---- http_proxy.c ---- */

/* The first bytes of a connection of a trusted proxy. */
void http_proxy_read(struct http_connection *c);

/* ---- http_front.c ---- */

/* Takes the socket. NULL: out of memory, and the socket is closed. */
struct http_connection *http_front_create(struct http *h, int fd, const struct address *address, struct peer *peer);
/* After the PROXY header, if there was one. */
void http_front_begin(struct http_connection *c);
void http_front_reset_in(struct http_connection *c); /* resets c->in without releasing it */
void http_front_enter(struct http_connection *c, enum http_phase p);
void http_front_progress(struct http_connection *c, size_t n);
/* Moves bytes, once each way if something is ready. */
void http_front_serve(struct http_connection *c);
/* The client is lost: its exchange ends unsent. */
void http_front_lose(struct http_connection *c);
/* Closes the socket; there is no exchange any more. */
void http_front_end(struct http_connection *c);
/* Closes our side, then reads and discards for a while; if too many do so, the one that has stalled for longest is
 * ended. */
void http_front_linger(struct http_connection *c);
/* Connections that may linger beside the max_connections that count. */
int http_max_lingering(const struct http *h);
/* The events to wait for next. */
void http_front_settle(struct http_connection *c);

/* ---- http_request.c ---- */

/* Consumes what the phase can use; the rest waits in c->in. Modifies the bytes. */
void http_request_read(struct http_connection *c, char *bytes, size_t n);
/* The same with the bytes waiting in c->in. */
void http_request_read_waiting(struct http_connection *c);
/* Sends the answer of a request that libmicrohttpd has not got, if it is there; streams and large answers go through
 * the library. */
void http_request_answer(struct http_connection *c);
bool http_request_is_answered(const struct http_connection *c); /* and not yet sent */
/* Answers with a refusal and closes. */
void http_request_refuse(struct http_connection *c, enum refusal why, const char *message);

/* ---- http_inner.c ---- */

MUST_USE enum err http_inner_start(struct http *h, struct errbuf *e);
void http_inner_stop(struct http *h);
/* Gives c an inner connection for one request. False: no descriptor or memory. */
bool http_inner_open(struct http_connection *c);
/* Takes it away in the middle; libmicrohttpd abandons its request. */
void http_inner_forsake(struct http_connection *c);
/* Takes it away after the answer, for the next request of any client. */
void http_inner_return(struct http_connection *c);
/* Sends to libmicrohttpd; what its socket does not take waits in to_inner. */
void http_inner_send(struct http_connection *c, const char *before, const char *bytes, size_t n, const char *after);
void http_inner_flush(struct http_connection *c);
/* From libmicrohttpd to the client. */
void http_inner_move(struct http_connection *c);
void http_inner_run(struct http *h);

/* ---- http_answer.c ---- */

/* Hands the exchange's answer to libmicrohttpd. */
enum MHD_Result http_answer_queue(struct http_connection *c);
/* Sends the answer from the front: libmicrohttpd never got the whole request. closes: the connection ends, whatever its
 * framing. */
void http_answer_directly(struct http_connection *c, bool closes);
void http_answer_send(struct http_connection *c, const char *bytes, size_t n);
void http_answer_flush(struct http_connection *c);
/* Finds out whether the client of a request in progress is still there. */
void http_answer_probe(struct http_connection *c);
/* Ends the exchange once its answer has been sent. */
void http_answer_finish(struct http_connection *c);

/* ---- http_clock.c ---- */

/* The front's time: it stops while the loop does not run (the process or the machine was suspended), so that no client
 * is late because its bytes were not read. */
uint64_t http_now(struct http *h);

void http_clock_arm(struct http_connection *c);
void http_clock_start(struct http *h); /* ticks while there are connections */
MUST_USE enum err http_clock_create(struct http *h);

#endif
