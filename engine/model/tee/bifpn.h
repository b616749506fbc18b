/* bifpn - bidirectional feature pyramid: P2..P5 -> P2..P6, mixed top-down and bottom-up, `repeats` times (Tan, Pang &
 * Le 2020; docs/model-format.md, "Pyramid"); and the proposals' one convolution over its levels.
 *
 * A node - weighted sum, swish, depthwise 3x3, pointwise 1x1 - is one step that works in strips: neither the enlarged
 * coarser map nor the sum nor the filtered map exists as a whole.
 *
 * Threads: writes to the plan of its caller only. */
#ifndef ENGINE_MODEL_BIFPN_H
#define ENGINE_MODEL_BIFPN_H

#include "engine/model/plan.h"

/* Appends the steps; the five maps of `pyramid` are kept, everything else taken is released. */
void bifpn_plan(struct plan *p, const struct bind_tee *weights, const struct plan_map taps[MODEL_TAPS],
                struct plan_map pyramid[MODEL_LEVELS]);
/* Objectness and deltas of every cell: [h, w, 3 + 12]. They are kept. */
void bifpn_plan_rpn(struct plan *p, const struct bind_tee *weights, const struct plan_map pyramid[MODEL_LEVELS],
                    struct plan_map rpn[MODEL_LEVELS]);
/* Upper bound of the steps that both append. */
int bifpn_max_steps(const struct bind_tee *weights);

#endif
