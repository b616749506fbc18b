#include "server/http/proxy_header.h"

#include <string.h>

enum { V1_MAX = 107, V2_FIXED = 16, V4_BYTES = 12, V6_BYTES = 36, UNIX_BYTES = 216, TLV_HEAD = 3 };

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char prefix[6] = "PROXY ";

static enum proxy_header_state refuse(struct proxy_header *p, const char *message)
{
    p->message = message;
    return PROXY_HEADER_REFUSED;
}

/* ---- version 1 ---- */

/* The next word of a line; its end must be one space, or the line's end where is_last. */
static bool next_word(const char **at, const char *end, bool is_last, const char **word, size_t *n)
{
    const char *space = memchr(*at, ' ', (size_t)(end - *at));
    *word = *at;
    *n = (size_t)((space ? space : end) - *at);
    *at = space ? space + 1 : end;
    return *n > 0 && (space == NULL) == is_last;
}

static bool is_port(const char *text, size_t n)
{
    unsigned value = 0;
    if (n == 0 || n > 5 || (n > 1 && text[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    return value <= 65535;
}

static bool is_family(const char *text, size_t n, bool is_v6)
{
    return (memchr(text, ':', n) != NULL) == is_v6;
}

static bool parse_line(struct proxy_header *p, const char *at, const char *end)
{
    const char *word;
    size_t n;
    struct address destination;
    if (end - at >= 7 && memcmp(at, "UNKNOWN", 7) == 0) {
        return end - at == 7 || at[7] == ' '; /* the rest of the line is to be ignored */
    }
    if (!next_word(&at, end, false, &word, &n) || n != 4 || memcmp(word, "TCP", 3) != 0 ||
        (word[3] != '4' && word[3] != '6')) {
        return false;
    }
    bool is_v6 = word[3] == '6';
    if (!next_word(&at, end, false, &word, &n) || !is_family(word, n, is_v6) || !address_parse(&p->client, word, n)) {
        return false;
    }
    if (!next_word(&at, end, false, &word, &n) || !is_family(word, n, is_v6) || !address_parse(&destination, word, n)) {
        return false;
    }
    return next_word(&at, end, false, &word, &n) && is_port(word, n) && next_word(&at, end, true, &word, &n) &&
           is_port(word, n);
}

static enum proxy_header_state scan_line(struct proxy_header *p, const char *bytes, size_t n)
{
    size_t max = n < V1_MAX ? n : V1_MAX;
    const char *feed = memchr(bytes, '\n', max), *carriage = memchr(bytes, '\r', max);
    if (!feed) {
        bool is_over = n >= V1_MAX || (carriage && carriage + 1 < bytes + max);
        return is_over ? refuse(p, "the PROXY line must end in CR LF within 107 bytes") : PROXY_HEADER_MORE;
    }
    if (carriage != feed - 1) {
        return refuse(p, "the PROXY line must end in CR LF within 107 bytes");
    }
    if (!parse_line(p, bytes + sizeof(prefix), carriage)) {
        p->client = (struct address){.family = ADDRESS_NONE};
        return refuse(p, "the PROXY line must be: PROXY TCP4 or TCP6, two addresses, two ports; or PROXY UNKNOWN");
    }
    p->n_bytes = (size_t)(feed + 1 - bytes);
    return PROXY_HEADER_WHOLE;
}

/* ---- version 2 ---- */

/* The extensions' lengths add up. */
static bool are_extensions_whole(const unsigned char *at, size_t n)
{
    while (n >= TLV_HEAD) {
        size_t length = TLV_HEAD + ((size_t)at[1] << 8 | at[2]);
        if (length > n) {
            return false;
        }
        at += length;
        n -= length;
    }
    return n == 0;
}

static enum proxy_header_state parse_block(struct proxy_header *p, const unsigned char *b, size_t length)
{
    static const size_t bytes_of[] = {0, V4_BYTES, V6_BYTES, UNIX_BYTES};
    unsigned command = b[12], family = b[13] >> 4, transport = b[13] & 15;
    bool is_known = b[13] == 0 || (family >= 1 && family <= 3 && (transport == 1 || transport == 2));
    size_t n_addresses = is_known ? bytes_of[family] : 0;
    p->n_bytes = V2_FIXED + length;
    if (command == 0x20) { /* LOCAL: whatever follows is to be ignored */
        return PROXY_HEADER_WHOLE;
    }
    if (!is_known) { /* datagrams too: clients of HTTP/3 come to the balancer by them */
        return refuse(p,
                      "the PROXY header must be of IPv4, IPv6 or a UNIX socket, of streams or datagrams, or of none");
    }
    if (length < n_addresses) {
        return refuse(p, "the PROXY header is shorter than its addresses");
    }
    if (family != 0 && !are_extensions_whole(b + V2_FIXED + n_addresses, length - n_addresses)) {
        return refuse(p, "the lengths of the PROXY header's extensions do not add up");
    }
    if (family == 1 || family == 2) {
        address_of_bytes(&p->client, b + V2_FIXED, family == 2 ? 16 : 4);
    }
    return PROXY_HEADER_WHOLE;
}

static enum proxy_header_state scan_block(struct proxy_header *p, const char *bytes, size_t n)
{
    const unsigned char *b = (const unsigned char *)bytes;
    if (n > 12 && b[12] != 0x20 && b[12] != 0x21) {
        return refuse(p, "the PROXY header must be of version 2 with the command LOCAL or PROXY");
    }
    if (n < V2_FIXED) {
        return PROXY_HEADER_MORE;
    }
    size_t length = (size_t)b[14] << 8 | b[15];
    if (length > PROXY_HEADER_MAX - V2_FIXED) {
        return refuse(p, "the PROXY header is longer than 2048 bytes");
    }
    return n < V2_FIXED + length ? PROXY_HEADER_MORE : parse_block(p, b, length);
}

enum proxy_header_state proxy_header_scan(struct proxy_header *p, const char *bytes, size_t n)
{
    *p = (struct proxy_header){.client = {.family = ADDRESS_NONE}};
    if (n == 0) {
        return PROXY_HEADER_MORE;
    }
    if (memcmp(bytes, signature, n < sizeof(signature) ? n : sizeof(signature)) == 0) {
        return n < sizeof(signature) ? PROXY_HEADER_MORE : scan_block(p, bytes, n);
    }
    if (memcmp(bytes, prefix, n < sizeof(prefix) ? n : sizeof(prefix)) == 0) {
        return n < sizeof(prefix) ? PROXY_HEADER_MORE : scan_line(p, bytes, n);
    }
    return refuse(p, "connections from this address must begin with a PROXY protocol header (server.proxy_protocol)");
}
