/* plan - how the service's memory is divided: a pure function of the configuration, the engine and the limit.
 *
 * Fixed things come first: the process, thread stacks, the engine (weights, sessions, slots, jobs), SQLite's cache.
 * What is left is shared between the budgets that the ledger enforces: bodies, parsing, decoding, results, answers,
 * streams, collections, connections, the feature cache. A key of 0 (limits.body_memory_bytes,
 * limits.decode_memory_bytes) means "as the memory allows"; cache.bytes is a ceiling. A budget that a key sets in bytes
 * is granted or, if they do not all fit, refused with an error that names the keys.
 *
 * The sum never passes the limit; RSS stays below it with the worst legal load (tests/e2e/test_memory.py).
 *
 * Threads: pure functions, no state. Errors: ERR_BAD_CONFIG. */
#ifndef SERVER_GATE_PLAN_H
#define SERVER_GATE_PLAN_H

#include "config/config.h"
#include "engine/engine.h"
#include "server/gate/ledger.h"

/* X(field, what it is, key that changes it, fixed) */
#define PLAN_LINES(X)                                                                                                  \
    X(process, "the program and its libraries", "", true)                                                              \
    X(threads, "stacks and arenas of threads", "engine.threads", true)                                                 \
    X(engine, "weights, sessions, input slots, jobs, captions", "engine.threads, limits.requests", true)               \
    X(archive, "caches of the collections' database", "collections.path", true)                                        \
    X(spare, "what malloc wastes and measuring missed", "", true)                                                      \
    X(bodies, "request bodies", "limits.body_memory_bytes", false)                                                     \
    X(parsing, "JSON and base64 of bodies being read", "limits.body_bytes", false)                                     \
    X(decoding, "pixels and decoder memory", "limits.decode_memory_bytes", false)                                      \
    X(results, "features, items and scores of work under way", "limits.requests", false)                               \
    X(answers, "answers until they are read", "limits.requests", false)                                                \
    X(streams, "events of streams until they are read", "limits.requests", false)                                      \
    X(collections, "rows of searches and puts", "collections.rerank", false)                                           \
    X(connections, "sockets, headers, TLS", "server.max_connections", false)                                           \
    X(cache, "region features by image", "cache.bytes", false)

enum { PLAN_ADMIN_BYTES = 2 << 20 }; /* of `connections`, those of the admin port */

struct plan {
    uint64_t limit; /* bytes the process may have */
#define PLAN_FIELD(name, text, key, fixed) uint64_t name;
    PLAN_LINES(PLAN_FIELD)
#undef PLAN_FIELD
    uint64_t total; /* sum of all lines, <= limit */
    bool is_tight;  /* some budget is smaller than it would be with enough memory */
};

/* After engine_open: info is the engine's, and engine_limit(e, plan.cache, plan.decoding) sets what the engine really
 * gets (its options were ceilings). archive_bytes: what the collections hold besides requests (archive_own_bytes; 0: no
 * collections). limit_bytes: limits.memory_bytes, or what cpu_memory says; 0: no limit. *out is changed only when it is
 * OK. */
MUST_USE enum err plan_make(struct plan *out, const struct config *c, const struct engine_info *info,
                            uint64_t archive_bytes, uint64_t limit_bytes, struct errbuf *e);
/* The limits that the ledger enforces. Its total is what remains after the fixed lines and the budgets enforced
 * elsewhere (the engine's, the connections'), so a second engine (LEDGER_RELOAD, during a reload) fits whenever the
 * budgets are not all in use. */
void plan_ledger_limits(const struct plan *p, struct ledger_limits *out);

#endif
