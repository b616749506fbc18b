#include "server/watch/history.h"

#include "engine/base/mem.h"

#include <string.h>

struct history {
    uint64_t n;
    struct history_entry entries[HISTORY_SIZE];
};

enum err history_create(struct history **out)
{
    return mem_alloc(out, sizeof(**out));
}

void history_destroy(struct history *h)
{
    mem_free(h);
}

void history_add(struct history *h, const struct exchange *x, uint64_t now_us)
{
    struct history_entry *e = &h->entries[h->n % HISTORY_SIZE];
    *e = (struct history_entry){
        .route = x->route_name,
        .error_code = x->error_code,
        .cancel_reason = x->cancel_reason,
        .timings = x->timings,
        .status = x->status,
        .number = ++h->n,
        .began_us = x->began_us,
        .recv_us = x->received_us > x->began_us ? x->received_us - x->began_us : 0,
        .total_us = now_us - x->began_us,
    };
    _Static_assert(sizeof(e->id) == sizeof(x->request_id), "an id fits");
    memcpy(e->id, x->request_id, sizeof(e->id));
}

const struct history_entry *history_get(const struct history *h, int i)
{
    if (i < 0 || i >= HISTORY_SIZE || (uint64_t)i >= h->n) {
        return NULL;
    }
    return &h->entries[(h->n - 1 - (uint64_t)i) % HISTORY_SIZE];
}
