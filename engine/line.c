#include "engine/line.h"

#include "engine/base/mem.h"
#include "engine/batcher.h"

enum { DUE, YIELDING };

enum err line_init(struct line *l, int max_jobs)
{
    *l = (struct line){0};
    enum err rc = mem_array(&l->_ends, (size_t)max_jobs, sizeof(*l->_ends));
    rc = rc ? rc : mem_array(&l->_clients, (size_t)max_jobs, sizeof(*l->_clients));
    for (int i = 0; i < LINE_HEAPS; i++) {
        rc = rc ? rc : mem_array(&l->_heaps[i].entries, (size_t)max_jobs, sizeof(*l->_heaps[i].entries));
    }
    if (rc) {
        line_release(l);
        return rc;
    }
    TAILQ_INIT(&l->_free_ends);
    for (int i = 0; i < max_jobs; i++) {
        TAILQ_INSERT_TAIL(&l->_free_ends, &l->_ends[i], link);
        l->_clients[i].next = l->_free_clients;
        l->_free_clients = &l->_clients[i];
    }
    return OK;
}

void line_release(struct line *l)
{
    for (int i = 0; i < LINE_HEAPS; i++) {
        mem_free(l->_heaps[i].entries);
    }
    mem_free(l->_ends);
    mem_free(l->_clients);
    *l = (struct line){0};
}

/* ---- heaps: the smallest first ---- */

static void put(struct line_heap *h, int which, int at, struct line_entry e)
{
    h->entries[at] = e;
    e.job->line_at[which] = at;
}

static void rise(struct line_heap *h, int which, int at, struct line_entry e)
{
    for (; at > 0 && h->entries[(at - 1) / 2].us > e.us; at = (at - 1) / 2) {
        put(h, which, at, h->entries[(at - 1) / 2]);
    }
    put(h, which, at, e);
}

/* To where it belongs, from a place that is free. */
static void settle(struct line_heap *h, int which, int at, struct line_entry e)
{
    for (int child = 2 * at + 1; child < h->n; child = 2 * at + 1) {
        child += child + 1 < h->n && h->entries[child + 1].us < h->entries[child].us;
        if (h->entries[child].us >= e.us) {
            break;
        }
        put(h, which, at, h->entries[child]);
        at = child;
    }
    rise(h, which, at, e);
}

static bool is_in(int which, const struct job_private *j)
{
    return which == DUE || j->job->request.priority > BATCHER_USUAL;
}

static uint64_t key_of(int which, const struct job_private *j)
{
    return which == DUE ? j->due_us : j->line_us;
}

/* ---- clients ---- */

static size_t bucket_of(uint64_t id)
{
    return (size_t)((id * 0x9e3779b97f4a7c15u) >> (64 - LINE_BUCKET_BITS));
}

static struct line_client *find(const struct line *l, uint64_t id)
{
    struct line_client *c = l->_buckets[bucket_of(id)];
    while (c && c->id != id) {
        c = c->next;
    }
    return c;
}

static struct line_client *get(struct line *l, uint64_t id)
{
    struct line_client *c = find(l, id);
    if (!c) {
        c = l->_free_clients;
        BUG_ON(!c);
        l->_free_clients = c->next;
        *c = (struct line_client){.id = id, .next = l->_buckets[bucket_of(id)]};
        TAILQ_INIT(&c->ends);
        l->_buckets[bucket_of(id)] = c;
    }
    return c;
}

static void drop(struct line *l, struct line_client *c)
{
    struct line_client **at = &l->_buckets[bucket_of(c->id)];
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    c->next = l->_free_clients;
    l->_free_clients = c;
}

/* ---- jobs ---- */

void line_add(struct line *l, struct job_private *j, uint64_t end_us)
{
    struct line_client *c = get(l, j->job->request.client);
    struct line_end *end = TAILQ_FIRST(&l->_free_ends), *last = TAILQ_LAST(&c->ends, line_ends);
    BUG_ON(!end || (last && last->us >= end_us));
    TAILQ_REMOVE(&l->_free_ends, end, link);
    end->us = end_us;
    j->end = end;
    TAILQ_INSERT_TAIL(&c->ends, end, link);
    c->n++;
    for (int i = 0; i < LINE_HEAPS; i++) {
        if (is_in(i, j)) {
            rise(&l->_heaps[i], i, l->_heaps[i].n++, (struct line_entry){.us = key_of(i, j), .job = j});
        }
    }
}

void line_move(struct line *l, struct job_private *j)
{
    for (int i = 0; i < LINE_HEAPS; i++) {
        if (is_in(i, j)) {
            struct line_entry e = l->_heaps[i].entries[j->line_at[i]];
            e.us = key_of(i, j);
            settle(&l->_heaps[i], i, j->line_at[i], e);
        }
    }
}

void line_remove(struct line *l, struct job_private *j)
{
    struct line_client *c = find(l, j->job->request.client);
    BUG_ON(!c);
    TAILQ_REMOVE(&c->ends, j->end, link);
    TAILQ_INSERT_HEAD(&l->_free_ends, j->end, link);
    j->end = NULL;
    if (--c->n == 0) {
        drop(l, c);
    }
    for (int i = 0; i < LINE_HEAPS; i++) {
        struct line_heap *h = &l->_heaps[i];
        if (is_in(i, j) && j->line_at[i] != --h->n) {
            settle(h, i, j->line_at[i], h->entries[h->n]);
        }
    }
}

/* ---- looking ---- */

void line_set_look(struct line *l, const struct job_private *j, uint64_t look_us)
{
    l->_heaps[DUE].entries[j->line_at[DUE]].look_us = look_us;
}

int line_due(const struct line *l, uint64_t now_us, struct job_private **one, uint64_t *next_us)
{
    const struct line_heap *h = &l->_heaps[DUE];
    int n = 0;
    *next_us = UINT64_MAX;
    for (int i = 0; i < h->n; i++) {
        uint64_t look_us = h->entries[i].look_us;
        if (look_us <= now_us) {
            *one = h->entries[i].job;
            n++;
        } else if (look_us < *next_us) {
            *next_us = look_us;
        }
    }
    return n;
}

bool line_is_empty(const struct line *l)
{
    return l->_heaps[DUE].n == 0;
}

uint64_t line_first_us(const struct line *l)
{
    bool all_yield = l->_heaps[DUE].n == l->_heaps[YIELDING].n;
    const struct line_heap *h = &l->_heaps[all_yield ? YIELDING : DUE];
    return h->n > 0 ? h->entries[0].us : UINT64_MAX;
}

uint64_t line_client_end_us(const struct line *l, uint64_t client)
{
    const struct line_client *c = find(l, client);
    return c ? TAILQ_LAST(&c->ends, line_ends)->us : 0;
}

int line_client_jobs(const struct line *l, uint64_t client)
{
    const struct line_client *c = find(l, client);
    return c ? c->n : 0;
}
