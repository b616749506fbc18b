/* Work on maps that is not a convolution, in plain C. */
#include "engine/kernels/act.h"
#include "engine/kernels/install.h"
#include "engine/kernels/roi_grid.h"

#include <string.h>

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
    size_t n = (size_t)channels;
    for (int y = 0; y < out_h; y++) {
        const float *row = in + (size_t)((long long)y * h / out_h) * (size_t)w * n;
        for (int x = 0; x < out_w; x++) {
            memcpy(out, row + (size_t)((long long)x * w / out_w) * n, n * sizeof(*out));
            out += n;
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
    struct roi_grid g;
    roi_grid(&g, h, w, scale, box, pool, sampling);
    for (int bin = 0; bin < pool * pool; bin++, out += channels) {
        for (int c = 0; c < channels; c++) {
            out[c] = 0.0f;
        }
        for (int i = 0; i < sampling * sampling; i++) {
            struct roi_taps t =
                roi_grid_taps(&g, bin / pool * sampling + i / sampling, bin % pool * sampling + i % sampling);
            add_taps(map, channels, &t, out);
        }
    }
}

void maps_ref_install(struct kernels *k)
{
    k->maxpool3x3s2 = maxpool3x3s2;
    k->upsample_nearest = upsample_nearest;
    k->weighted_sum = weighted_sum;
    k->channel_mean = channel_mean;
    k->channel_scale = channel_scale;
    k->roi_align = roi_align;
}
