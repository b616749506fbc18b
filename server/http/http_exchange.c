#include "server/http/http_exchange.h"

#include "engine/base/mem.h"

#include <string.h>

/* A growing end of the one block that holds all strings. */
struct strings {
    char *at;
};

static const char *copy(struct strings *s, struct head_text t)
{
    char *out = s->at;
    if (t.n) {
        memcpy(out, t.bytes, t.n);
    }
    out[t.n] = '\0';
    s->at += t.n + 1;
    return out;
}

static const char *copy_decoded(struct strings *s, struct head_text t, bool is_query, size_t *n)
{
    char *out = s->at;
    bool is_good;
    *n = head_decode(out, t.bytes, t.n, is_query, &is_good);
    out[*n] = '\0';
    s->at += *n + 1;
    return out;
}

/* The next a=b of a query string, which loses it; false: none is left. Empty ones are skipped. */
static bool next_pair(struct head_text *query, struct head_text *pair)
{
    while (query->n) {
        const char *mark = memchr(query->bytes, '&', query->n);
        *pair = (struct head_text){query->bytes, mark ? (size_t)(mark - query->bytes) : query->n};
        size_t n = pair->n + (mark != NULL);
        *query = (struct head_text){query->bytes + n, query->n - n};
        if (pair->n) {
            return true;
        }
    }
    return false;
}

static int count_pairs(struct head_text query, bool *is_too_much)
{
    struct head_text pair;
    int n = 0;
    while (n < EXCHANGE_MAX_QUERY && next_pair(&query, &pair)) {
        n++;
    }
    *is_too_much = n == EXCHANGE_MAX_QUERY && next_pair(&query, &pair);
    return n;
}

static void copy_pairs(struct exchange *x, struct strings *s, struct head_text query)
{
    struct head_text pair;
    for (int i = 0; i < x->n_query && next_pair(&query, &pair); i++) {
        struct exchange_pair *p = &x->query[i];
        const char *mark = memchr(pair.bytes, '=', pair.n);
        size_t n = mark ? (size_t)(mark - pair.bytes) : pair.n;
        p->name = copy_decoded(s, (struct head_text){pair.bytes, n}, true, &p->n_name);
        if (mark) {
            p->value = copy_decoded(s, (struct head_text){mark + 1, pair.n - n - 1}, true, &p->n_value);
        }
    }
}

static enum err copy_head(struct exchange *x, const struct head *h)
{
    struct strings s;
    size_t n_path, n = h->method.n + h->path.n + h->query.n + 3;
    for (int i = 0; i < HEADER_COUNT; i++) {
        n += h->fields[i].n + 1;
    }
    x->n_query = count_pairs(h->query, &x->has_too_much_query);
    size_t pair_bytes = (size_t)x->n_query * sizeof(*x->query);
    enum err rc = mem_alloc(&x->strings, pair_bytes + n);
    if (rc) {
        return rc;
    }
    x->query = x->strings;
    s.at = (char *)x->strings + pair_bytes;
    x->method = copy(&s, h->method);
    x->path = copy_decoded(&s, h->path, false, &n_path);
    for (int i = 0; i < HEADER_COUNT; i++) {
        if (h->fields[i].bytes) {
            x->headers[i] = copy(&s, h->fields[i]);
        }
    }
    copy_pairs(x, &s, h->query);
    x->is_chunked = h->is_chunked;
    x->has_other_host = h->has_other_host;
    x->content_length = h->length;
    return OK;
}

enum err http_exchange_create(struct exchange **out, const struct head *h)
{
    enum err rc = exchange_create(out);
    rc = rc || !h ? rc : copy_head(*out, h);
    if (rc) {
        exchange_destroy(*out);
        *out = NULL;
        return rc;
    }
    exchange_read_id(*out);
    return OK;
}
