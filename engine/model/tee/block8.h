/* block8 - an inverted residual block in bytes as one step of the plan.
 *
 * What lies between its products is bounded by ReLU6, so it needs no scale of its own: bytes at BIND_RELU6_SCALE go
 * from product to filter to product, strip after strip, and no widened map exists as a whole. Inputs and outputs are
 * floats; each input pixel becomes bytes with its own scale, as before any product in 8 bits.
 *
 * Threads: writes to the plan of its caller only. */
#ifndef ENGINE_MODEL_BLOCK8_H
#define ENGINE_MODEL_BLOCK8_H

#include "engine/model/plan.h"

/* x -> y by block b, whose b->bytes.filter.packed is set. conv: the filter's shape on the whole map. */
void block8_plan(struct plan *p, const struct bind_block *b, const struct conv_shape *conv, struct plan_map x,
                 struct plan_map y);

#endif
