/* Element-wise and row-wise work in plain C. Sums are in double. */
#include "engine/kernels/act.h"
#include "engine/kernels/install.h"

#include <string.h>

static void layer_norm(const float *x, size_t rows, size_t n, const float *weight, const float *bias, float eps,
                       float *out)
{
    for (size_t r = 0; r < rows; r++, x += n, out += n) {
        double sum = 0.0, squares = 0.0;
        for (size_t i = 0; i < n; i++) {
            sum += x[i];
        }
        double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++) {
            squares += (x[i] - mean) * (x[i] - mean);
        }
        double inverse = 1.0 / sqrt(squares / (double)n + eps);
        for (size_t i = 0; i < n; i++) {
            out[i] = (float)((x[i] - mean) * inverse) * weight[i] + bias[i];
        }
    }
}

static void activate(float *x, size_t n, enum act act)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = act_scalar(x[i], act);
    }
}

static float row_max(const float *x, size_t n)
{
    float best = x[0];
    for (size_t i = 1; i < n; i++) {
        best = x[i] > best ? x[i] : best;
    }
    return best;
}

static void softmax(float *x, size_t rows, size_t n, size_t ld)
{
    for (size_t r = 0; r < rows && n; r++, x += ld) {
        float best = row_max(x, n);
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            x[i] = expf(x[i] - best);
            sum += x[i];
        }
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)(x[i] / sum);
        }
    }
}

static void log_softmax(float *x, size_t rows, size_t n, size_t ld)
{
    for (size_t r = 0; r < rows && n; r++, x += ld) {
        float best = row_max(x, n);
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            sum += expf(x[i] - best);
        }
        float log_sum = (float)log(sum); /* cppcheck-suppress invalidFunctionArg ; one of the terms is 1 */
        for (size_t i = 0; i < n; i++) {
            x[i] = x[i] - best - log_sum;
        }
    }
}

static void dequantize_i8(const int8_t *x, float scale, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)x[i] * scale;
    }
}

static void bf16_to_f32(const uint16_t *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(&out[i], &bits, sizeof(bits));
    }
}

/* Chains of sums that wait for nobody; four-float vectors of the compiler's own, as in gemm_ref.c. */
static uint64_t multiply_add(uint64_t rounds)
{
    enum { CHAINS = 12, LANES = 4 };
    typedef float quad __attribute__((vector_size(LANES * sizeof(float))));
    quad sum[CHAINS] = {0}, factor = {0.5F, 0.5F, 0.5F, 0.5F};
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = sum[i] * factor + factor;
            __asm__ volatile("" : "+x"(sum[i])); /* else the compiler finds the sum */
        }
    }
    return rounds * 2 * CHAINS * LANES;
}

void rows_ref_install(struct kernels *k)
{
    k->layer_norm = layer_norm;
    k->activate = activate;
    k->softmax = softmax;
    k->log_softmax = log_softmax;
    k->dequantize_i8 = dequantize_i8;
    k->bf16_to_f32 = bf16_to_f32;
    k->multiply_add = multiply_add;
}
