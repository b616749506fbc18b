/* Matrix product in plain C. W is kept transposed in panels of PANEL columns, so that the inner loop runs along
 * columns; a column's sum runs over k in order, whatever stands beside it. The sums are four-float vectors of the
 * compiler's own: left to itself, gcc 12 vectorises along k with shuffles and is four times slower. */
#include "engine/kernels/act.h"
#include "engine/kernels/install.h"

enum { QUADS = 4, PANEL = 4 * QUADS };

typedef float quad __attribute__((vector_size(16), may_alias));

static size_t packed_floats(size_t n, size_t k)
{
    return (n + PANEL - 1) / PANEL * PANEL * k;
}

static void pack(const float *w, size_t n, size_t k, float *packed)
{
    for (size_t n0 = 0; n0 < n; n0 += PANEL) {
        for (size_t i = 0; i < k; i++) {
            for (size_t j = n0; j < n0 + PANEL; j++) {
                *packed++ = j < n ? w[j * k + i] : 0.0f;
            }
        }
    }
}

static void dot_panel(const float *a, const float *panel, size_t k, float *out /* [PANEL] */)
{
    quad sum[QUADS] = {0};
    const quad *line = (const quad *)panel;
    for (size_t i = 0; i < k; i++, line += QUADS) {
        for (size_t j = 0; j < QUADS; j++) {
            sum[j] += a[i] * line[j];
        }
    }
    for (size_t j = 0; j < PANEL; j++) {
        out[j] = sum[j / 4][j % 4];
    }
}

static void gemm(const struct gemm_weights *w, const float *a, size_t lda, size_t m, float *c, size_t ldc, enum act act,
                 const float *residual, size_t ldr)
{
    for (size_t n0 = 0; n0 < w->n; n0 += PANEL) {
        const float *panel = w->packed + n0 * w->k;
        size_t width = w->n - n0 < PANEL ? w->n - n0 : PANEL;
        for (size_t row = 0; row < m; row++) {
            float sum[PANEL];
            dot_panel(a + row * lda, panel, w->k, sum);
            for (size_t j = 0; j < width; j++) {
                float x = act_scalar(sum[j] + (w->bias ? w->bias[n0 + j] : 0.0f), act);
                c[row * ldc + n0 + j] = residual ? x + residual[row * ldr + n0 + j] : x;
            }
        }
    }
}

void gemm_ref_install(struct kernels *k)
{
    k->gemm_panel = k->gemm_last = PANEL;
    k->gemm_packed_floats = packed_floats;
    k->gemm_pack = pack;
    k->gemm = gemm;
    k->gemm_takes_halves = false;
}
