/* figures - statistics, backlog and load, from the scheduler's state and its measured steps.
 *
 * Waiting things are counted from the queues on each call, so the numbers cannot drift.
 *
 * Threads: every function is called inside the scheduler. */
#ifndef ENGINE_FIGURES_H
#define ENGINE_FIGURES_H

#include "engine/scheduler.h"

/* An engine or decode thread begins or ends a step of n things that took since from_us. */
void figures_begin(struct scheduler *s, enum engine_stage stage, uint64_t now_us);
void figures_end(struct scheduler *s, enum engine_stage stage, int n, uint64_t from_us, uint64_t now_us);
/* Records the part of a step that helpers did; returns its microseconds. */
uint64_t figures_helped(struct scheduler *s, enum engine_stage stage, struct crew_work work);

/* Everything waiting or running, for the forecast. */
void figures_load(const struct scheduler *s, struct forecast_load *out);
void figures_stats(struct scheduler *s, uint64_t now_us, struct engine_stats *out);

#endif
