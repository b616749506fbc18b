#include "engine/model/boxes.h"
#include "engine/model/finite.h"
#include "engine/model/model.h"

#include <string.h>

enum { ALIGN = 64 };

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

static size_t cell_boxes_bytes(int max_cells)
{
    return rounded((size_t)max_cells * 4 * sizeof(float));
}

static size_t context_bytes(int max_cells, int dim)
{
    size_t rows = (size_t)max_cells * (size_t)dim * sizeof(float);
    return max_cells == 0 ? 0 : rounded(sizeof(struct features_context)) + cell_boxes_bytes(max_cells) + rounded(rows);
}

static size_t head_bytes(void)
{
    return offsetof(struct features, data);
}

size_t features_bytes(const struct model_config *c)
{
    size_t vectors = (size_t)model_config_max_seen(c) * (size_t)(c->roi.hidden + BOXES_GEOMETRY) * sizeof(float);
    return rounded(head_bytes() + regions_bytes(c->roi.max_regions) + tags_bytes(c->text.tags_length) +
                   context_bytes(model_config_max_cells(c), c->fusion.hidden) + vectors);
}

void features_init(struct features *f, const struct model_config *c)
{
    memset(f, 0, features_bytes(c));
    f->dim = c->roi.hidden + BOXES_GEOMETRY;
    f->max_regions = c->roi.max_regions;
    f->max_tags = c->text.tags_length;
    f->max_cells = model_config_max_cells(c);
    if (f->max_cells > 0) {
        *features_context(f) = (struct features_context){.max_seen = c->context.regions, .dim = c->fusion.hidden};
    }
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

/* ---- the context ---- */

static size_t context_at(const struct features *f)
{
    return regions_bytes(f->max_regions) + tags_bytes(f->max_tags);
}

static const struct features_context *context_const(const struct features *f)
{
    return (const struct features_context *)(const void *)(f->data + context_at(f));
}

struct features_context *features_context(struct features *f)
{
    BUG_ON(f->max_cells == 0);
    return (struct features_context *)(void *)(f->data + context_at(f));
}

static size_t cell_boxes_at(const struct features *f)
{
    return context_at(f) + rounded(sizeof(struct features_context));
}

float *features_cell_boxes(struct features *f)
{
    return (float *)(void *)(f->data + cell_boxes_at(f));
}

const float *features_cell_boxes_const(const struct features *f)
{
    return (const float *)(const void *)(f->data + cell_boxes_at(f));
}

float *features_cells(struct features *f)
{
    return (float *)(void *)(f->data + cell_boxes_at(f) + cell_boxes_bytes(f->max_cells));
}

const float *features_cells_const(const struct features *f)
{
    return (const float *)(const void *)(f->data + cell_boxes_at(f) + cell_boxes_bytes(f->max_cells));
}

int features_n_cells(const struct features *f)
{
    return f->max_cells == 0 ? 0 : context_const(f)->n_cells;
}

int features_n_seen(const struct features *f)
{
    return f->max_cells == 0 ? f->n_regions : context_const(f)->n_seen;
}

int features_rows(const struct features *f)
{
    return f->n_tags + features_n_seen(f) + features_n_cells(f);
}

/* ---- vectors, last ---- */

static size_t vectors_at(const struct features *f)
{
    return context_at(f) + context_bytes(f->max_cells, f->max_cells == 0 ? 0 : context_const(f)->dim);
}

float *features_vectors(struct features *f)
{
    return (float *)(void *)(f->data + vectors_at(f));
}

const float *features_vectors_const(const struct features *f)
{
    return (const float *)(const void *)(f->data + vectors_at(f));
}

/* ---- blocks from disk ---- */

static bool is_valid_context(const struct features *f, const struct model_config *c)
{
    if (f->max_cells == 0) {
        return true;
    }
    const struct features_context *x = context_const(f);
    return x->max_seen == c->context.regions && x->dim == c->fusion.hidden && x->n_seen >= 0 &&
           x->n_seen <= x->max_seen && x->n_seen <= f->n_regions && x->n_cells >= 0 && x->n_cells <= f->max_cells &&
           finite_floats(features_cell_boxes_const(f), (size_t)x->n_cells * 4) &&
           finite_floats(features_cells_const(f), (size_t)x->n_cells * (size_t)x->dim);
}

static bool is_valid_region(const struct region *r, const struct model_config *c)
{
    return r->label >= 1 && r->label <= c->roi.classes && finite_floats(r->box, 4) && r->score >= 0.0F &&
           r->score <= 1.0F;
}

bool features_valid(const struct features *f, size_t n_bytes, const struct model_config *c)
{
    if (n_bytes != features_bytes(c) || f->dim != c->roi.hidden + BOXES_GEOMETRY ||
        f->max_regions != c->roi.max_regions || f->max_tags != c->text.tags_length ||
        f->max_cells != model_config_max_cells(c) || f->n_regions < 0 || f->n_regions > f->max_regions ||
        f->n_tags < 0 || f->n_tags > f->max_tags || f->width < 1 || f->height < 1 || !is_valid_context(f, c)) {
        return false;
    }
    const struct region *regions = features_regions_const(f);
    for (int i = 0; i < f->n_regions; i++) {
        if (!is_valid_region(&regions[i], c)) {
            return false;
        }
    }
    const int *tags = features_tags_const(f);
    for (int i = 0; i < f->n_tags; i++) {
        if (tags[i] < 0 || tags[i] >= c->fusion.vocab) {
            return false;
        }
    }
    return finite_floats(features_vectors_const(f), (size_t)features_n_seen(f) * (size_t)f->dim);
}
