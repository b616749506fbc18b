/* peers - how many connections each address has open.
 *
 * An IPv6 address counts by its first 64 bits, which one host owns; an IPv4 address, also one mapped into IPv6, whole.
 *
 * Ownership: the table owns its entries. Threads: one. Errors: peers_add is NULL when out of memory. */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include <stddef.h>
#include <sys/socket.h>

enum { PEERS_BUCKETS = 1024, PEERS_TEXT_MAX = 64 };

struct peer {
    struct peer *next;
    unsigned char key[16];
    int n; /* connections */
};

struct peers {
    struct peer *buckets[PEERS_BUCKETS];
};

/* One connection more or less; the peer lives while it has one. */
struct peer *peers_add(struct peers *p, const struct sockaddr *address);
void peers_drop(struct peers *p, struct peer *peer);

/* The address without its port, as text; "unknown" for what has none. */
void peers_text(const struct sockaddr *address, char out[PEERS_TEXT_MAX]);

#endif
