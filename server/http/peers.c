#include "server/http/peers.h"

#include "engine/base/hash.h"
#include "engine/base/mem.h"

#include <string.h>

static void key_of(const struct address *a, unsigned char key[16])
{
    memset(key, 0, 16);
    key[0] = a->family;
    memcpy(key + 1, a->bytes, a->family == ADDRESS_V4 ? 4 : a->family == ADDRESS_V6 ? 8 : 0);
}

static struct peer **bucket_of(struct peers *p, const unsigned char key[16])
{
    uint64_t h = hash_bytes(key, 16);
    return &p->buckets[(h ^ h >> 32) % PEERS_BUCKETS];
}

uint64_t peers_number(const struct address *address)
{
    unsigned char key[16];
    key_of(address, key);
    return hash_bytes(key, sizeof(key));
}

int peers_weight(const struct peer *peer)
{
    return peer->n - peer->n_over;
}

struct peer *peers_add(struct peers *p, const struct address *address)
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
    if (p->_heaviest && peers_weight(peer) > peers_weight(p->_heaviest)) {
        p->_heaviest = peer;
    }
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
    p->_heaviest = p->_heaviest == peer ? NULL : p->_heaviest;
    mem_free(peer);
}

struct peer *peers_heaviest(struct peers *p, uint64_t now_us)
{
    if (p->_looked_us && now_us - p->_looked_us < PEERS_LOOK_US) {
        return p->_heaviest;
    }
    p->_looked_us = now_us;
    p->_heaviest = NULL;
    for (int i = 0; i < PEERS_BUCKETS; i++) {
        for (struct peer *peer = p->buckets[i]; peer; peer = peer->next) {
            p->_heaviest = !p->_heaviest || peers_weight(peer) > peers_weight(p->_heaviest) ? peer : p->_heaviest;
        }
    }
    return p->_heaviest;
}
