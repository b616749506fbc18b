/* regions - the second stage of the detector: proposals and pyramid -> regions with feature, label, score and box
 * (docs/model-format.md, "Region head", "Geometry", "Tags").
 *
 * Works in the stages below, each a function of its own so that tests can run it alone. Memory is one `struct regions`
 * of pointers into the caller's scratch.
 * Ownership: all memory is the caller's. Threads: one owner. */
#ifndef ENGINE_MODEL_REGIONS_H
#define ENGINE_MODEL_REGIONS_H

#include "engine/model/boxes.h"
#include "engine/model/linear.h"
#include "engine/model/model.h"

struct regions {
    int n;                   /* proposals */
    struct roi_box *boxes;   /* [n], best first */
    float *objectness;       /* [n] */
    float *aligned;          /* [n, pool, pool, C] */
    float *hidden;           /* [n, H] after fc6 */
    float *features;         /* [n, H] after fc7: the region features */
    float *predictions;      /* [n, K + 4]: class logits, then deltas; logits become probabilities in place */
    float *scores;           /* [n], best non-background class */
    int *labels;             /* [n], from 1 */
    struct roi_box *refined; /* [n], deltas applied */
    /* the kept regions, best first */
    int n_kept;
    int *kept; /* [max_regions]: index of the proposal */
    /* scratch of selection */
    uint64_t *keys;
    struct roi_box *sorted;
    float *nms;
    int *survivors;
    struct linear_scratch bytes; /* what a layer in 8 bits reads */
};

/* Takes the arrays from the arena, which may be measuring; the rest is zero. */
void regions_place(struct regions *r, struct arena *a, const struct model_config *c);

/* 2..5: the pyramid level of a box. */
int regions_level(struct roi_box box);

struct regions_map {
    const float *map; /* [h, w, C] */
    int h, w;
};
/* boxes -> aligned. maps: P2..P5. */
void regions_align(struct regions *r, const struct kernels *k, const struct model_config *c,
                   const struct regions_map maps[MODEL_TAPS]);
/* aligned -> features, predictions. */
void regions_head(struct regions *r, const struct kernels *k, const struct bind_tee *weights);
/* predictions -> scores, labels, refined, kept. width x height: the resized image. False if something is not finite. */
bool regions_select(struct regions *r, const struct kernels *k, const struct model_config *c, int width, int height);
/* kept -> boxes in pixels of the upright image, vectors with geometry, labels, scores, tags. */
void regions_write(const struct regions *r, const struct model *m, const struct tee_input *in, struct features *out);
/* `from` without its region `index`, as if it had not been found; tags are updated. No other region replaces it, and it
 * takes with it the context cells that lie more than half in its box, and the one that lies most in it. */
void regions_leave_out(const struct model *m, const struct features *from, int index, struct features *out);

#endif
