/* Blocks of features: what the engine may have written is valid, anything else is not; with and without cells. */
#include "engine/model/model.h"

#include "tests/support/check.h"

#include <stdlib.h>

enum { HIDDEN = 5, DIM = HIDDEN + 6, REGIONS = 3, TAGS = 4, CLASSES = 7, VOCAB = 50, CELLS = 9, ROW = 13, SEEN = 2 };

/* A picture of 96 x 96 has nine cells. */
static struct model_config config = {.image = {.resize = MODEL_RESIZE_SQUARE, .size = 96, .divisor = 32},
                                     .roi = {.hidden = HIDDEN, .classes = CLASSES, .max_regions = REGIONS},
                                     .text = {.tags_length = TAGS},
                                     .fusion = {.vocab = VOCAB, .hidden = ROW}};
static struct features *f;
static size_t n_bytes;

static void fill(void)
{
    features_init(f, &config);
    f->width = 640;
    f->height = 480;
    f->n_regions = REGIONS;
    f->n_tags = TAGS;
    for (int i = 0; i < REGIONS; i++) {
        features_regions(f)[i] = (struct region){{1, 2, 3, 4}, 0.5F, CLASSES};
    }
    for (int i = 0; i < TAGS; i++) {
        features_tags(f)[i] = VOCAB - 1;
    }
    if (f->max_cells > 0) {
        features_context(f)->n_seen = SEEN;
        features_context(f)->n_cells = CELLS;
        for (int i = 0; i < CELLS * 4; i++) {
            features_cell_boxes(f)[i] = (float)i;
        }
        for (int i = 0; i < CELLS * ROW; i++) {
            features_cells(f)[i] = (float)i;
        }
    }
    for (int i = 0; i < features_n_seen(f) * DIM; i++) {
        features_vectors(f)[i] = (float)i;
    }
}

static bool is_valid(void)
{
    return features_valid(f, n_bytes, &config);
}

static void check_int(int *field, int bad)
{
    fill();
    CHECK(is_valid());
    *field = bad;
    CHECK(!is_valid());
}

static void check_float(float *field, float bad)
{
    fill();
    *field = bad;
    CHECK(!is_valid());
}

static void test_places(void)
{
    const unsigned char *end = (const unsigned char *)f + n_bytes;
    fill();
    CHECK((unsigned char *)(features_regions(f) + REGIONS) <= (unsigned char *)features_tags(f));
    CHECK((unsigned char *)(features_tags(f) + TAGS) <= (unsigned char *)features_vectors(f));
    CHECK((const unsigned char *)(features_vectors(f) + REGIONS * DIM) <= end);
    CHECK(features_regions_const(f) == features_regions(f) && features_tags_const(f) == features_tags(f));
    CHECK(features_vectors_const(f) == features_vectors(f));
    CHECK(features_regions(f)[REGIONS - 1].label == CLASSES && features_tags(f)[0] == VOCAB - 1);
    CHECK_INT(f->dim, DIM);
}

static void test_integers(void)
{
    check_int(&f->n_regions, REGIONS + 1);
    check_int(&f->n_regions, -1);
    check_int(&f->n_tags, TAGS + 1);
    check_int(&f->n_tags, -1);
    check_int(&f->width, 0);
    check_int(&f->height, -5);
    check_int(&f->dim, DIM - 1);
    check_int(&f->max_regions, REGIONS + 1);
    check_int(&f->max_tags, TAGS - 1);
    check_int(&features_regions(f)[REGIONS - 1].label, 0);
    check_int(&features_regions(f)[0].label, CLASSES + 1);
    fill();
    int *tags = features_tags(f);
    check_int(&tags[TAGS - 1], VOCAB);
    check_int(&tags[0], -1);
}

static void test_floats(void)
{
    fill();
    float *vectors = features_vectors(f);
    struct region *regions = features_regions(f);
    check_float(&vectors[REGIONS * DIM - 1], NAN);
    check_float(&vectors[0], INFINITY);
    check_float(&regions[1].box[3], NAN);
    check_float(&regions[2].score, NAN);
    check_float(&regions[2].score, 1.5F);
    check_float(&regions[2].score, -0.1F);
}

/* Only what is in use counts. */
static void test_unused(void)
{
    fill();
    f->n_regions = 1;
    f->n_tags = 0;
    features_tags(f)[0] = -7;
    features_regions(f)[1].label = 0;
    features_vectors(f)[DIM] = NAN;
    CHECK(is_valid());
    CHECK(!features_valid(f, n_bytes - 1, &config));
    CHECK(!features_valid(f, n_bytes + 64, &config));
    f->n_regions = 0;
    CHECK(is_valid());
}

/* What a block of a model without cells was before there were any: it must stay readable. */
static void test_old_layout(void)
{
    fill();
    size_t regions = (REGIONS * sizeof(struct region) + 63) / 64 * 64, tags = (TAGS * sizeof(int) + 63) / 64 * 64;
    CHECK_INT(offsetof(struct features, data), 32);
    CHECK_INT((unsigned char *)features_tags(f) - f->data, regions);
    CHECK_INT((unsigned char *)features_vectors(f) - f->data, regions + tags);
    CHECK_INT(n_bytes, (32 + regions + tags + REGIONS * DIM * sizeof(float) + 63) / 64 * 64);
    CHECK(features_n_seen(f) == REGIONS && features_n_cells(f) == 0);
    CHECK_INT(features_rows(f), TAGS + REGIONS);
}

/* ---- with cells ---- */

static void test_context_places(void)
{
    fill();
    const unsigned char *end = (const unsigned char *)f + n_bytes;
    struct features_context *x = features_context(f);
    CHECK((unsigned char *)(features_tags(f) + TAGS) <= (unsigned char *)x);
    CHECK((unsigned char *)(x + 1) <= (unsigned char *)features_cell_boxes(f));
    CHECK((unsigned char *)(features_cell_boxes(f) + CELLS * 4) <= (unsigned char *)features_cells(f));
    CHECK((unsigned char *)(features_cells(f) + CELLS * ROW) <= (unsigned char *)features_vectors(f));
    CHECK((unsigned char *)(features_vectors(f) + SEEN * DIM) <= end);
    CHECK(features_cells_const(f) == features_cells(f) && features_cell_boxes_const(f) == features_cell_boxes(f));
    CHECK(f->max_cells == CELLS && x->dim == ROW && x->max_seen == SEEN);
    CHECK_INT(features_rows(f), TAGS + SEEN + CELLS);
    CHECK(is_valid());
}

static void test_context_values(void)
{
    fill();
    struct features_context *x = features_context(f);
    check_int(&f->max_cells, CELLS - 1);
    check_int(&f->max_cells, 0);
    check_int(&f->max_cells, -1);
    check_int(&x->n_cells, CELLS + 1);
    check_int(&x->n_cells, -1);
    check_int(&x->n_seen, SEEN + 1);
    check_int(&x->n_seen, -1);
    check_int(&x->max_seen, SEEN + 1);
    check_int(&x->dim, ROW + 1);
    check_int(&x->dim, -1);
    check_float(&features_cell_boxes(f)[CELLS * 4 - 1], NAN);
    check_float(&features_cells(f)[CELLS * ROW - 1], INFINITY);
    check_float(&features_vectors(f)[SEEN * DIM - 1], NAN);
    fill();
    f->n_regions = SEEN - 1; /* more seen than there are */
    CHECK(!is_valid());
    fill();
    x->n_cells = x->n_seen = 0;
    features_cells(f)[0] = NAN;
    features_vectors(f)[0] = NAN;
    CHECK(is_valid());
}

static bool make(void)
{
    n_bytes = features_bytes(&config);
    f = malloc(n_bytes);
    return f != NULL;
}

int main(void)
{
    if (make()) {
        test_places();
        test_integers();
        test_floats();
        test_unused();
        test_old_layout();
    }
    free(f);
    config.context.channels = 21;
    config.context.pool = 1;
    config.context.regions = SEEN;
    if (make()) {
        test_context_places();
        test_integers();
        test_context_values();
    }
    free(f);
    return check_result();
}
