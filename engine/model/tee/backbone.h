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

/* Appends the steps for an input of h x w (multiples of 32). taps: maps of P2..P5, which are kept; entry: the map that
 * enters the last `own_blocks` blocks (0: P5), also kept; all else is released. */
void backbone_plan(struct plan *p, const struct bind_tee *weights, const struct model_config *c, int h, int w,
                   struct plan_map taps[MODEL_TAPS], struct plan_map *entry);
/* Appends n blocks from the map x on; the last one's output is y, which lies below everything taken from now on. */
void backbone_plan_blocks(struct plan *p, const struct bind_block *blocks, int n, const struct model_config *c,
                          struct plan_map x, struct plan_map y);
enum act backbone_act(const struct model_config *c);
/* Upper bound of the steps appended for this many blocks, including the stem. */
int backbone_max_steps(int n_blocks);

#endif
