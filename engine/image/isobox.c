#include "engine/image/isobox.h"

#include <string.h>

uint64_t isobox_take(struct isobox_span *s, int n_bytes)
{
    uint64_t value = 0;
    if (s->n < (size_t)n_bytes) {
        s->is_short = true;
        s->n = 0;
        return 0;
    }
    for (int i = 0; i < n_bytes; i++) {
        value = value << 8 | s->at[i];
    }
    s->at += n_bytes;
    s->n -= (size_t)n_bytes;
    return value;
}

struct isobox_span isobox_skip(struct isobox_span s, size_t n)
{
    n = n < s.n ? n : s.n;
    return (struct isobox_span){s.at + n, s.n - n, s.is_short};
}

bool isobox_is_named(const struct isobox *b, const char *name)
{
    return memcmp(b->name, name, 4) == 0;
}

bool isobox_next(struct isobox_span *list, struct isobox *out)
{
    if (list->n < 8) {
        return false;
    }
    struct isobox_span s = *list;
    uint64_t size = isobox_take(&s, 4);
    out->name = s.at;
    s = isobox_skip(s, 4);
    size_t header = 8;
    if (size == 1) {
        size = isobox_take(&s, 8);
        header = 16;
    } else if (size == 0) {
        size = list->n;
    }
    if (s.is_short || size < header) {
        return false;
    }
    size_t n = size - header < s.n ? (size_t)(size - header) : s.n;
    out->body = (struct isobox_span){s.at, n, false};
    *list = isobox_skip(s, n);
    return true;
}

bool isobox_find(struct isobox_span list, const char *name, struct isobox_span *out)
{
    struct isobox b;
    int n_found = 0;
    while (isobox_next(&list, &b)) {
        if (isobox_is_named(&b, name)) {
            *out = b.body;
            n_found++;
        }
    }
    return n_found == 1;
}

bool isobox_has_more(struct isobox_span list, int max)
{
    struct isobox b;
    while (isobox_next(&list, &b)) {
        if (max-- == 0) {
            return true;
        }
    }
    return false;
}

int isobox_version(struct isobox_span *body, uint32_t *flags)
{
    uint32_t word = (uint32_t)isobox_take(body, 4);
    if (flags) {
        *flags = word & 0xffffff;
    }
    return (int)(word >> 24);
}
