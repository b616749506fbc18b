#include "engine/model/widen.h"

#include "engine/model/half.h"

#include <string.h>

void widen_rows(const struct kernels *k, const struct tensor *t, const float *scale, size_t first, size_t rows,
                size_t n, float *out)
{
    for (size_t r = 0; r < rows; r++) {
        size_t at = (first + r) * n;
        if (t->type == TENSOR_F32) {
            memcpy(out + r * n, (const float *)t->data + at, n * sizeof(float));
        } else if (t->type == TENSOR_BF16) {
            k->bf16_to_f32((const uint16_t *)t->data + at, n, out + r * n);
        } else if (t->type == TENSOR_F16) {
            half_to_f32((const uint16_t *)t->data + at, n, out + r * n);
        } else {
            k->dequantize_i8((const int8_t *)t->data + at, scale[first + r], n, out + r * n);
        }
    }
}

void widen_channels_last(float *w, size_t n, size_t channels, size_t cells, float *row)
{
    for (size_t r = 0; r < n; r++, w += channels * cells) {
        memcpy(row, w, channels * cells * sizeof(float));
        for (size_t c = 0; c < channels; c++) {
            for (size_t i = 0; i < cells; i++) {
                w[i * channels + c] = row[c * cells + i];
            }
        }
    }
}
