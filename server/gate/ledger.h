/* ledger - who holds how much memory: one total in bytes of everything that clients can make grow.
 *
 * Every account has a limit of its own and all together have one (plan.h shares them out). ledger_take asks before
 * memory is allocated and refuses when either limit would be passed; the taker gives it back when the memory is freed.
 * Memory allocated once at start (weights, sessions, slots) is not here: the plan has already subtracted it.
 *
 * Ownership: plain storage of the caller, no memory of its own.
 * Threads:   every function except ledger_init may be called by any thread at any time; no locks, no waiting. A figure
 *            read while others take and give is correct for some moment during the call.
 * Errors:    none; a refusal is `false`. Giving back more than was taken is BUG_ON. */
#ifndef SERVER_GATE_LEDGER_H
#define SERVER_GATE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* X(symbol, name, what it holds) */
#define LEDGER_ACCOUNTS(X)                                                                                             \
    X(LEDGER_BODIES, "bodies", "request bodies, from their first byte until the work is over")                         \
    X(LEDGER_PARSING, "parsing", "JSON values and decoded base64 of bodies being read")                                \
    X(LEDGER_DECODING, "decoding", "pixels and decoder memory of images being decoded")                                \
    X(LEDGER_RESULTS, "results", "what work has gathered and not yet written: features, items, scores")                \
    X(LEDGER_ANSWERS, "answers", "answers until the client has read them")                                             \
    X(LEDGER_STREAMS, "streams", "events of streams until the client has read them")                                   \
    X(LEDGER_COLLECTIONS, "collections", "rows read for a search or on their way to be stored")                        \
    X(LEDGER_RELOAD, "reload", "a second engine while a model is being replaced")                                      \
    X(LEDGER_CACHES, "caches", "region features kept by image")                                                        \
    X(LEDGER_CONNECTIONS, "connections", "sockets, their headers and their TLS state")

enum ledger_account {
#define LEDGER_ACCOUNT_ENUM(symbol, name, text) symbol,
    LEDGER_ACCOUNTS(LEDGER_ACCOUNT_ENUM)
#undef LEDGER_ACCOUNT_ENUM
        LEDGER_ACCOUNT_COUNT
};

struct ledger {
    atomic_uint_fast64_t _held[LEDGER_ACCOUNT_COUNT], _peak[LEDGER_ACCOUNT_COUNT], _limit[LEDGER_ACCOUNT_COUNT];
    atomic_uint_fast64_t _refused[LEDGER_ACCOUNT_COUNT];
    atomic_uint_fast64_t _total, _total_peak, _total_limit;
};

struct ledger_limits {
    uint64_t account[LEDGER_ACCOUNT_COUNT]; /* bytes; UINT64_MAX: only the total counts */
    uint64_t total;                         /* UINT64_MAX: none */
};
void ledger_init(struct ledger *l, const struct ledger_limits *limits);
/* New limits (a reload of the configuration, a new model). What is held above them stays held; no more is granted. */
void ledger_set_limits(struct ledger *l, const struct ledger_limits *limits);

/* False: not taken, count one refusal. */
bool ledger_take(struct ledger *l, enum ledger_account a, uint64_t n_bytes);
/* Counts a refusal that a caller decided by a rule of its own, in addition to those of ledger_take. */
void ledger_note_refusal(struct ledger *l, enum ledger_account a);
/* For memory that already exists and can no longer be refused: counted, whatever the limits. */
void ledger_note(struct ledger *l, enum ledger_account a, uint64_t n_bytes);
void ledger_give(struct ledger *l, enum ledger_account a, uint64_t n_bytes);
/* For accounts whose budget another part enforces (the engine: LEDGER_DECODING, LEDGER_CACHES; the listeners:
 * LEDGER_CONNECTIONS): what it reports to hold now, and its peak so far. Shown, but not added to the total, from which
 * the plan has already subtracted these budgets. */
void ledger_mirror(struct ledger *l, enum ledger_account a, uint64_t n_bytes, uint64_t peak);

struct ledger_figures {
    uint64_t held[LEDGER_ACCOUNT_COUNT], peak[LEDGER_ACCOUNT_COUNT], limit[LEDGER_ACCOUNT_COUNT];
    uint64_t refused[LEDGER_ACCOUNT_COUNT];
    uint64_t total, total_peak, total_limit;
};
void ledger_figures(struct ledger *l, struct ledger_figures *out);
const char *ledger_account_name(enum ledger_account a); /* "bodies" */

#endif
