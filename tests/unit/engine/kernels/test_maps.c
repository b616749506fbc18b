/* Work on maps: every instruction set against plain C on odd shapes, and plain C against numbers made by hand. */
#include "engine/kernels/list.h"
#include "engine/kernels/roi_grid.h"
#include "tests/support/kernel_check.h"

static const int channel_counts[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 130};
enum { N_CHANNELS = sizeof(channel_counts) / sizeof(channel_counts[0]) };

static const struct kernels *ref(void)
{
    return kernels_select(ISA_REF, GEMM_NATIVE);
}

static size_t area(int h, int w, int channels)
{
    return (size_t)h * (size_t)w * (size_t)channels;
}

static void test_maxpool3x3s2(const struct kernels *k)
{
    for (int i = 0; i < N_CHANNELS; i++) {
        int h = 1 + i % 6, w = 1 + i % 7, c = channel_counts[i];
        size_t n = area((h + 1) / 2, (w + 1) / 2, c);
        struct guarded in = random_floats(area(h, w, c), 1), out = guarded_floats(n), expected = guarded_floats(n);
        for (size_t j = 0; j < in.n; j++) {
            in.p[j] -= 2.0f; /* the border must not win as a zero */
        }
        ref()->maxpool3x3s2(in.p, h, w, c, expected.p);
        k->maxpool3x3s2(in.p, h, w, c, out.p);
        CHECK_INT(mismatches("maxpool", out.p, expected.p, n, 0.0), 0);
        CHECK_INT(guarded_release(&in) + guarded_release(&out) + guarded_release(&expected), 0);
    }
    const float in[9] = {1, 2, 3, 4, 9, 6, 7, 8, -1};
    float out[5];
    k->maxpool3x3s2(in, 3, 3, 1, out);
    CHECK_NEAR(out[0], 9, 0);
    k->maxpool3x3s2(in, 1, 9, 1, out);
    CHECK_NEAR(out[0], 2, 0);
    CHECK_NEAR(out[1], 4, 0);
    CHECK_NEAR(out[3], 8, 0);
}

static void test_upsample_nearest(const struct kernels *k)
{
    const float in[6] = {1, 2, 3, 4, 5, 6};
    const float expected[15] = {1, 1, 2, 2, 3, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6};
    struct guarded out = guarded_floats(15);
    k->upsample_nearest(in, 2, 3, 1, 3, 5, out.p);
    CHECK_INT(mismatches("upsample", out.p, expected, 15, 0.0), 0);
    CHECK_INT(guarded_release(&out), 0);
    struct guarded wide = guarded_floats(2 * 4 * 3);
    k->upsample_nearest(in, 1, 2, 3, 2, 4, wide.p);
    for (int i = 0; i < 24; i++) {
        CHECK_NEAR(wide.p[i], in[i / 6 % 2 * 3 + i % 3], 0);
    }
    CHECK_INT(guarded_release(&wide), 0);
}

static void test_weighted_sum(const struct kernels *k)
{
    static const size_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 2047, 2048, 2049, 5000};
    const float weights[3] = {0.7f, -1.5f, 0.3f};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        struct guarded a = random_floats(n, 1), b = random_floats(n, 2), c = random_floats(n, 3);
        struct guarded out = guarded_floats(n), expected = guarded_floats(n);
        const float *in[3] = {a.p, b.p, c.p};
        for (int n_in = 1; n_in <= 3; n_in++) {
            enum act act = (enum act)((i + (size_t)n_in) % (ACT_SIGMOID + 1));
            ref()->weighted_sum(in, weights, n_in, n, act, expected.p);
            k->weighted_sum(in, weights, n_in, n, act, out.p);
            CHECK_INT(mismatches("weighted_sum", out.p, expected.p, n, 2e-6), 0);
        }
        k->weighted_sum(in, weights, 3, n, ACT_SWISH, b.p); /* out may be an input */
        in[1] = out.p;
        fill_random(out.p, n, 2);
        ref()->weighted_sum(in, weights, 3, n, ACT_SWISH, expected.p);
        CHECK_INT(mismatches("weighted_sum in place", b.p, expected.p, n, 2e-6), 0);
        CHECK_INT(guarded_release(&a) + guarded_release(&b) + guarded_release(&c), 0);
        CHECK_INT(guarded_release(&out) + guarded_release(&expected), 0);
    }
}

static void test_channel_mean(const struct kernels *k)
{
    static const size_t pixels[] = {1, 3, 63, 64, 65, 200};
    for (int i = 0; i < N_CHANNELS; i++) {
        for (size_t j = 0; j < sizeof(pixels) / sizeof(pixels[0]); j++) {
            size_t c = (size_t)channel_counts[i];
            struct guarded in = random_floats(pixels[j] * c, 1), out = guarded_floats(c), expected = guarded_floats(c);
            ref()->channel_mean(in.p, pixels[j], (int)c, expected.p);
            k->channel_mean(in.p, pixels[j], (int)c, out.p);
            CHECK_INT(mismatches("channel_mean", out.p, expected.p, c, 1e-6), 0);
            CHECK_INT(guarded_release(&in) + guarded_release(&out) + guarded_release(&expected), 0);
        }
    }
    /* a long sum keeps its digits */
    size_t n = 128 * 128;
    struct guarded in = guarded_floats(n * 17), out = guarded_floats(17);
    for (size_t i = 0; i < in.n; i++) {
        in.p[i] = 1.1f;
    }
    k->channel_mean(in.p, n, 17, out.p);
    for (int c = 0; c < 17; c++) {
        CHECK_NEAR(out.p[c], 1.1f, 5e-6);
    }
    CHECK_INT(guarded_release(&in) + guarded_release(&out), 0);
}

static void test_channel_scale(const struct kernels *k)
{
    for (int i = 0; i < N_CHANNELS; i++) {
        size_t c = (size_t)channel_counts[i], n = 5 * c;
        struct guarded x = random_floats(n, 1), expected = random_floats(n, 1), scale = random_floats(c, 2);
        ref()->channel_scale(expected.p, 5, (int)c, scale.p);
        k->channel_scale(x.p, 5, (int)c, scale.p);
        CHECK_INT(mismatches("channel_scale", x.p, expected.p, n, 0.0), 0);
        CHECK_INT(guarded_release(&x) + guarded_release(&expected) + guarded_release(&scale), 0);
    }
}

static void test_roi_align(const struct kernels *k)
{
    static const struct roi_box boxes[] = {
        {0, 0, 99, 63}, {10.5f, 3.25f, 40.75f, 20}, {-30, -30, 8, 8},    {80, 50, 140, 90},
        {5, 5, 5, 5},   {300, 300, 400, 400},       {-1e9f, 2, 1e9f, 9}, {0, 0, 0.001f, 63}};
    for (int i = 0; i < N_CHANNELS; i++) {
        for (size_t j = 0; j < sizeof(boxes) / sizeof(boxes[0]); j++) {
            int c = channel_counts[i], pool = 1 + (int)j % 4, sampling = 1 + i % 3;
            size_t n = area(pool, pool, c);
            struct guarded map = random_floats(area(16, 25, c), 1), out = guarded_floats(n),
                           expected = guarded_floats(n);
            ref()->roi_align(map.p, 16, 25, c, 0.25f, &boxes[j], pool, sampling, expected.p);
            k->roi_align(map.p, 16, 25, c, 0.25f, &boxes[j], pool, sampling, out.p);
            CHECK_INT(mismatches("roi_align", out.p, expected.p, n, 1e-6), 0);
            CHECK_INT(guarded_release(&map) + guarded_release(&out) + guarded_release(&expected), 0);
        }
    }
}

/* On a map that holds its own coordinates, RoIAlign gives the mean coordinate of the samples. */
static void test_roi_known(const struct kernels *k)
{
    float map[8 * 10 * 2], out[2 * 2 * 2];
    for (int i = 0; i < 80; i++) {
        map[2 * i] = (float)(i % 10);
        map[2 * i + 1] = (float)(i / 10);
    }
    struct roi_box box = {4, 2, 20, 14}; /* on the map 2..10 by 1..7 */
    k->roi_align(map, 8, 10, 2, 0.5f, &box, 2, 2, out);
    CHECK_NEAR(out[0], 4, 1e-6);
    CHECK_NEAR(out[1], 2.5, 1e-6);
    CHECK_NEAR(out[2], 8, 1e-6); /* samples at 7 and 9: the last column */
    CHECK_NEAR(out[5], 5.5, 1e-6);
    struct roi_box outside = {40, 40, 60, 60};
    k->roi_align(map, 8, 10, 2, 0.5f, &outside, 2, 2, out);
    CHECK_NEAR(out[0], 0, 0);
    CHECK_NEAR(out[7], 0, 0);
}

int main(void)
{
#define RUN(op) for_each_isa(test_##op);
    LIST_MAPS(RUN)
#undef RUN
    for_each_isa(test_roi_known);
    return check_result();
}
