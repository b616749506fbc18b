/* services - which model serves, which is being loaded, which is on its way out: the state machine of a reload.
 *
 *     services_load --(memory?)--> thread: open, self-test --> services_reap: CURRENT, the old one RETIRING
 *                     \                        \
 *                      refused                  FAILED: the old one goes on
 *     RETIRING --(last reference dropped)--> closed on the side thread --> GONE
 *
 * Work holds the service it began on until it ends, so a reload never takes a model away from under it. Whoever meets
 * another service than its own (features of one, rows of the other) compares the identity (info.model_sha256 and
 * info.features_bytes); pointers say nothing about models.
 *
 * Ownership: the table owns its services. services_current is borrowed; hold it (service_hold) to keep it over a turn
 *            of the loop.
 * Threads:   the loop thread; loading runs on a thread of its own.
 * Errors:    services_load refuses with a reason; later ones come with the outcome. */
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

/* Somebody who waits for the load that is going on; inside his own struct. */
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
    /* A model is open and passed its self-test; the last word before it becomes current. Loop thread. */
    enum err (*accept)(void *user, const struct service *fresh, struct errbuf *e);
    void (*on_outcome)(void *user, const struct services_outcome *o); /* before any waiter hears it */
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
/* Breaks off a load that is going on, cancels all jobs and takes them home: then nobody waits for the engine. False:
 * the load has not ended within a quarter of a second, its thread goes on, and the process must end without closing. */
MUST_USE bool services_drain(struct services *s);
/* Closes all; nobody may hold a service. NULL is fine. */
void services_destroy(struct services *s);

/* Begins to load. ERR_OVERLOADED: one is being loaded, or old ones are still held; ERR_NOMEM: two models do not fit.
 * The options' model_dir is copied. */
MUST_USE enum err services_load(struct services *s, const struct engine_options *options, struct errbuf *e);
/* Takes what has been loaded and lets jobs come home; after a wake. */
void services_reap(struct services *s, uint64_t until_us);
struct service *services_current(const struct services *s); /* NULL before the first */
void services_wait(struct services *s, struct services_waiter *w);
void services_leave(struct services *s, struct services_waiter *w); /* also fine when not waiting */
void services_status(const struct services *s, struct services_status *out);

#endif
