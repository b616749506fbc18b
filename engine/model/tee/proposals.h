/* proposals - objectness and deltas of every anchor -> the best boxes that do not overlap (docs/model-format.md,
 * "Proposals").
 *
 * Ownership: all memory is the caller's. Threads: any, each with its own scratch.
 * Errors: false when a logit or a delta is not finite. */
#ifndef ENGINE_MODEL_PROPOSALS_H
#define ENGINE_MODEL_PROPOSALS_H

#include "engine/model/boxes.h"

struct proposals_level {
    const float *maps; /* [h, w, 3 + 12]: logits of the three ratios, then their deltas */
    int h, w;
    int stride;
};

/* Scratch for levels of at most max_cells cells, in floats. */
size_t proposals_scratch_floats(const struct model_config *c, size_t max_cells);

/* Writes the best boxes of all levels, best first, in pixels of the resized image (width x height), with their logits,
 * at most c->rpn.proposals, and their number. */
bool proposals_find(const struct model_config *c, const struct proposals_level levels[MODEL_LEVELS], int width,
                    int height, float *scratch, struct roi_box *boxes, float *logits, int *n_boxes);

#endif
