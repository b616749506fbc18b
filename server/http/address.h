/* address - IP addresses and networks: what clients are told apart by, and who is trusted to speak for others.
 *
 * IPv4 mapped into IPv6 is IPv4, however it is written. A peer without an address (a UNIX socket) is ADDRESS_UNIX.
 *
 * A list of networks is written with spaces or commas between: `10.0.0.0/8 192.168.1.7 fd00::/8 unix`. Bits behind the
 * prefix must be zero, so that a slip of the pen does not trust other machines than were meant.
 *
 * Ownership: plain data. Threads: any. Errors: address_networks_parse says which entry is wrong and how it should
 * be. */
#ifndef SERVER_HTTP_ADDRESS_H
#define SERVER_HTTP_ADDRESS_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

enum address_family { ADDRESS_NONE, ADDRESS_V4 = 4, ADDRESS_V6 = 6, ADDRESS_UNIX = 'u' };
enum { ADDRESS_TEXT_MAX = 64, NETWORKS_MAX = 64 };

struct address {
    unsigned char family; /* enum address_family */
    unsigned char bytes[16];
};

/* Exactly one address: dotted IPv4 or IPv6, without brackets, port or zone. */
bool address_parse(struct address *out, const char *text, size_t n);
void address_of(struct address *out, const struct sockaddr *from);
/* 4 or 16 bytes in network order. */
void address_of_bytes(struct address *out, const unsigned char *bytes, size_t n);
/* "unix", and "unknown" for none. */
void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX]);

struct networks {
    struct {
        struct address address;
        int bits;
    } list[NETWORKS_MAX];
    int n;
    bool has_unix;
};

/* key: of the configuration, for the message. */
MUST_USE enum err address_networks_parse(struct networks *out, const char *list, const char *key, struct errbuf *e);
bool address_networks_have(const struct networks *n, const struct address *a);

#endif
