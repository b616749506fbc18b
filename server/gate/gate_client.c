/* Clients are known only while they have something here, so there are never more records than requests and uploads. */
#include "engine/base/mem.h"
#include "server/gate/gate_private.h"

enum { SMALL = 64 };

static size_t bucket_of(uint64_t id)
{
    return (size_t)((id * 0x9e3779b97f4a7c15u) >> 54); /* 1024 buckets */
}

struct gate_client *gate_client_find(const struct gate *g, uint64_t id)
{
    struct gate_client *c = g->buckets[bucket_of(id)];
    while (c && c->id != id) {
        c = c->next;
    }
    return c;
}

struct gate_client *gate_client_get(struct gate *g, uint64_t id)
{
    struct gate_client *c = gate_client_find(g, id);
    if (c || mem_alloc(&c, sizeof(*c))) {
        return c;
    }
    c->id = id;
    c->next = g->buckets[bucket_of(id)];
    g->buckets[bucket_of(id)] = c;
    TAILQ_INSERT_TAIL(&g->clients, c, link);
    g->n_clients++;
    return c;
}

void gate_client_put(struct gate *g, struct gate_client *c)
{
    if (c->inside > 0 || c->uploads > 0 || c->n_held > 0) {
        return;
    }
    struct gate_client **at = &g->buckets[bucket_of(c->id)];
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    TAILQ_REMOVE(&g->clients, c, link);
    g->n_clients--;
    mem_free(c);
}

/* May a client that holds `own` bytes of a room of `size`, of which `used` are taken, hold n more? The fair part is
 * that of one client among all that are here and one more who may come. */
static bool may_hold(const struct gate *g, uint64_t own, uint64_t n, uint64_t used, uint64_t size, bool is_new,
                     int reserve)
{
    uint64_t fair = size / ((uint64_t)g->n_clients + is_new + 1), free = size > used ? size - used : 0;
    return own == 0 || own + n <= fair || (free >= n && free - n >= size / (uint64_t)reserve);
}

void gate_client_served(struct gate *g, uint64_t now_us, uint64_t id)
{
    g->served[bucket_of(id)] = (struct gate_served){id, now_us};
}

void gate_client_count(struct gate *g, uint64_t now_us)
{
    g->n_lately = 0;
    for (int i = 0; i < GATE_BUCKETS; i++) {
        const struct gate_served *s = &g->served[i];
        g->n_lately += s->us > 0 && now_us < s->us + GATE_LATELY_US;
    }
}

/* Who was served a moment ago and asks again finds his own place free, before anybody who was refused tries again; and
 * large requests fill what small ones would need. So the last places are for newcomers, the very last for small
 * requests of theirs. */
bool gate_client_may_enter(const struct gate *g, uint64_t now_us, uint64_t id, int jobs)
{
    const struct gate_client *c = gate_client_find(g, id);
    const struct gate_served *served = &g->served[bucket_of(id)];
    bool is_newcomer = !c && (served->id != id || now_us >= served->us + GATE_LATELY_US);
    int max = g->options.max_jobs, free = max - g->jobs;
    if (is_newcomer) {
        return jobs <= 1 + max / SMALL || free - jobs >= max / (2 * GATE_RESERVE);
    }
    int own = c ? c->jobs : 0, fair = max / (g->n_clients + !c + 1);
    return own + jobs <= fair || free - jobs >= max / GATE_RESERVE;
}

/* ---- uploads ---- */

static enum gate_verdict check_bytes(const struct gate *g, const struct gate_client *c, uint64_t n, uint64_t limit)
{
    uint64_t own = c ? c->bytes : 0;
    if (n > limit || g->upload_bytes > limit - n) {
        return GATE_FULL;
    }
    return may_hold(g, own, n, g->upload_bytes, limit, !c, GATE_RESERVE) ? GATE_ACCEPTED : GATE_SHARE_USED;
}

enum gate_verdict gate_upload_take(struct gate *g, struct gate_upload *u, uint64_t client, uint64_t n_bytes)
{
    struct ledger *l = g->options.ledger;
    uint64_t limit = atomic_load(&l->_limit[LEDGER_BODIES]);
    struct gate_client *c = u->_client ? u->_client : gate_client_find(g, client);
    enum gate_verdict v = check_bytes(g, c, n_bytes, limit);
    if (v != GATE_ACCEPTED) {
        ledger_note_refusal(l, LEDGER_BODIES);
    }
    if (v == GATE_ACCEPTED && !u->_client) {
        c = gate_client_get(g, client);
        v = c ? v : GATE_FULL;
    }
    if (v == GATE_ACCEPTED && !ledger_take(l, LEDGER_BODIES, n_bytes)) {
        v = GATE_FULL;
    }
    if (v != GATE_ACCEPTED) {
        g->refused[v]++;
        if (c) {
            gate_client_put(g, c);
        }
        return v;
    }
    c->uploads += !u->_client;
    u->_client = c;
    u->_held += n_bytes;
    c->bytes += n_bytes;
    g->upload_bytes += n_bytes;
    return v;
}

void gate_upload_end(struct gate *g, struct gate_upload *u)
{
    struct gate_client *c = u->_client;
    if (!c) {
        return;
    }
    ledger_give(g->options.ledger, LEDGER_BODIES, u->_held);
    c->bytes -= u->_held;
    g->upload_bytes -= u->_held;
    c->uploads--;
    *u = (struct gate_upload){0};
    gate_client_put(g, c);
}

/* ---- other bytes ---- */

static enum gate_verdict check_share(const struct gate *g, const struct gate_client *c, enum ledger_account a,
                                     uint64_t n)
{
    const struct ledger *l = g->options.ledger;
    uint64_t limit = atomic_load(&l->_limit[a]), used = atomic_load(&l->_held[a]);
    return may_hold(g, c ? c->held[a] : 0, n, used, limit, !c, GATE_BYTES_RESERVE) ? GATE_ACCEPTED : GATE_SHARE_USED;
}

enum gate_verdict gate_bytes_take(struct gate *g, uint64_t client, enum ledger_account a, uint64_t n_bytes)
{
    struct ledger *l = g->options.ledger;
    struct gate_client *c = gate_client_find(g, client);
    if (n_bytes == 0) {
        return GATE_ACCEPTED;
    }
    enum gate_verdict v = check_share(g, c, a, n_bytes);
    if (v != GATE_ACCEPTED) {
        ledger_note_refusal(l, a);
        return v;
    }
    c = gate_client_get(g, client);
    if (!c) {
        return GATE_FULL;
    }
    if (ledger_take(l, a, n_bytes)) {
        c->held[a] += n_bytes;
        c->n_held += n_bytes;
    } else {
        v = GATE_FULL;
        gate_client_put(g, c);
    }
    return v;
}

void gate_bytes_give(struct gate *g, uint64_t client, enum ledger_account a, uint64_t n_bytes)
{
    struct gate_client *c = gate_client_find(g, client);
    if (n_bytes > 0) {
        BUG_ON(!c || c->held[a] < n_bytes);
        ledger_give(g->options.ledger, a, n_bytes);
        c->held[a] -= n_bytes;
        c->n_held -= n_bytes;
        gate_client_put(g, c);
    }
}
