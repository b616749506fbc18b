#include "server/watch/health_client.h"

#include "server/http/address.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* An address to listen on, as one to connect to. */
static const char *reachable(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(host, "::") == 0 ? "::1" : host;
}

static void set_patience(int fd)
{
    struct timeval patience = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static int open_connection(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &found)) {
        return -1;
    }
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0) {
            set_patience(fd);
            if (connect(fd, a->ai_addr, a->ai_addrlen)) {
                close(fd);
                fd = -1;
            }
        }
    }
    freeaddrinfo(found);
    return fd;
}

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) > 0) {
        set_patience(fd);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
            close(fd);
            fd = -1;
        }
    }
    return fd;
}

static int open_service(const struct config *c, bool is_admin)
{
    char port[24], host[CONFIG_TEXT_MAX];
    if (!is_admin && c->server.port < 0) {
        return open_socket(c->server.socket);
    }
    snprintf(port, sizeof(port), "%lld", is_admin ? c->server.admin_port : c->server.port);
    snprintf(host, sizeof(host), "%s", is_admin ? c->server.admin_host : c->server.host);
    host[strcspn(host, " ,")] = '\0'; /* the first of several */
    return open_connection(reachable(host), port);
}

/* The service takes this process for one of its proxies. */
static bool needs_proxy_header(const struct config *c, int fd)
{
    struct networks trusted;
    struct address self;
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof(from);
    if (!c->server.proxy_protocol || getsockname(fd, (struct sockaddr *)&from, &n) ||
        address_networks_parse(&trusted, c->server.trusted_proxies, "server.trusted_proxies", NULL)) {
        return false;
    }
    address_of(&self, (struct sockaddr *)&from);
    return address_networks_have(&trusted, &self);
}

static bool send_text(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

int health_client_ask(const struct config *c)
{
    char answer[64] = "";
    bool is_admin = c->server.tls_key[0] != '\0';
    if (is_admin && c->server.admin_port <= 0) {
        fprintf(stderr, "minivlm-server: with TLS the health check needs the admin port: set server.admin_port\n");
        return 1;
    }
    int fd = open_service(c, is_admin);
    size_t n = 0;
    if (fd >= 0 && (is_admin || !needs_proxy_header(c, fd) || send_text(fd, "PROXY UNKNOWN\r\n")) &&
        send_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")) {
        for (ssize_t more = 1; more > 0 && n < sizeof(answer) - 1; n += (size_t)(more > 0 ? more : 0)) {
            more = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    if (strncmp(answer, "HTTP/1.1 200", 12) == 0) {
        return 0;
    }
    fprintf(stderr, "minivlm-server: not healthy: %s\n", n ? answer : "no answer");
    return 1;
}
