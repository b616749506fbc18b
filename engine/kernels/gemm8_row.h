/* gemm8_row - the scale of a row of bytes, and bytes at a fixed scale: plain C that all instruction sets share or
 * follow step by step, so that they agree on every bit. No step may be contracted into a fused multiply-add: none adds
 * to a product. */
#ifndef ENGINE_KERNELS_GEMM8_ROW_H
#define ENGINE_KERNELS_GEMM8_ROW_H

#include "engine/kernels/kernels.h"

#include <math.h>

static const float gemm8_row_min = 1e-30F; /* of a range: below it a row counts as zeros */

/* For a row whose numbers lie in low..high, low <= 0 <= high; *inverse is the factor to multiply them by. */
static inline struct gemm8_row gemm8_row_of(float low, float high, bool is_finite, float *inverse)
{
    float range = high - low;
    *inverse = 0.0F;
    if (!is_finite || !isfinite(range)) {
        return (struct gemm8_row){NAN, 0};
    }
    if (range < gemm8_row_min) {
        return (struct gemm8_row){0.0F, 0};
    }
    *inverse = 255.0F / range;
    float max_zero = -low * *inverse;
    return (struct gemm8_row){range / 255.0F, (int32_t)lrintf(max_zero)};
}

/* x rounded (half to even) + zero, clamped to 0..255; 0 for NaN. */
static inline uint8_t gemm8_row_byte(float x, int32_t zero)
{
    float low = (float)-zero, high = (float)(255 - zero);
    x = x > low ? x : low; /* NaN too */
    return (uint8_t)(lrintf(x < high ? x : high) + zero);
}

static inline size_t gemm8_row_bytes(size_t n)
{
    return (n + GEMM8_ALIGN - 1) / GEMM8_ALIGN * GEMM8_ALIGN;
}

#endif
