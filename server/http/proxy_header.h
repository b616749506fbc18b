/* proxy_header - the PROXY protocol, versions 1 and 2: the line or block that a proxy sends before all other bytes of a
 * connection, with the address of the client it speaks for.
 *
 * Strict: version 1 is one line of at most 107 bytes ended by CR LF, single spaces, whole addresses of the family that
 * it names, ports without needless zeros. Version 2 has a known command and family, as many bytes as its family needs,
 * and extensions (TLVs) whose lengths add up; at most PROXY_HEADER_MAX bytes. Datagrams are taken like streams: a load
 * balancer that speaks HTTP/3 names its clients this way. LOCAL, UNKNOWN, UNSPEC and UNIX name no client: the proxy
 * speaks for itself.
 *
 * Source: HAProxy's doc/proxy-protocol.txt of 2020-03-05, sections 2.1 and 2.2.
 * Ownership: nothing. Threads: any. Errors: PROXY_HEADER_REFUSED with a message (static). */
#ifndef SERVER_HTTP_PROXY_HEADER_H
#define SERVER_HTTP_PROXY_HEADER_H

#include "server/http/address.h"

enum { PROXY_HEADER_MAX = 2048 };

enum proxy_header_state { PROXY_HEADER_MORE, PROXY_HEADER_WHOLE, PROXY_HEADER_REFUSED };

struct proxy_header {
    size_t n_bytes;        /* of PROXY_HEADER_WHOLE: length of the header */
    struct address client; /* ADDRESS_NONE: names no client */
    const char *message;   /* of PROXY_HEADER_REFUSED */
};

/* Takes all bytes of the connection so far. PROXY_HEADER_MORE: all n belong to the header, and more will come. */
enum proxy_header_state proxy_header_scan(struct proxy_header *p, const char *bytes, size_t n);

#endif
