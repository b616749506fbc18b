/* crew - threads of one pool that help each other: one leads, and idle ones run parts of its loops.
 *
 * Each thread has a board. A leader opens its own, cuts a loop into parts and posts them; it works through them itself,
 * while helpers at the board take the remaining ones. So a loop never waits for a helper that has not arrived, only for
 * parts that a helper has begun. A helper polls the board briefly, then sleeps until the leader has work worth waking
 * it for; it leaves when it is recalled, or shortly after the board is closed.
 *
 * Handing over a part costs 0.2 microseconds between two cores that share a cache, and waking a sleeper 50 (SPEED.md),
 * so loops with less than CREW_CUT_NS per part are not cut.
 *
 * Ownership: a crew owns its boards. Threads: thread i passes i to functions that take `self`; the others may be called
 * from any thread.
 * Memory order: all cuts see what the leader wrote before crew_run; the leader sees what they wrote once it returns. */
#ifndef ENGINE_BASE_CREW_H
#define ENGINE_BASE_CREW_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CREW_MAX = 16,         /* cuts of one loop, and threads at one board */
    CREW_CUT_NS = 1000,    /* a cut should take at least this long */
    CREW_WAKE_NS = 150000, /* a loop this long, or short loops that add up to it, are worth waking sleepers for */
    CREW_SPIN_NS = 60000   /* how long a helper polls without finding anything */
};

struct crew;
MUST_USE enum err crew_create(struct crew **out, int n_threads);
void crew_destroy(struct crew *c); /* all helpers must have left; NULL is fine */

/* ---- who leads ---- */
void crew_open(struct crew *c, int self);
/* The work that helpers did at the board since it was opened. */
struct crew_work {
    uint64_t cuts, ns;
};
struct crew_work crew_close(struct crew *c, int self);
/* How many parts a loop of ns nanoseconds should be cut into, 1..max. 1: cutting is not worth it, or there is no
 * helper. */
int crew_cuts(struct crew *c, int self, uint64_t ns, int max);
/* cut(arg, 0) .. cut(arg, n_cuts - 1), each once, in any order and at the same time; returns when all are done. */
void crew_run(struct crew *c, int self, int n_cuts, void (*cut)(void *arg, int i), void *arg);
/* Cuts loops as if this many helped; for plans and tests. */
void crew_pretend(struct crew *c, int self, int n_helpers);

/* ---- who helps ---- */
/* Returns false at once if both threads are on one CPU, where a helper would only be in the leader's way. The kernel
 * puts it there when other programs occupy the rest. */
bool crew_help(struct crew *c, int self, int leader);
/* The helper returns as soon as its cut is done; if it is not helping now, its next call to help may return at once. */
void crew_recall(struct crew *c, int helper);

#endif
