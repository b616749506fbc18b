/* http_private - what http.c and http_answer.c share. Threads: the loop thread. */
#ifndef SERVER_HTTP_PRIVATE_H
#define SERVER_HTTP_PRIVATE_H

#include "server/http/http.h"

#include <microhttpd.h>

/* Of one socket; lives from accept to close. */
struct http_connection {
    struct http *http;
    struct MHD_Connection *mhd;
    int fd;
    struct exchange *exchange; /* NULL between requests */
    uint64_t idle_since_us;
    uint64_t cut_us; /* when it was answered in the middle of a body; 0: not */
    bool is_suspended, is_queued;
    struct http_connection *previous, *next;
};

struct http {
    struct MHD_Daemon *daemon;
    struct loop *loop;
    struct loop_timer *timer;
    struct http_options options;
    struct http_handler handler;
    int port, listener;
    int n_connections;
    uint64_t looked_us;
    bool is_quiet, is_pumping;
    struct http_connection *connections;
};

/* Queues the exchange's answer. */
enum MHD_Result http_answer_queue(struct http_connection *c);
/* Writes it on the socket and closes the sending half. */
void http_answer_raw(struct http_connection *c);

#endif
