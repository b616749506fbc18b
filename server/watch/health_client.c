#include "server/watch/health_client.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* An address to listen on, as one to connect to. */
static const char *reachable(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(host, "::") == 0 ? "::1" : host;
}

static int open_connection(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct timeval patience = {.tv_sec = 2};
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &found)) {
        return -1;
    }
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0) {
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
            if (connect(fd, a->ai_addr, a->ai_addrlen)) {
                close(fd);
                fd = -1;
            }
        }
    }
    freeaddrinfo(found);
    return fd;
}

int health_client_ask(const struct config *c)
{
    char port[24], answer[64] = "";
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    bool has_tls = c->server.tls_key[0] != '\0';
    if (has_tls && c->server.admin_port <= 0) {
        fprintf(stderr, "minivlm-server: with TLS the health check needs the admin port: set server.admin_port\n");
        return 1;
    }
    snprintf(port, sizeof(port), "%lld", has_tls ? c->server.admin_port : c->server.port);
    int fd = open_connection(reachable(has_tls ? c->server.admin_host : c->server.host), port);
    size_t n = 0;
    if (fd >= 0 && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(request) - 1) {
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
