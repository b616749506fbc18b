/* bind_table - every tensor of a model: name, kind, shape, place. Used by bind.c only; bind_kinds.h explains the
 * entries. */
#ifndef ENGINE_MODEL_BIND_TABLE_H
#define ENGINE_MODEL_BIND_TABLE_H

#include "engine/model/load/bind_kinds.h"

#include <stddef.h>

static const struct bind_entry bind_stem_table[] = {
    {"stem", B_STEM, {D_STEM, D_3, D_3, D_3}, offsetof(struct bind_tee, stem)},
};

/* tee.backbone.blocks.N., cells.blocks.N. */
static const struct bind_entry bind_expand_table[] = {
    {"expand", B_IMAGE8, {D_WIDE, D_IN, D_1, D_1}, offsetof(struct bind_block, expand)},
};
static const struct bind_entry bind_block_table[] = {
    {"depthwise", B_DEPTHWISE, {D_WIDE, D_1, D_KERNEL, D_KERNEL}, offsetof(struct bind_block, depthwise)},
    {"project", B_IMAGE8, {D_OUT, D_WIDE, D_1, D_1}, offsetof(struct bind_block, project)},
};
static const struct bind_entry bind_excite_table[] = {
    {"se_reduce", B_LINEAR, {D_NARROW, D_WIDE, D_1, D_1}, offsetof(struct bind_block, se_reduce)},
    {"se_expand", B_LINEAR, {D_WIDE, D_NARROW, D_1, D_1}, offsetof(struct bind_block, se_expand)},
};

/* tee.bifpn.lateral.N, tee.bifpn.lateral2.N: the place is that of a struct bind_linear itself */
static const struct bind_entry bind_lateral_table[] = {
    {"", B_IMAGE8, {D_C, D_IN, D_1, D_1}, 0},
};

/* tee.bifpn.cells.N.nodes.M. */
static const struct bind_entry bind_node_table[] = {
    {"fuse", B_FUSE, {D_FUSE}, offsetof(struct bind_node, fuse)},
    {"depthwise", B_PLAIN, {D_C, D_1, D_3, D_3}, offsetof(struct bind_node, depthwise)},
    {"pointwise", B_IMAGE8, {D_C, D_C, D_1, D_1}, offsetof(struct bind_node, pointwise)},
};

/* tee. */
static const struct bind_entry bind_detector_table[] = {
    {"rpn.cls", B_LINEAR, {D_A, D_C, D_1, D_1}, offsetof(struct bind_tee, rpn.floats)},
    {"rpn.box", B_LINEAR, {D_A4, D_C, D_1, D_1}, offsetof(struct bind_tee, rpn.floats)},
    {"roi.fc6", B_FC6, {D_H, D_POOLED}, offsetof(struct bind_tee, fc6)},
    {"roi.fc7", B_IMAGE8, {D_H, D_H}, offsetof(struct bind_tee, fc7)},
    {"roi.cls", B_IMAGE8, {D_K, D_H}, offsetof(struct bind_tee, predict)},
    {"roi.box", B_IMAGE8, {D_4, D_H}, offsetof(struct bind_tee, predict)},
};

/* cells. */
static const struct bind_entry bind_cells_table[] = {
    {"head", B_IMAGE8, {D_CELL, D_IN, D_1, D_1}, offsetof(struct bind_cells, head)},
};

/* fusion.layers.N. */
static const struct bind_entry bind_layer_table[] = {
    {"attention.query", B_LINEAR8, {D_D, D_D}, offsetof(struct bind_layer, qkv)},
    {"attention.key", B_LINEAR8, {D_D, D_D}, offsetof(struct bind_layer, qkv)},
    {"attention.value", B_LINEAR8, {D_D, D_D}, offsetof(struct bind_layer, qkv)},
    {"attention.output", B_LINEAR8, {D_D, D_D}, offsetof(struct bind_layer, output)},
    {"attention.norm", B_NORM, {D_D}, offsetof(struct bind_layer, attention_norm)},
    {"ffn.up", B_LINEAR8, {D_F, D_D}, offsetof(struct bind_layer, up)},
    {"ffn.down", B_LINEAR8, {D_D, D_F}, offsetof(struct bind_layer, down)},
    {"ffn.norm", B_NORM, {D_D}, offsetof(struct bind_layer, ffn_norm)},
};

static const struct bind_entry bind_fusion_regions_table[] = {
    {"fusion.regions.project", B_LINEAR8, {D_D, D_REGION}, offsetof(struct bind_fusion, regions)},
    {"fusion.regions.norm", B_NORM, {D_D}, offsetof(struct bind_fusion, regions_norm)},
};
static const struct bind_entry bind_fusion_cells_table[] = {
    {"fusion.cells.project", B_IMAGE8, {D_D, D_CELL_INPUT}, offsetof(struct bind_fusion, cells)},
    {"fusion.cells.norm", B_NORM, {D_D}, offsetof(struct bind_fusion, cells_norm)},
};
static const struct bind_entry bind_fusion_table[] = {
    {"fusion.embeddings.word", B_ROWS, {D_V, D_D}, offsetof(struct bind_fusion, word)},
    {"fusion.embeddings.position", B_ROWS, {D_POSITIONS, D_D}, offsetof(struct bind_fusion, position)},
    {"fusion.embeddings.segment", B_ROWS, {D_2, D_D}, offsetof(struct bind_fusion, segment)},
    {"fusion.embeddings.norm", B_NORM, {D_D}, offsetof(struct bind_fusion, embeddings_norm)},
    {"heads.caption.transform", B_LINEAR8, {D_D, D_D}, offsetof(struct bind_fusion, caption_transform)},
    {"heads.caption.norm", B_NORM, {D_D}, offsetof(struct bind_fusion, caption_norm)},
    {"heads.caption.bias", B_TIED, {D_V, D_D}, offsetof(struct bind_fusion, caption_words)},
    {"heads.vqa.pooler", B_LINEAR8, {D_D, D_D}, offsetof(struct bind_fusion, vqa_pooler)},
    {"heads.vqa.classifier", B_LINEAR8, {D_ANSWERS, D_D}, offsetof(struct bind_fusion, vqa_classifier)},
    {"heads.retrieve.pooler", B_LINEAR8, {D_D, D_D}, offsetof(struct bind_fusion, retrieve_pooler)},
    {"heads.retrieve.classifier", B_LINEAR8, {D_2, D_D}, offsetof(struct bind_fusion, retrieve_classifier)},
};

#endif
