#include "server/http/forwarded.h"

#include <string.h>
#include <strings.h>

struct text {
    const char *at;
    size_t n;
};

static struct text trim(struct text t)
{
    while (t.n && (t.at[0] == ' ' || t.at[0] == '\t')) {
        t.at++;
        t.n--;
    }
    while (t.n && (t.at[t.n - 1] == ' ' || t.at[t.n - 1] == '\t')) {
        t.n--;
    }
    return t;
}

/* Up to the next `mark` outside of quotes; *rest loses it. */
static struct text cut(struct text *rest, char mark)
{
    bool is_quoted = false;
    size_t i = 0;
    for (; i < rest->n && (is_quoted || rest->at[i] != mark); i++) {
        if (is_quoted && rest->at[i] == '\\' && i + 1 < rest->n) {
            i++;
        } else if (rest->at[i] == '"') {
            is_quoted = !is_quoted;
        }
    }
    struct text piece = {rest->at, i};
    size_t n = i + (i < rest->n);
    *rest = (struct text){rest->at + n, rest->n - n};
    return trim(piece);
}

static bool is_port(struct text t)
{
    if (t.n > 1 && t.at[0] == '_') { /* RFC 7239 section 6: a port may be hidden */
        return true;
    }
    for (size_t i = 0; i < t.n; i++) {
        if (t.at[i] < '0' || t.at[i] > '9') {
            return false;
        }
    }
    return t.n >= 1 && t.n <= 5;
}

/* ADDRESS, ADDRESS:PORT, [IPv6], [IPv6]:PORT */
static struct address parse_node(struct text t)
{
    struct address a;
    const char *end;
    struct address nobody = {.family = ADDRESS_NONE};
    if (t.n && t.at[0] == '[') {
        end = memchr(t.at, ']', t.n);
        size_t n = end ? (size_t)(end - t.at) : 0;
        if (!end || !memchr(t.at, ':', n) || !address_parse(&a, t.at + 1, n - 1)) {
            return nobody;
        }
        t = (struct text){end + 1, t.n - n - 1};
        return t.n == 0 || (t.at[0] == ':' && is_port((struct text){t.at + 1, t.n - 1})) ? a : nobody;
    }
    if (address_parse(&a, t.at, t.n)) {
        return a;
    }
    end = memchr(t.at, ':', t.n);
    size_t n = end ? (size_t)(end - t.at) : 0;
    if (end && address_parse(&a, t.at, n) && is_port((struct text){end + 1, t.n - n - 1})) {
        return a;
    }
    return nobody;
}

static void add(struct forwarded_list *l, struct address a)
{
    l->hops[l->n++ % FORWARDED_MAX] = a;
}

void forwarded_add_x(struct forwarded *f, const char *value, size_t n)
{
    struct text rest = {value, n};
    while (rest.n) {
        const char *comma = memchr(rest.at, ',', rest.n);
        struct text node = {rest.at, comma ? (size_t)(comma - rest.at) : rest.n};
        size_t taken = node.n + (comma != NULL);
        rest = (struct text){rest.at + taken, rest.n - taken};
        node = trim(node);
        if (node.n) {
            add(&f->x, parse_node(node));
        }
    }
}

/* for=... of one element: a token, or a quoted string, which holds no escapes where it holds an address. */
static struct address parse_element(struct text element)
{
    struct address found = {.family = ADDRESS_NONE};
    bool was_found = false;
    while (element.n) {
        struct text pair = cut(&element, ';');
        if (pair.n < 4 || strncasecmp(pair.at, "for=", 4) != 0) {
            continue;
        }
        struct text node = {pair.at + 4, pair.n - 4};
        if (was_found) { /* twice: it names nobody */
            return (struct address){.family = ADDRESS_NONE};
        }
        was_found = true;
        if (node.n >= 2 && node.at[0] == '"' && node.at[node.n - 1] == '"') {
            node = (struct text){node.at + 1, node.n - 2};
        }
        found = parse_node(node);
    }
    return found;
}

void forwarded_add(struct forwarded *f, const char *value, size_t n)
{
    struct text rest = {value, n};
    while (rest.n) {
        struct text element = cut(&rest, ',');
        if (element.n) {
            add(&f->rfc7239, parse_element(element));
        }
    }
}

static struct address walk(const struct forwarded_list *l, const struct networks *trusted, struct address at)
{
    unsigned last = l->n > FORWARDED_MAX ? l->n - FORWARDED_MAX : 0;
    for (unsigned i = l->n; i > last && address_networks_have(trusted, &at); i--) {
        struct address hop = l->hops[(i - 1) % FORWARDED_MAX];
        if (hop.family == ADDRESS_NONE) {
            break;
        }
        at = hop;
    }
    return at;
}

struct address forwarded_client(const struct forwarded *f, const struct networks *trusted, const struct address *peer)
{
    struct address by_x = walk(&f->x, trusted, *peer), by_rfc = walk(&f->rfc7239, trusted, *peer);
    if (f->x.n == 0 || f->rfc7239.n == 0) {
        return f->x.n ? by_x : by_rfc;
    }
    return memcmp(&by_x, &by_rfc, sizeof(by_x)) == 0 ? by_x : *peer;
}
