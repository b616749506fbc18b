/* The walk over the table is made twice: first everything is checked and measured, then the block is allocated and
 * filled. */
#include "engine/model/load/bind.h"

#include "engine/base/mem.h"
#include "engine/model/boxes.h"
#include "engine/model/load/bind_arrays.h"
#include "engine/model/load/bind_filter8.h"
#include "engine/model/load/bind_table.h"

#include <stdio.h>

#define BIND_TABLE(b, prefix, table, base) bind_kinds_table(b, prefix, table, sizeof(table) / sizeof((table)[0]), base)

/* ---- the walk ---- */

static void walk_blocks(struct binder *b, const char *where, struct bind_block *blocks, int n_blocks,
                        const struct model_config *c)
{
    char prefix[BIND_KINDS_MAX_NAME];
    for (int i = 0; i < n_blocks; i++) {
        struct bind_block *block = &blocks[i];
        snprintf(prefix, sizeof(prefix), "%s.blocks.%d.", where, i);
        b->dims[D_IN] = (size_t)block->inputs;
        b->dims[D_WIDE] = (size_t)block->wide;
        b->dims[D_NARROW] = (size_t)block->narrow;
        b->dims[D_OUT] = (size_t)block->outputs;
        b->dims[D_KERNEL] = (size_t)block->kernel;
        if (block->wide != block->inputs) {
            BIND_TABLE(b, prefix, bind_expand_table, block);
        }
        if (c->backbone.squeeze_excite) {
            BIND_TABLE(b, prefix, bind_excite_table, block);
        }
        BIND_TABLE(b, prefix, bind_block_table, block);
        if (c->backbone.activation == MODEL_RELU6 && !c->backbone.squeeze_excite) {
            bind_filter8(b, block);
        }
    }
}

static void walk_backbone(struct binder *b, struct bind_tee *tee, const struct model_config *c)
{
    BIND_TABLE(b, "tee.backbone.", bind_stem_table, tee);
    walk_blocks(b, "tee.backbone", tee->blocks, tee->n_blocks, c);
}

static void walk_cells(struct binder *b, struct bind_cells *cells, const struct model_config *c)
{
    walk_blocks(b, "cells", cells->blocks, cells->n_blocks, c);
    b->dims[D_IN] = (size_t)c->backbone.stages[c->backbone.n_stages - 1].channels;
    BIND_TABLE(b, "cells.", bind_cells_table, cells);
}

static void walk_pyramid(struct binder *b, struct bind_tee *tee)
{
    char prefix[BIND_KINDS_MAX_NAME];
    for (int i = 0; i < tee->n_blocks; i++) {
        int tap = tee->blocks[i].tap;
        if (tap < 0) {
            continue;
        }
        b->dims[D_IN] = (size_t)tee->blocks[i].outputs;
        snprintf(prefix, sizeof(prefix), "tee.bifpn.lateral.%d", tap);
        BIND_TABLE(b, prefix, bind_lateral_table, &tee->lateral[tap]);
        if (tap == 1 || tap == 2) {
            snprintf(prefix, sizeof(prefix), "tee.bifpn.lateral2.%d", tap - 1);
            BIND_TABLE(b, prefix, bind_lateral_table, &tee->lateral2[tap - 1]);
        }
    }
    for (int i = 0; i < tee->n_cells; i++) {
        for (int j = 0; j < BIND_NODES; j++) {
            struct bind_node *node = &tee->cells[i].nodes[j];
            snprintf(prefix, sizeof(prefix), "tee.bifpn.cells.%d.nodes.%d.", i, j);
            b->dims[D_FUSE] = (size_t)node->n_inputs;
            BIND_TABLE(b, prefix, bind_node_table, node);
        }
    }
    BIND_TABLE(b, "tee.", bind_detector_table, tee);
}

static void walk_fusion(struct binder *b, struct bind_fusion *fusion, const struct model_config *c)
{
    char prefix[BIND_KINDS_MAX_NAME];
    for (int i = 0; i < fusion->n_layers; i++) {
        snprintf(prefix, sizeof(prefix), "fusion.layers.%d.", i);
        BIND_TABLE(b, prefix, bind_layer_table, &fusion->layers[i]);
    }
    if (model_config_max_seen(c) > 0) {
        BIND_TABLE(b, "", bind_fusion_regions_table, fusion);
    }
    if (c->context.channels > 0) {
        BIND_TABLE(b, "", bind_fusion_cells_table, fusion);
    }
    BIND_TABLE(b, "", bind_fusion_table, fusion);
}

static void walk(struct binder *b, const struct model_config *c)
{
    arena_init(&b->arena, b->block, b->block_bytes);
    walk_backbone(b, &b->out->tee, c);
    walk_pyramid(b, &b->out->tee);
    if (c->context.channels > 0) {
        walk_cells(b, &b->out->cells, c);
    }
    walk_fusion(b, &b->out->fusion, c);
}

/* ---- open and close ---- */

static void set_dims(size_t *dims, const struct model_config *c)
{
    dims[D_1] = 1;
    dims[D_2] = 2;
    dims[D_3] = 3;
    dims[D_4] = 4;
    dims[D_STEM] = (size_t)c->backbone.stem;
    dims[D_C] = (size_t)c->bifpn.channels;
    dims[D_A] = MODEL_ANCHOR_RATIOS;
    dims[D_A4] = (size_t)4 * MODEL_ANCHOR_RATIOS;
    dims[D_POOLED] = (size_t)c->bifpn.channels * (size_t)c->roi.pool * (size_t)c->roi.pool;
    dims[D_H] = (size_t)c->roi.hidden;
    dims[D_K] = (size_t)c->roi.classes + 1;
    dims[D_D] = (size_t)c->fusion.hidden;
    dims[D_F] = (size_t)c->fusion.ffn;
    dims[D_V] = (size_t)c->fusion.vocab;
    dims[D_POSITIONS] = (size_t)c->fusion.positions;
    dims[D_REGION] = (size_t)c->roi.hidden + BOXES_GEOMETRY;
    dims[D_CELL] = (size_t)c->context.channels;
    dims[D_CELL_INPUT] = (size_t)c->context.channels + BOXES_GEOMETRY;
    dims[D_ANSWERS] = (size_t)c->vqa.answers;
}

static void check_unknown(struct binder *b)
{
    for (int i = 0; i < weights_count(b->weights); i++) {
        const struct tensor *t = weights_at(b->weights, i);
        int j = 0;
        while (j < b->n_seen && b->seen[j] != t) {
            j++;
        }
        if (j == b->n_seen) {
            bind_kinds_fail(b, t->name, "unknown");
        }
    }
}

enum err bind_open(struct bind **out, const struct weights *weights, const struct model_config *config,
                   const struct kernels *kernels, enum model_precision precision, struct errbuf *e)
{
    struct bind *bound = NULL;
    struct binder b = {
        .weights = weights, .kernels = kernels, .precision = precision, .pool = config->roi.pool, .e = e};
    b.rc = mem_alloc(&bound, sizeof(*bound));
    b.rc = b.rc ? b.rc : weights_check_finite(weights, e);
    b.rc = b.rc ? b.rc : bind_make_arrays(bound, config);
    b.rc = b.rc ? b.rc : mem_array(&b.seen, (size_t)weights_count(weights) + 1, sizeof(*b.seen));
    if (b.rc) {
        goto out;
    }
    b.out = bound;
    set_dims(b.dims, config);
    walk(&b, config); /* check and measure */
    if (!b.rc) {
        check_unknown(&b);
    }
    b.block_bytes = arena_needed(&b.arena);
    b.rc = b.rc ? b.rc : mem_array(&b.temp, b.temp_floats, sizeof(float));
    b.rc = b.rc ? b.rc : mem_alloc(&b.block, b.block_bytes);
    if (b.rc) {
        goto out;
    }
    bound->_block = b.block;
    bound->block_bytes = b.block_bytes;
    walk(&b, config); /* place */
    if (!b.rc) {
        *out = bound;
        bound = NULL;
    }
out:
    mem_free(b.temp);
    mem_free(b.seen);
    bind_close(bound);
    return b.rc;
}

void bind_close(struct bind *b)
{
    if (b) {
        mem_free(b->_block);
        mem_free(b->_arrays);
        mem_free(b);
    }
}
