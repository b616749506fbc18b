#include "server/http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

void address_of_bytes(struct address *out, const unsigned char *bytes, size_t n)
{
    if (n == 16 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        bytes += 12;
        n = 4;
    }
    *out = (struct address){.family = n == 4 ? ADDRESS_V4 : ADDRESS_V6};
    memcpy(out->bytes, bytes, n);
}

bool address_parse(struct address *out, const char *text, size_t n)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    *out = (struct address){.family = ADDRESS_NONE};
    if (n == 0 || n >= sizeof(copy) || memchr(text, '\0', n)) {
        return false;
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    if (inet_pton(AF_INET, copy, out->bytes) == 1) {
        out->family = ADDRESS_V4;
    } else if (inet_pton(AF_INET6, copy, bytes) == 1) {
        address_of_bytes(out, bytes, 16);
    }
    return out->family != ADDRESS_NONE;
}

void address_of(struct address *out, const struct sockaddr *from)
{
    *out = (struct address){.family = ADDRESS_NONE};
    if (from->sa_family == AF_INET) {
        address_of_bytes(out, (const unsigned char *)&((const struct sockaddr_in *)from)->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        address_of_bytes(out, ((const struct sockaddr_in6 *)from)->sin6_addr.s6_addr, 16);
    } else if (from->sa_family == AF_UNIX) {
        out->family = ADDRESS_UNIX;
    }
}

void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    if (a->family == ADDRESS_UNIX) {
        snprintf(out, ADDRESS_TEXT_MAX, "unix");
    } else if (a->family == ADDRESS_NONE ||
               !inet_ntop(a->family == ADDRESS_V4 ? AF_INET : AF_INET6, a->bytes, out, ADDRESS_TEXT_MAX)) {
        snprintf(out, ADDRESS_TEXT_MAX, "unknown");
    }
}

/* ---- networks ---- */

static bool is_bit_set(const struct address *a, int bit)
{
    return a->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

/* Digits without sign or needless zero, 0 to 999. */
static int parse_bits(const char *text, size_t n)
{
    int bits = 0;
    if (n == 0 || n > 3 || (n > 1 && text[0] == '0')) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        bits = bits * 10 + (text[i] - '0');
    }
    return bits;
}

static const char *add_network(struct networks *out, const char *text, size_t n)
{
    const char *slash = memchr(text, '/', n);
    size_t n_address = slash ? (size_t)(slash - text) : n;
    struct address a;
    if (n == 4 && memcmp(text, "unix", 4) == 0) {
        out->has_unix = true;
        return NULL;
    }
    if (!address_parse(&a, text, n_address)) {
        return "expected networks like 10.0.0.0/8 or fd00::/8, single addresses, or unix";
    }
    int max = a.family == ADDRESS_V4 ? 32 : 128;
    int bits = slash ? parse_bits(slash + 1, n - n_address - 1) : max;
    if (slash && memchr(text, ':', n_address) && a.family == ADDRESS_V4) { /* ::ffff:10.0.0.0/104 */
        bits -= 96;
    }
    if (bits < 0 || bits > max) {
        return "the prefix after / must be 0 to 32 for IPv4, 0 to 128 for IPv6";
    }
    for (int bit = bits; bit < max; bit++) {
        if (is_bit_set(&a, bit)) {
            return "the address has bits set after its prefix; write the network's first address";
        }
    }
    if (out->n == NETWORKS_MAX) {
        return "too many networks; at most 64";
    }
    out->list[out->n].address = a;
    out->list[out->n++].bits = bits;
    return NULL;
}

enum err address_networks_parse(struct networks *out, const char *list, const char *key, struct errbuf *e)
{
    static const char between[] = " ,\t\r\n";
    *out = (struct networks){.n = 0};
    for (list += strspn(list, between); *list; list += strspn(list, between)) {
        size_t n = strcspn(list, between);
        const char *fault = add_network(out, list, n);
        if (fault) {
            return err_set(e, ERR_BAD_CONFIG, "%s: \"%.*s\": %s", key, (int)(n < 80 ? n : 80), list, fault);
        }
        list += n;
    }
    return OK;
}

bool address_networks_have(const struct networks *n, const struct address *a)
{
    if (a->family == ADDRESS_UNIX) {
        return n->has_unix;
    }
    for (int i = 0; i < n->n && a->family != ADDRESS_NONE; i++) {
        const struct address *b = &n->list[i].address;
        int bits = n->list[i].bits, bytes = bits / 8;
        unsigned char mask = (unsigned char)(0xff << (8 - bits % 8));
        if (a->family == b->family && memcmp(a->bytes, b->bytes, (size_t)bytes) == 0 &&
            (bits % 8 == 0 || ((a->bytes[bytes] ^ b->bytes[bytes]) & mask) == 0)) {
            return true;
        }
    }
    return false;
}
