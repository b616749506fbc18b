#include "engine/model/session.h"

#include "engine/base/mem.h"

static size_t max_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

enum err session_create(struct session **out, const struct model *m, const struct session_limits *limits)
{
    struct session *s = NULL;
    struct fusion measured;
    struct arena a;
    BUG_ON(limits->max_rows < 1);
    enum err rc = mem_alloc(&s, sizeof(*s));
    if (rc) {
        return rc;
    }
    s->model = m;
    s->limits = *limits;
    rc = tee_init(&s->tee, m);
    if (!rc) {
        size_t tee = tee_plan(&s->tee, limits->max_input_height, limits->max_input_width) * sizeof(float);
        arena_init(&a, NULL, 0);
        fusion_place(&measured, &a, m, limits->max_rows);
        s->arena_bytes = max_of(tee, arena_needed(&a));
        rc = mem_alloc(&s->arena, s->arena_bytes);
    }
    if (!rc) {
        arena_init(&a, s->arena, s->arena_bytes);
        fusion_place(&s->fusion, &a, m, limits->max_rows);
        *out = s;
        s = NULL;
    }
    session_destroy(s);
    return rc;
}

void session_destroy(struct session *s)
{
    if (s) {
        tee_release(&s->tee);
        mem_free(s->arena);
        mem_free(s);
    }
}

size_t session_memory_bytes(const struct session *s)
{
    return sizeof(*s) + s->arena_bytes;
}

enum err session_regions(struct session *s, const struct tee_input *in, struct features *out)
{
    if (in->padded_height != s->tee.h || in->padded_width != s->tee.w) {
        size_t floats = tee_plan(&s->tee, in->padded_height, in->padded_width);
        BUG_ON(floats * sizeof(float) > s->arena_bytes);
    }
    return tee_run(&s->tee, s->arena, in, out);
}

void session_fusion_step(struct session *s, struct fusion_item *items, int n_items, enum err *item_err)
{
    trace_step("embed");
    size_t rows = fusion_embed(&s->fusion, items, n_items);
    for (int i = 0; i < s->model->config.fusion.layers; i++) {
        trace_step("layer");
        fusion_layer(&s->fusion, i, items, n_items, rows); /* [rows, D] */
    }
    trace_step("head");
    fusion_heads(&s->fusion, items, n_items, item_err);
}
