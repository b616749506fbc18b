/* Product of bytes in plain C: what all instruction sets must give, bit for bit. W stays in its order, [n, k], behind
 * the sum of each of its rows; both factors are in 16 bits, for which compilers know an instruction everywhere. */
#include "engine/kernels/act.h"
#include "engine/kernels/gemm8_row.h"
#include "engine/kernels/install.h"

#include <string.h>

static size_t packed_bytes(size_t n, size_t k)
{
    return n * (k * sizeof(int16_t) + sizeof(int32_t));
}

static void pack(const int8_t *w, size_t n, size_t k, int8_t *packed)
{
    int32_t *sums = (int32_t *)(void *)packed;
    int16_t *rows = (int16_t *)(sums + n);
    for (size_t j = 0; j < n; j++) {
        sums[j] = 0;
        for (size_t i = 0; i < k; i++) {
            rows[j * k + i] = w[j * k + i];
            sums[j] += w[j * k + i];
        }
    }
}

static int32_t dot(const int16_t *a, const int16_t *w, size_t k)
{
    int32_t sum = 0;
    for (size_t i = 0; i < k; i++) {
        sum += a[i] * w[i];
    }
    return sum;
}

static void gemm8(const struct gemm8_weights *w, const struct gemm8_in *a, size_t m, const struct gemm8_out *out)
{
    const int32_t *sums = (const int32_t *)(const void *)w->packed;
    const int16_t *rows = (const int16_t *)(sums + w->n);
    int16_t wide[GEMM8_MAX_DEPTH];
    BUG_ON(w->k > GEMM8_MAX_DEPTH);
    for (size_t r = 0; r < m; r++) {
        struct gemm8_row row = a->row[r * a->row_step];
        for (size_t i = 0; i < w->k; i++) {
            wide[i] = a->q[r * a->ld + i];
        }
        for (size_t j = 0; j < w->n; j++) {
            float sum = (float)(dot(wide, rows + j * w->k, w->k) - row.zero * sums[j]);
            float y = act_scalar(fmaf(sum, row.scale * w->scale[j], w->bias ? w->bias[j] : 0.0F), out->act);
            y = out->residual ? y + out->residual[r * out->ldr + j] : y;
            if (out->c) {
                out->c[r * out->ld + j] = y;
            } else {
                out->q[r * out->ld + j] = gemm8_row_byte(y * (1.0F / out->to.scale), out->to.zero);
            }
        }
    }
}

static void quantize_rows(const float *x, size_t ldx, size_t rows, size_t n, uint8_t *q, size_t ldq,
                          struct gemm8_row *row)
{
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        float low = 0.0F, high = 0.0F, inverse;
        bool is_finite = true;
        for (size_t i = 0; i < n; i++) {
            is_finite = is_finite && isfinite(x[i]);
            low = x[i] < low ? x[i] : low;
            high = x[i] > high ? x[i] : high;
        }
        row[r] = gemm8_row_of(low, high, is_finite, &inverse);
        memset(q, 0, gemm8_row_bytes(n));
        for (size_t i = 0; i < n && inverse > 0.0F; i++) {
            int32_t whole = (int32_t)lrintf(x[i] * inverse) + row[r].zero;
            q[i] = (uint8_t)(whole > 255 ? 255 : whole);
        }
    }
}

static void quantize(const float *x, size_t n, float scale, uint8_t *q)
{
    float inverse = 1.0F / scale;
    for (size_t i = 0; i < n; i++) {
        q[i] = gemm8_row_byte(x[i] * inverse, 0);
    }
}

/* Sums of products of words, as the compiler makes them of `dot`, which reads the first-level cache. */
static uint64_t multiply_add16(uint64_t rounds)
{
    enum { N = 768 };
    static const int16_t a[N], w[N];
    for (uint64_t r = 0; r < rounds; r++) {
        const int16_t *x = a, *y = w;
        __asm__ volatile("" : "+r"(x), "+r"(y)); /* else the sum is known */
        int32_t sum = dot(x, y, N);
        __asm__ volatile("" : : "r"(sum));
    }
    return rounds * 2 * N;
}

void gemm8_ref_install(struct kernels *k)
{
    k->multiply_add8 = k->multiply_add16 = multiply_add16;
    k->gemm8_panel = k->gemm8_last = 0;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8;
    k->quantize_rows = quantize_rows;
    k->quantize = quantize;
}
