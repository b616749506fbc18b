/* Convolutions in plain C. */
#include "engine/kernels/act.h"
#include "engine/kernels/install.h"

/* Row `ky` of the filter at output row `y`: the input row, or NULL where it lies outside. */
static const float *input_row(const struct conv_shape *s, const float *in, int channels, int y, int ky)
{
    int row = y * s->stride - s->pad_top + ky;
    return row < 0 || row >= s->in_h ? NULL : in + (size_t)row * (size_t)s->in_w * (size_t)channels;
}

static float rgb_sum(const struct conv_shape *s, const float *in, const float *w, int out_channels, int y, int x)
{
    float sum = 0.0f;
    for (int ky = 0; ky < 3; ky++) {
        const float *row = input_row(s, in, 3, y, ky);
        for (int kx = 0; row && kx < 3; kx++) {
            int column = x * s->stride - s->pad_left + kx;
            for (int c = 0; column >= 0 && column < s->in_w && c < 3; c++) {
                sum += row[column * 3 + c] * w[((ky * 3 + kx) * 3 + c) * out_channels];
            }
        }
    }
    return sum;
}

static void conv_rgb(const struct conv_shape *s, const float *in, const float *w, const float *bias, int out_channels,
                     enum act act, float *out)
{
    for (int y = 0; y < s->out_h; y++) {
        for (int x = 0; x < s->out_w; x++) {
            for (int c = 0; c < out_channels; c++) {
                *out++ = act_scalar(rgb_sum(s, in, w + c, out_channels, y, x) + (bias ? bias[c] : 0.0f), act);
            }
        }
    }
}

static float depthwise_sum(const struct conv_shape *s, const float *in, const float *w, int y, int x, int c)
{
    float sum = 0.0f;
    for (int ky = 0; ky < s->kernel; ky++) {
        const float *row = input_row(s, in, s->channels, y, ky);
        for (int kx = 0; row && kx < s->kernel; kx++) {
            int column = x * s->stride - s->pad_left + kx;
            if (column >= 0 && column < s->in_w) {
                sum += row[(size_t)column * (size_t)s->channels + (size_t)c] *
                       w[(size_t)(ky * s->kernel + kx) * (size_t)s->channels + (size_t)c];
            }
        }
    }
    return sum;
}

static void depthwise(const struct conv_shape *s, const float *in, const float *w, const float *bias, enum act act,
                      float *out)
{
    for (int y = 0; y < s->out_h; y++) {
        for (int x = 0; x < s->out_w; x++) {
            for (int c = 0; c < s->channels; c++) {
                *out++ = act_scalar(depthwise_sum(s, in, w, y, x, c) + (bias ? bias[c] : 0.0f), act);
            }
        }
    }
}

void conv_ref_install(struct kernels *k)
{
    k->conv_rgb = conv_rgb;
    k->depthwise = depthwise;
}
