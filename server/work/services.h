/* services - which model is serving, which is being loaded, which is retiring: the state machine of a reload.
 *
 *     services_load --(memory?)--> thread: open, self-test --> services_reap: CURRENT, the old one RETIRING
 *                     \                        \
 *                      refused                  FAILED: the old one continues
 *     RETIRING --(last reference dropped)--> closed on the side thread --> GONE
 *
 * Work holds the service it began on until it ends, so a reload never removes a model that is in use. Code that
 * combines data of two services (features of one, rows of the other) must compare identities (info.model_sha256 and
 * info.features_bytes); pointers do not identify models.
 *
 * Ownership: the table owns its services. services_current is borrowed; hold it (service_hold) to keep it beyond a turn
 *            of the loop.
 * Threads:   the loop thread; loading runs on a thread of its own.
 * Errors:    services_load refuses with a reason; later errors are reported with the outcome. */
#ifndef SERVER_WORK_SERVICES_H
#define SERVER_WORK_SERVICES_H

#include "server/gate/ledger.h"
#include "server/work/service.h"
#include "server/work/side.h"

enum { SERVICES_MAX = 8, SERVICES_DIR_MAX = 1024 };

struct services;

struct services_outcome {
    uint64_t number; /* of this load, 1 for the first */
    enum err err;    /* OK: it is current now */
    struct errbuf error;
    char model[128], sha256[65]; /* name and version; empty when it failed */
    uint64_t load_us;
};

/* A waiter for the load in progress; embedded in the waiter's own struct. */
struct services_waiter {
    void (*on_outcome)(struct services_waiter *w, const struct services_outcome *o);
    struct services_waiter *next;
    bool is_waiting;
};

struct services_options {
    struct loop *loop;
    struct side *side;
    struct ledger *ledger;
    void *user;
    /* A model is open and has passed its self-test; last chance to reject it before it becomes current. Loop thread. */
    enum err (*accept)(void *user, const struct service *fresh, struct errbuf *e);
    void (*on_outcome)(void *user, const struct services_outcome *o); /* before any waiter is notified */
};

struct services_status {
    bool is_loading;
    uint64_t loading_since_us;
    uint64_t n_loaded, n_failed;  /* loads that ended */
    struct services_outcome last; /* number 0: none yet */
    int n;                        /* services that exist, the current one first */
    const struct service *services[SERVICES_MAX];
};

MUST_USE enum err services_create(struct services **out, const struct services_options *o);
/* Aborts a load in progress, cancels all jobs and collects them: then nothing waits for the engine. False: the load has
 * not ended within a quarter of a second, its thread is still running, and the process must exit without closing. */
MUST_USE bool services_drain(struct services *s);
/* Closes all; nothing may hold a service. NULL is fine. */
void services_destroy(struct services *s);

/* Begins to load. ERR_OVERLOADED: one is being loaded, or old ones are still held; ERR_NOMEM: two models do not fit.
 * The options' model_dir is copied. */
MUST_USE enum err services_load(struct services *s, const struct engine_options *options, struct errbuf *e);
/* Takes a loaded model and collects finished jobs; call after a wake. */
void services_reap(struct services *s, uint64_t until_us);
struct service *services_current(const struct services *s); /* NULL before the first */
void services_wait(struct services *s, struct services_waiter *w);
void services_leave(struct services *s, struct services_waiter *w); /* also fine when not waiting */
void services_status(const struct services *s, struct services_status *out);

#endif
