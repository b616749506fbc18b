/* proposals - objectness and deltas of every anchor -> the best boxes that do not overlap (docs/model-format.md,
 * "Proposals").
 *
 * Ownership: all memory is the caller's. Threads: any, each with its own scratch.
 * Errors: false when a logit or a delta is not finite. */
#ifndef ENGINE_MODEL_PROPOSALS_H
#define ENGINE_MODEL_PROPOSALS_H

#include "engine/base/arena.h"
#include "engine/model/boxes.h"

struct proposals_level {
    const float *maps; /* [h, w, 3 + 12]: logits of the three ratios, then their deltas */
    int h, w;
    int stride;
};

/* Takes from a measuring arena the scratch for levels of at most max_cells cells. */
void proposals_measure(struct arena *a, const struct model_config *c, size_t max_cells);

/* Writes the best boxes of all levels, best first, in pixels of the resized image (width x height), with their logits,
 * at most c->rpn.proposals, and their number. */
bool proposals_find(const struct model_config *c, const struct proposals_level levels[MODEL_LEVELS], int width,
                    int height, struct arena *scratch, struct roi_box *boxes, float *logits, int *n_boxes);

#endif
