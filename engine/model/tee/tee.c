#include "engine/model/tee/tee.h"

#include "engine/base/mem.h"
#include "engine/model/linear.h"
#include "engine/model/model_private.h"
#include "engine/model/tee/backbone.h"
#include "engine/model/tee/bifpn.h"
#include "engine/model/tee/cells.h"
#include "engine/model/tee/proposals.h"

enum err tee_init(struct tee *t, const struct model *m)
{
    const struct bind_tee *weights = &m->bound->tee;
    int max_steps =
        backbone_max_steps(weights->n_blocks) + cells_max_steps(&m->bound->cells) + bifpn_max_steps(weights);
    *t = (struct tee){.model = m, .weights = weights};
    enum err rc = mem_array(&t->_steps, (size_t)max_steps, sizeof(*t->_steps));
    if (!rc) {
        plan_init(&t->plan, t->_steps, max_steps);
    }
    return rc;
}

void tee_release(struct tee *t)
{
    mem_free(t->_steps);
    t->_steps = NULL;
}

size_t tee_plan(struct tee *t, int padded_height, int padded_width)
{
    struct plan *p = &t->plan;
    const struct model_config *c = model_config(t->model);
    BUG_ON(padded_height < 32 || padded_width < 32 || padded_height % 32 || padded_width % 32);
    plan_init(p, t->_steps, p->max_steps);
    t->h = padded_height;
    t->w = padded_width;
    struct plan_map entry;
    backbone_plan(p, t->weights, c, t->h, t->w, t->taps, &entry);
    if (c->context.channels > 0) {
        t->cells = cells_plan(p, &t->model->bound->cells, c, entry);
    }
    bifpn_plan(p, t->weights, t->taps, t->pyramid);
    bifpn_plan_rpn(p, t->weights, t->pyramid, t->rpn);
    size_t cells = (size_t)t->rpn[0].h * (size_t)t->rpn[0].w;
    if (c->context.channels > 0) {
        const struct bind_linear *project = &t->model->bound->fusion.cells;
        size_t n = (size_t)t->cells.h * (size_t)t->cells.w;
        t->cells_at = plan_take(p, n * linear_k(project));
        t->cell_bytes = plan_room_linear(p, project, n);
    }
    struct regions measured;
    struct arena regions, proposals;
    arena_init(&regions, NULL, 0);
    regions_place(&measured, &regions, c);
    t->regions_room = plan_room(p, &regions);
    arena_init(&proposals, NULL, 0);
    proposals_measure(&proposals, c, cells);
    t->proposals_room = plan_room(p, &proposals);
    return p->peak;
}

bool tee_propose(const struct tee *t, float *arena, const struct tee_input *in, struct regions *r)
{
    const struct model_config *c = model_config(t->model);
    struct proposals_level levels[MODEL_LEVELS];
    for (int i = 0; i < MODEL_LEVELS; i++) {
        levels[i] = (struct proposals_level){arena + t->rpn[i].at, t->rpn[i].h, t->rpn[i].w, 4 << i};
    }
    struct arena regions = plan_room_arena(t->regions_room, arena), scratch = plan_room_arena(t->proposals_room, arena);
    regions_place(r, &regions, c);
    return proposals_find(c, levels, in->resized_width, in->resized_height, &scratch, r->boxes, r->objectness, &r->n);
}

bool tee_head(const struct tee *t, float *arena, const struct tee_input *in, struct regions *r)
{
    const struct model_config *c = model_config(t->model);
    const struct kernels *k = model_kernels(t->model);
    struct regions_map maps[MODEL_TAPS];
    for (int i = 0; i < MODEL_TAPS; i++) {
        maps[i] = (struct regions_map){arena + t->pyramid[i].at, t->pyramid[i].h, t->pyramid[i].w};
    }
    trace_step("align");
    regions_align(r, k, c, maps); /* [n, pool, pool, C] */
    trace_step("region head");
    regions_head(r, k, t->weights); /* [n, H], [n, K + 4] */
    return regions_select(r, k, c, in->resized_width, in->resized_height);
}

bool tee_cells(const struct tee *t, float *arena, const struct tee_input *in, struct features *out)
{
    float *inputs = arena + t->cells_at;
    trace_step("cells");
    int n = cells_inputs(model_config(t->model), t->cells, arena + t->cells.at, in, inputs, features_cell_boxes(out));
    features_context(out)->n_cells = n;
    const struct bind_fusion *fusion = &t->model->bound->fusion;
    struct linear_scratch bytes = {NULL, NULL};
    if (fusion->cells.bytes.n > 0) {
        struct arena room = plan_room_arena(t->cell_bytes, arena);
        linear_place(&bytes, &room, (size_t)n, fusion->cells.bytes.k);
    }
    return cells_embed(model_kernels(t->model), fusion, &bytes, inputs, n, features_cells(out)); /* [n, D] */
}

enum err tee_run(struct tee *t, float *arena, const struct tee_input *in, struct features *out)
{
    struct regions r;
    struct plan_run run = {model_kernels(t->model), arena, in->pixels};
    BUG_ON(in->padded_height != t->h || in->padded_width != t->w);
    plan_execute(&t->plan, &run, 0, t->plan.n_steps);
    if (!tee_propose(t, arena, in, &r) || !tee_head(t, arena, in, &r)) {
        return ERR_INTERNAL;
    }
    regions_write(&r, t->model, in, out);
    if (out->max_cells > 0 && !tee_cells(t, arena, in, out)) {
        return ERR_INTERNAL;
    }
    return OK;
}
