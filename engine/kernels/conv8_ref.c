/* Depthwise filter of bytes in plain C: what all instruction sets must give, bit for bit. */
#include "engine/kernels/gemm8_row.h"
#include "engine/kernels/install.h"

#include <string.h>

static size_t packed_bytes(int kernel, int channels)
{
    return (size_t)kernel * (size_t)kernel * (size_t)channels * sizeof(int16_t);
}

static void pack(const int16_t *w, int kernel, int channels, void *packed)
{
    memcpy(packed, w, packed_bytes(kernel, channels));
}

/* The sum of one output of one channel. */
static int32_t sum_of(const struct conv_shape *s, const uint8_t *in, const int16_t *w, int y, int x)
{
    int32_t sum = 0;
    for (int ky = 0; ky < s->kernel; ky++) {
        int row = y * s->stride - s->pad_top + ky;
        for (int kx = 0; kx < s->kernel && row >= 0 && row < s->in_h; kx++) {
            int column = x * s->stride - s->pad_left + kx;
            if (column >= 0 && column < s->in_w) {
                sum += in[((ptrdiff_t)row * s->in_w + column) * s->channels] *
                       w[(ptrdiff_t)(ky * s->kernel + kx) * s->channels];
            }
        }
    }
    return sum;
}

static void depthwise8(const struct conv_shape *s, const uint8_t *in, const struct filter8 *w, uint8_t *out)
{
    const int16_t *taps = w->packed;
    for (int y = 0; y < s->out_h; y++) {
        for (int x = 0; x < s->out_w; x++, out += s->channels) {
            for (int c = 0; c < s->channels; c++) {
                float sum = (float)sum_of(s, in + c, taps + c, y, x);
                out[c] = gemm8_row_byte(fmaf(sum, w->scale[c], w->bias[c]), 0);
            }
        }
    }
}

void conv8_ref_install(struct kernels *k)
{
    k->filter8_packed_bytes = packed_bytes;
    k->filter8_pack = pack;
    k->depthwise8 = depthwise8;
}
