/* golden_tee - the image half against the reference, stage by stage (golden.h says how differences are told).
 *
 * Threads: one owner. */
#ifndef TESTS_SUPPORT_GOLDEN_TEE_H
#define TESTS_SUPPORT_GOLDEN_TEE_H

#include "tests/support/golden.h"

static inline void golden_convolutions(struct golden *g)
{
    struct tee *t = &g->session->tee;
    char part[32];
    struct plan_run run = {g->model->kernels, g->session->arena, g->pixels};
    tee_plan(t, g->input.padded_height, g->input.padded_width);
    plan_execute(&t->plan, &run, 0, t->plan.n_steps);
    for (int i = 0; i < MODEL_TAPS; i++) {
        struct plan_map m = t->taps[i];
        snprintf(part, sizeof(part), "tap%d", i + 2);
        golden_maps(g, part, plan_at(&run, m), 1, (size_t)m.h * (size_t)m.w, (size_t)m.c);
    }
    if (model_config(g->model)->context.channels > 0) {
        struct plan_map m = t->cells;
        golden_maps(g, "cells.map", plan_at(&run, m), 1, (size_t)m.h * (size_t)m.w, (size_t)m.c);
    }
    for (int i = 0; i < MODEL_LEVELS; i++) {
        struct plan_map m = t->pyramid[i];
        snprintf(part, sizeof(part), "pyramid%d", i + 2);
        golden_maps(g, part, plan_at(&run, m), 1, (size_t)m.h * (size_t)m.w, (size_t)m.c);
    }
    for (int i = 0; i < MODEL_LEVELS; i++) {
        struct plan_map m = t->rpn[i];
        size_t cells = (size_t)m.h * (size_t)m.w;
        snprintf(part, sizeof(part), "rpn.logits%d", i + 2);
        golden_columns(g, part, plan_at(&run, m), cells, 15, 0, 3);
        snprintf(part, sizeof(part), "rpn.deltas%d", i + 2);
        golden_columns(g, part, plan_at(&run, m), cells, 15, 3, 12);
    }
}

/* Every expected row [width] has a row of its own among the actual ones with nearly the same values and score. Rows
 * nearly as good as the last one may be missing. */
static inline bool golden_same_set(const float *actual, const float *actual_scores, const float *expected,
                                   const float *expected_scores, size_t n, size_t width, double scale)
{
    bool *taken = calloc(n + 1, 1);
    size_t n_missing = 0;
    double close = golden_tolerance * fmax(1.0, fabs((double)expected_scores[0]));
    for (size_t i = 0; taken && i < n; i++) {
        bool is_found = false;
        for (size_t j = 0; j < n && !is_found; j++) {
            double error = fabs((double)actual_scores[j] - (double)expected_scores[i]) / close;
            for (size_t k = 0; k < width; k++) {
                double d = fabs((double)actual[j * width + k] - (double)expected[i * width + k]);
                error = fmax(error, d / (golden_tolerance * scale));
            }
            is_found = !taken[j] && error <= 1.0;
            taken[j] = taken[j] || is_found;
        }
        n_missing += !is_found && (double)expected_scores[i] - (double)expected_scores[n - 1] > close;
    }
    free(taken);
    return n_missing == 0;
}

/* In the loose manner the head is fed with the reference's boxes. */
static inline bool golden_proposals(struct golden *g, struct regions *r)
{
    if (!tee_propose(&g->session->tee, g->session->arena, &g->input, r)) {
        return golden_note(g, "proposals", false, NAN);
    }
    size_t n_boxes, n_logits, n = (size_t)r->n;
    if (!g->place->is_loose) {
        golden_floats(g, "proposals.boxes", &r->boxes[0].x0, 4 * n);
        golden_floats(g, "proposals.logits", r->objectness, n);
        return true;
    }
    const float *boxes = golden_expected(g, "proposals.boxes", &n_boxes);
    const float *logits = golden_expected(g, "proposals.logits", &n_logits);
    if (n_logits != n || n_boxes != 4 * n || n == 0) {
        return golden_note(g, "proposals", false, NAN);
    }
    double side = fmax(g->input.resized_width, g->input.resized_height);
    golden_note(g, "proposals", golden_same_set(&r->boxes[0].x0, r->objectness, boxes, logits, n, 4, side), 0.0);
    memcpy(r->boxes, boxes, n_boxes * sizeof(float));
    memcpy(r->objectness, logits, n_logits * sizeof(float));
    return true;
}

static inline bool golden_head(struct golden *g, struct regions *r)
{
    const struct model_config *c = model_config(g->model);
    size_t n = (size_t)r->n, classes = (size_t)c->roi.classes + 1, cells = (size_t)c->roi.pool * (size_t)c->roi.pool;
    if (!tee_head(&g->session->tee, g->session->arena, &g->input, r)) {
        return golden_note(g, "roi", false, NAN);
    }
    golden_maps(g, "roi.aligned", r->aligned, n, cells, (size_t)c->bifpn.channels);
    golden_floats(g, "roi.features", r->features, n * (size_t)c->roi.hidden);
    golden_columns(g, "roi.probabilities", r->predictions, n, classes + 4, 0, classes);
    golden_columns(g, "roi.deltas", r->predictions, n, classes + 4, classes, 4);
    return true;
}

static inline void golden_labels(struct golden *g)
{
    const struct region *regions = features_regions_const(g->features);
    const json_t *labels = json_object_get(g->about, "labels"), *scores = json_object_get(g->about, "scores");
    golden_note(g, "regions", json_array_size(labels) == (size_t)g->features->n_regions, 0.0);
    for (int i = 0; i < g->features->n_regions; i++) {
        const char *name = model_object_name(g->model, regions[i].label);
        golden_text(g, "regions.labels", name, json_array_get(labels, (size_t)i));
        golden_number(g, "regions.scores", (double)regions[i].score, json_array_get(scores, (size_t)i));
    }
}

/* What was kept, in order. */
static inline void golden_regions_strict(struct golden *g, const struct regions *r)
{
    enum { MAX = 256 };
    const struct features *f = g->features;
    const struct region *regions = features_regions_const(f);
    size_t n = (size_t)f->n_regions;
    float boxes[4 * MAX], scores[MAX];
    int labels[MAX];
    BUG_ON(n > MAX);
    for (size_t i = 0; i < n; i++) {
        memcpy(boxes + 4 * i, regions[i].box, sizeof(regions[i].box));
        scores[i] = regions[i].score;
        labels[i] = regions[i].label;
    }
    golden_ints(g, "regions.proposals", r->kept, (size_t)r->n_kept);
    golden_floats(g, "regions.boxes", boxes, 4 * n);
    golden_ints(g, "regions.classes", labels, n);
    golden_floats(g, "regions.scores", scores, n);
    golden_floats(g, "regions.inputs", features_vectors_const(f), (size_t)features_n_seen(f) * (size_t)f->dim);
    golden_ints(g, "tags", features_tags_const(f), (size_t)f->n_tags);
    golden_labels(g);
}

static inline void golden_place_row(const struct region *region, float row[5])
{
    memcpy(row, region->box, sizeof(region->box));
    row[4] = (float)region->label;
}

/* The same regions in any order; then the reference's own ones for the fusion. */
static inline void golden_regions_loose(struct golden *g)
{
    struct features *f = g->features;
    struct region *regions = features_regions(f);
    size_t n = (size_t)f->n_regions, n_inputs, n_scores, n_boxes, n_tags, n_ids;
    const float *inputs = golden_expected(g, "regions.inputs", &n_inputs);
    const float *scores = golden_expected(g, "regions.scores", &n_scores);
    const float *boxes = golden_expected(g, "regions.boxes", &n_boxes);
    const float *tags = golden_expected(g, "tags", &n_tags);
    const float *classes = golden_expected(g, "regions.classes", &n_ids);
    float actual[256], places[5 * 256], expected_places[5 * 256];
    size_t n_seen = (size_t)features_n_seen(f);
    if (!golden_note(g, "regions", n > 0 && n == n_scores && n <= 256 && n_inputs == n_seen * (size_t)f->dim, 0.0)) {
        return;
    }
    double scale = 1e-30, side = fmax(f->width, f->height);
    for (size_t i = 0; i < n_inputs; i++) {
        scale = fmax(scale, fabs((double)inputs[i]));
    }
    for (size_t i = 0; i < n; i++) {
        golden_place_row(&regions[i], places + 5 * i);
        actual[i] = regions[i].score;
        memcpy(regions[i].box, boxes + 4 * i, sizeof(regions[i].box));
        regions[i].score = scores[i];
        regions[i].label = (int)classes[i];
        golden_place_row(&regions[i], expected_places + 5 * i);
    }
    bool is_same = golden_same_set(places, actual, expected_places, scores, n, 5, side);
    golden_note(g, "regions.boxes", is_same, 0.0);
    if (n_seen > 0) {
        is_same = golden_same_set(features_vectors(f), actual, inputs, scores, n_seen, (size_t)f->dim, scale);
        golden_note(g, "regions.inputs", is_same, 0.0);
        memcpy(features_vectors(f), inputs, n_inputs * sizeof(float));
    }
    f->n_tags = (int)n_tags;
    for (size_t i = 0; i < n_tags; i++) {
        features_tags(f)[i] = (int)tags[i];
    }
    size_t n_proposals;
    golden_expected(g, "regions.proposals", &n_proposals);
    golden_labels(g);
}

/* What the cells are made from; the rows made of them stand in the embeddings of the first question. */
static inline void golden_cells(struct golden *g)
{
    const struct tee *t = &g->session->tee;
    if (g->features->max_cells > 0) {
        size_t width = linear_k(&g->model->bound->fusion.cells);
        bool is_finite = tee_cells(t, g->session->arena, &g->input, g->features);
        size_t n = (size_t)features_n_cells(g->features);
        golden_note(g, "cells", is_finite && n > 0, 0.0);
        golden_floats(g, "cells.inputs", g->session->arena + t->cells_at, n * width);
    }
}

/* The whole image half; g->features holds its result afterwards. */
static inline bool golden_tee(struct golden *g, const char *picture)
{
    struct regions r;
    int upright[2], resized[2];
    if (!golden_prepare(g, picture)) {
        return golden_note(g, "picture", false, NAN);
    }
    for (int i = 0; i < 2; i++) { /* height, width */
        upright[i] = (int)json_integer_value(json_array_get(json_object_get(g->about, "upright"), (size_t)i));
        resized[i] = (int)json_integer_value(json_array_get(json_object_get(g->about, "resized"), (size_t)i));
    }
    golden_note(g, "upright", upright[0] == g->input.height && upright[1] == g->input.width, 0.0);
    golden_note(g, "resized", resized[0] == g->input.resized_height && resized[1] == g->input.resized_width, 0.0);
    golden_maps(g, "input", g->pixels, 1, (size_t)g->input.padded_height * (size_t)g->input.padded_width, 3);
    golden_convolutions(g);
    if (!golden_proposals(g, &r) || !golden_head(g, &r)) {
        return false;
    }
    regions_write(&r, g->model, &g->input, g->features);
    golden_cells(g);
    if (g->place->is_loose) {
        golden_regions_loose(g);
    } else {
        golden_regions_strict(g, &r);
    }
    return true;
}

#endif
