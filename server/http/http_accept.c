/* Who may connect. Over server.max_connections a newcomer takes the place of an idle connection of the address that has
 * the most, if that has more than its own; of the connection that has been idle longest, or of the upload that has
 * stalled longest; of a connection of that address on which no request has begun. Where there is none it is answered
 * 503 and closed. One address may hold max_connections_per_address; when that is 0, it may hold what it likes while an
 * eighth of all places is free, and a quarter of them (at least SHARE_MIN, at most half of all) when not; so it is with
 * the connections' memory. */
#include "server/http/http_private.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    ACCEPTS = 32, /* in one go, for at most so long: */
    ACCEPT_US = 500,
    SHARE_MIN = 64,
    LEFT_LOOKS = 64,
    HEAVY_LOOKS = 1024,
    IDLE_VICTIM_US = HTTP_SECOND_US,
    STALLED_VICTIM_US = 2 * HTTP_SECOND_US
};

/* ---- places ---- */

/* Those that only linger have had their answer; there are never many (http_front_linger). */
static int n_places_taken(const struct http *h)
{
    return h->stats.connections - h->phases[HTTP_LINGER].n;
}

static struct http_connection *oldest(const struct http *h, enum http_phase p, const struct http_connection *but)
{
    struct http_connection *c = h->phases[p].first;
    return c && c == but ? c->by_phase.next : c;
}

/* Of the idle connections and the uploads that have stalled, the one that may go for others; NULL: none. */
static struct http_connection *find_victim(struct http *h, bool idle_first, const struct http_connection *but)
{
    uint64_t now = http_now(h);
    struct http_connection *idle = oldest(h, HTTP_IDLE, but), *head = oldest(h, HTTP_HEAD, but),
                           *body = oldest(h, HTTP_BODY, but);
    struct http_connection *stalled = !head || (body && body->progress_us < head->progress_us) ? body : head;
    idle = idle && now - idle->progress_us >= IDLE_VICTIM_US ? idle : NULL;
    stalled = stalled && now - stalled->progress_us >= STALLED_VICTIM_US ? stalled : NULL;
    return idle && (idle_first || !stalled) ? idle : stalled;
}

/* The first of this peer in a phase, with nothing of a request on its way when it is idle; NULL: none was found. A
 * trusted proxy's connections are those of many clients. */
static struct http_connection *find_of(const struct http *h, enum http_phase p, const struct peer *peer)
{
    struct http_connection *c = h->phases[p].first;
    for (int i = 0; c && i < HEAVY_LOOKS; i++, c = c->by_phase.next) {
        if (c->peer == peer && (p != HTTP_IDLE || !http_has_bytes(c)) &&
            !address_networks_have(h->options.trusted, &c->address)) {
            return c;
        }
    }
    return NULL;
}

/* Who has more than a newcomer, also afterwards. */
static const struct peer *find_heavier(struct http *h, const struct peer *peer)
{
    const struct peer *heaviest = peers_heaviest(&h->peers, http_now(h));
    return heaviest && peers_weight(heaviest) > peers_weight(peer) ? heaviest : NULL;
}

/* Of the heavier one, a connection on which no request is worked on, nor has one come whole. */
static struct http_connection *find_unbegun(const struct http *h, const struct peer *heavier)
{
    struct http_connection *c = find_of(h, HTTP_HANDSHAKE, heavier);
    return c ? c : find_of(h, HTTP_HEAD, heavier);
}

static void evict(struct http_connection *c)
{
    c->http->stats.evicted_connections++;
    if (c->phase == HTTP_IDLE || c->phase == HTTP_HANDSHAKE) {
        http_front_end(c);
    } else if (c->phase == HTTP_HEAD && http_now(c->http) - c->progress_us < STALLED_VICTIM_US) {
        http_request_refuse(c, REFUSAL_CONNECTIONS,
                            "this address has the most connections, and another one needed one; try again later");
    } else {
        http_request_refuse(c, REFUSAL_SLOW,
                            "the request had stalled for over 2 s while others waited for a connection");
    }
}

static bool has_free_place(const struct http *h)
{
    return n_places_taken(h) < h->options.max_connections;
}

/* A connection that has hung up and is in line for it goes at once when its place is needed. */
static void end_those_who_left(struct http *h)
{
    struct http_connection *c = h->later.first, *next;
    for (int i = 0; c && c->is_working && i < LEFT_LOOKS && !has_free_place(h); i++, c = next) {
        next = c->by_work.next;
        if (c->is_lost || c->ready & LOOP_HANGUP) {
            http_unlist_work(c);
            http_front_serve(c);
        }
    }
}

static bool make_room(struct http *h, const struct peer *peer)
{
    end_those_who_left(h);
    if (has_free_place(h)) {
        return true;
    }
    const struct peer *heavier = find_heavier(h, peer);
    struct http_connection *victim = heavier ? find_of(h, HTTP_IDLE, heavier) : NULL;
    victim = victim ? victim : find_victim(h, true, NULL);
    victim = victim || !heavier ? victim : find_unbegun(h, heavier);
    if (victim) {
        evict(victim);
    }
    return victim != NULL;
}

/* Of memory an address may hold what it likes while an eighth is free, and a quarter when not. */
static bool is_over_memory_share(const struct http *h, size_t n, const struct address *address, const struct peer *peer)
{
    size_t max = h->max_held_bytes;
    return h->stats.held_bytes + n > max - max / 8 && peer->held + n > max / 4 &&
           !address_networks_have(h->options.trusted, address);
}

/* Who is refused gives back what it holds when the refusal is out, within this turn or soon after. */
static bool has_memory(struct http *h, size_t n, const struct http_connection *but)
{
    size_t leaving = 0;
    while (h->stats.held_bytes + n > leaving && h->stats.held_bytes + n - leaving > h->max_held_bytes) {
        struct http_connection *victim = find_victim(h, false, but);
        if (!victim) {
            return false;
        }
        leaving += victim->phase == HTTP_IDLE ? 0 : victim->accounted;
        evict(victim);
    }
    return true;
}

bool http_accept_has_memory(struct http_connection *c, size_t n)
{
    return !is_over_memory_share(c->http, n, &c->address, c->peer) && has_memory(c->http, n, c);
}

bool http_accept_is_within_share(const struct http *h, const struct peer *peer)
{
    int max = h->options.max_connections, share = h->options.max_connections_per_address;
    if (share > 0) {
        return peer->n <= share;
    }
    share = max / 4 > SHARE_MIN ? max / 4 : max / 2 < SHARE_MIN ? max / 2 : SHARE_MIN;
    return peer->n <= share || max - n_places_taken(h) > max / 8;
}

/* A trusted proxy's connections are those of its clients. */
static bool has_place(struct http *h, const struct address *address, const struct peer *peer)
{
    if (!address_networks_have(h->options.trusted, address) && !http_accept_is_within_share(h, peer)) {
        return false;
    }
    size_t n = sizeof(struct http_connection) + HTTP_OTHER_BYTES + (h->identity ? HTTP_TLS_BYTES : 0);
    return (has_free_place(h) || make_room(h, peer)) && !is_over_memory_share(h, n, address, peer) &&
           has_memory(h, n, NULL);
}

static void accept_client(struct http *h, int fd, const struct address *address)
{
    struct peer *peer = peers_add(&h->peers, address);
    if (!peer) {
        close(fd);
        return;
    }
    bool is_welcome = has_place(h, address, peer);
    h->stats.accepted += is_welcome;
    h->stats.refused_connections += !is_welcome;
    if (!is_welcome && (h->identity || h->phases[HTTP_LINGER].n >= http_max_lingering(h))) {
        log_limited(LOG_WARN, LOG_HERE, "connection refused", LOG_INT("connections", h->stats.connections));
        peers_drop(&h->peers, peer);
        close(fd);
        return;
    }
    struct http_connection *c = http_front_create(h, fd, address, peer);
    if (c && !is_welcome) {
        log_limited(LOG_WARN, LOG_HERE, "connection refused", LOG_INT("connections", h->stats.connections));
        http_request_refuse(c, REFUSAL_CONNECTIONS, "as many connections are open as are allowed; try again later");
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
static bool turn_away(struct http_listener *l)
{
    struct http *h = l->http;
    if (h->spare < 0) {
        return false;
    }
    close(h->spare);
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
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

static void watch_listeners(struct http *h, int events)
{
    for (int i = 0; i < h->n_listeners; i++) {
        loop_watch_set(h->listeners[i].watch, events);
    }
}

/* False: there are no more for now. */
static bool accept_one(struct http_listener *l)
{
    struct http *h = l->http;
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof(from);
    int fd = accept4(l->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        struct address address;
        address_of(&address, (struct sockaddr *)&from);
        accept_client(h, fd, &address);
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return false;
    }
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) {
        return true;
    }
    if ((errno == EMFILE || errno == ENFILE) && turn_away(l)) {
        return true;
    }
    h->is_paused = true; /* for one tick, else the loop would spin */
    watch_listeners(h, 0);
    http_clock_start(h);
    return false;
}

static void on_listener(void *user, int events)
{
    struct http_listener *l = user;
    uint64_t until_us = clock_us() + ACCEPT_US;
    (void)events;
    for (int i = 0; i < ACCEPTS && l->fd >= 0 && accept_one(l) && clock_us() < until_us; i++) {
    }
}

void http_accept_resume(struct http *h)
{
    if (h->is_paused) {
        h->is_paused = false;
        open_spare(h);
        watch_listeners(h, LOOP_READABLE);
    }
}

/* ---- opening and closing ---- */

enum err http_accept_open(struct http *h, struct errbuf *e)
{
    enum err rc = http_listen_open(h, e);
    for (int i = 0; i < h->n_listeners && !rc; i++) {
        rc = loop_watch_create(&h->listeners[i].watch, h->loop, h->listeners[i].fd, on_listener, &h->listeners[i]);
    }
    if (!rc) {
        open_spare(h);
        watch_listeners(h, LOOP_READABLE);
    }
    return rc;
}

void http_accept_close(struct http *h)
{
    for (int i = 0; i < h->n_listeners; i++) {
        loop_watch_destroy(h->listeners[i].watch);
        h->listeners[i].watch = NULL;
    }
    http_listen_close(h);
    if (h->spare >= 0) {
        close(h->spare);
        h->spare = -1;
    }
}
