/* split - one call of a kernel on several threads.
 *
 * A table of kernels like any other: an entry cuts its call by rows, columns, heads or elements and has a crew
 * (engine/base/crew.h) run the cuts with the underlying table's entry. Any cut is valid: an element's value depends on
 * its own inputs only (kernels.h), so the bits are the same for any number of cuts. Products by OpenBLAS are never cut,
 * because the library makes no such promise.
 *
 *     m->kernels = split_kernels(&split, inner);   // entries that cannot be cut are those of `inner`
 *     split_enter(inner, crew, self);              // once for each thread that will use the table
 *
 * A call is cut only while the thread's board is open and has helpers, and only as finely as each cut is worth its
 * hand-over, judged by speeds measured for each instruction set (SPEED.md).
 *
 * Ownership: the caller's storage; crew and inner are borrowed. Threads: the table may be used by threads that have
 * entered. */
#ifndef ENGINE_KERNELS_SPLIT_H
#define ENGINE_KERNELS_SPLIT_H

#include "engine/base/crew.h"
#include "engine/kernels/kernels.h"

/* Fills `out` and returns it. */
const struct kernels *split_kernels(struct kernels *out, const struct kernels *inner);
/* Applies to the calling thread from now on; crew NULL: nothing is cut. */
void split_enter(const struct kernels *inner, struct crew *crew, int self);
/* The largest number of cuts in one call of this thread since the last query, at least 1. */
int split_cuts(void);

#endif
