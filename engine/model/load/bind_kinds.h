/* bind_kinds - one kind of tensor after the other: found, checked and put into its place; private to bind.
 *
 * The tables are walked twice with the same binder: first everything is checked and measured (block is NULL), then the
 * block exists and is filled.
 *
 * A linear entry covers NAME.weight and NAME.bias; consecutive entries with the same place are stacked into one GEMM.
 * Sizes are symbols, because they differ from block to block; D_1 does not end a shape, D_END does.
 *
 * Ownership: a binder owns nothing; bind_open makes and releases what it points to. Threads: one owner.
 * Errors:    the first fault is kept in the binder (rc and its text), and later calls do nothing. */
#ifndef ENGINE_MODEL_BIND_KINDS_H
#define ENGINE_MODEL_BIND_KINDS_H

#include "engine/base/arena.h"
#include "engine/model/load/bind.h"

enum { BIND_KINDS_MAX_NAME = 128 };

enum bind_dim {
    D_END, /* end of a shape */
    D_1,
    D_2,
    D_3,
    D_4,
    D_STEM,
    /* of the block, level or node at hand */
    D_IN,
    D_WIDE,
    D_NARROW,
    D_OUT,
    D_KERNEL,
    D_FUSE,
    /* detector */
    D_C,
    D_A,  /* anchors of a cell */
    D_A4, /* their deltas */
    D_POOLED,
    D_H,
    D_K, /* classes with background */
    /* fusion */
    D_D,
    D_F,
    D_V,
    D_POSITIONS,
    D_REGION, /* a region's vector with its geometry */
    D_CELL,   /* channels of a cell */
    D_CELL_INPUT,
    D_ANSWERS,
    D_COUNT
};

enum bind_kind {
    B_LINEAR,    /* struct gemm_weights from .weight, .bias; any type */
    B_LINEAR8,   /* struct bind_linear from them, in 8 bits where the precision says so */
    B_IMAGE8,    /* struct bind_linear of the image half, in 8 bits only where the file has I8 */
    B_FC6,       /* the same with columns from (channel, row, column) to (row, column, channel) */
    B_TIED,      /* struct bind_words from the word embeddings and a bias of this very name */
    B_STEM,      /* struct bind_filter */
    B_DEPTHWISE, /* struct bind_filter with .bias */
    B_PLAIN,     /* struct bind_filter without */
    B_NORM,      /* struct bind_norm */
    B_ROWS,      /* struct bind_rows from .weight */
    B_FUSE       /* float [3] of a struct bind_node */
};

struct bind_entry {
    const char *name; /* below the prefix of its table */
    enum bind_kind kind;
    enum bind_dim shape[5]; /* of the weight */
    size_t place;           /* offset in the struct of its table */
};

struct binder {
    struct bind *out;
    const struct weights *weights;
    const struct kernels *kernels;
    enum model_precision precision;
    size_t dims[D_COUNT];
    float *block; /* NULL while measuring */
    size_t block_bytes;
    struct arena arena; /* over the block */
    float *temp;        /* one stacked weight as floats */
    size_t temp_floats;
    const struct tensor **seen; /* [n_seen], first walk */
    int n_seen;
    int pool; /* cells of a pooled region, for B_FC6 */
    enum err rc;
    struct errbuf *e;
};

/* Records the fault unless there is one already. */
void bind_kinds_fail(struct binder *b, const char *name, const char *what);
/* Finds tensors by name; NULL and a fault if one is missing or has another shape. The first walk marks them as seen. */
size_t bind_kinds_shape(const struct binder *b, const enum bind_dim *dims, size_t shape[WEIGHTS_MAX_DIMS]);
const struct tensor *bind_kinds_find(struct binder *b, const char *name, const size_t *shape, size_t n_dims,
                                     bool f32_only);
const float *bind_kinds_find_vector(struct binder *b, const char *name, size_t n);
/* NAME and, for int8, NAME.scale. */
const struct tensor *bind_kinds_find_matrix(struct binder *b, const char *name, const enum bind_dim *dims,
                                            const float **scale);
/* All entries of a table: names below `prefix`, places in `base`. */
void bind_kinds_table(struct binder *b, const char *prefix, const struct bind_entry *entries, size_t n, void *base);

/* The scratch buffer must hold n floats. */
void bind_kinds_want_temp(struct binder *b, size_t n);

#endif
