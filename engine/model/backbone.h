/* backbone - EfficientNet (B0 or Lite) without its top: image -> P2..P5 (Tan & Le 2019; docs/model-format.md).
 *
 * An inverted residual block runs as up to three steps: `widen` (1x1 expansion and depthwise filter, strip by strip, so
 * that the expanded map never exists as a whole, with the mean of each channel on the way), `excite` (squeeze-excite on
 * these means) and `narrow` (scales, 1x1 projection and residual, strip by strip).
 *
 * Threads: writes to the plan of its caller only. */
#ifndef ENGINE_MODEL_BACKBONE_H
#define ENGINE_MODEL_BACKBONE_H

#include "engine/model/plan.h"

/* Appends the steps for an input of h x w (multiples of 32). taps: maps of P2..P5 that stay; all else is released. */
void backbone_plan(struct plan *p, const struct bind_tee *weights, const struct model_config *c, int h, int w,
                   struct plan_map taps[MODEL_TAPS]);
/* Steps that it appends at most. */
int backbone_max_steps(const struct bind_tee *weights);

#endif
