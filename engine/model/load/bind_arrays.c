/* The stages of config.json as blocks, and the place of every array in one allocation. */
#include "engine/model/load/bind_arrays.h"

#include "engine/base/arena.h"
#include "engine/base/mem.h"

/* The inverted residual blocks that config.json's table of stages stands for. */
static void set_blocks(struct bind_tee *tee, const struct model_config *c)
{
    int inputs = c->backbone.stem, stride = 2, n = 0;
    for (int s = 0; s < c->backbone.n_stages; s++) {
        const struct model_stage *stage = &c->backbone.stages[s];
        for (int i = 0; i < stage->repeats; i++) {
            struct bind_block *block = &tee->blocks[n++];
            *block = (struct bind_block){.inputs = inputs,
                                         .wide = inputs * stage->expand,
                                         .narrow = inputs >= 4 ? inputs / 4 : 1,
                                         .outputs = stage->channels,
                                         .kernel = stage->kernel,
                                         .stride = i == 0 ? stage->stride : 1,
                                         .tap = -1};
            block->has_residual = block->stride == 1 && inputs == stage->channels;
            inputs = stage->channels;
        }
    }
    for (int i = 0; i < n; i++) { /* the last block of strides 4, 8, 16, 32 */
        stride *= tee->blocks[i].stride;
        bool is_last = i + 1 == n || tee->blocks[i + 1].stride == 2;
        if (is_last && stride >= 4) {
            tee->blocks[i].tap = stride == 4 ? 0 : stride == 8 ? 1 : stride == 16 ? 2 : 3;
        }
    }
}

/* The cells' own blocks are made like the backbone's last ones. */
static void set_own_blocks(struct bind *b)
{
    int from = b->tee.n_blocks - b->cells.n_blocks;
    for (int i = 0; i < b->cells.n_blocks; i++) {
        b->cells.blocks[i] = b->tee.blocks[from + i];
        b->cells.blocks[i].tap = -1;
    }
}

static void place_arrays(struct bind *b, struct arena *a)
{
    b->tee.blocks = arena_take(a, (size_t)b->tee.n_blocks, sizeof(*b->tee.blocks));
    b->cells.blocks = arena_take(a, (size_t)b->cells.n_blocks, sizeof(*b->cells.blocks));
    b->tee.cells = arena_take(a, (size_t)b->tee.n_cells, sizeof(*b->tee.cells));
    b->fusion.layers = arena_take(a, (size_t)b->fusion.n_layers, sizeof(*b->fusion.layers));
}

enum err bind_make_arrays(struct bind *b, const struct model_config *c)
{
    static const int n_inputs[BIND_NODES] = {2, 2, 2, 2, 3, 3, 3, 2}; /* top-down P5..P2, bottom-up P3..P6 */
    size_t n_blocks = 0;
    for (int s = 0; s < c->backbone.n_stages; s++) {
        n_blocks += (size_t)c->backbone.stages[s].repeats;
    }
    b->tee.stem_channels = c->backbone.stem;
    b->tee.n_blocks = (int)n_blocks;
    b->cells.n_blocks = c->context.own_blocks;
    b->tee.n_cells = c->bifpn.repeats;
    b->fusion.n_layers = c->fusion.layers;
    struct arena a;
    arena_init(&a, NULL, 0);
    place_arrays(b, &a);
    size_t n_bytes = arena_needed(&a);
    enum err rc = mem_alloc(&b->_arrays, n_bytes);
    if (rc) {
        return rc;
    }
    arena_init(&a, b->_arrays, n_bytes);
    place_arrays(b, &a);
    for (int i = 0; i < b->tee.n_cells; i++) {
        for (int j = 0; j < BIND_NODES; j++) {
            b->tee.cells[i].nodes[j].n_inputs = n_inputs[j];
        }
    }
    set_blocks(&b->tee, c);
    set_own_blocks(b);
    return OK;
}
