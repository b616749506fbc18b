/* Matrix product by OpenBLAS: the second opinion, and the path for CPUs that it serves better than we do. The only file
 * that knows OpenBLAS.
 *
 * W stays as it is, [n, k] row-major. Products of fewer than MIN_ROWS rows go through a padded copy of A: for those
 * OpenBLAS switches to kernels that round differently, and a row should come out the same whatever stands beside it, as
 * far as a library can promise that. */
#include "engine/kernels/act.h"
#include "engine/kernels/install.h"

#include <cblas.h>
#include <string.h>

enum { MIN_ROWS = 4, K_BLOCK = 2048, STRIP = 256 };

static size_t packed_floats(size_t n, size_t k)
{
    return n * k;
}

static void pack(const float *w, size_t n, size_t k, float *packed)
{
    if (n > 0 && k > 0) {
        memcpy(packed, w, n * k * sizeof(*w));
    }
}

/* c = a * w^T + beta * c, w [n, k] with rows `ldw` apart */
static void product(const float *a, size_t lda, size_t m, const float *w, size_t ldw, size_t n, size_t k, float beta,
                    float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a, (blasint)lda, w,
                (blasint)ldw, beta, c, (blasint)ldc);
}

static void finish_row(const float *bias, const float *x, size_t n, enum act act, const float *residual, float *c)
{
    for (size_t j = 0; j < n; j++) {
        float y = act_scalar(x[j] + (bias ? bias[j] : 0.0f), act);
        c[j] = residual ? y + residual[j] : y;
    }
}

/* At most MIN_ROWS rows, by way of blocks on the stack: the product never touches C, so the residual may be C. */
static void few_rows(const struct gemm_weights *w, const float *a, size_t lda, size_t m, float *c, size_t ldc,
                     enum act act, const float *residual, size_t ldr)
{
    float block[MIN_ROWS * K_BLOCK], sums[MIN_ROWS * STRIP];
    for (size_t n0 = 0; n0 < w->n; n0 += STRIP) {
        size_t width = w->n - n0 < STRIP ? w->n - n0 : STRIP;
        memset(sums, 0, sizeof(sums));
        for (size_t k0 = 0; k0 < w->k; k0 += K_BLOCK) {
            size_t depth = w->k - k0 < K_BLOCK ? w->k - k0 : K_BLOCK;
            memset(block, 0, sizeof(block));
            for (size_t r = 0; r < m; r++) {
                memcpy(block + r * K_BLOCK, a + r * lda + k0, depth * sizeof(*a));
            }
            product(block, K_BLOCK, MIN_ROWS, w->packed + n0 * w->k + k0, w->k, width, depth, 1.0f, sums, STRIP);
        }
        for (size_t r = 0; r < m; r++) {
            finish_row(w->bias ? w->bias + n0 : NULL, sums + r * STRIP, width, act,
                       residual ? residual + r * ldr + n0 : NULL, c + r * ldc + n0);
        }
    }
}

static void gemm(const struct gemm_weights *w, const float *a, size_t lda, size_t m, float *c, size_t ldc, enum act act,
                 const float *residual, size_t ldr)
{
    if (m >= MIN_ROWS && w->n > 0 && w->k > 0 && residual != c) {
        product(a, lda, m, w->packed, w->k, w->n, w->k, 0.0f, c, ldc);
        for (size_t r = 0; r < m; r++, c += ldc) {
            finish_row(w->bias, c, w->n, act, residual ? residual + r * ldr : NULL, c);
        }
        return;
    }
    for (size_t r = 0; r < m; r += MIN_ROWS) {
        few_rows(w, a + r * lda, lda, m - r < MIN_ROWS ? m - r : MIN_ROWS, c + r * ldc, ldc, act,
                 residual ? residual + r * ldr : NULL, ldr);
    }
}

void gemm_openblas_install(struct kernels *k)
{
    openblas_set_num_threads(1); /* its helpers would compete with our own threads */
    k->gemm_panel = k->gemm_last = 0;
    k->gemm_packed_floats = packed_floats;
    k->gemm_pack = pack;
    k->gemm = gemm;
    k->gemm_takes_halves = false;
}
