#include "server/http/http.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/http/http_private.h"
#include "server/http/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DISCARD_MAX = 1 << 20, LINGER_US = 1000000, LOOK_US = 400000, BACKLOG = 1024 };

/* ---- exchanges ---- */

struct query_walk {
    struct exchange *x;
    bool is_counting;
};

static enum MHD_Result on_query(void *user, enum MHD_ValueKind kind, const char *name, size_t n_name, const char *value,
                                size_t n_value)
{
    struct query_walk *w = user;
    (void)kind;
    if (w->x->n_query == EXCHANGE_MAX_QUERY) {
        w->x->has_too_much_query = true;
        return MHD_NO;
    }
    if (!w->is_counting) {
        w->x->query[w->x->n_query] = (struct exchange_pair){name, value, n_name, value ? n_value : 0};
    }
    w->x->n_query++;
    return MHD_YES;
}

static enum err take_query(struct exchange *x, struct MHD_Connection *mhd)
{
    struct query_walk w = {.x = x, .is_counting = true};
    MHD_get_connection_values_n(mhd, MHD_GET_ARGUMENT_KIND, on_query, &w);
    if (x->n_query == 0) {
        return OK;
    }
    enum err rc = mem_array(&x->query, (size_t)x->n_query, sizeof(*x->query));
    if (!rc) {
        w.is_counting = false;
        x->n_query = 0;
        MHD_get_connection_values_n(mhd, MHD_GET_ARGUMENT_KIND, on_query, &w);
    }
    return rc;
}

static void take_peer(struct exchange *x, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr ||
        getnameinfo(info->client_addr, sizeof(struct sockaddr_in6), x->peer, sizeof(x->peer), NULL, 0,
                    NI_NUMERICHOST)) {
        snprintf(x->peer, sizeof(x->peer), "unknown");
    }
}

static void exchange_destroy(struct exchange *x)
{
    if (x->stream) {
        stream_drop(x->stream);
    }
    buf_release(&x->answer);
    mem_free(x->query);
    mem_free(x);
}

static struct exchange *exchange_create(struct http_connection *c, const char *method, const char *path)
{
    struct exchange *x;
    if (mem_alloc(&x, sizeof(*x))) {
        return NULL;
    }
    x->began_us = clock_us();
    x->method = method;
    x->path = path;
    x->is_admin = c->http->options.is_admin;
    x->connection = c;
    buf_init(&x->answer, (size_t)64 << 20);
    for (int i = 0; i < HEADER_COUNT; i++) {
        x->headers[i] =
            MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, exchange_header_name((enum exchange_header)i));
    }
    const char *length = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Content-Length");
    x->is_chunked = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Transfer-Encoding") != NULL;
    if (length && !exchange_parse_uint(length, 0, UINT64_MAX, &x->content_length)) {
        x->content_length = UINT64_MAX;
    }
    take_peer(x, c->mhd);
    exchange_take_id(x);
    if (take_query(x, c->mhd)) {
        exchange_destroy(x);
        return NULL;
    }
    return x;
}

/* ---- the access handler ---- */

static bool expects_continue(const struct exchange *x)
{
    return x->headers[HEADER_EXPECT] && strcasecmp(x->headers[HEADER_EXPECT], "100-continue") == 0;
}

static enum MHD_Result on_first_call(struct http_connection *c, const char *method, const char *path)
{
    struct exchange *x = exchange_create(c, method, path);
    if (!x) {
        return MHD_NO;
    }
    c->exchange = x;
    c->is_queued = false;
    c->http->handler.on_headers(c->http->handler.user, x);
    x->phase = x->status ? x->phase : PHASE_BODY;
    if (x->status && (x->content_length > 0 || x->is_chunked)) {
        bool is_long = x->is_chunked || x->content_length > DISCARD_MAX;
        if (expects_continue(x)) {
            x->must_close = true;
            return http_answer_queue(c);
        }
        if (is_long) {
            http_answer_raw(c);
        }
    }
    return MHD_YES;
}

static enum MHD_Result on_access(void *user, struct MHD_Connection *mhd, const char *path, const char *method,
                                 const char *version, const char *bytes, size_t *n_bytes, void **request)
{
    struct http *h = user;
    (void)version;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *c = info ? info->socket_context : NULL;
    if (!c) {
        return MHD_NO;
    }
    if (!*request) {
        *request = c;
        return on_first_call(c, method, path);
    }
    struct exchange *x = c->exchange;
    if (*n_bytes > 0) {
        size_t n = *n_bytes;
        *n_bytes = 0;
        if (!x->status) {
            h->handler.on_body(h->handler.user, x, bytes, n);
            if (x->status) {
                http_answer_raw(c);
            }
        }
        return MHD_YES;
    }
    if (c->cut_us) {
        return MHD_NO;
    }
    if (!x->status && x->phase == PHASE_BODY) {
        x->received_us = clock_us();
        x->phase = PHASE_WORKING;
        h->handler.on_request(h->handler.user, x);
    }
    if (x->status) {
        return http_answer_queue(c);
    }
    c->is_suspended = true;
    MHD_suspend_connection(mhd);
    return MHD_YES;
}

static void on_completed(void *user, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode how)
{
    struct http *h = user;
    struct http_connection *c = *request;
    if (!c || !c->exchange) {
        return;
    }
    struct exchange *x = c->exchange;
    h->handler.on_end(h->handler.user, x, c->cut_us || (c->is_queued && how == MHD_REQUEST_TERMINATED_COMPLETED_OK));
    c->exchange = NULL;
    c->idle_since_us = clock_us();
    exchange_destroy(x);
    MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                              (unsigned)((h->options.idle_timeout_ms + 999) / 1000));
    *request = NULL;
}

static void on_connection(void *user, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *h = user;
    struct http_connection *c = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        if (mem_alloc(&c, sizeof(*c))) {
            return; /* the access handler closes it */
        }
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *c = (struct http_connection){.http = h, .mhd = mhd, .fd = info->connect_fd, .idle_since_us = clock_us()};
        c->next = h->connections;
        if (c->next) {
            c->next->previous = c;
        }
        h->connections = c;
        h->n_connections++;
        *socket_context = c;
    } else if (c) {
        *(c->previous ? &c->previous->next : &h->connections) = c->next;
        if (c->next) {
            c->next->previous = c->previous;
        }
        h->n_connections--;
        mem_free(c);
        *socket_context = NULL;
    }
}

static void on_library_log(void *user, const char *fmt, va_list args)
{
    char text[256];
    (void)user;
    vsnprintf(text, sizeof(text), fmt, args);
    log_limited(LOG_DEBUG, LOG_HERE, "http", LOG_STR("message", text));
}

/* ---- the pump ---- */

void http_pump(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (h->is_pumping) {
        return;
    }
    h->is_pumping = true;
    MHD_run(h->daemon);
    h->is_pumping = false;
    if (MHD_get_timeout(h->daemon, &ms) == MHD_YES) {
        loop_timer_start(h->timer, ms * 1000);
    } else {
        loop_timer_stop(h->timer);
    }
}

static void on_pump(void *user)
{
    http_pump(user);
}

void http_ready(struct exchange *x)
{
    struct http_connection *c = x->connection;
    if (c->is_suspended) {
        c->is_suspended = false;
        MHD_resume_connection(c->mhd);
    }
}

void http_cut(struct exchange *x)
{
    http_answer_raw(x->connection);
}

static bool is_gone(const struct http_connection *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool http_is_gone(const struct exchange *x)
{
    return is_gone(x->connection);
}

/* libmicrohttpd misses an end that came together with the bytes of an unfinished request: one edge for both. */
static bool has_ended_early(const struct http_connection *c)
{
    return (!c->exchange || c->exchange->phase == PHASE_BODY) && is_gone(c);
}

void http_sweep(struct http *h)
{
    uint64_t now = clock_us(), idle_us = h->options.idle_timeout_ms * 1000;
    bool looks = now - h->looked_us >= LOOK_US;
    h->looked_us = looks ? now : h->looked_us;
    for (struct http_connection *c = h->connections; c; c = c->next) {
        bool is_idle = !c->exchange && now - c->idle_since_us > idle_us;
        bool is_lingering = c->cut_us && now - c->cut_us > LINGER_US;
        if (is_idle || is_lingering || (looks && has_ended_early(c))) {
            shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd reads the end and closes */
        }
    }
}

/* ---- opening and closing ---- */

static int try_listen(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol), yes = 1;
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, BACKLOG)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static enum err open_listener(struct http *h, struct errbuf *e)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
    char port[16];
    snprintf(port, sizeof(port), "%d", h->options.port);
    int rc = getaddrinfo(h->options.host, port, &hints, &found);
    if (rc) {
        return err_set(e, ERR_BAD_CONFIG, "server.host %s: %s", h->options.host, gai_strerror(rc));
    }
    for (const struct addrinfo *a = found; a && h->listener < 0; a = a->ai_next) {
        h->listener = try_listen(a);
    }
    int why = errno;
    freeaddrinfo(found);
    if (h->listener < 0) {
        return err_set(e, ERR_IO, "cannot listen on %s port %d: %s", h->options.host, h->options.port, strerror(why));
    }
    struct sockaddr_storage bound;
    socklen_t n = sizeof(bound);
    getsockname(h->listener, (struct sockaddr *)&bound, &n);
    h->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                : ((struct sockaddr_in *)&bound)->sin_port);
    return OK;
}

static enum err start_daemon(struct http *h, struct errbuf *e)
{
    const struct http_options *o = &h->options;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (o->tls_key ? MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_certificate},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key},
                                   {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem *more = o->tls_key ? tls : tls + 2;
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, h, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
        h->listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)o->max_connections_per_address, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)((o->idle_timeout_ms + 999) / 1000), MHD_OPTION_CONNECTION_MEMORY_LIMIT, o->max_header_bytes,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (!h->daemon) {
        return err_set(e, ERR_IO, "cannot start HTTP on port %d%s", h->port,
                       o->tls_key ? ": are server.tls_certificate and server.tls_key PEM files that belong together?"
                                  : "");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    enum err rc = loop_timer_create(&h->timer, h->loop, on_pump, h);
    return rc ? rc : loop_watch(h->loop, info->epoll_fd, on_pump, h);
}

enum err http_open(struct http **out, struct loop *l, const struct http_options *options,
                   const struct http_handler *handler, struct errbuf *e)
{
    struct http *h;
    enum err rc = mem_alloc(&h, sizeof(*h));
    *out = NULL;
    if (rc) {
        return rc;
    }
    h->loop = l;
    h->options = *options;
    h->handler = *handler;
    h->listener = -1;
    rc = open_listener(h, e);
    rc = rc ? rc : start_daemon(h, e);
    if (rc) {
        http_close(h);
        return rc;
    }
    *out = h;
    return OK;
}

int http_port(const struct http *h)
{
    return h->port;
}

int http_connections(const struct http *h)
{
    return h->n_connections;
}

void http_quiesce(struct http *h)
{
    if (!h->is_quiet) {
        h->is_quiet = true;
        h->listener = MHD_quiesce_daemon(h->daemon);
        if (h->listener >= 0) {
            close(h->listener);
            h->listener = -1;
        }
    }
}

void http_drain(struct http *h)
{
    (void)h;
}

enum err http_set_certificate(struct http *h, const char *certificate, const char *key, struct errbuf *e)
{
    (void)h, (void)certificate, (void)key, (void)e;
    return OK;
}

void http_abort(struct http *h)
{
    if (h && h->daemon) {
        for (struct http_connection *c = h->connections; c; c = c->next) {
            if (c->is_suspended) {
                if (c->exchange && !c->exchange->status) {
                    c->exchange->on_abandon ? c->exchange->on_abandon(c->exchange, "drain") : (void)0;
                    c->exchange->must_close = true;
                    exchange_answer(c->exchange, 499, NULL);
                }
                c->is_suspended = false;
                MHD_resume_connection(c->mhd);
            }
        }
        MHD_run(h->daemon);
        MHD_stop_daemon(h->daemon);
        h->daemon = NULL;
        h->listener = -1;
    }
}

void http_close(struct http *h)
{
    if (!h) {
        return;
    }
    if (h->daemon) {
        MHD_stop_daemon(h->daemon); /* closes the listener too unless it was taken away */
    } else if (h->listener >= 0) {
        close(h->listener);
    }
    mem_free(h);
}
