/* Any bytes as what tells who a client is: a PROXY header, X-Forwarded-For, Forwarded, a list of networks, a line of a
 * key file. The first byte says which. */
#include "engine/base/err.h"
#include "server/gate/auth_file.h"
#include "server/http/forwarded.h"
#include "server/http/proxy_header.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_proxy_header(const char *bytes, size_t n)
{
    struct proxy_header whole, piece;
    enum proxy_header_state a = proxy_header_scan(&whole, bytes, n), b = PROXY_HEADER_MORE;
    size_t k = 0;
    while (k < n && k < PROXY_HEADER_MAX && b == PROXY_HEADER_MORE) {
        k++;
        b = proxy_header_scan(&piece, bytes, k);
    }
    BUG_ON(n > 0 && n <= PROXY_HEADER_MAX && a != b);
    BUG_ON(k == PROXY_HEADER_MAX && b == PROXY_HEADER_MORE);
    BUG_ON(a == PROXY_HEADER_WHOLE && (whole.n_bytes > n || whole.n_bytes > PROXY_HEADER_MAX || whole.n_bytes != k));
    BUG_ON(a == PROXY_HEADER_REFUSED && !whole.message);
}

/* Whatever stands before it, what a trusted proxy adds last decides. */
static void try_forwarded(const char *bytes, size_t n, bool is_rfc)
{
    static const char last[] = "192.0.2.77", last_rfc[] = "for=192.0.2.77";
    struct forwarded f = {.x = {.n = 0}};
    struct networks trusted;
    struct address peer, client, expected;
    BUG_ON(address_networks_parse(&trusted, "10.0.0.0/8", "k", NULL));
    BUG_ON(!address_parse(&peer, "10.0.0.1", 8) || !address_parse(&expected, last, strlen(last)));
    if (is_rfc) {
        forwarded_add(&f, bytes, n);
        forwarded_add(&f, last_rfc, strlen(last_rfc));
    } else {
        forwarded_add_x(&f, bytes, n);
        forwarded_add_x(&f, last, strlen(last));
    }
    client = forwarded_client(&f, &trusted, &peer);
    BUG_ON(memcmp(&client, &expected, sizeof(client)) != 0);
}

static void try_key_line(const char *bytes, size_t n)
{
    struct auth_key k;
    char problem[200] = "", *line = malloc(n + 1);
    if (line) {
        memcpy(line, bytes, n);
        line[n] = '\0';
        bool is_good = auth_file_line(line, &k, problem, sizeof(problem));
        BUG_ON(!is_good && !problem[0]);
        BUG_ON(is_good && (!k.name[0] || !k.roles || k.rate < 0 || k.share < 0 || k.share > 100));
        free(line);
    }
}

static void try_networks(const char *bytes, size_t n)
{
    struct networks parsed;
    char *text = malloc(n + 1);
    if (text) {
        memcpy(text, bytes, n);
        text[n] = '\0';
        BUG_ON(address_networks_parse(&parsed, text, "k", NULL) == OK && parsed.n > NETWORKS_MAX);
        free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const char *bytes = (const char *)data + 1;
    switch (data[0] % 5) {
    case 0:
        try_proxy_header(bytes, size - 1);
        break;
    case 1:
        try_forwarded(bytes, size - 1, false);
        break;
    case 2:
        try_forwarded(bytes, size - 1, true);
        break;
    case 3:
        try_key_line(bytes, size - 1);
        break;
    default:
        try_networks(bytes, size - 1);
    }
    return 0;
}
