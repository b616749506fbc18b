/* Budgets have a least size, without which the service would be of no use, and a size that they would like. What is
 * left of the limit after all least sizes is shared in proportion to what each would like more. */
#include "server/gate/plan.h"

#include <stddef.h>

#define MB ((uint64_t)1 << 20)

/* Measured, release build (docs/operations.md, "CPU and memory"). */
enum {
    PROCESS_MB = 16,             /* program, libraries, tables, log */
    THREAD_KB = 384,             /* of stack and arena that a thread touches */
    OTHER_THREADS = 6,           /* loop, side, loader, archive's */
    ARENAS_MB = 8,               /* what malloc keeps of what was freed: mem_tune */
    KEPT_MB = 16,                /* of a decoder between pictures */
    CONNECTION_BYTES = 16 << 10, /* an idle one has 2, with TLS 14 */
    REQUEST_BYTES = 48 << 10,    /* a connection with a request under way */
    CONNECTIONS_MB = 8           /* enough for whoever comes when memory is short */
};

/* ---- fixed ---- */

static void set_fixed(struct plan *p, const struct engine_info *info, uint64_t archive_bytes)
{
    uint64_t decoders = info->decode_threads > 1 ? (uint64_t)info->decode_threads : 2;
    uint64_t threads = OTHER_THREADS + (uint64_t)info->engine_threads + decoders;
    p->process = PROCESS_MB * MB;
    p->threads = threads * THREAD_KB * 1024 + decoders * KEPT_MB * MB + ARENAS_MB * MB;
    p->engine = info->memory_bytes;
    p->archive = archive_bytes;
    uint64_t sum = p->process + p->threads + p->engine + p->archive;
    p->spare = sum / 16;
}

static uint64_t fixed_of(const struct plan *p)
{
    return p->process + p->threads + p->engine + p->archive + p->spare;
}

/* ---- budgets ---- */

struct budget {
    size_t at; /* its field of struct plan */
    uint64_t min, wanted;
};

enum { N_BUDGETS = 9 };

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The largest picture that the limits allow: 15 bytes a pixel for a HEIC of tiles that is turned, as telephones save
 * it, 11 for a progressive JPEG, beside small ones in the other lanes. */
static uint64_t decoding_wanted(const struct config *c, const struct engine_info *info)
{
    uint64_t plain = 15 * (uint64_t)c->limits.pixels, progressive = 11 * (uint64_t)c->limits.progressive_pixels;
    return larger(plain, progressive) + (uint64_t)info->decode_threads * 24 * MB + MB;
}

static void list_budgets(const struct config *c, const struct engine_info *info, struct budget *out)
{
    uint64_t body = c->limits.body_bytes, bodies = c->limits.body_memory_bytes,
             decoding = c->limits.decode_memory_bytes;
    uint64_t connections = (uint64_t)c->server.max_connections,
             room = 2 * c->server.max_header_bytes + (c->server.admin_port >= 0 ? PLAN_ADMIN_BYTES : 0);
    uint64_t features = info->features_bytes, searches = c->collections.path[0] ? 1 : 0;
    uint64_t rows = searches * (uint64_t)c->collections.rerank * features;
    const struct budget budgets[N_BUDGETS] = {
        {offsetof(struct plan, bodies), bodies ? bodies : body + 4 * MB, bodies ? bodies : larger(256 * MB, 2 * body)},
        {offsetof(struct plan, parsing), 8 * MB, larger(64 * MB, 4 * body)}, /* a quarter: gate_private.h */
        {offsetof(struct plan, decoding), decoding ? decoding : 40 * MB,
         decoding ? decoding : decoding_wanted(c, info)},
        {offsetof(struct plan, results), 4 * MB + 64 * features, 64 * MB},
        {offsetof(struct plan, answers), 8 * MB, 64 * MB},
        {offsetof(struct plan, streams), MB, 16 * MB}, /* of 20 to 120 KB each (api_predict.c) */
        {offsetof(struct plan, collections), searches * 4 * MB + rows, searches * 32 * MB + 4 * rows},
        {offsetof(struct plan, connections), room + smaller(connections * REQUEST_BYTES, CONNECTIONS_MB * MB),
         room + connections * CONNECTION_BYTES},
        {offsetof(struct plan, cache), 0, c->cache.bytes},
    };
    for (int i = 0; i < N_BUDGETS; i++) {
        out[i] = budgets[i];
        out[i].wanted = larger(out[i].wanted, out[i].min);
    }
}

static enum err refuse(const struct plan *p, const struct config *c, uint64_t min, struct errbuf *e)
{
    const char *bodies = c->limits.body_memory_bytes ? "limits.body_memory_bytes" : "limits.body_bytes";
    const char *decoding = c->limits.decode_memory_bytes ? "limits.decode_memory_bytes, " : "";
    return err_set(
        e, ERR_BAD_CONFIG,
        "the service needs at least %llu MB (%llu of them fixed: engine %llu, process and threads %llu) and %llu "
        "are allowed: lower engine.threads, limits.requests, %s%s or server.max_connections, or give it more "
        "memory (limits.memory_bytes, or the control group's limit)",
        (unsigned long long)((fixed_of(p) + min) / MB + 1), (unsigned long long)(fixed_of(p) / MB),
        (unsigned long long)(p->engine / MB), (unsigned long long)((p->process + p->threads) / MB),
        (unsigned long long)(p->limit / MB), decoding, bodies);
}

enum err plan_make(struct plan *out, const struct config *c, const struct engine_info *info, uint64_t archive_bytes,
                   uint64_t limit_bytes, struct errbuf *e)
{
    struct budget budgets[N_BUDGETS];
    struct plan p = {.limit = limit_bytes > 0 ? limit_bytes : UINT64_MAX};
    uint64_t min = 0, wanted = 0;
    set_fixed(&p, info, archive_bytes);
    list_budgets(c, info, budgets);
    for (int i = 0; i < N_BUDGETS; i++) {
        min += budgets[i].min;
        wanted += budgets[i].wanted;
    }
    uint64_t fixed = fixed_of(&p);
    if (fixed > p.limit || min > p.limit - fixed) {
        return refuse(&p, c, min, e);
    }
    double rest = (double)(p.limit - fixed - min), more = (double)(wanted - min);
    double part = more > 0 && rest < more ? rest / more : 1;
    p.is_tight = part < 1;
    p.total = fixed;
    for (int i = 0; i < N_BUDGETS; i++) {
        uint64_t n = budgets[i].min + (uint64_t)((double)(budgets[i].wanted - budgets[i].min) * part);
        *(uint64_t *)(void *)((char *)&p + budgets[i].at) = n;
        p.total += n;
    }
    *out = p;
    return OK;
}

/* ---- what comes of it ---- */

void plan_ledger_limits(const struct plan *p, struct ledger_limits *out)
{
    *out = (struct ledger_limits){
        .account = {[LEDGER_BODIES] = p->bodies,
                    [LEDGER_PARSING] = p->parsing,
                    [LEDGER_DECODING] = p->decoding,
                    [LEDGER_RESULTS] = p->results,
                    [LEDGER_ANSWERS] = p->answers,
                    [LEDGER_STREAMS] = p->streams,
                    [LEDGER_COLLECTIONS] = p->collections,
                    [LEDGER_RELOAD] = UINT64_MAX,
                    [LEDGER_CACHES] = p->cache,
                    [LEDGER_CONNECTIONS] = p->connections},
        .total = p->limit - fixed_of(p) - p->decoding - p->cache - p->connections,
    };
}
