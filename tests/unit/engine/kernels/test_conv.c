/* Convolutions: every instruction set against plain C on odd shapes; strips against the whole map, bit for bit. */
#include "engine/kernels/list.h"
#include "tests/support/kernel_check.h"

static const int channel_counts[] = {1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 96};
enum { N_CHANNELS = sizeof(channel_counts) / sizeof(channel_counts[0]) };

static struct conv_shape shape_of(int h, int w, int channels, int kernel, int stride, int pad_top, int pad_left,
                                  int pad_end)
{
    struct conv_shape s = {.in_h = h, .in_w = w, .channels = channels, .kernel = kernel, .stride = stride};
    s.pad_top = pad_top;
    s.pad_left = pad_left;
    s.out_h = (h + pad_top + pad_end - kernel) / stride + 1;
    s.out_w = (w + pad_left + pad_end - kernel) / stride + 1;
    return s;
}

static size_t area(int h, int w, int channels)
{
    return (size_t)h * (size_t)w * (size_t)channels;
}

/* The filter of plain C and of `k` on the same numbers. Returns how many outputs differ. */
static int depthwise_faults(const struct kernels *k, const struct conv_shape *s, enum act act, bool with_bias,
                            float spoil)
{
    const struct kernels *ref = kernels_select(ISA_REF, GEMM_NATIVE);
    size_t n = area(s->out_h, s->out_w, s->channels), taps = area(s->kernel, s->kernel, s->channels);
    struct guarded in = random_floats(area(s->in_h, s->in_w, s->channels), 1), w = random_floats(taps, 2);
    struct guarded bias = random_floats((size_t)s->channels, 3), out = guarded_floats(n), expected = guarded_floats(n);
    ref->depthwise(s, in.p, w.p, with_bias ? bias.p : NULL, act, expected.p);
    w.p[taps / 2] += spoil;
    k->depthwise(s, in.p, w.p, with_bias ? bias.p : NULL, act, out.p);
    int faults = 0;
    for (size_t i = 0; i < n; i++) {
        faults += !(fabsf(out.p[i] - expected.p[i]) <= 1e-5f * fmaxf(1.0f, fabsf(expected.p[i])));
    }
    CHECK_INT(guarded_release(&in) + guarded_release(&w) + guarded_release(&bias), 0);
    CHECK_INT(guarded_release(&out) + guarded_release(&expected), 0);
    return faults;
}

static void check_depthwise(const struct kernels *k, struct conv_shape s, enum act act, bool with_bias)
{
    int faults = depthwise_faults(k, &s, act, with_bias, 0.0f);
    CHECK_INT(faults, 0);
    if (faults) {
        fprintf(stderr, "  in %dx%dx%d, kernel %d, stride %d, pads %d %d, out %dx%d\n", s.in_h, s.in_w, s.channels,
                s.kernel, s.stride, s.pad_top, s.pad_left, s.out_h, s.out_w);
    }
}

static void test_depthwise(const struct kernels *k)
{
    static const int widths[] = {1, 2, 5, 7, 8, 9, 14, 17, 23};
    for (int i = 0; i < N_CHANNELS; i++) {
        for (size_t j = 0; j < sizeof(widths) / sizeof(widths[0]); j++) {
            for (int kernel = 3; kernel <= 5; kernel += 2) {
                for (int stride = 1; stride <= 2; stride++) {
                    int w = widths[j], h = 1 + (i + (int)j) % 6, pad = kernel / 2;
                    enum act act = (enum act)((i + (int)j + kernel) % (ACT_SIGMOID + 1));
                    check_depthwise(k, shape_of(h, w, channel_counts[i], kernel, stride, pad, pad, pad), act, j % 2);
                    if (w >= kernel && h >= kernel) {
                        check_depthwise(k, shape_of(h, w, channel_counts[i], kernel, stride, 0, 1, 1), act, true);
                    }
                }
            }
        }
    }
    check_depthwise(k, shape_of(9, 11, 20, 7, 1, 3, 3, 3), ACT_SWISH, true);
    check_depthwise(k, shape_of(9, 11, 20, 1, 1, 0, 0, 0), ACT_RELU, true);
    check_depthwise(k, shape_of(13, 15, 20, 3, 3, 1, 1, 1), ACT_RELU6, true);
    check_depthwise(k, shape_of(9, 200, 48, 5, 1, 2, 2, 2), ACT_SWISH, true);
    check_depthwise(k, shape_of(4, 6, 16, 3, 1, 4, 4, 4), ACT_NONE, true); /* outputs that see no input at all */
    check_depthwise(k, shape_of(0, 4, 16, 3, 1, 1, 1, 2), ACT_NONE, true);
}

/* Strips of two output rows, each with the input rows it needs, as the model runs them. */
static void test_strips(const struct kernels *k)
{
    for (int stride = 1; stride <= 2; stride++) {
        struct conv_shape s = shape_of(13, 19, 24, 5, stride, 2, 2, 2);
        size_t in_row = area(1, s.in_w, s.channels), out_row = area(1, s.out_w, s.channels);
        struct guarded in = random_floats((size_t)s.in_h * in_row, 1), w = random_floats(area(5, 5, 24), 2);
        struct guarded whole = guarded_floats((size_t)s.out_h * out_row), strips = guarded_floats(whole.n);
        k->depthwise(&s, in.p, w.p, NULL, ACT_SWISH, whole.p);
        for (int y = 0; y < s.out_h; y += 2) {
            struct conv_shape part = s;
            int first = y * stride - s.pad_top, rows = stride + s.kernel;
            int start = first < 0 ? 0 : first, end = first + rows < s.in_h ? first + rows : s.in_h;
            part.pad_top = start - first;
            part.in_h = end - start;
            part.out_h = s.out_h - y < 2 ? 1 : 2;
            k->depthwise(&part, in.p + (size_t)start * in_row, w.p, NULL, ACT_SWISH, strips.p + (size_t)y * out_row);
        }
        CHECK_INT(memcmp(whole.p, strips.p, whole.n * sizeof(float)), 0);
        CHECK_INT(guarded_release(&in) + guarded_release(&w), 0);
        CHECK_INT(guarded_release(&whole) + guarded_release(&strips), 0);
    }
}

static void check_rgb(const struct kernels *k, struct conv_shape s, int out_channels, enum act act, bool with_bias)
{
    const struct kernels *ref = kernels_select(ISA_REF, GEMM_NATIVE);
    size_t n = area(s.out_h, s.out_w, out_channels);
    struct guarded in = random_floats(area(s.in_h, s.in_w, 3), 1), w = random_floats(27 * (size_t)out_channels, 2);
    struct guarded bias = random_floats((size_t)out_channels, 3), out = guarded_floats(n), expected = guarded_floats(n);
    ref->conv_rgb(&s, in.p, w.p, with_bias ? bias.p : NULL, out_channels, act, expected.p);
    k->conv_rgb(&s, in.p, w.p, with_bias ? bias.p : NULL, out_channels, act, out.p);
    CHECK_INT(mismatches("conv_rgb", out.p, expected.p, n, 1e-5), 0);
    CHECK_INT(guarded_release(&in) + guarded_release(&w) + guarded_release(&bias), 0);
    CHECK_INT(guarded_release(&out) + guarded_release(&expected), 0);
}

static void test_conv_rgb(const struct kernels *k)
{
    static const int widths[] = {1, 2, 7, 16, 17, 33, 50};
    for (int i = 0; i < N_CHANNELS; i++) {
        for (size_t j = 0; j < sizeof(widths) / sizeof(widths[0]); j++) {
            enum act act = (enum act)((i + (int)j) % (ACT_SIGMOID + 1));
            int h = 1 + (i + 2 * (int)j) % 7;
            check_rgb(k, shape_of(h, widths[j], 3, 3, 2, 1, 1, 1), channel_counts[i], act, j % 2);
            check_rgb(k, shape_of(h + 2, widths[j] + 2, 3, 3, 2, 0, 0, 1), channel_counts[i], act, true);
        }
    }
    check_rgb(k, shape_of(6, 31, 3, 3, 1, 1, 1, 1), 32, ACT_SWISH, true);
}

/* By hand: a filter of ones counts the taps inside; a planted fault in one weight is found. */
static void test_known(const struct kernels *k)
{
    struct conv_shape s = shape_of(3, 5, 2, 3, 1, 1, 1, 1);
    float in[3 * 5 * 2], w[9 * 2], out[3 * 5 * 2];
    for (int i = 0; i < 30; i++) {
        in[i] = 1.0f;
    }
    for (int i = 0; i < 18; i++) {
        w[i] = 1.0f;
    }
    const float bias[2] = {0.0f, -5.0f};
    k->depthwise(&s, in, w, bias, ACT_RELU, out);
    CHECK_NEAR(out[0], 4, 0);               /* a corner */
    CHECK_NEAR(out[1], 0, 0);               /* 4 - 5, rectified */
    CHECK_NEAR(out[2 * 2], 6, 0);           /* the upper border */
    CHECK_NEAR(out[(5 + 2) * 2], 9, 0);     /* inside */
    CHECK_NEAR(out[(5 + 2) * 2 + 1], 4, 0); /* 9 - 5 */
    struct conv_shape large = shape_of(8, 20, 40, 3, 1, 1, 1, 1);
    CHECK(depthwise_faults(k, &large, ACT_NONE, true, 0.01f) > 0);
}

int main(void)
{
#define RUN(op) for_each_isa(test_##op);
    LIST_CONV(RUN)
#undef RUN
    for_each_isa(test_strips);
    for_each_isa(test_known);
    return check_result();
}
