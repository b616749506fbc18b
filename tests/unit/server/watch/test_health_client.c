/* Whom the health check asks, what it sends and what it takes for healthy, over a network that is made up. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int net_find(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);
static void net_forget(struct addrinfo *found);
static int net_socket(int family, int type, int protocol);
static int net_connect(int fd, const struct sockaddr *to, socklen_t n);
static int net_name(int fd, struct sockaddr *out, socklen_t *n);
static int net_set(int fd, int level, int name, const void *value, socklen_t n);
static ssize_t net_send(int fd, const void *bytes, size_t n, int flags);
static ssize_t net_recv(int fd, void *bytes, size_t n, int flags);
static int net_close(int fd);

#define getaddrinfo  net_find
#define freeaddrinfo net_forget
#define socket       net_socket
#define connect      net_connect
#define getsockname  net_name
#define setsockopt   net_set
#define send         net_send
#define recv         net_recv
#define close        net_close
#include "server/watch/health_client.c"

#include "tests/support/check.h"

/* ---- the network ---- */

static struct {
    char host[1024], port[24], path[108], sent[256]; /* what the client named and sent */
    int n_addresses, n_refusing;                     /* of the host; the first ones refuse connections */
    int n_asked, n_open, n_patient;                  /* connects, sockets now, sockets with a time-out */
    const char *answer, *own_address;
    size_t n_read;
} net;

static int net_find(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
    static struct addrinfo list[2];
    CHECK_INT(hints->ai_socktype, SOCK_STREAM);
    snprintf(net.host, sizeof(net.host), "%s", host);
    snprintf(net.port, sizeof(net.port), "%s", port);
    list[0] = (struct addrinfo){.ai_family = AF_INET, .ai_next = net.n_addresses > 1 ? &list[1] : NULL};
    list[1] = (struct addrinfo){.ai_family = AF_INET6};
    *out = list;
    return net.n_addresses ? 0 : EAI_NONAME;
}

static void net_forget(struct addrinfo *found)
{
    CHECK(found != NULL);
}

static int net_socket(int family, int type, int protocol)
{
    (void)protocol;
    CHECK(type & SOCK_CLOEXEC);
    net.n_open++;
    return family == AF_UNIX ? 99 : 50;
}

static int net_connect(int fd, const struct sockaddr *to, socklen_t n)
{
    (void)n;
    if (fd == 99) {
        snprintf(net.path, sizeof(net.path), "%s", ((const struct sockaddr_un *)to)->sun_path);
    }
    return net.n_asked++ < net.n_refusing ? -1 : 0;
}

static int net_name(int fd, struct sockaddr *out, socklen_t *n)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    (void)fd;
    inet_pton(AF_INET, net.own_address, &in.sin_addr);
    memcpy(out, &in, sizeof(in));
    *n = sizeof(in);
    return 0;
}

static int net_set(int fd, int level, int name, const void *value, socklen_t n)
{
    (void)fd, (void)level, (void)n;
    net.n_patient += name == SO_RCVTIMEO && ((const struct timeval *)value)->tv_sec == 2;
    return 0;
}

static ssize_t net_send(int fd, const void *bytes, size_t n, int flags)
{
    (void)fd;
    CHECK(flags & MSG_NOSIGNAL);
    size_t at = strlen(net.sent);
    snprintf(net.sent + at, sizeof(net.sent) - at, "%.*s", (int)n, (const char *)bytes);
    return (ssize_t)n;
}

/* Five bytes at a time. */
static ssize_t net_recv(int fd, void *bytes, size_t n, int flags)
{
    size_t left = strlen(net.answer) - net.n_read;
    (void)fd, (void)flags;
    n = n < 5 ? n : 5;
    n = n < left ? n : left;
    memcpy(bytes, net.answer + net.n_read, n);
    net.n_read += n;
    return (ssize_t)n;
}

static int net_close(int fd)
{
    (void)fd;
    net.n_open--;
    return 0;
}

/* ---- tests ---- */

static struct config config;

static void set_scene(const char *answer)
{
    config_defaults(&config);
    memset(&net, 0, sizeof(net));
    net.n_addresses = 1;
    net.answer = answer;
    net.own_address = "127.0.0.1";
}

static void set_text(char to[CONFIG_TEXT_MAX], const char *text)
{
    snprintf(to, CONFIG_TEXT_MAX, "%s", text);
}

static int ask(void)
{
    int code = health_client_ask(&config);
    CHECK_INT(net.n_open, 0);
    CHECK(code || net.n_patient);
    return code;
}

static const char healthy[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static void test_hosts(void)
{
    static const char *const hosts[][2] = {{"0.0.0.0", "127.0.0.1"},
                                           {"::", "::1"},
                                           {"10.1.2.3", "10.1.2.3"},
                                           {"10.1.2.3 ::1", "10.1.2.3"},
                                           {":: 0.0.0.0", "::1"}};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        set_scene(healthy);
        set_text(config.server.host, hosts[i][0]);
        config.server.port = 8123;
        CHECK_INT(ask(), 0);
        CHECK_STR(net.host, hosts[i][1]);
        CHECK_STR(net.port, "8123");
        CHECK_STR(net.sent, request);
    }
}

static void test_answers(void)
{
    static const char *const bad[] = {"", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 20", "220 smtp\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_scene(bad[i]);
        CHECK_INT(ask(), 1);
    }
    set_scene(healthy);
    net.n_addresses = 0;
    CHECK_INT(ask(), 1);
    set_scene(healthy);
    net.n_refusing = 1;
    CHECK_INT(ask(), 1);
    set_scene(healthy); /* the second address of the name answers */
    net.n_addresses = 2;
    net.n_refusing = 1;
    CHECK_INT(ask(), 0);
}

static void test_other_ports(void)
{
    set_scene(healthy); /* only a UNIX socket */
    config.server.port = -1;
    set_text(config.server.socket, "/run/x.sock");
    CHECK_INT(ask(), 0);
    CHECK_STR(net.path, "/run/x.sock");
    CHECK_STR(net.host, "");
    set_scene(healthy); /* with TLS: on the admin port */
    set_text(config.server.tls_key, "key.pem");
    config.server.admin_port = 9001;
    CHECK_INT(ask(), 0);
    CHECK_STR(net.port, "9001");
    CHECK_STR(net.host, "127.0.0.1");
    set_scene(healthy);
    set_text(config.server.tls_key, "key.pem");
    CHECK_INT(ask(), 1);
    CHECK_INT(net.n_asked, 0);
}

static void test_proxy_header(void)
{
    for (int is_trusted = 0; is_trusted < 2; is_trusted++) {
        set_scene(healthy);
        config.server.proxy_protocol = true;
        set_text(config.server.trusted_proxies, is_trusted ? "127.0.0.0/8" : "10.0.0.0/8");
        CHECK_INT(ask(), 0);
        CHECK_INT(strncmp(net.sent, "PROXY UNKNOWN\r\nGET ", 19) == 0, is_trusted);
        CHECK_INT(strncmp(net.sent, "GET ", 4) == 0, !is_trusted);
    }
    set_scene(healthy); /* the admin port takes no such header */
    config.server.proxy_protocol = true;
    set_text(config.server.trusted_proxies, "127.0.0.0/8");
    set_text(config.server.tls_key, "key.pem");
    config.server.admin_port = 9001;
    CHECK_INT(ask(), 0);
    CHECK_STR(net.sent, request);
}

int main(void)
{
    test_hosts();
    test_answers();
    test_other_ports();
    test_proxy_header();
    return check_result();
}
