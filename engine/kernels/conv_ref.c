/* Convolutions and other work on maps in plain C. */
#include "engine/kernels/act.h"
#include "engine/kernels/install.h"
#include "engine/kernels/roi_grid.h"

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

static void maxpool3x3s2(const float *in, int h, int w, int channels, float *out)
{
    for (int y = 0; y < h; y += 2) {
        int y0 = y > 0 ? y - 1 : 0, y1 = y + 1 < h ? y + 1 : h - 1;
        for (int x = 0; x < w; x += 2) {
            int x0 = x > 0 ? x - 1 : 0, x1 = x + 1 < w ? x + 1 : w - 1;
            for (int c = 0; c < channels; c++) {
                float best = in[((size_t)y * (size_t)w + (size_t)x) * (size_t)channels + (size_t)c];
                for (int i = y0; i <= y1; i++) {
                    for (int j = x0; j <= x1; j++) {
                        float v = in[((size_t)i * (size_t)w + (size_t)j) * (size_t)channels + (size_t)c];
                        best = v > best ? v : best;
                    }
                }
                *out++ = best;
            }
        }
    }
}

static void upsample_nearest(const float *in, int h, int w, int channels, int out_h, int out_w, float *out)
{
    for (int y = 0; y < out_h; y++) {
        const float *row = in + (size_t)((long long)y * h / out_h) * (size_t)w * (size_t)channels;
        for (int x = 0; x < out_w; x++) {
            const float *pixel = row + (size_t)((long long)x * w / out_w) * (size_t)channels;
            for (int c = 0; c < channels; c++) {
                *out++ = pixel[c];
            }
        }
    }
}

static void weighted_sum(const float *const *in, const float *weights, int n_in, size_t n, enum act act, float *out)
{
    for (size_t i = 0; i < n; i++) {
        float sum = 0.0f;
        for (int j = 0; j < n_in; j++) {
            sum += weights[j] * in[j][i];
        }
        out[i] = act_scalar(sum, act);
    }
}

static void channel_mean(const float *in, size_t n_pixels, int channels, float *out)
{
    for (int c = 0; c < channels; c++) {
        double sum = 0.0;
        for (size_t p = 0; p < n_pixels; p++) {
            sum += in[p * (size_t)channels + (size_t)c];
        }
        out[c] = (float)(sum / (double)n_pixels);
    }
}

static void channel_scale(float *x, size_t n_pixels, int channels, const float *scale)
{
    for (size_t p = 0; p < n_pixels; p++) {
        for (int c = 0; c < channels; c++) {
            *x++ *= scale[c];
        }
    }
}

static void add_taps(const float *map, int channels, const struct roi_taps *t, float *out)
{
    for (int i = 0; i < 4; i++) {
        const float *pixel = map + t->pixel[i] * (size_t)channels;
        for (int c = 0; c < channels; c++) {
            out[c] += t->weight[i] * pixel[c];
        }
    }
}

static void roi_align(const float *map, int h, int w, int channels, float scale, const struct roi_box *box, int pool,
                      int sampling, float *out)
{
    struct roi_grid g = roi_grid(h, w, scale, box, pool, sampling);
    for (int bin = 0; bin < pool * pool; bin++, out += channels) {
        for (int c = 0; c < channels; c++) {
            out[c] = 0.0f;
        }
        for (int i = 0; i < sampling * sampling; i++) {
            struct roi_taps t = roi_grid_taps(&g, bin / pool, bin % pool, i / sampling, i % sampling);
            add_taps(map, channels, &t, out);
        }
    }
}

void conv_ref_install(struct kernels *k)
{
    k->conv_rgb = conv_rgb;
    k->depthwise = depthwise;
    k->maxpool3x3s2 = maxpool3x3s2;
    k->upsample_nearest = upsample_nearest;
    k->weighted_sum = weighted_sum;
    k->channel_mean = channel_mean;
    k->channel_scale = channel_scale;
    k->roi_align = roi_align;
}
