/* Blocks of features: what the engine may have written is valid, anything else is not. */
#include "engine/model/model.h"

#include "tests/support/check.h"

#include <stdlib.h>

enum { HIDDEN = 5, DIM = HIDDEN + 6, REGIONS = 3, TAGS = 4, CLASSES = 7, VOCAB = 50 };

static const struct model_config config = {.roi = {.hidden = HIDDEN, .classes = CLASSES, .max_regions = REGIONS},
                                           .text = {.tags_length = TAGS},
                                           .fusion = {.vocab = VOCAB}};
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
    for (int i = 0; i < REGIONS * DIM; i++) {
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

int main(void)
{
    n_bytes = features_bytes(&config);
    f = malloc(n_bytes);
    if (!f) {
        return 1;
    }
    test_places();
    test_integers();
    test_floats();
    test_unused();
    free(f);
    return check_result();
}
