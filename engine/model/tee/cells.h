/* cells - context cells: a grid over the backbone's output, for the fusion beside or instead of the regions
 * (docs/model-format.md, "Cells").
 *
 *     entry -> own blocks -> head (1x1, activation) -> pool -> map -> inputs (cut to the picture, with geometry) ->
 * rows
 *
 * The map is part of the plan of the TEE; inputs and rows are made after its run.
 * Ownership: all memory is the caller's. Threads: one owner. Errors: none; cells_embed reports values that are not
 * finite. */
#ifndef ENGINE_MODEL_CELLS_H
#define ENGINE_MODEL_CELLS_H

#include "engine/model/linear.h"
#include "engine/model/model.h"
#include "engine/model/plan.h"

/* Appends the steps from the map that enters the own blocks on; gives the map of cells [rows, columns, G] of the padded
 * image, which is kept; all else is released. */
struct plan_map cells_plan(struct plan *p, const struct bind_cells *weights, const struct model_config *c,
                           struct plan_map entry);
/* Upper bound of the steps it appends. */
int cells_max_steps(const struct bind_cells *weights);

/* The cells that begin inside the picture, row by row: map -> inputs [n, G + 6], boxes [n, 4] in pixels of the
 * upright image. Returns n, which is at most the cells of the map. */
int cells_inputs(const struct model_config *c, struct plan_map map, const float *values, const struct tee_input *in,
                 float *inputs, float *boxes);
/* inputs [n, G + 6] -> rows of the fusion [n, D]; bytes: room for them if the layer is in 8 bits. False if something is
 * not finite. */
bool cells_embed(const struct kernels *k, const struct bind_fusion *weights, const struct linear_scratch *bytes,
                 const float *inputs, int n, float *rows);

#endif
