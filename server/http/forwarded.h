/* forwarded - whose request it is, according to proxies: X-Forwarded-For, and Forwarded (RFC 7239).
 *
 * Each proxy appends the address from which it received the request. So the list is read from its end: as long as the
 * writer of an entry is trusted, the entry is true. The client is the first address from the end that is not itself a
 * trusted proxy. Anything before it may be forged by the client and is ignored.
 *
 * An entry without an address (unknown, _hidden, or unreadable) ends the search: the request counts for the proxy that
 * wrote it. If both headers are present and name different clients, one of them was passed on unchecked, and the
 * request counts for the peer. Neither lets a client choose its address.
 *
 * Ownership: plain data; texts are borrowed for the call. Threads: any. Errors: none. */
#ifndef SERVER_HTTP_FORWARDED_H
#define SERVER_HTTP_FORWARDED_H

#include "server/http/address.h"

enum { FORWARDED_MAX = 16 }; /* hops that are examined, from the end */

struct forwarded_list {
    struct address hops[FORWARDED_MAX]; /* a ring; ADDRESS_NONE: an entry without an address */
    unsigned n;                         /* seen in all */
};

struct forwarded {
    struct forwarded_list x, rfc7239;
};

/* Adds one line of X-Forwarded-For or Forwarded, in the order of the head. Zero *f before the first. */
void forwarded_add_x(struct forwarded *f, const char *value, size_t n);
void forwarded_add(struct forwarded *f, const char *value, size_t n);
/* peer: the address at the other end of the connection. */
struct address forwarded_client(const struct forwarded *f, const struct networks *trusted, const struct address *peer);

#endif
