/* trace - which kernels ran, on what shapes, how many bytes and operations they took, and how long.
 *
 * A trace is a table of kernels like any other: each entry calls the underlying table and records the call. Code that
 * runs a network on it sets the current stage and step; outside a trace these two calls do nothing.
 *
 *     struct trace *t;
 *     trace_create(&t, false);
 *     model_open(&m, dir, &(struct model_options){.trace = t, ...}, &e);
 *     trace_enter(t);           // this thread records into t until trace_leave
 *     trace_stage("question");
 *     ...
 *
 * A row covers all calls of one kernel on one shape in one step; a summary row covers all calls of a kernel in steps of
 * one name. Operations are counted by definition: two for each product that is added up (matrices, convolutions,
 * attention, RoIAlign, weighted sums), one for each value that is compared, scaled or added; activations are not
 * counted. Bytes count each value read or written once, weights in their stored size.
 *
 * Ownership: a trace owns its rows; names are string constants. It must outlive the model.
 * Threads:   the table may be used only between trace_enter and trace_leave, by that thread. */
#ifndef ENGINE_KERNELS_TRACE_H
#define ENGINE_KERNELS_TRACE_H

#include "engine/kernels/kernels.h"

/* What a kernel multiplies, whatever its weights are stored as: which peak of the core limits it. */
enum trace_unit { TRACE_FLOATS, TRACE_BYTES, TRACE_WORDS, TRACE_UNITS };

struct trace_row {
    const char *stage, *step, *kernel;
    const char *format; /* format of the weights or, without weights, of the input: "f32", "f16" */
    int turn;           /* which step of its stage, from 1; 0 in a summary */
    enum act act;
    enum trace_unit unit;
    uint64_t m, n, k; /* rows or pixels, channels or columns, terms per output; m summed over all calls */
    uint64_t calls, operations, bytes, ns;
    int cuts; /* maximum number of parts that a call was split into (split.h) */
};

struct trace;
MUST_USE enum err trace_create(struct trace **out, bool is_summary);
void trace_destroy(struct trace *t); /* NULL is fine */

/* The table that traces `inner`; valid as long as the trace. */
const struct kernels *trace_kernels(struct trace *t, const struct kernels *inner);

void trace_enter(struct trace *t);
void trace_leave(void);
void trace_stage(const char *name);
void trace_step(const char *name);

/* In the order in which they first ran. ERR_NOMEM when some could not be recorded. */
MUST_USE enum err trace_rows(const struct trace *t, const struct trace_row **rows, int *n);
void trace_forget(struct trace *t); /* no rows */

const char *trace_act_name(enum act act); /* "" for none */

#endif
