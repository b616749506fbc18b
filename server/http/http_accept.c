/* Who may connect. Over server.max_connections a newcomer takes the place of the connection that has been idle longest,
 * or of the upload that has stalled longest; where there is none it is answered 503 and closed. One address may hold
 * max_connections_per_address; when that is 0, it may hold what it likes while an eighth of all places is free, and a
 * quarter of them (at least SHARE_MIN) when not. */
#include "server/http/http_private.h"

#include "engine/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    ACCEPTS = 32, /* in one go */
    SHARE_MIN = 64,
    IDLE_VICTIM_US = HTTP_SECOND_US,
    STALLED_VICTIM_US = 2 * HTTP_SECOND_US
};

/* ---- places ---- */

/* Those that only linger have had their answer. */
static int n_places_taken(const struct http *h)
{
    return h->stats.connections - h->phases[HTTP_LINGER].n;
}

static int most_lingering(const struct http *h)
{
    return SHARE_MIN + h->options.max_connections / 8;
}

static bool make_room(struct http *h, uint64_t now)
{
    struct http_connection *idle = h->phases[HTTP_IDLE].first, *head = h->phases[HTTP_HEAD].first,
                           *body = h->phases[HTTP_BODY].first;
    struct http_connection *stalled = !head || (body && body->progress_us < head->progress_us) ? body : head;
    if (idle && now - idle->progress_us >= IDLE_VICTIM_US) {
        http_front_end(idle);
    } else if (stalled && now - stalled->progress_us >= STALLED_VICTIM_US) {
        http_request_refuse(stalled, REFUSAL_SLOW,
                            "the request had stalled for over 2 s while others waited for a connection");
    } else {
        return false;
    }
    h->stats.evicted_connections++;
    return true;
}

static bool has_place(struct http *h, const struct peer *peer)
{
    int most = h->options.max_connections, share = h->options.max_connections_per_address;
    int taken = n_places_taken(h);
    if (share > 0 && peer->n > share) {
        return false;
    }
    share = most / 4 > SHARE_MIN ? most / 4 : SHARE_MIN;
    if (h->options.max_connections_per_address == 0 && peer->n > share && most - taken <= most / 8) {
        return false;
    }
    return taken < most || make_room(h, http_now(h));
}

static void take_client(struct http *h, int fd, const struct sockaddr *address)
{
    int yes = 1;
    struct peer *peer = peers_add(&h->peers, address);
    if (!peer) {
        close(fd);
        return;
    }
    bool is_welcome = has_place(h, peer);
    h->stats.accepted += is_welcome;
    h->stats.refused_connections += !is_welcome;
    if (!is_welcome && (h->identity || h->phases[HTTP_LINGER].n >= most_lingering(h))) {
        log_limited(LOG_WARN, LOG_HERE, "connection refused", LOG_INT("connections", h->stats.connections));
        peers_drop(&h->peers, peer);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    struct http_connection *c = http_front_create(h, fd, address, peer);
    if (c && !is_welcome) {
        log_limited(LOG_WARN, LOG_HERE, "connection refused", LOG_INT("connections", h->stats.connections));
        http_request_refuse(c, REFUSAL_CONNECTIONS, "as many connections are open as are allowed");
    }
}

/* ---- accepting ---- */

static void open_spare(struct http *h)
{
    if (h->spare < 0) {
        h->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

/* No descriptor is left: the spare one makes it possible to tell the client by closing. */
static bool turn_away(struct http *h)
{
    if (h->spare < 0) {
        return false;
    }
    close(h->spare);
    int fd = accept4(h->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    h->spare = -1;
    open_spare(h);
    h->stats.refused_connections++;
    log_limited(LOG_WARN, LOG_HERE, "connection refused: no descriptor is left",
                LOG_INT("connections", h->stats.connections));
    return fd >= 0;
}

/* False: there are no more for now. */
static bool accept_one(struct http *h)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof(address);
    int fd = accept4(h->listener, (struct sockaddr *)&address, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        take_client(h, fd, (struct sockaddr *)&address);
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return false;
    }
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) {
        return true;
    }
    if ((errno == EMFILE || errno == ENFILE) && turn_away(h)) {
        return true;
    }
    h->is_paused = true; /* for one tick, else the loop would spin */
    loop_watch_set(h->listener_watch, 0);
    http_clock_start(h);
    return false;
}

static void on_listener(void *user, int events)
{
    struct http *h = user;
    (void)events;
    for (int i = 0; i < ACCEPTS && h->listener >= 0 && accept_one(h); i++) {
    }
}

void http_accept_resume(struct http *h)
{
    if (h->is_paused) {
        h->is_paused = false;
        open_spare(h);
        if (h->listener_watch) {
            loop_watch_set(h->listener_watch, LOOP_READABLE);
        }
    }
}

/* ---- the listening socket ---- */

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

enum err http_accept_open(struct http *h, struct errbuf *e)
{
    enum err rc = open_listener(h, e);
    rc = rc ? rc : loop_watch_create(&h->listener_watch, h->loop, h->listener, on_listener, h);
    if (!rc) {
        open_spare(h);
        loop_watch_set(h->listener_watch, LOOP_READABLE);
    }
    return rc;
}

void http_accept_close(struct http *h)
{
    loop_watch_destroy(h->listener_watch);
    h->listener_watch = NULL;
    if (h->listener >= 0) {
        close(h->listener);
        h->listener = -1;
    }
    if (h->spare >= 0) {
        close(h->spare);
        h->spare = -1;
    }
}
