/* peers - how many connections each address has open.
 *
 * An IPv6 address counts by its first 64 bits, which one host owns; an IPv4 address, also one mapped into IPv6, whole.
 *
 * Ownership: the table owns its entries. Threads: one. Errors: peers_add is NULL when out of memory. */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include "server/http/address.h"

#include <stdint.h>

enum { PEERS_BUCKETS = 1024 };

struct peer {
    struct peer *next;
    unsigned char key[16];
    int n;         /* connections */
    int n_over;    /* of these, the ones that only linger after their last answer */
    int n_in_line; /* of these, the ones whose bytes move before others' (http.c) */
    size_t held;   /* bytes of memory that they use */
};

struct peers {
    struct peer *buckets[PEERS_BUCKETS];
    struct peer *_heaviest; /* as of the last look; NULL: gone */
    uint64_t _looked_us;
};

/* Adds or removes one connection; the peer exists while it has one. */
struct peer *peers_add(struct peers *p, const struct address *address);
void peers_drop(struct peers *p, struct peer *peer);

/* Who has the most connections that are not over; NULL: nobody has any. It looks again at most once in PEERS_LOOK_US;
 * in between, those who have grown count and those who have shrunk may be told wrongly. */
enum { PEERS_LOOK_US = 50000 };
int peers_weight(const struct peer *peer); /* their number */
struct peer *peers_heaviest(struct peers *p, uint64_t now_us);

/* A number for what counts as one address: the same for all addresses of one host. */
uint64_t peers_number(const struct address *address);

#endif
