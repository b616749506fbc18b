/* Convolutions in plain C. */
#include "engine/kernels/act.h"
#include "engine/kernels/install.h"

/* Row `ky` of the filter at output row `y`: the input row, or NULL where it lies outside. */
static const float *input_row(const struct conv_shape *s, const float *in, int channels, int y, int ky)
{
    int row = y * s->stride - s->pad_top + ky;
    return row < 0 || row >= s->in_h ? NULL : in + (size_t)row * (size_t)s->in_w * (size_t)channels;
}

static void start_pixel(const float *bias, int channels, float *out)
{
    for (int c = 0; c < channels; c++) {
        out[c] = bias ? bias[c] : 0.0f;
    }
}

static void finish_pixel(enum act act, int channels, float *out)
{
    for (int c = 0; c < channels; c++) {
        out[c] = act_scalar(out[c], act);
    }
}

static void rgb_pixel(const struct conv_shape *s, const float *in, const float *w, int out_channels, int y, int x,
                      float *restrict out)
{
    for (int ky = 0; ky < 3; ky++) {
        const float *row = input_row(s, in, 3, y, ky);
        for (int j = 0; row && j < 9; j++, w += out_channels) {
            int column = x * s->stride - s->pad_left + j / 3;
            for (int c = 0; column >= 0 && column < s->in_w && c < out_channels; c++) {
                out[c] += row[column * 3 + j % 3] * w[c];
            }
        }
        w += row ? 0 : 9 * out_channels;
    }
}

static void conv_rgb(const struct conv_shape *s, const float *in, const float *w, const float *bias, int out_channels,
                     enum act act, float *out)
{
    for (int y = 0; y < s->out_h; y++) {
        for (int x = 0; x < s->out_w; x++, out += out_channels) {
            start_pixel(bias, out_channels, out);
            rgb_pixel(s, in, w, out_channels, y, x, out);
            finish_pixel(act, out_channels, out);
        }
    }
}

static void depthwise_pixel(const struct conv_shape *s, const float *in, const float *w, int y, int x,
                            float *restrict out)
{
    const size_t channels = (size_t)s->channels;
    for (int ky = 0; ky < s->kernel; ky++) {
        const float *row = input_row(s, in, s->channels, y, ky);
        for (int kx = 0; row && kx < s->kernel; kx++) {
            int column = x * s->stride - s->pad_left + kx;
            const float *tap = w + (size_t)(ky * s->kernel + kx) * channels;
            for (size_t c = 0; column >= 0 && column < s->in_w && c < channels; c++) {
                out[c] += row[(size_t)column * channels + c] * tap[c];
            }
        }
    }
}

static void depthwise(const struct conv_shape *s, const float *in, const float *w, const float *bias, enum act act,
                      float *out)
{
    for (int y = 0; y < s->out_h; y++) {
        for (int x = 0; x < s->out_w; x++, out += s->channels) {
            start_pixel(bias, s->channels, out);
            depthwise_pixel(s, in, w, y, x, out);
            finish_pixel(act, s->channels, out);
        }
    }
}

void conv_ref_install(struct kernels *k)
{
    k->conv_rgb = conv_rgb;
    k->depthwise = depthwise;
}
