/* address - IP addresses and networks: how clients are told apart, and who is trusted to speak for others.
 *
 * IPv4 mapped into IPv6 counts as IPv4, however it is written. A peer without an address (a UNIX socket) is
 * ADDRESS_UNIX.
 *
 * A list of networks is separated by spaces or commas: `10.0.0.0/8 192.168.1.7 fd00::/8 unix`. Bits after the prefix
 * must be zero, so that a typing error does not trust other machines than intended.
 *
 * Ownership: plain data. Threads: any. Errors: address_networks_parse says which entry is wrong and what it should look
 * like. */
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
