/* fusion - the transformer over packed rows of many items (docs/model-format.md, "Fusion"; Devlin et al. 2019 layout,
 * post-norm).
 *
 * Rows of an item, one after another:
 *     vqa, retrieve        [CLS] text [SEP], tags, regions, cells
 *     caption, first step  tags, regions, cells (the context), [CLS] and, with the decoder "mask", [MASK]
 *     caption, later       for each running hypothesis its last token and, with "mask", [MASK]
 * A pair is decided by [CLS], and the next word of a hypothesis by its last row: no other rows of the last layer are
 * read, so it computes only keys and values for them. All matrix products cover all rows at once; only attention runs
 * item by item.
 *
 * Ownership: a fusion owns no memory; it points into its session's arena. Threads: one owner. */
#ifndef ENGINE_MODEL_FUSION_H
#define ENGINE_MODEL_FUSION_H

#include "engine/model/fusion/caption_state.h"
#include "engine/model/linear.h"
#include "engine/model/model_private.h"

struct fusion {
    const struct model *model;
    size_t max_rows;
    float *x, *hidden, *context; /* [max_rows, D] */
    float *qkv;                  /* [max_rows, 3D] */
    float *wide;                 /* [max_rows, F] */
    float *scores;               /* scratch of attention */
    float *paid;                 /* [regions and cells seen] of one row in one layer */
    float *gathered, *pooled;    /* [max_rows, D]: rows that a head reads */
    float *logits;               /* [FUSION_HEAD_ROWS, most outputs of a head] */
    struct kv_span *spans;       /* of one query row */
    struct linear_scratch bytes; /* [max_rows]: what a layer in 8 bits reads */
};
enum { FUSION_HEAD_ROWS = 32 };

/* Takes all its arrays from the arena, which may be measuring. */
void fusion_place(struct fusion *f, struct arena *a, const struct model *m, int max_rows);

/* Writes x, the rows of all items; returns their number. */
size_t fusion_embed(struct fusion *f, const struct fusion_item *items, int n_items);
/* Rows of an item that decide. */
size_t fusion_item_deciding(const struct fusion_item *item);
/* Runs x through one layer; the last one leaves only the deciding rows, item after item. Captions keep their keys and
 * values. */
void fusion_layer(struct fusion *f, int layer, const struct fusion_item *items, int n_items, size_t rows);
/* x, as the last layer left it -> results. */
void fusion_heads(struct fusion *f, const struct fusion_item *items, int n_items, enum err *item_err);

#endif
