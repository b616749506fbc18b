/* The side of libmicrohttpd: a daemon without a listening socket, fed through socket pairs. A pair is a client's for
 * one request; those that are free are kept for whoever comes next, a few. */
#include "server/http/http_private.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { INNER_RUNS = 16, INNER_SPARES = 32, INNER_RUN_US = 500 };

/* ---- what libmicrohttpd calls ---- */

static enum MHD_Result on_access(void *user, struct MHD_Connection *mhd, const char *path, const char *method,
                                 const char *version, const char *bytes, size_t *n_bytes, void **request)
{
    struct http *h = user;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_inner *inner = info ? info->socket_context : NULL;
    struct http_connection *c = inner ? inner->front : NULL;
    (void)path, (void)method, (void)version;
    if (!c || !c->exchange) {
        return MHD_NO;
    }
    struct exchange *x = c->exchange;
    if (!*request) {
        *request = inner;
        inner->is_complete = false;
        return MHD_YES;
    }
    if (*n_bytes > 0) {
        size_t n = *n_bytes;
        *n_bytes = 0;
        h->handler.on_body(h->handler.user, x, bytes, n);
        if (inner->front != c) { /* cut in there */
            return MHD_NO;
        }
        if (x->status) {
            http_answer_directly(c, true); /* forsakes the inner connection */
            return MHD_NO;
        }
        return MHD_YES;
    }
    if (!x->status && x->phase == PHASE_BODY) {
        x->received_us = clock_us();
        x->phase = PHASE_WORKING;
        h->handler.on_request(h->handler.user, x);
    }
    if (x->status == 304) { /* the library would write Content-Length: 0, which is not the length of what is known */
        http_answer_directly(c, false);
        return MHD_NO;
    }
    if (x->status) {
        return http_answer_queue(c);
    }
    inner->is_suspended = true;
    MHD_suspend_connection(mhd);
    return MHD_YES;
}

static void on_completed(void *user, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode how)
{
    struct http_inner *inner = *request;
    (void)user, (void)mhd;
    *request = NULL;
    if (inner && inner->front && how == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        inner->is_complete = inner->front->is_queued;
        http_touch(inner->front);
    }
}

static void on_connection(void *user, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *h = user;
    struct http_inner *inner = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = h->adding;
        h->adding->mhd = mhd;
    } else if (inner) {
        inner->mhd = NULL;
        *context = NULL;
        if (inner->front) {
            http_touch(inner->front);
        } else {
            mem_free(inner);
        }
    }
}

static void on_library_log(void *user, const char *fmt, va_list args)
{
    char text[256];
    (void)user;
    vsnprintf(text, sizeof(text), fmt, args);
    log_limited(LOG_DEBUG, LOG_HERE, "http", LOG_STR("message", text));
}

/* ---- life ---- */

static void on_daemon(void *user, int events)
{
    struct http *h = user;
    (void)events;
    h->must_run = true;
}

enum err http_inner_start(struct http *h, struct errbuf *e)
{
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_access, h, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)h->options.max_connections * 2 + 256, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_INNER_BYTES,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
    if (!h->daemon) {
        return err_set(
            e, ERR_IO,
            "cannot start libmicrohttpd; are there enough file descriptors (ulimit -n) and threads (ulimit -u)?");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    enum err rc = loop_watch_create(&h->daemon_watch, h->loop, info->epoll_fd, on_daemon, h);
    if (!rc) {
        loop_watch_set(h->daemon_watch, LOOP_READABLE);
    }
    return rc;
}

/* Our end is closed; the library closes its own when it learns. */
static void give_up(struct http_inner *inner)
{
    loop_watch_destroy(inner->watch);
    inner->watch = NULL;
    close(inner->fd);
    inner->front = NULL;
    inner->http->must_run = true;
    if (!inner->mhd) {
        mem_free(inner);
    } else if (inner->is_suspended) {
        inner->is_suspended = false;
        MHD_resume_connection(inner->mhd);
    }
}

/* The one that the library has closed while it was free. */
static void give_up_spare(struct http_inner *inner)
{
    struct http *h = inner->http;
    struct http_inner **at = &h->spares;
    while (*at != inner) {
        at = &(*at)->next;
    }
    *at = inner->next;
    h->n_spares--;
    give_up(inner);
}

static void on_inner(void *user, int events)
{
    struct http_inner *inner = user;
    if (!inner->front) {
        give_up_spare(inner);
    } else if (events & LOOP_FAULT) { /* told once: what is left to read says the rest */
        http_inner_move(inner->front);
    } else {
        inner->is_ready = true;
        http_list_work(inner->front);
    }
}

static struct http_inner *create(struct http *h)
{
    static const struct sockaddr_in nobody = {.sin_family = AF_INET}; /* the library wants an address */
    struct http_inner *inner;
    int pair[2];
    if (mem_alloc(&inner, sizeof(*inner))) {
        return NULL;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
        mem_free(inner);
        return NULL;
    }
    *inner = (struct http_inner){.http = h, .fd = pair[0]};
    if (loop_watch_create(&inner->watch, h->loop, pair[0], on_inner, inner)) {
        close(pair[0]);
        close(pair[1]);
        mem_free(inner);
        return NULL;
    }
    h->adding = inner;
    enum MHD_Result rc = MHD_add_connection(h->daemon, pair[1], (const struct sockaddr *)&nobody, sizeof(nobody));
    h->adding = NULL;
    if (rc != MHD_YES || !inner->mhd) { /* the library has closed its end */
        give_up(inner);
        return NULL;
    }
    loop_watch_set(inner->watch, LOOP_READABLE);
    return inner;
}

bool http_inner_open(struct http_connection *c)
{
    struct http *h = c->http;
    if (h->spares) {
        c->inner = h->spares;
        h->spares = c->inner->next;
        h->n_spares--;
    } else {
        c->inner = create(h);
    }
    if (c->inner) {
        c->inner->front = c;
        c->inner->is_complete = c->inner->is_ready = false;
    }
    return c->inner != NULL;
}

void http_inner_forsake(struct http_connection *c)
{
    struct http_inner *inner = c->inner;
    if (inner) {
        c->inner = NULL;
        c->is_queued = c->is_drained = false;
        buf_release(&c->to_inner);
        give_up(inner);
    }
}

void http_inner_return(struct http_connection *c)
{
    struct http_inner *inner = c->inner;
    struct http *h = c->http;
    if (!inner || !inner->mhd || !inner->is_complete || h->n_spares == INNER_SPARES) {
        http_inner_forsake(c);
        return;
    }
    c->inner = NULL;
    inner->front = NULL;
    inner->next = h->spares;
    h->spares = inner;
    h->n_spares++;
    loop_watch_set(inner->watch, LOOP_READABLE);
}

void http_inner_stop(struct http *h)
{
    while (h->spares) {
        give_up_spare(h->spares);
    }
    if (h->daemon) {
        http_inner_run(h);
        MHD_stop_daemon(h->daemon);
    }
}

/* ---- to libmicrohttpd ---- */

void http_inner_send(struct http_connection *c, const char *before, const char *bytes, size_t n, const char *after)
{
    /* sendmsg only reads */
    struct iovec parts[3] = {{(void *)(uintptr_t)before, before ? strlen(before) : 0},
                             {(void *)(uintptr_t)bytes, n},
                             {(void *)(uintptr_t)after, after ? strlen(after) : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    ssize_t sent = 0;
    c->http->must_run = true;
    if (c->to_inner.n == 0) {
        do {
            sent = sendmsg(c->inner->fd, &message, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN) {
            http_front_lose(c);
            return;
        }
    }
    size_t skip = sent > 0 ? (size_t)sent : 0;
    for (int i = 0; i < 3; i++) {
        size_t k = skip < parts[i].iov_len ? skip : parts[i].iov_len;
        skip -= k;
        if (k < parts[i].iov_len) {
            buf_append(&c->to_inner, (char *)parts[i].iov_base + k, parts[i].iov_len - k);
        }
    }
    if (c->to_inner.err) {
        http_front_lose(c);
    }
}

void http_inner_flush(struct http_connection *c)
{
    ssize_t n;
    do {
        n = send(c->inner->fd, c->to_inner.bytes, c->to_inner.n, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        http_front_lose(c);
        return;
    }
    c->http->must_run = true;
    if (n > 0 && (size_t)n == c->to_inner.n) {
        buf_release(&c->to_inner);
    } else if (n > 0) {
        c->to_inner.n -= (size_t)n;
        memmove(c->to_inner.bytes, c->to_inner.bytes + n, c->to_inner.n + 1);
    }
}

/* ---- from libmicrohttpd ---- */

/* It has closed its end: behind a whole answer that is right (Connection: close), else it has failed. */
static void see_inner_end(struct http_connection *c)
{
    if (!c->inner->is_complete) {
        http_front_lose(c);
        return;
    }
    c->keeps = false;
    c->is_drained = true;
}

/* Whether nothing is left to read: a read that brought less than it might have does not say so. */
static bool is_read(int fd)
{
    char next;
    ssize_t n;
    do {
        n = recv(fd, &next, 1, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    return n < 0 && errno == EAGAIN;
}

void http_inner_move(struct http_connection *c)
{
    struct http *h = c->http;
    ssize_t n;
    do {
        n = recv(c->inner->fd, h->scratch, sizeof(h->scratch), 0);
        if (n > 0 && !c->is_queued) { /* its own words, about a request that the front found correct */
            http_request_refuse(c, REFUSAL_MALFORMED, "the request could not be read");
            return;
        }
        if (n > 0) {
            http_answer_send(c, h->scratch, (size_t)n);
        }
    } while ((n == sizeof(h->scratch) || (n < 0 && errno == EINTR)) && !c->is_over && c->out.n == 0 && h->work.n == 0 &&
             h->later.n == 0);
    if (c->is_over) {
        return;
    }
    if (n == 0) {
        see_inner_end(c);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        http_front_lose(c);
        return;
    }
    if (!c->is_over && c->inner && c->inner->is_complete && is_read(c->inner->fd)) {
        c->is_drained = true;
    }
    http_answer_finish(c);
}

/* The library looks twice: what a signal cuts short it does not do again by itself. */
void http_inner_run(struct http *h)
{
    const uint64_t until_us = clock_us() + INNER_RUN_US;
    MHD_UNSIGNED_LONG_LONG ms = 0;
    bool has_more = true;
    h->must_run = false;
    h->n_begun = 0;
    for (int i = 0; i < 2 || (has_more && i < INNER_RUNS && clock_us() < until_us); i++) {
        MHD_run(h->daemon);
        has_more = MHD_get_timeout(h->daemon, &ms) == MHD_YES && ms == 0;
    }
    h->must_run |= has_more;
}
