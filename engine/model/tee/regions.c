#include "engine/model/tee/regions.h"

#include "engine/model/finite.h"
#include "engine/model/topk.h"

#include <math.h>
#include <string.h>

static const float head_weights[4] = {10.0F, 10.0F, 5.0F, 5.0F};

void regions_place(struct regions *r, struct arena *a, const struct model_config *c)
{
    size_t n = (size_t)c->rpn.proposals, hidden = (size_t)c->roi.hidden, kept = (size_t)c->roi.max_regions;
    size_t pooled = (size_t)c->roi.pool * (size_t)c->roi.pool * (size_t)c->bifpn.channels;
    size_t deepest = pooled > hidden ? pooled : hidden; /* row that a layer reads */
    *r = (struct regions){.n = 0};
    r->boxes = arena_take(a, n, sizeof(*r->boxes));
    r->objectness = arena_take(a, n, sizeof(*r->objectness));
    r->aligned = arena_take(a, n * pooled, sizeof(*r->aligned));
    r->hidden = arena_take(a, n * hidden, sizeof(*r->hidden));
    r->features = arena_take(a, n * hidden, sizeof(*r->features));
    r->predictions = arena_take(a, n * ((size_t)c->roi.classes + 1 + 4), sizeof(*r->predictions));
    r->scores = arena_take(a, n, sizeof(*r->scores));
    r->labels = arena_take(a, n, sizeof(*r->labels));
    r->refined = arena_take(a, n, sizeof(*r->refined));
    r->kept = arena_take(a, kept, sizeof(*r->kept));
    r->keys = arena_take(a, n, sizeof(*r->keys));
    r->sorted = arena_take(a, n, sizeof(*r->sorted));
    r->nms = arena_take(a, 5 * kept, sizeof(*r->nms));
    r->survivors = arena_take(a, kept, sizeof(*r->survivors));
    linear_place(&r->bytes, a, n, deepest);
}

int regions_level(struct roi_box box)
{
    float root = sqrtf(fmaxf(boxes_area(box), 1e-12F));
    float level = floorf(4.0F + log2f(root / 224.0F + 1e-6F));
    return level < 2.0F ? 2 : level > 5.0F ? 5 : (int)level;
}

void regions_align(struct regions *r, const struct kernels *k, const struct model_config *c,
                   const struct regions_map maps[MODEL_TAPS])
{
    int pool = c->roi.pool, channels = c->bifpn.channels;
    size_t pooled = (size_t)pool * (size_t)pool * (size_t)channels;
    for (int i = 0; i < r->n; i++) {
        int level = regions_level(r->boxes[i]);
        const struct regions_map *m = &maps[level - 2];
        float scale = 1.0F / (float)(1 << level);
        k->roi_align(m->map, m->h, m->w, channels, scale, &r->boxes[i], pool, c->roi.sampling,
                     r->aligned + (size_t)i * pooled); /* [pool, pool, C] */
    }
}

void regions_head(struct regions *r, const struct kernels *k, const struct bind_tee *weights)
{
    const struct bind_linear *fc6 = &weights->fc6, *fc7 = &weights->fc7, *predict = &weights->predict;
    size_t n = (size_t)r->n;
    size_t hidden = linear_n(fc6), outputs = linear_n(predict);
    linear_run(k, fc6, &r->bytes, r->aligned, linear_k(fc6), n, r->hidden, hidden, ACT_RELU, NULL, 0); /* [n, H] */
    linear_run(k, fc7, &r->bytes, r->hidden, hidden, n, r->features, hidden, ACT_RELU, NULL, 0);       /* [n, H] */
    linear_run(k, predict, &r->bytes, r->features, hidden, n, r->predictions, outputs, ACT_NONE, NULL,
               0); /* [n, K + 4] */
}

/* Class with the best probability, never background; ties: lower class. */
static int best_class(const float *probabilities, int n_classes)
{
    int best = 1;
    for (int i = 2; i < n_classes; i++) {
        if (probabilities[i] > probabilities[best]) {
            best = i;
        }
    }
    return best;
}

bool regions_select(struct regions *r, const struct kernels *k, const struct model_config *c, int width, int height)
{
    int n_classes = c->roi.classes + 1;
    size_t ld = (size_t)n_classes + 4, n = (size_t)r->n;
    if (!finite_floats(r->predictions, n * ld) || !finite_floats(r->features, n * (size_t)c->roi.hidden)) {
        return false;
    }
    k->softmax(r->predictions, n, (size_t)n_classes, ld);
    for (size_t i = 0; i < n; i++) {
        const float *row = r->predictions + i * ld;
        r->labels[i] = best_class(row, n_classes);
        r->scores[i] = row[r->labels[i]];
        r->refined[i] = boxes_decode(r->boxes[i], row + n_classes, head_weights, width, height);
    }
    topk_select(r->scores, n, n, r->keys); /* best first, ties: lower proposal */
    for (size_t i = 0; i < n; i++) {
        r->sorted[i] = r->refined[topk_index(r->keys[i])];
    }
    int n_survivors = boxes_nms(r->sorted, r->n, c->roi.nms, c->roi.max_regions, r->survivors, r->nms);
    r->n_kept = 0;
    for (int i = 0; i < n_survivors; i++) {
        int proposal = (int)topk_index(r->keys[r->survivors[i]]);
        if (i < c->roi.min_regions || r->scores[proposal] >= c->roi.score_threshold) {
            r->kept[r->n_kept++] = proposal;
        }
    }
    return true;
}

static bool is_new_label(const struct model *m, const struct region *regions, int i)
{
    const char *name = model_object_name(m, regions[i].label);
    for (int j = 0; j < i; j++) {
        if (strcmp(model_object_name(m, regions[j].label), name) == 0) {
            return false;
        }
    }
    return true;
}

/* The labels joined by spaces and tokenised are the tokens of one label after the other. */
static void write_tags(const struct model *m, struct features *out)
{
    const struct model_config *c = model_config(m);
    const struct wordpiece *words = model_wordpiece(m);
    const struct region *regions = features_regions(out);
    int *tags = features_tags(out), room = c->text.tags_length - 1, n = 0;
    for (int i = 0; i < out->n_regions && regions[i].score >= c->text.tag_threshold && n < room; i++) {
        if (is_new_label(m, regions, i)) {
            const char *name = model_object_name(m, regions[i].label);
            int more = wordpiece_encode(words, name, strlen(name), tags + n, room - n);
            n += more < room - n ? more : room - n;
        }
    }
    if (n > 0) {
        tags[n++] = wordpiece_special(words).sep;
    }
    out->n_tags = n;
}

/* How many of `n` kept regions the fusion sees. */
static int see_first(struct features *f, int n)
{
    if (f->max_cells > 0) {
        struct features_context *x = features_context(f);
        x->n_seen = n < x->max_seen ? n : x->max_seen;
    }
    return features_n_seen(f);
}

void regions_write(const struct regions *r, const struct model *m, const struct tee_input *in, struct features *out)
{
    size_t hidden = (size_t)model_config(m)->roi.hidden, dim = hidden + BOXES_GEOMETRY;
    float x = (float)((double)in->width / in->resized_width), y = (float)((double)in->height / in->resized_height);
    struct region *regions = features_regions(out);
    float *vectors = features_vectors(out);
    out->width = in->width;
    out->height = in->height;
    out->n_regions = r->n_kept;
    int n_seen = see_first(out, r->n_kept);
    for (int i = 0; i < r->n_kept; i++) {
        int p = r->kept[i];
        struct roi_box b = r->refined[p];
        regions[i] = (struct region){{b.x0 * x, b.y0 * y, b.x1 * x, b.y1 * y}, r->scores[p], r->labels[p]};
        if (i < n_seen) {
            float *vector = vectors + (size_t)i * dim; /* [H + 6] */
            memcpy(vector, r->features + (size_t)p * hidden, hidden * sizeof(float));
            boxes_geometry(regions[i].box, (float)in->width, (float)in->height, vector + hidden);
        }
    }
    write_tags(m, out);
}

static struct roi_box box_of(const struct region *r)
{
    return (struct roi_box){r->box[0], r->box[1], r->box[2], r->box[3]};
}

static struct roi_box cell_box(const float *box)
{
    return (struct roi_box){box[0], box[1], box[2], box[3]};
}

/* The cell of which the region covers the largest part; ties: the first. */
static int most_covered(const float *boxes, int n, struct roi_box region)
{
    int best = 0;
    float max = 0.0F;
    for (int i = 0; i < n; i++) {
        float part = boxes_inside(cell_box(boxes + 4 * i), region);
        if (part > max) {
            max = part;
            best = i;
        }
    }
    return best;
}

static void leave_out_cells(struct roi_box region, struct features *f)
{
    struct features_context *x = features_context(f);
    float *boxes = features_cell_boxes(f), *cells = features_cells(f);
    int max = most_covered(boxes, x->n_cells, region), n_left = 0;
    size_t dim = (size_t)x->dim;
    for (int i = 0; i < x->n_cells; i++) {
        if (i == max || boxes_inside(cell_box(boxes + 4 * i), region) > 0.5F) {
            continue;
        }
        memmove(boxes + 4 * n_left, boxes + 4 * i, 4 * sizeof(*boxes));
        memmove(cells + (size_t)n_left * dim, cells + (size_t)i * dim, dim * sizeof(*cells));
        n_left++;
    }
    x->n_cells = n_left;
}

void regions_leave_out(const struct model *m, const struct features *from, int index, struct features *out)
{
    BUG_ON(index < 0 || index >= from->n_regions);
    memcpy(out, from, features_bytes(model_config(m)));
    size_t after = (size_t)(from->n_regions - 1 - index), dim = (size_t)from->dim;
    struct region *regions = features_regions(out);
    int n_seen = features_n_seen(from);
    if (from->max_cells > 0) {
        leave_out_cells(box_of(&regions[index]), out);
    }
    if (index < n_seen) {
        size_t seen_after = (size_t)(n_seen - 1 - index);
        float *vector = features_vectors(out) + (size_t)index * dim;
        memmove(vector, vector + dim, seen_after * dim * sizeof(*vector));
    }
    memmove(regions + index, regions + index + 1, after * sizeof(*regions));
    out->n_regions--;
    if (from->max_cells > 0 && index < n_seen) {
        features_context(out)->n_seen--;
    }
    write_tags(m, out);
}
