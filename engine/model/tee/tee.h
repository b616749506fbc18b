/* tee - the two-stage efficient feature extractor: an image -> at most max_regions regions (Wang et al., arXiv
 * 2012.06946, section "TEE"; docs/model-format.md), and context cells where the model has them.
 *
 *     backbone -> taps P2..P5 -> BiFPN -> pyramid P2..P6 -> proposals -> RoIAlign, head -> regions
 *         `-> entry -> cells
 *
 * The convolutional half is a plan (plan.h), written anew whenever the size of the input changes, without allocating.
 * Taps, cells, pyramid and proposal maps stay readable in the arena after a run; tests look at them there.
 *
 * Ownership: a tee owns its steps; the arena belongs to its session and may be used by others between runs.
 * Threads:   one owner. */
#ifndef ENGINE_MODEL_TEE_H
#define ENGINE_MODEL_TEE_H

#include "engine/model/model.h"
#include "engine/model/plan.h"
#include "engine/model/tee/regions.h"

struct tee {
    const struct model *model;
    const struct bind_tee *weights;
    struct plan plan;
    int h, w; /* the plan's input */
    struct plan_map taps[MODEL_TAPS], pyramid[MODEL_LEVELS], rpn[MODEL_LEVELS];
    struct plan_map cells;                         /* [rows, columns, G] of the padded image; only with cells */
    struct plan_room proposals_room, regions_room; /* scratch of the second half */
    size_t cells_at;                               /* scratch: [cells, G + 6] */
    struct plan_room cell_bytes;                   /* and what the fusion's layer in 8 bits reads of them */
    struct plan_step *_steps;
};

MUST_USE enum err tee_init(struct tee *t, const struct model *m);
void tee_release(struct tee *t);

/* Writes the plan for a padded input and returns the floats that its run needs. */
size_t tee_plan(struct tee *t, int padded_height, int padded_width);

/* Runs the plan, which must be that of the input's size. ERR_INTERNAL when a result is not finite. */
MUST_USE enum err tee_run(struct tee *t, float *arena, const struct tee_input *in, struct features *out);

/* ---- the parts of a run ---- */
bool tee_propose(const struct tee *t, float *arena, const struct tee_input *in, struct regions *r);
bool tee_head(const struct tee *t, float *arena, const struct tee_input *in, struct regions *r);
/* Only of a model with cells. */
bool tee_cells(const struct tee *t, float *arena, const struct tee_input *in, struct features *out);

#endif
