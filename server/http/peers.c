#include "server/http/peers.h"

#include "engine/base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void key_of(const struct sockaddr *address, unsigned char key[16])
{
    memset(key, 0, 16);
    if (address->sa_family == AF_INET) {
        key[0] = 4;
        memcpy(key + 1, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;
        key[0] = IN6_IS_ADDR_V4MAPPED(a) ? 4 : 6;
        if (key[0] == 4) {
            memcpy(key + 1, a->s6_addr + 12, 4);
        } else {
            memcpy(key + 1, a->s6_addr, 8);
        }
    }
}

static struct peer **bucket_of(struct peers *p, const unsigned char key[16])
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (int i = 0; i < 16; i++) {
        h = (h ^ key[i]) * 1099511628211u;
    }
    return &p->buckets[(h ^ h >> 32) % PEERS_BUCKETS];
}

struct peer *peers_add(struct peers *p, const struct sockaddr *address)
{
    unsigned char key[16];
    key_of(address, key);
    struct peer **bucket = bucket_of(p, key), *peer = *bucket;
    while (peer && memcmp(peer->key, key, sizeof(key)) != 0) {
        peer = peer->next;
    }
    if (!peer) {
        if (mem_alloc(&peer, sizeof(*peer))) {
            return NULL;
        }
        memcpy(peer->key, key, sizeof(key));
        peer->next = *bucket;
        *bucket = peer;
    }
    peer->n++;
    return peer;
}

void peers_drop(struct peers *p, struct peer *peer)
{
    if (--peer->n > 0) {
        return;
    }
    struct peer **at = bucket_of(p, peer->key);
    while (*at != peer) {
        at = &(*at)->next;
    }
    *at = peer->next;
    mem_free(peer);
}

void peers_text(const struct sockaddr *address, char out[PEERS_TEXT_MAX])
{
    const void *bytes = NULL;
    int family = address->sa_family;
    if (family == AF_INET) {
        bytes = &((const struct sockaddr_in *)address)->sin_addr;
    } else if (family == AF_INET6) {
        bytes = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)bytes)) {
            bytes = (const char *)bytes + 12;
            family = AF_INET;
        }
    }
    if (!bytes || !inet_ntop(family, bytes, out, PEERS_TEXT_MAX)) {
        snprintf(out, PEERS_TEXT_MAX, "unknown");
    }
}
