/* What becomes a region: classes, ties, suppression, how many stay, geometry and tags. Values by hand; the arithmetic
 * of the head itself is compared by tests/golden/test_stages.c. */
#include "engine/model/tee/regions.h"

#include "engine/base/mem.h"
#include "engine/model/model_private.h"
#include "tests/support/check.h"

#include <stdlib.h>

enum { N = 6, K = 4, ROW = K + 4, WIDTH = 200, HEIGHT = 100 };

static struct model_config config = {
    .bifpn = {.channels = 1},
    .rpn = {.proposals = N},
    .roi = {.pool = 1,
            .hidden = 1,
            .classes = K - 1,
            .nms = 0.5F,
            .score_threshold = 0.3F,
            .min_regions = 1,
            .max_regions = 4},
};
static void *scratch; /* for that config */

static size_t regions_bytes(const struct model_config *c)
{
    struct regions r;
    struct arena a;
    arena_init(&a, NULL, 0);
    regions_place(&r, &a, c);
    return arena_needed(&a);
}

static struct regions regions_in(void *block, const struct model_config *c)
{
    struct regions r;
    struct arena a;
    arena_init(&a, block, regions_bytes(c));
    regions_place(&r, &a, c);
    return r;
}

/* Probabilities in eighths of class 1..3 for boxes that stand 30 apart; the rest is background. */
static struct regions make(const int eighths[N][3])
{
    struct regions r = regions_in(scratch, &config);
    r.n = N;
    for (int i = 0; i < N; i++) {
        float *row = r.predictions + i * ROW;
        memset(row, 0, ROW * sizeof(float));
        row[0] = logf((float)(8 - eighths[i][0] - eighths[i][1] - eighths[i][2]) / 8.0F + 1e-9F);
        for (int k = 0; k < 3; k++) {
            row[k + 1] = logf((float)eighths[i][k] / 8.0F + 1e-9F);
        }
        r.boxes[i] = (struct roi_box){30.0F * (float)i, 10, 30.0F * (float)i + 19, 29};
        r.features[i] = (float)i;
    }
    return r;
}

static bool select_regions(struct regions *r)
{
    return regions_select(r, kernels_select(ISA_REF, GEMM_NATIVE), &config, WIDTH, HEIGHT);
}

static void check_kept(const struct regions *r, int n, const int *kept)
{
    CHECK_INT(r->n_kept, n);
    for (int i = 0; i < n && i < r->n_kept; i++) {
        CHECK_INT(r->kept[i], kept[i]);
    }
}

static void test_classes(void)
{
    static const int eighths[N][3] = {{1, 2, 0}, {3, 1, 3}, {0, 4, 4}, {0, 0, 5}, {3, 3, 0}, {1, 1, 1}};
    static const int labels[N] = {2, 1, 2, 3, 1, 1}; /* never background; ties: lower class */
    struct regions r = make(eighths);
    CHECK(select_regions(&r));
    for (int i = 0; i < N; i++) {
        int max = eighths[i][labels[i] - 1];
        CHECK_INT(r.labels[i], labels[i]);
        CHECK_NEAR(r.scores[i], (double)max / 8.0, 1e-6);
        CHECK_NEAR(r.refined[i].x0, r.boxes[i].x0, 1e-5);
    }
    check_kept(&r, 4, (const int[]){3, 2, 1, 4}); /* ties: lower proposal */
}

static void test_how_many(void)
{
    static const int eighths[N][3] = {{1, 0, 0}, {2, 0, 0}, {5, 0, 0}, {1, 0, 0}, {3, 0, 0}, {1, 0, 0}};
    static const int order[N] = {2, 4, 1, 0, 3, 5};
    for (int min = 1; min <= 4; min++) {
        config.roi.min_regions = min;
        struct regions r = make(eighths);
        CHECK(select_regions(&r));
        check_kept(&r, min > 2 ? min : 2, order);
    }
    config.roi.min_regions = 1;
    config.roi.score_threshold = 0.0F;
    struct regions r = make(eighths);
    CHECK(select_regions(&r));
    check_kept(&r, 4, order);
    config.roi.score_threshold = 0.3F;
    r = make(eighths);
    r.n = 0;
    CHECK(select_regions(&r));
    CHECK_INT(r.n_kept, 0);
}

/* The threshold is counted after the suppression, which knows no classes and looks at the boxes after their deltas. */
static void test_suppression(void)
{
    static const int eighths[N][3] = {{5, 0, 0}, {0, 4, 0}, {0, 0, 3}, {0, 0, 1}, {1, 0, 0}, {1, 0, 0}};
    struct regions r = make(eighths);
    r.predictions[ROW + K] = -15.0F; /* box 1 moves by -1.5 widths of 20: onto box 0 */
    CHECK(select_regions(&r));
    CHECK_NEAR(r.refined[1].x0, 0.0, 1e-4);
    check_kept(&r, 2, (const int[]){0, 2});
}

static void test_not_finite(void)
{
    static const int eighths[N][3] = {{5, 0, 0}, {0, 4, 0}, {0, 0, 3}, {0, 0, 1}, {1, 0, 0}, {1, 0, 0}};
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        struct regions r = make(eighths);
        r.predictions[N * ROW - 1] = odd[i];
        CHECK(!select_regions(&r));
        r = make(eighths);
        r.predictions[2] = odd[i];
        CHECK(!select_regions(&r));
        r = make(eighths);
        r.features[N - 1] = odd[i];
        CHECK(!select_regions(&r));
    }
}

static void test_levels(void)
{
    static const struct {
        float side;
        int level;
    } cases[] = {{1, 2}, {111, 2}, {112, 3}, {223, 3}, {224, 4}, {447, 4}, {448, 5}, {4000, 5}, {0, 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct roi_box box = {7, 9, 7 + cases[i].side - 1, 9 + cases[i].side - 1};
        CHECK_INT(regions_level(box), cases[i].level);
    }
    CHECK_INT(regions_level((struct roi_box){0, 0, 448 * 2 - 1, 56 - 1}), 4); /* the root of the area counts */
}

/* ---- tags and geometry: the tiny model's labels ---- */

static void write_regions(const struct model *m, struct features *f, const int *labels, const float *scores, int n)
{
    const struct model_config *c = model_config(m);
    struct tee_input in = {NULL, 96, 64, 90, 60, 180, 240};
    void *memory;
    BUG_ON(mem_alloc(&memory, regions_bytes(c)));
    struct regions r = regions_in(memory, c);
    r.n = r.n_kept = n;
    for (int i = 0; i < n; i++) {
        r.kept[i] = i;
        r.labels[i] = labels[i];
        r.scores[i] = scores[i];
        r.refined[i] = (struct roi_box){9, 6, 45, 30};
        r.features[i * c->roi.hidden] = (float)i;
    }
    features_init(f, c);
    regions_write(&r, m, &in, f);
    mem_free(memory);
}

static void check_tags(const struct model *m, const struct features *f, const char *expected)
{
    int ids[64], n = wordpiece_encode(m->wordpiece, expected, strlen(expected), ids, 63);
    if (n > 0) {
        ids[n++] = m->special.sep;
    }
    CHECK_INT(f->n_tags, n);
    CHECK_INT(memcmp(features_tags_const(f), ids, (size_t)n * sizeof(int)), 0);
}

static void test_writing(const struct model *m, struct features *f)
{
    static const int labels[] = {2, 7, 2, 12, 4}; /* dog, traffic light, dog, café table, red car */
    const float scores[] = {0.9F, 0.85F, 0.8F, 0.75F, 0.74F};
    write_regions(m, f, labels, scores, 5); /* tag_threshold is 0.75 */
    CHECK_INT(f->n_regions, 5);
    check_tags(m, f, "dog traffic light café table");
    static const float geometry[6] = {0.1F, 0.1F, 0.5F, 0.5F, 0.4F, 0.4F};
    const float *vector = features_vectors_const(f) + f->dim;
    CHECK_NEAR(vector[0], 1.0, 0.0);
    for (int i = 0; i < 6; i++) {
        CHECK_NEAR(vector[f->dim - 6 + i], geometry[i], 1e-6);
    }
    CHECK_NEAR(features_regions_const(f)[0].box[2], 90.0, 1e-5);  /* twice as wide */
    CHECK_NEAR(features_regions_const(f)[0].box[3], 120.0, 1e-5); /* four times as high */
    const float low[] = {0.7F};
    write_regions(m, f, labels, low, 1);
    CHECK_INT(f->n_tags, 0);
    write_regions(m, f, labels, low, 0);
    CHECK(f->n_tags == 0 && f->n_regions == 0 && f->width == 180 && f->height == 240);
}

static void test_leaving_out(const struct model *m, struct features *f)
{
    static const int labels[] = {2, 7, 2, 12}; /* dog, traffic light, dog, café table */
    static const char *const tags[] = {"traffic light dog café table", "dog café table", "dog traffic light café table",
                                       "dog traffic light"};
    const float scores[] = {0.9F, 0.85F, 0.8F, 0.75F};
    struct features *out = calloc(1, features_bytes(model_config(m)));
    write_regions(m, f, labels, scores, 4);
    for (int index = 0; out && index < 4; index++) {
        regions_leave_out(m, f, index, out);
        CHECK(features_valid(out, features_bytes(model_config(m)), model_config(m)));
        CHECK_INT(out->n_regions, 3);
        check_tags(m, out, tags[index]);
        for (int i = 0; i < 3; i++) {
            int from = i + (i >= index);
            CHECK_INT(features_regions_const(out)[i].label, labels[from]);
            CHECK_NEAR(features_vectors_const(out)[(size_t)i * (size_t)f->dim], from, 0.0);
        }
    }
    CHECK_INT(f->n_regions, 4);
    free(out);
}

/* The cell grid of the picture of 180 x 240 that write_regions makes: 2 x 2. */
static void put_cells(struct features *f)
{
    struct features_context *x = features_context(f);
    x->n_cells = 4;
    for (int i = 0; i < 4; i++) {
        float left = (float)(i % 2 * 90), top = (float)(i / 2 * 120);
        float box[4] = {left, top, left + 89, top + 119};
        memcpy(features_cell_boxes(f) + 4 * i, box, sizeof(box));
        features_cells(f)[i * x->dim] = (float)i;
        features_cells(f)[i * x->dim + x->dim - 1] = (float)-i;
    }
}

static void check_cells(const struct features *f, const char *expected)
{
    int n = (int)strlen(expected), dim = features_context((struct features *)f)->dim;
    CHECK_INT(features_n_cells(f), n);
    for (int i = 0; i < n && i < features_n_cells(f); i++) {
        int from = expected[i] - '0';
        CHECK(features_cells_const(f)[i * dim] == (float)from &&
              features_cells_const(f)[(i + 1) * dim - 1] == (float)-from);
        CHECK(features_cell_boxes_const(f)[4 * i] == (float)(from % 2 * 90));
    }
}

/* A model that sees three regions beside its cells: only these have vectors, and no other takes a place that is
 * left. */
static void test_with_cells(void)
{
    static const int labels[] = {2, 7, 2, 12, 4};
    static const float boxes[5][4] = {
        {0, 0, 89, 119}, {0, 0, 179, 119}, {100, 130, 120, 150}, {0, 0, 179, 239}, {85, 110, 95, 125}};
    static const char *const cells[] = {"123", "23", "012", "", "023"}; /* left when each region goes */
    const float scores[] = {0.9F, 0.85F, 0.8F, 0.75F, 0.74F};
    struct model_options options = {.isa_cap = ISA_REF, .gemm_backend = GEMM_NATIVE, .verify_hash = true};
    struct model *m = NULL;
    CHECK_INT(model_open(&m, "tests/data/tiny-both", &options, NULL), OK);
    size_t n_bytes = m ? features_bytes(model_config(m)) : 0;
    struct features *f = calloc(1, n_bytes + 1), *out = calloc(1, n_bytes + 1);
    if (m && f && out) {
        write_regions(m, f, labels, scores, 2);
        CHECK_INT(features_n_seen(f), 2);
        write_regions(m, f, labels, scores, 5);
        put_cells(f);
        CHECK(f->n_regions == 5 && features_n_seen(f) == 3);
        check_tags(m, f, "dog traffic light café table"); /* of all, not only of those seen */
        for (int i = 0; i < 5; i++) {
            memcpy(features_regions(f)[i].box, boxes[i], sizeof(boxes[i]));
        }
        for (int index = 0; index < 5; index++) {
            regions_leave_out(m, f, index, out);
            CHECK(features_valid(out, n_bytes, model_config(m)));
            CHECK(out->n_regions == 4 && features_n_seen(out) == (index < 3 ? 2 : 3));
            for (int i = 0; i < features_n_seen(out); i++) {
                CHECK_NEAR(features_vectors_const(out)[(size_t)i * (size_t)f->dim], i + (i >= index), 0.0);
            }
            check_cells(out, cells[index]);
        }
        CHECK_INT(features_n_cells(f), 4);
    } else {
        CHECK(!"model and memory are there");
    }
    free(f);
    free(out);
    model_close(m);
}

/* All labels together have more tokens than tags_length - 1 takes. */
static void test_cut(const struct model *m, struct features *f)
{
    int labels[11], n = 0;
    float scores[11];
    char all[512] = "";
    for (int i = 0; i < 11; i++) {
        labels[i] = i + 1;
        scores[i] = 0.9F;
        size_t at = strlen(all);
        snprintf(all + at, sizeof(all) - at, "%s ", model_object_name(m, i + 1));
    }
    int ids[64], room = model_config(m)->text.tags_length - 1;
    n = wordpiece_encode(m->wordpiece, all, strlen(all), ids, 64);
    CHECK(n > room && n <= 64);
    write_regions(m, f, labels, scores, 11);
    CHECK_INT(f->n_tags, room + 1);
    CHECK_INT(memcmp(features_tags_const(f), ids, (size_t)room * sizeof(int)), 0);
    CHECK_INT(features_tags_const(f)[room], m->special.sep);
}

int main(void)
{
    struct model_options options = {.isa_cap = ISA_REF, .gemm_backend = GEMM_NATIVE, .verify_hash = true};
    struct model *m = NULL;
    CHECK_INT(mem_alloc(&scratch, regions_bytes(&config)), OK);
    CHECK_INT(model_open(&m, "tests/data/tiny", &options, NULL), OK);
    struct features *f = m ? calloc(1, features_bytes(model_config(m))) : NULL;
    if (scratch && f) {
        test_classes();
        test_how_many();
        test_suppression();
        test_not_finite();
        test_levels();
        test_writing(m, f);
        test_leaving_out(m, f);
        test_cut(m, f);
        test_with_cells();
    } else {
        CHECK(!"memory and model are there");
    }
    free(f);
    mem_free(scratch);
    model_close(m);
    return check_result();
}
