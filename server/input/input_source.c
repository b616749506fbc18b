#include "server/input/input_private.h"

#include "engine/base/mem.h"

#include <string.h>

/* A copied source is one block: this, the pairs, the texts. */
struct kept {
    struct input_source source;
    struct buf body;
};

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static size_t pair_size(const struct exchange_pair *q)
{
    return text_size(q->name) + (q->value ? q->n_value + 1 : 0);
}

/* Copies n bytes and a NUL to *at, and goes past them. */
static const char *keep(char **at, const char *text, size_t n)
{
    char *to = *at;
    memcpy(to, text, n);
    to[n] = '\0';
    *at += n + 1;
    return to;
}

enum err input_source_copy(struct input_source **out, const struct input_source *s)
{
    struct kept *k;
    size_t size = text_size(s->content_type) + text_size(s->content_encoding) + text_size(s->json_bytes);
    size_t pairs = (size_t)s->n_query * sizeof(struct exchange_pair);
    *out = NULL;
    for (int i = 0; i < s->n_query; i++) {
        size += pair_size(&s->query[i]);
    }
    if (mem_alloc(&k, sizeof(*k) + pairs + size)) {
        return ERR_NOMEM;
    }
    struct exchange_pair *query = (struct exchange_pair *)(k + 1);
    char *at = (char *)query + pairs;
    k->source = *s;
    k->source.query = query;
    k->source.content_type = s->content_type ? keep(&at, s->content_type, strlen(s->content_type)) : NULL;
    k->source.content_encoding =
        s->content_encoding ? keep(&at, s->content_encoding, strlen(s->content_encoding)) : NULL;
    k->source.json_bytes = s->json_bytes ? keep(&at, s->json_bytes, strlen(s->json_bytes)) : NULL;
    for (int i = 0; i < s->n_query; i++) {
        const struct exchange_pair *q = &s->query[i];
        query[i] = (struct exchange_pair){.n_name = q->n_name, .n_value = q->n_value};
        query[i].name = keep(&at, q->name, strlen(q->name));
        query[i].value = q->value ? keep(&at, q->value, q->n_value) : NULL;
    }
    k->body = *s->body;
    buf_init(s->body, 0);
    k->source.body = &k->body;
    *out = &k->source;
    return OK;
}

void input_source_destroy(struct input_source *s)
{
    if (s) {
        buf_release(s->body);
        mem_free(s);
    }
}
