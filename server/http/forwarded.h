/* forwarded - whose request it is, by what proxies have written: X-Forwarded-For, and Forwarded (RFC 7239).
 *
 * Each proxy adds at the end the address that it got the request from. So the list is read from its end: as long as the
 * one who wrote an entry is trusted, the entry is true. The client is the first address from the end that is not a
 * trusted proxy itself. What stands before it, the client may have made up; nobody looks.
 *
 * An entry that names nobody (unknown, _hidden, what cannot be read) ends the search: the request counts for the proxy
 * that wrote it. Where both headers are there and name different clients, one of them was passed on unseen, and the
 * request counts for the peer. Neither lets a client choose its address.
 *
 * Ownership: plain data; texts are borrowed for the call. Threads: any. Errors: none. */
#ifndef SERVER_HTTP_FORWARDED_H
#define SERVER_HTTP_FORWARDED_H

#include "server/http/address.h"

enum { FORWARDED_MAX = 16 }; /* hops that are looked at, from the end */

struct forwarded_list {
    struct address hops[FORWARDED_MAX]; /* a ring; ADDRESS_NONE: names nobody */
    unsigned n;                         /* seen in all */
};

struct forwarded {
    struct forwarded_list x, rfc7239;
};

/* One line of X-Forwarded-For or of Forwarded, in the order of the head. Zero *f before the first. */
void forwarded_add_x(struct forwarded *f, const char *value, size_t n);
void forwarded_add(struct forwarded *f, const char *value, size_t n);
/* peer: who is at the other end of the connection. */
struct address forwarded_client(const struct forwarded *f, const struct networks *trusted, const struct address *peer);

#endif
