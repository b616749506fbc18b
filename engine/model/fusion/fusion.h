/* fusion - the transformer over packed rows of many items (docs/model-format.md, "Fusion"; Devlin et al. 2019 layout,
 * post-norm).
 *
 * Rows of an item, one after another:
 *     vqa, retrieve        [CLS] text [SEP], tags, regions, cells
 *     caption, first step  tags, regions, cells (the context), [CLS] and, with the decoder "mask", [MASK]
 *     caption, later       for each running hypothesis its last token and, with "mask", [MASK]
 * [CLS] of a pair decides, and the last row of a hypothesis on its next word: of the last layer nobody reads others,
 * so it makes of them keys and values alone.
 * All matrices work on all rows at once; only attention goes item by item.
 *
 * Ownership: a fusion owns no memory but points into the arena of its session. Threads: one owner. */
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

/* Takes all that the pointers name from the arena, which may be measuring. */
void fusion_place(struct fusion *f, struct arena *a, const struct model *m, int max_rows);

/* Writes x, the rows of all items; returns how many. */
size_t fusion_embed(struct fusion *f, const struct fusion_item *items, int n_items);
/* Rows of an item that decide. */
size_t fusion_item_deciding(const struct fusion_item *item);
/* x through one layer; the last one leaves the rows that decide, item after item. Captions keep their keys and
 * values. */
void fusion_layer(struct fusion *f, int layer, const struct fusion_item *items, int n_items, size_t rows);
/* x, as the last layer left it -> results. */
void fusion_heads(struct fusion *f, const struct fusion_item *items, int n_items, enum err *item_err);

#endif
