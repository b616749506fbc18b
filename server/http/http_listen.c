/* The sockets that clients find: TCP at each address of server.host, and a UNIX socket. */
#include "server/http/http_private.h"

#include "engine/base/log.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    HOST_MAX = 256,
    UNSENT_BYTES = 128 << 10 /* in the kernel, of answers that nobody reads: else megabytes a connection, uncounted */
};

static void add_listener(struct http *h, int fd)
{
    h->listeners[h->n_listeners++] = (struct http_listener){.http = h, .fd = fd};
}

/* ---- TCP ---- */

static int port_of(int fd)
{
    struct sockaddr_storage bound;
    socklen_t n = sizeof(bound);
    getsockname(fd, (struct sockaddr *)&bound, &n);
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
}

static bool is_any_v6(const struct addrinfo *a)
{
    return a->ai_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)a->ai_addr)->sin6_addr);
}

/* -1 with errno. `is_dual`: IPv4 clients come in too. */
static int try_listen(const struct addrinfo *a, bool is_dual)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol), yes = 1,
        unsent = UNSENT_BYTES;
    int is_v6_alone = !is_dual;
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* connections inherit these */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    if (a->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &is_v6_alone, sizeof(is_v6_alone));
    }
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, BACKLOG)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void set_port(struct addrinfo *a, int port)
{
    if (a->ai_family == AF_INET6) {
        ((struct sockaddr_in6 *)a->ai_addr)->sin6_port = htons((uint16_t)port);
    } else {
        ((struct sockaddr_in *)a->ai_addr)->sin_port = htons((uint16_t)port);
    }
}

/* The machine does not have such addresses, or not this one. */
static bool is_absent(int why)
{
    return why == EAFNOSUPPORT || why == EADDRNOTAVAIL || why == EPROTONOSUPPORT;
}

/* 0, or why not: all addresses of a name, without those that the machine does not have when it has another. */
static int listen_at_all(struct http *h, struct addrinfo *found)
{
    int n_before = h->n_listeners, why = 0;
    for (struct addrinfo *a = found; a && h->n_listeners < HTTP_LISTENERS_MAX; a = a->ai_next) {
        if (h->port > 0) { /* port 0: all take what the first one got */
            set_port(a, h->port);
        }
        int fd = try_listen(a, is_any_v6(a) && h->n_listeners == 0);
        if (fd >= 0) {
            add_listener(h, fd);
            h->port = port_of(fd);
        } else if (!is_absent(errno)) {
            return errno;
        } else {
            why = errno;
        }
    }
    return h->n_listeners > n_before ? 0 : why;
}

static enum err listen_at(struct http *h, const char *host, struct errbuf *e)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
    char port[16];
    snprintf(port, sizeof(port), "%d", h->options.port);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc) {
        return err_set(e, ERR_BAD_CONFIG, "server.host %s: %s", host, gai_strerror(rc));
    }
    int why = listen_at_all(h, found);
    freeaddrinfo(found);
    if (is_absent(why) && strcmp(host, "::") == 0) {
        log_warn("this machine has no IPv6: listening on 0.0.0.0 instead of ::");
        return listen_at(h, "0.0.0.0", e);
    }
    return why ? err_set(e, ERR_IO, "cannot listen on %s port %d: %s", host, h->options.port, strerror(why)) : OK;
}

static enum err listen_tcp(struct http *h, struct errbuf *e)
{
    const char *at = h->options.host;
    char host[HOST_MAX];
    enum err rc = OK;
    for (at += strspn(at, " ,"); *at && !rc; at += strspn(at, " ,")) {
        size_t n = strcspn(at, " ,");
        if (h->n_listeners == HTTP_LISTENERS_MAX || n >= sizeof(host)) {
            return err_set(e, ERR_BAD_CONFIG, "server.host: at most %d addresses of at most %d characters",
                           HTTP_LISTENERS_MAX, HOST_MAX - 1);
        }
        memcpy(host, at, n);
        host[n] = '\0';
        rc = listen_at(h, host, e);
        at += n;
    }
    return rc || h->n_listeners ? rc
                                : err_set(e, ERR_BAD_CONFIG, "server.host: no address; name one, such as 127.0.0.1");
}

/* ---- UNIX ---- */

/* What an earlier process left behind is taken away; what is used, or is no socket, is left alone. */
static enum err clear_path(const struct sockaddr_un *address, struct errbuf *e)
{
    struct stat found;
    const char *path = address->sun_path;
    if (lstat(path, &found)) {
        return OK; /* bind has the words when it is for another reason than that nothing is there */
    }
    if (!S_ISSOCK(found.st_mode)) {
        return err_set(e, ERR_BAD_CONFIG,
                       "server.socket: %s exists and is not a socket; remove it or name another path", path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why = fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
    if (fd >= 0) {
        close(fd);
    }
    if (why != ECONNREFUSED) {
        return err_set(e, ERR_IO, "server.socket: another process listens on %s%s%s", path,
                       why ? ", or it cannot be asked: " : "", why ? strerror(why) : "");
    }
    return unlink(path) ? err_set(e, ERR_IO, "server.socket: cannot remove the stale %s: %s", path, strerror(errno))
                        : OK;
}

/* The mode is set before the file is there, so that there is no moment with more rights; umask may have taken some. */
static int bind_unix(const struct sockaddr_un *address, unsigned mode)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && (fchmod(fd, mode) || bind(fd, (const struct sockaddr *)address, sizeof(*address)) ||
                    chmod(address->sun_path, mode) || listen(fd, BACKLOG))) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static enum err listen_unix(struct http *h, struct errbuf *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(h->options.socket);
    if (n >= sizeof(address.sun_path)) {
        return err_set(e, ERR_BAD_CONFIG, "server.socket: the path may have at most %zu characters; name a shorter one",
                       sizeof(address.sun_path) - 1);
    }
    memcpy(address.sun_path, h->options.socket, n);
    enum err rc = clear_path(&address, e);
    if (rc) {
        return rc;
    }
    int fd = bind_unix(&address, h->options.socket_mode);
    if (fd < 0) {
        return err_set(e, ERR_IO, "server.socket: cannot listen on %s: %s", h->options.socket, strerror(errno));
    }
    add_listener(h, fd);
    if (stat(h->options.socket, &h->socket)) {
        h->socket.st_ino = 0;
    }
    return OK;
}

/* ---- both ---- */

enum err http_listen_open(struct http *h, struct errbuf *e)
{
    bool has_socket = h->options.socket && h->options.socket[0];
    enum err rc = h->options.port >= 0 ? listen_tcp(h, e) : OK;
    if (!rc && has_socket && h->n_listeners == HTTP_LISTENERS_MAX) {
        rc = err_set(e, ERR_BAD_CONFIG, "server.host: at most %d addresses in addition to server.socket",
                     HTTP_LISTENERS_MAX - 1);
    }
    return rc || !has_socket ? rc : listen_unix(h, e);
}

/* A file that is not ours any more belongs to who came after. */
static void remove_socket(struct http *h)
{
    struct stat found;
    if (h->socket.st_ino && lstat(h->options.socket, &found) == 0 && found.st_ino == h->socket.st_ino &&
        found.st_dev == h->socket.st_dev) {
        unlink(h->options.socket);
    }
    h->socket.st_ino = 0;
}

void http_listen_close(struct http *h)
{
    for (int i = 0; i < h->n_listeners; i++) {
        close(h->listeners[i].fd);
    }
    h->n_listeners = 0;
    remove_socket(h);
}
