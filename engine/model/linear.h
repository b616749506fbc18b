/* linear - a layer in floats or in 8 bits, whichever was bound: rows become bytes, each with its own scale, and the
 * product of bytes gives floats again (kernels.h, "the same in 8 bits").
 *
 * Ownership: the scratch is the caller's. Threads: a scratch belongs to one. */
#ifndef ENGINE_MODEL_LINEAR_H
#define ENGINE_MODEL_LINEAR_H

#include "engine/base/arena.h"
#include "engine/model/load/bind.h"

/* Room for the bytes of `rows` rows of up to `depth` numbers. */
struct linear_scratch {
    uint8_t *bytes;        /* [rows, depth up to GEMM8_ALIGN] */
    struct gemm8_row *row; /* [rows] */
};
/* Bytes from row to row. */
static inline size_t linear_row_bytes(size_t depth)
{
    return (depth + GEMM8_ALIGN - 1) / GEMM8_ALIGN * GEMM8_ALIGN;
}
void linear_place(struct linear_scratch *s, struct arena *a, size_t rows, size_t depth);

/* Outputs, and numbers of a row; 0 where the model has no such layer. */
static inline size_t linear_n(const struct bind_linear *w)
{
    return w->bytes.n > 0 ? w->bytes.n : w->floats.n;
}
static inline size_t linear_k(const struct bind_linear *w)
{
    return w->bytes.n > 0 ? w->bytes.k : w->floats.k;
}

/* C[m, n] = act(A W^T + bias) + residual, which may be C. */
void linear_run(const struct kernels *k, const struct bind_linear *w, const struct linear_scratch *s, const float *a,
                size_t lda, size_t m, float *c, size_t ldc, enum act act, const float *residual, size_t ldr);

/* Outputs first .. first + n - 1 as a layer of their own, which borrows; false where the packed weights cannot be cut
 * there. */
bool linear_outputs(const struct kernels *k, const struct bind_linear *w, size_t first, size_t n,
                    struct bind_linear *out);

#endif
