/* Only the `proposals` best boxes of all levels count, so no level needs to keep more than that many: its suppression
 * stops there, and the answer is the same. */
#include "engine/model/tee/proposals.h"

#include "engine/model/finite.h"
#include "engine/model/topk.h"

#include <string.h>

enum { RATIOS = MODEL_ANCHOR_RATIOS, CELL_FLOATS = 5 * RATIOS };
static const float unit_weights[4] = {1.0F, 1.0F, 1.0F, 1.0F};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct scratch {
    float *logits;         /* [cells * 3] */
    uint64_t *keys;        /* [max(pre_nms, 5 * proposals)] */
    struct roi_box *boxes; /* [pre_nms] of one level, best first */
    float *scores;         /* [pre_nms] */
    int *keep;             /* [proposals] */
    float *nms;            /* [5 * proposals] */
    struct roi_box *all;   /* [5 * proposals] of all levels */
    float *all_scores;     /* [5 * proposals] */
};

static void place(struct scratch *s, struct arena *a, const struct model_config *c, size_t max_cells)
{
    size_t pre = min_size((size_t)c->rpn.pre_nms, max_cells * RATIOS), n = (size_t)c->rpn.proposals;
    size_t n_keys = pre > MODEL_LEVELS * n ? pre : MODEL_LEVELS * n;
    s->logits = arena_take(a, max_cells * RATIOS, sizeof(*s->logits));
    s->keys = arena_take(a, n_keys, sizeof(*s->keys));
    s->boxes = arena_take(a, pre, sizeof(*s->boxes));
    s->scores = arena_take(a, pre, sizeof(*s->scores));
    s->keep = arena_take(a, n, sizeof(*s->keep));
    s->nms = arena_take(a, MODEL_LEVELS * n, sizeof(*s->nms));
    s->all = arena_take(a, MODEL_LEVELS * n, sizeof(*s->all));
    s->all_scores = arena_take(a, MODEL_LEVELS * n, sizeof(*s->all_scores));
}

void proposals_measure(struct arena *a, const struct model_config *c, size_t max_cells)
{
    struct scratch s;
    place(&s, a, c, max_cells);
}

/* Appends the boxes of one level that stay to all[n_all..]. */
static bool find_in_level(const struct model_config *c, const struct proposals_level *level, int size, int width,
                          int height, const struct scratch *s, int *n_all)
{
    struct roi_box windows[RATIOS];
    size_t n_cells = (size_t)level->h * (size_t)level->w, n_anchors = n_cells * RATIOS;
    if (!finite_floats(level->maps, n_cells * CELL_FLOATS)) {
        return false;
    }
    for (size_t i = 0; i < n_cells; i++) {
        memcpy(s->logits + i * RATIOS, level->maps + i * CELL_FLOATS, RATIOS * sizeof(float));
    }
    boxes_anchors(level->stride, size, windows);
    size_t n = topk_select(s->logits, n_anchors, (size_t)c->rpn.pre_nms, s->keys);
    for (size_t i = 0; i < n; i++) {
        size_t index = topk_index(s->keys[i]), cell = index / RATIOS, ratio = index % RATIOS;
        int row = (int)(cell / (size_t)level->w), column = (int)(cell % (size_t)level->w);
        const float *deltas = level->maps + cell * CELL_FLOATS + RATIOS + 4 * ratio;
        struct roi_box anchor = boxes_shift(windows[ratio], level->stride, row, column);
        s->boxes[i] = boxes_decode(anchor, deltas, unit_weights, width, height);
        s->scores[i] = s->logits[index];
    }
    int n_kept = boxes_nms(s->boxes, (int)n, c->rpn.nms, c->rpn.proposals, s->keep, s->nms);
    for (int i = 0; i < n_kept; i++) {
        s->all[*n_all] = s->boxes[s->keep[i]];
        s->all_scores[(*n_all)++] = s->scores[s->keep[i]];
    }
    return true;
}

bool proposals_find(const struct model_config *c, const struct proposals_level levels[MODEL_LEVELS], int width,
                    int height, struct arena *scratch, struct roi_box *boxes, float *logits, int *n_boxes)
{
    struct scratch s;
    size_t max_cells = 0;
    int n_all = 0;
    for (int i = 0; i < MODEL_LEVELS; i++) {
        size_t cells = (size_t)levels[i].h * (size_t)levels[i].w;
        max_cells = cells > max_cells ? cells : max_cells;
    }
    place(&s, scratch, c, max_cells);
    for (int i = 0; i < MODEL_LEVELS; i++) {
        if (!find_in_level(c, &levels[i], c->rpn.anchor_sizes[i], width, height, &s, &n_all)) {
            return false;
        }
    }
    size_t n = topk_select(s.all_scores, (size_t)n_all, (size_t)c->rpn.proposals, s.keys);
    for (size_t i = 0; i < n; i++) {
        boxes[i] = s.all[topk_index(s.keys[i])];
        logits[i] = s.all_scores[topk_index(s.keys[i])];
    }
    *n_boxes = (int)n;
    return true;
}
