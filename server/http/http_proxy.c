/* PROXY headers: looked at in the socket first, so that no byte after them is taken from TLS or the request. */
#include "server/http/http_private.h"

#include "engine/base/log.h"
#include "server/http/proxy_header.h"

#include <errno.h>
#include <string.h>

static void refuse(struct http_connection *c, const char *message)
{
    struct http *h = c->http;
    char peer[ADDRESS_TEXT_MAX];
    h->stats.failed_proxy_headers++;
    address_text(&c->address, peer);
    log_limited(LOG_WARN, LOG_HERE, "PROXY header refused", LOG_STR("peer", peer), LOG_STR("reason", message));
    if (h->identity) { /* nothing but TLS leaves a TLS socket */
        http_front_end(c);
    } else {
        http_request_refuse(c, REFUSAL_MALFORMED, message);
    }
}

/* From now on the connection counts for its client. */
static void set_client(struct http_connection *c, const struct address *client)
{
    struct http *h = c->http;
    struct peer *peer = peers_add(&h->peers, client);
    if (!peer) {
        http_front_end(c);
        return;
    }
    c->peer->held -= c->accounted;
    peers_drop(&h->peers, c->peer);
    c->peer = peer;
    c->peer->held += c->accounted;
    c->address = *client;
    if (address_networks_have(h->options.trusted, client) || http_accept_is_within_share(h, peer)) {
        http_front_begin(c);
        return;
    }
    h->stats.refused_connections++;
    if (h->identity) {
        http_front_end(c);
    } else {
        http_request_refuse(c, REFUSAL_CONNECTIONS,
                            "this address has reached its limit of open connections; reuse some, or close some");
    }
}

/* Takes n bytes that were looked at out of the socket. */
static bool swallow(struct http_connection *c, size_t n)
{
    while (n > 0) {
        ssize_t taken = recv(c->wire.fd, c->http->scratch, n, 0);
        if (taken == 0 || (taken < 0 && errno != EINTR)) {
            return false;
        }
        n -= taken > 0 ? (size_t)taken : 0;
    }
    return true;
}

void http_proxy_read(struct http_connection *c)
{
    struct proxy_header p;
    char *bytes = c->http->scratch;
    size_t before = c->in.n;
    ssize_t n;
    do {
        n = recv(c->wire.fd, bytes + before, PROXY_HEADER_MAX - before, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            http_front_end(c);
        }
        return;
    }
    if (before) {
        memcpy(bytes, c->in.bytes, before);
    }
    switch (proxy_header_scan(&p, bytes, before + (size_t)n)) {
    case PROXY_HEADER_MORE:
        buf_append(&c->in, bytes + before, (size_t)n);
        if (c->in.err || !swallow(c, (size_t)n)) {
            http_front_end(c);
        }
        break;
    case PROXY_HEADER_REFUSED:
        refuse(c, p.message);
        break;
    case PROXY_HEADER_WHOLE:
        buf_release(&c->in);
        http_front_reset_in(c);
        if (!swallow(c, p.n_bytes - before)) {
            http_front_end(c);
        } else if (p.client.family == ADDRESS_NONE) {
            http_front_begin(c);
        } else {
            set_client(c, &p.client);
        }
        break;
    }
}
