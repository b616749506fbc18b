/* metrics - what /metrics prints, in Prometheus' text format 0.0.4.
 *
 * Requests are counted here as they end; the engine's figures are read on each scrape.
 * Threads: the loop thread. Failure: none but a full buf. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "engine/engine.h"
#include "server/gate/auth.h"
#include "server/gate/gate.h"
#include "server/gate/route.h"
#include "server/http/exchange.h"
#include "server/http/reply.h"
#include "server/sandbox/sandbox.h"

enum { METRICS_ROUTES = 32, METRICS_BUCKETS = 14, METRICS_KEYS = 100 /* names; further ones are counted together */ };

struct metrics_histogram {
    uint64_t count[METRICS_BUCKETS + 1];
    double sum_s;
};

struct metrics {
    struct {
        const char *name; /* NULL: unused */
        uint64_t by_status[600];
        struct metrics_histogram duration;
    } routes[METRICS_ROUTES];
    struct metrics_histogram stages[ENGINE_STAGE_COUNT], queue;
    uint64_t rejected[FAULT_COUNT];
    uint64_t client_gone;
};

/* Every route has its counters from the start: otherwise a rate would miss the first event. */
void metrics_begin(struct metrics *m, const struct route_table *routes);
/* An exchange has ended. */
void metrics_count(struct metrics *m, const struct exchange *x, uint64_t now_us);

struct metrics_state {
    struct engine_stats stats; /* zeros while there is no engine */
    struct engine_info info;
    bool has_engine;
    bool is_ready;
    int connections, max_a_turn; /* by the HTTP room */
    double longest_turn_s;
    uint64_t connections_refused, connections_evicted, handshakes_failed, requests_refused,
        proxy_headers_failed; /* by the HTTP room */
    uint64_t started_us, reloads, reloads_failed, log_dropped;
    struct gate_stats gate;
    struct ledger_figures ledger;
    const struct auth *auth; /* NULL: none */
    double load_1m;          /* stats.load_ratio, smoothed over a minute */
    const struct sandbox_state *sandbox;
};
void metrics_print(const struct metrics *m, const struct metrics_state *s, struct buf *out);

#endif
