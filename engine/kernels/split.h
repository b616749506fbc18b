/* split - one call of a kernel on several threads.
 *
 * A table of kernels like any other: an entry cuts its call by rows, columns, heads or elements and has a crew
 * (engine/base/crew.h) do the cuts by the entry of the table behind it. Where the cut is made is free: an element's
 * value depends on its own inputs only (kernels.h), so the bits are the same for any number of cuts. Products by
 * OpenBLAS are never cut, because a library promises no such thing.
 *
 *     m->kernels = split_kernels(&split, inner);   // entries that cannot be cut are those of `inner`
 *     split_enter(inner, crew, self);              // once for each thread that will use the table
 *
 * A call is cut only while the thread's board is open with helpers at it, and only as far as a cut is worth its
 * hand-over, by what the call takes at speeds measured for each instruction set (SPEED.md).
 *
 * Ownership: the caller's storage; crew and inner are borrowed. Threads: the table may be used by threads that have
 * entered. */
#ifndef ENGINE_KERNELS_SPLIT_H
#define ENGINE_KERNELS_SPLIT_H

#include "engine/base/crew.h"
#include "engine/kernels/kernels.h"

/* Fills `out` and returns it. */
const struct kernels *split_kernels(struct kernels *out, const struct kernels *inner);
/* For the calling thread from now on; crew NULL: nothing is cut. */
void split_enter(const struct kernels *inner, struct crew *crew, int self);
/* Maximum number of cuts in a call of this thread since it last asked, at least 1. */
int split_cuts(void);

/* work(arg, first, end) over parts of 0..n, each element taking about ns_each; the table's own way for loops of
 * others. */
void split_each(size_t n, uint64_t ns_each, void (*work)(void *arg, size_t first, size_t end), void *arg);

#endif
