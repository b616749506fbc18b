/* Proposals against the definition of docs/model-format.md written down plainly: whole sorts, no early stop. Logits are
 * coarse, so that ties are everywhere. */
#include "engine/model/tee/proposals.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/overlap.h"

#include <stdlib.h>

enum { WIDTH = 90, HEIGHT = 60, MAX = 4096, RATIOS = MODEL_ANCHOR_RATIOS, CELL = 15 };

struct candidate {
    struct roi_box box;
    float logit;
    int order; /* of the tie: index in its level, or the place in the list of all levels */
};

static float *maps[MODEL_LEVELS];
static struct proposals_level levels[MODEL_LEVELS];
static struct candidate level_list[MAX], all[MAX];

static int best_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) {
        return x->logit > y->logit ? -1 : 1;
    }
    return x->order - y->order;
}

static struct model_config make_config(int pre_nms, int proposals, float nms)
{
    struct model_config c = {.rpn = {.pre_nms = pre_nms, .proposals = proposals, .nms = nms}};
    for (int i = 0; i < MODEL_LEVELS; i++) {
        c.rpn.anchor_sizes[i] = 10 << i;
    }
    return c;
}

static void make_maps(int values)
{
    for (int i = 0; i < MODEL_LEVELS; i++) {
        int h = (64 >> i) / 4, w = (96 >> i) / 4;
        h = h > 0 ? h : 1;
        size_t n = (size_t)h * (size_t)w * CELL;
        free(maps[i]);
        maps[i] = malloc(n * sizeof(float));
        for (size_t k = 0; maps[i] && k < n; k++) {
            maps[i][k] = k % CELL < RATIOS ? (float)(rand() % values) : ((float)rand() / (float)RAND_MAX - 0.5F) * 0.6F;
        }
        levels[i] = (struct proposals_level){maps[i], h, w, 4 << i};
    }
}

static int plain_level(const struct model_config *c, int level, int n_all)
{
    static const float unit[4] = {1.0F, 1.0F, 1.0F, 1.0F};
    const struct proposals_level *l = &levels[level];
    struct roi_box windows[RATIOS];
    int n = 0, first = n_all;
    boxes_anchors(l->stride, c->rpn.anchor_sizes[level], windows);
    for (int cell = 0; cell < l->h * l->w; cell++) {
        for (int ratio = 0; ratio < RATIOS; ratio++, n++) {
            const float *values = l->maps + (size_t)cell * CELL;
            struct roi_box anchor = boxes_shift(windows[ratio], l->stride, cell / l->w, cell % l->w);
            struct roi_box box = boxes_decode(anchor, values + RATIOS + 4 * ratio, unit, WIDTH, HEIGHT);
            level_list[n] = (struct candidate){box, values[ratio], n};
        }
    }
    qsort(level_list, (size_t)n, sizeof(level_list[0]), best_first);
    for (int i = 0; i < n && i < c->rpn.pre_nms; i++) {
        bool stays = true;
        for (int j = first; j < n_all; j++) {
            stays = stays && !(overlap_of(all[j].box, level_list[i].box) > c->rpn.nms);
        }
        if (stays) {
            all[n_all] = level_list[i];
            all[n_all].order = n_all;
            n_all++;
        }
    }
    return n_all;
}

static bool find(const struct model_config *c, struct roi_box *boxes, float *logits, int *n)
{
    struct arena a;
    void *scratch;
    arena_init(&a, NULL, 0);
    proposals_measure(&a, c, (size_t)levels[0].h * (size_t)levels[0].w);
    size_t n_bytes = arena_needed(&a);
    BUG_ON(mem_alloc(&scratch, n_bytes));
    arena_init(&a, scratch, n_bytes);
    bool is_found = proposals_find(c, levels, WIDTH, HEIGHT, &a, boxes, logits, n);
    mem_free(scratch);
    return is_found;
}

static void test_plain(int pre_nms, int proposals, float nms, int values)
{
    struct model_config c = make_config(pre_nms, proposals, nms);
    make_maps(values);
    struct roi_box boxes[MAX];
    float logits[MAX];
    int n, n_all = 0;
    CHECK(find(&c, boxes, logits, &n));
    for (int i = 0; i < MODEL_LEVELS; i++) {
        n_all = plain_level(&c, i, n_all);
    }
    qsort(all, (size_t)n_all, sizeof(all[0]), best_first);
    CHECK_INT(n, n_all < proposals ? n_all : proposals);
    for (int i = 0; i < n; i++) {
        CHECK_INT(memcmp(&boxes[i], &all[i].box, sizeof(boxes[i])), 0);
        CHECK_NEAR(logits[i], all[i].logit, 0.0);
    }
}

static void test_not_finite(void)
{
    struct model_config c = make_config(50, 20, 0.7F);
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    struct roi_box boxes[20];
    float logits[20];
    int n;
    make_maps(9);
    for (int i = 0; i < 3; i++) {
        float *logit = &maps[2][CELL], *delta = &maps[4][7], before = *logit;
        *logit = odd[i];
        CHECK(!find(&c, boxes, logits, &n));
        *logit = before;
        before = *delta;
        *delta = odd[i];
        CHECK(!find(&c, boxes, logits, &n));
        *delta = before;
        CHECK(find(&c, boxes, logits, &n));
    }
}

int main(void)
{
    srand(4);
    for (int round = 0; round < 5; round++) {
        test_plain(1000, 300, 0.7F, 1); /* all logits equal */
        test_plain(1000, 300, 0.7F, 4);
        test_plain(60, 40, 0.7F, 12);
        test_plain(60, 40, 0.2F, 1000);
        test_plain(7, 100, 0.5F, 3); /* fewer candidates than wanted */
        test_plain(1000, 1, 0.5F, 3);
    }
    test_not_finite();
    for (int i = 0; i < MODEL_LEVELS; i++) {
        free(maps[i]);
    }
    return check_result();
}
