#include "engine/model/model.h"

#include <string.h>

enum { ALIGN = 64, GEOMETRY = 6 };

static size_t rounded(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t regions_bytes(int max_regions)
{
    return rounded((size_t)max_regions * sizeof(struct region));
}

static size_t tags_bytes(int max_tags)
{
    return rounded((size_t)max_tags * sizeof(int));
}

static size_t head_bytes(void)
{
    return offsetof(struct features, data);
}

size_t features_bytes(const struct model_config *c)
{
    size_t vectors = (size_t)c->roi.max_regions * (size_t)(c->roi.hidden + GEOMETRY) * sizeof(float);
    return rounded(head_bytes() + regions_bytes(c->roi.max_regions) + tags_bytes(c->text.tags_length) + vectors);
}

void features_init(struct features *f, const struct model_config *c)
{
    memset(f, 0, features_bytes(c));
    f->dim = c->roi.hidden + GEOMETRY;
    f->max_regions = c->roi.max_regions;
    f->max_tags = c->text.tags_length;
}

struct region *features_regions(struct features *f)
{
    return (struct region *)(void *)f->data;
}

const struct region *features_regions_const(const struct features *f)
{
    return (const struct region *)(const void *)f->data;
}

int *features_tags(struct features *f)
{
    return (int *)(void *)(f->data + regions_bytes(f->max_regions));
}

const int *features_tags_const(const struct features *f)
{
    return (const int *)(const void *)(f->data + regions_bytes(f->max_regions));
}

float *features_vectors(struct features *f)
{
    return (float *)(void *)(f->data + regions_bytes(f->max_regions) + tags_bytes(f->max_tags));
}

const float *features_vectors_const(const struct features *f)
{
    return (const float *)(const void *)(f->data + regions_bytes(f->max_regions) + tags_bytes(f->max_tags));
}

/* x * 0 is 0 for a finite x and NaN for any other. */
static bool is_finite(const float *x, size_t n)
{
    float sum = 0.0F;
    for (size_t i = 0; i < n; i++) {
        sum += x[i] * 0.0F;
    }
    return sum == 0.0F;
}

bool features_valid(const struct features *f, size_t n_bytes, const struct model_config *c)
{
    if (n_bytes != features_bytes(c) || f->dim != c->roi.hidden + GEOMETRY || f->max_regions != c->roi.max_regions ||
        f->max_tags != c->text.tags_length || f->n_regions < 0 || f->n_regions > f->max_regions || f->n_tags < 0 ||
        f->n_tags > f->max_tags || f->width < 1 || f->height < 1) {
        return false;
    }
    const struct region *regions = features_regions_const(f);
    for (int i = 0; i < f->n_regions; i++) {
        if (regions[i].label < 1 || regions[i].label > c->roi.classes || !is_finite(regions[i].box, 4) ||
            !(regions[i].score >= 0.0F && regions[i].score <= 1.0F)) {
            return false;
        }
    }
    const int *tags = features_tags_const(f);
    for (int i = 0; i < f->n_tags; i++) {
        if (tags[i] < 0 || tags[i] >= c->fusion.vocab) {
            return false;
        }
    }
    return is_finite(features_vectors_const(f), (size_t)f->n_regions * (size_t)f->dim);
}
