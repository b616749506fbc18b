/* bind - puts the tensors of a weights file where the networks look for them.
 *
 * One table (bind_table.h) names every tensor, its shape and what becomes of it: packed for the GEMM (as floats, halves
 * or bytes), repacked, widened to floats once, or used straight from the mapping. Linear layers that read the same rows
 * become one GEMM (query, key and value; objectness and deltas; classes and box). Shapes in comments are those of
 * docs/model-format.md.
 *
 * Ownership: a bind owns one block with everything that is not read from the mapping; `weights` and `config` must
 *            outlive it.
 * Threads:   immutable after bind_open, shared by all.
 * Errors:    ERR_BAD_MODEL names the tensor that is missing, misshapen, of a type it may not have, not finite or
 *            unknown. */
#ifndef ENGINE_MODEL_BIND_H
#define ENGINE_MODEL_BIND_H

#include "engine/kernels/kernels.h"
#include "engine/model/load/model_config.h"
#include "engine/model/load/weights.h"

/* A linear layer that may be in 8 bits; n is 0 in the other of the two, and in both where a model has no such layer. */
struct bind_linear {
    struct gemm_weights floats;
    struct gemm8_weights bytes;
};

struct bind_filter {
    const float *weight; /* stem [3*3*3, out]; depthwise [k*k, channels] */
    const float *bias;   /* or NULL */
};

struct bind_norm {
    const float *weight, *bias; /* [D] */
};

/* A table read row by row from the type it is stored in. */
struct bind_rows {
    const struct tensor *tensor; /* [rows, D] */
    const float *scale;          /* int8 only: [rows] */
    const struct tensor *said;   /* words only, or NULL: [n_said, D], the rows of the words that can be generated */
    const int *said_ids;         /* [n_said], ascending */
    size_t n_said;
};

/* ---- TEE ---- */

/* What of a block leads to maps of bytes at BIND_RELU6_SCALE, in units of such a byte. */
#define BIND_RELU6_SCALE (6.0F / 255.0F)
struct bind_block8 {
    struct gemm8_weights expand; /* without outputs where expand is 1 */
    struct filter8 filter;       /* packed NULL: a block with floats between its products and its filter */
};

struct bind_block {
    int inputs, wide, narrow, outputs, kernel, stride;
    bool has_residual;
    int tap;                   /* 0..3: this block's output is P2..P5; -1: none */
    struct bind_linear expand; /* without outputs where expand is 1 */
    struct bind_filter depthwise;
    struct bind_block8 bytes;
    struct gemm_weights se_reduce, se_expand; /* n = 0 without squeeze-excite */
    struct bind_linear project;
};

enum { BIND_NODES = 8 };
struct bind_node {
    int n_inputs;
    float fuse[3]; /* relu, then divided by their sum + 1e-4 */
    struct bind_filter depthwise;
    struct bind_linear pointwise;
};

struct bind_cell {
    struct bind_node nodes[BIND_NODES];
};

struct bind_tee {
    struct bind_filter stem;
    int stem_channels, n_blocks, n_cells;
    struct bind_block *blocks; /* [n_blocks] */
    struct bind_linear lateral[MODEL_TAPS];
    struct bind_linear lateral2[2]; /* P3, P4 */
    struct bind_cell *cells;        /* [n_cells] */
    struct bind_linear rpn;         /* 3 logits, then 3 x 4 deltas, for each cell; always floats */
    struct bind_linear fc6;         /* columns in the order row, column, channel */
    struct bind_linear fc7;
    struct bind_linear predict; /* K class logits, then 4 deltas */
};

/* ---- context cells ---- */

struct bind_cells {
    int n_blocks;
    struct bind_block *blocks; /* [n_blocks]: the backbone's last ones with weights of their own */
    struct bind_linear head;   /* without outputs: a model without cells */
};

/* ---- fusion and heads ---- */

struct bind_layer {
    struct bind_linear qkv; /* rows: query, key, value */
    struct bind_linear output, up, down;
    struct bind_norm attention_norm, ffn_norm;
};

/* Words with a bias of at most this can never be generated (docs/model-format.md): no row is kept for them. */
#define BIND_SILENT (-100.0F)

struct bind_words {
    struct bind_linear weights; /* [n, D] */
    const int *ids;             /* [n]: token of each row, ascending */
    size_t n;                   /* words that can be generated */
};

struct bind_fusion {
    struct bind_rows word, position, segment;
    struct bind_norm embeddings_norm;
    struct bind_linear regions; /* none where the fusion sees none */
    struct bind_norm regions_norm;
    struct bind_linear cells; /* none in a model without cells */
    struct bind_norm cells_norm;
    int n_layers;
    struct bind_layer *layers; /* [n_layers] */
    struct bind_linear caption_transform;
    struct bind_words caption_words;
    struct bind_norm caption_norm;
    struct bind_linear vqa_pooler, vqa_classifier, retrieve_pooler, retrieve_classifier;
};

struct bind {
    struct bind_tee tee;
    struct bind_cells cells;
    struct bind_fusion fusion;
    size_t block_bytes;    /* memory in addition to the weights file's */
    size_t n_parameters;   /* elements of all tensors, except scales and rows stored twice */
    int n_linear, n_bytes; /* layers that may be in 8 bits, and those that are */
    float *_block;
    void *_arrays;
};

MUST_USE enum err bind_open(struct bind **out, const struct weights *weights, const struct model_config *config,
                            const struct kernels *kernels, enum model_precision precision, struct errbuf *e);
void bind_close(struct bind *b); /* NULL is fine */

#endif
