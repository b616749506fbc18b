/* crew - threads of one pool that help each other: one leads, and idle ones take parts of its loops.
 *
 * Each thread has a board. A leader opens its own, cuts a loop into parts and posts them; it works through them itself,
 * while helpers at the board take those that are left. So a loop never waits for a helper that has not come, only for
 * parts that one has begun. A helper polls the board for a moment, then sleeps until the leader has work that is worth
 * waking it for; it leaves when it is recalled, or when the board has been closed for a moment.
 *
 * Handing over a part costs a fifth of a microsecond between two cores that share a cache, waking a sleeper fifty
 * (SPEED.md), so loops with less than CREW_CUT_NS per part are not cut.
 *
 * Ownership: a crew owns its boards. Threads: thread i calls what names `self` with i; the rest from any.
 * Memory order: what the leader wrote before crew_run is seen by all cuts, what they wrote is seen after it. */
#ifndef ENGINE_BASE_CREW_H
#define ENGINE_BASE_CREW_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CREW_MAX = 16,         /* cuts of one loop, and threads at one board */
    CREW_CUT_NS = 1000,    /* a cut should take at least so long */
    CREW_WAKE_NS = 150000, /* so long a loop, or so much of short ones, is worth waking those who sleep */
    CREW_SPIN_NS = 60000   /* how long a helper looks without finding anything */
};

struct crew;
MUST_USE enum err crew_create(struct crew **out, int n_threads);
void crew_destroy(struct crew *c); /* nobody helps any more; NULL is fine */

/* ---- who leads ---- */
void crew_open(struct crew *c, int self);
/* What others did at the board since it was opened. */
struct crew_work {
    uint64_t cuts, ns;
};
struct crew_work crew_close(struct crew *c, int self);
/* How many parts a loop of ns nanoseconds should be cut into, 1..max. 1: it is not worth it, or there is no helper. */
int crew_cuts(struct crew *c, int self, uint64_t ns, int max);
/* cut(arg, 0) .. cut(arg, n_cuts - 1), each once, in any order and at the same time; returns when all are done. */
void crew_run(struct crew *c, int self, int n_cuts, void (*cut)(void *arg, int i), void *arg);
/* Loops are cut as if so many helped; for plans and tests. */
void crew_pretend(struct crew *c, int self, int n_helpers);

/* ---- who helps ---- */
/* False: at once, because both threads are on one CPU, where a helper would only be in the leader's way. That is where
 * the kernel puts it when other programs have the rest. */
bool crew_help(struct crew *c, int self, int leader);
/* The helper comes back as soon as its cut is done; one that is not helping may come back from its next help at
 * once. */
void crew_recall(struct crew *c, int helper);

#endif
