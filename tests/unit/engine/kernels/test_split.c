/* Calls in cuts give the bits of whole calls: every table, odd sizes, any number of cuts. No helpers are needed for
 * that: the leader does all cuts itself. */
#include "engine/kernels/split.h"

#include "engine/base/mem.h"
#include "tests/support/kernel_check.h"

#include <string.h>

enum { PIXELS = 61, COUNTS = 4 };
static const int helper_counts[COUNTS] = {0, 1, 2, 6};

static struct crew *crew;
static const struct kernels *inner, *table;
static struct kernels split;
static int n_cut; /* calls that were cut */

/* Whole, then in as many cuts as `helpers` are worth; both write to what `out` has room for. */
static void check(const char *what, void (*call)(const struct kernels *k, float *out), size_t n_out)
{
    struct guarded expected = guarded_floats(n_out);
    call(inner, expected.p);
    for (int i = 0; i < COUNTS; i++) {
        int helpers = helper_counts[i];
        struct guarded out = guarded_floats(n_out);
        crew_pretend(crew, 0, helpers);
        call(table, out.p);
        int cuts = split_cuts();
        CHECK(helpers > 0 || cuts == 1);
        n_cut += cuts > 1;
        bool is_same = memcmp(out.p, expected.p, n_out * sizeof(float)) == 0;
        if (!is_same) {
            fprintf(stderr, "%s, %s, %d cuts:\n", isa_name(inner->isa), what, cuts);
        }
        CHECK(is_same);
        CHECK_INT(guarded_release(&out), 0);
    }
    CHECK_INT(guarded_release(&expected), 0);
}

/* ---- products ---- */

static size_t m, n, depth;
static bool has_residual, is_half;

static void *aligned(size_t n_bytes)
{
    void *p = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    if (!p) {
        abort();
    }
    return p;
}

static void product(const struct kernels *k, float *out)
{
    struct guarded a = random_floats(m * depth, 1), w = random_floats(n * depth, 2), bias = random_floats(n, 3),
                   residual = random_floats(m * n, 4);
    size_t packed_n = inner->gemm_packed_floats(n, depth);
    float *packed = aligned(packed_n * sizeof(float));
    uint16_t *halves = aligned(packed_n * sizeof(uint16_t));
    inner->gemm_pack(w.p, n, depth, packed);
    for (size_t i = 0; i < packed_n; i++) {
        halves[i] = (uint16_t)(0x3000 + i * 7 % 0x700); /* any numbers do */
    }
    bool use_halves = is_half && inner->gemm_takes_halves;
    struct gemm_weights weights = {.n = n,
                                   .k = depth,
                                   .packed = use_halves ? NULL : packed,
                                   .halves = use_halves ? halves : NULL,
                                   .bias = has_residual ? NULL : bias.p};
    k->gemm(&weights, a.p, depth, m, out, n, ACT_SWISH, has_residual ? residual.p : NULL, n);
    free(packed);
    free(halves);
    CHECK_INT(guarded_release(&a) + guarded_release(&w) + guarded_release(&bias) + guarded_release(&residual), 0);
}

/* Rows to bytes, their product, and that as bytes behind it. */
static void product8(const struct kernels *k, float *out)
{
    size_t ld = (depth + GEMM8_ALIGN - 1) / GEMM8_ALIGN * GEMM8_ALIGN;
    struct guarded a = random_floats(m * depth, 1), scale = random_floats(n, 2), bias = random_floats(n, 3),
                   residual = random_floats(m * n, 4);
    uint8_t *q = aligned(m * ld), *bytes = aligned(m * n);
    int8_t *w = aligned(n * depth), *packed = aligned(inner->gemm8_packed_bytes(n, depth));
    struct gemm8_row *row = aligned(m * sizeof(*row));
    for (size_t i = 0; i < n * depth; i++) {
        w[i] = (int8_t)(i * 37 % 255 - 127);
    }
    inner->gemm8_pack(w, n, depth, packed);
    k->quantize_rows(a.p, depth, m, depth, q, ld, row);
    struct gemm8_weights weights = {.n = n, .k = depth, .packed = packed, .scale = scale.p, .bias = bias.p};
    struct gemm8_in in = {q, ld, row, 1};
    struct gemm8_out to_bytes = {.q = bytes, .ld = n, .to = {0.5F, 128}, .act = ACT_NONE};
    struct gemm8_out to_floats = {
        .c = out, .ld = n, .act = ACT_GELU, .residual = has_residual ? residual.p : NULL, .ldr = n};
    k->gemm8(&weights, &in, m, &to_bytes);
    k->gemm8(&weights, &in, m, &to_floats);
    for (size_t i = 0; i < m * n; i++) {
        out[m * n + i] = bytes[i];
    }
    free(q);
    free(bytes);
    free(w);
    free(packed);
    free(row);
    CHECK_INT(guarded_release(&a) + guarded_release(&scale) + guarded_release(&bias) + guarded_release(&residual), 0);
}

static void test_products(void)
{
    static const size_t rows[] = {1, 2, 9, 50, 101}, columns[] = {1, 47, 112, 193, 1326}, depths[] = {33, 384};
    for (size_t i = 0; i < 5 * 5 * 2; i++) {
        m = rows[i % 5];
        n = columns[i / 5 % 5];
        depth = depths[i / 25];
        has_residual = i % 3 == 0;
        is_half = i % 2 == 0;
        check("gemm", product, m * n);
        check("gemm8", product8, 2 * m * n);
    }
}

/* ---- maps ---- */

static struct conv_shape shape;

static void filter(const struct kernels *k, float *out)
{
    size_t channels = (size_t)shape.channels, taps = (size_t)(shape.kernel * shape.kernel);
    struct guarded in = random_floats((size_t)(shape.in_h * shape.in_w) * channels, 1),
                   w = random_floats(taps * channels, 2), bias = random_floats(channels, 3);
    k->depthwise(&shape, in.p, w.p, bias.p, ACT_RELU6, out);
    CHECK_INT(guarded_release(&in) + guarded_release(&w) + guarded_release(&bias), 0);
}

static void filter8(const struct kernels *k, float *out)
{
    size_t channels = (size_t)shape.channels, taps = (size_t)(shape.kernel * shape.kernel),
           n_in = (size_t)(shape.in_h * shape.in_w) * channels, n_out = (size_t)(shape.out_h * shape.out_w) * channels;
    struct guarded in = random_floats(n_in, 1), scale = random_floats(channels, 2), bias = random_floats(channels, 3);
    int16_t *w = aligned(taps * channels * sizeof(*w));
    void *packed = aligned(inner->filter8_packed_bytes(shape.kernel, shape.channels));
    uint8_t *bytes = aligned(n_in), *filtered = aligned(n_out);
    for (size_t i = 0; i < taps * channels; i++) {
        w[i] = (int16_t)(i * 613 % (2 * FILTER8_MAX + 1)) - FILTER8_MAX;
    }
    for (size_t i = 0; i < channels; i++) {
        scale.p[i] *= 1e-3F;
        bias.p[i] = 100 * bias.p[i] + 100;
    }
    inner->filter8_pack(w, shape.kernel, shape.channels, packed);
    k->quantize(in.p, n_in, 1.0F / 200, bytes);
    k->depthwise8(&shape, bytes, &(struct filter8){packed, scale.p, bias.p}, filtered);
    for (size_t i = 0; i < n_out; i++) {
        out[i] = filtered[i];
    }
    free(w);
    free(packed);
    free(bytes);
    free(filtered);
    CHECK_INT(guarded_release(&in) + guarded_release(&scale) + guarded_release(&bias), 0);
}

static void first_filter(const struct kernels *k, float *out)
{
    struct guarded in = random_floats((size_t)(shape.in_h * shape.in_w) * 3, 1),
                   w = random_floats(27 * (size_t)shape.channels, 2), bias = random_floats((size_t)shape.channels, 3);
    struct conv_shape rgb = shape;
    rgb.channels = 3;
    k->conv_rgb(&rgb, in.p, w.p, bias.p, shape.channels, ACT_SWISH, out);
    CHECK_INT(guarded_release(&in) + guarded_release(&w) + guarded_release(&bias), 0);
}

static void test_filters(void)
{
    for (int i = 0; i < 24; i++) {
        int stride = 1 + i % 2, kernel = i % 4 < 2 ? 3 : 5, in_h = 17 + i % 3, in_w = 23;
        shape = (struct conv_shape){.in_h = in_h,
                                    .in_w = in_w,
                                    .channels = 33 + 16 * (i % 5),
                                    .kernel = kernel,
                                    .stride = stride,
                                    .pad_top = i % 3,
                                    .pad_left = 1,
                                    .out_h = (in_h + stride - 1) / stride,
                                    .out_w = (in_w + stride - 1) / stride};
        check("depthwise", filter, (size_t)(shape.out_h * shape.out_w * shape.channels));
        check("depthwise8", filter8, (size_t)(shape.out_h * shape.out_w * shape.channels));
        if (kernel == 3) {
            check("conv_rgb", first_filter, (size_t)(shape.out_h * shape.out_w * shape.channels));
        }
    }
}

static void sums(const struct kernels *k, float *out)
{
    struct guarded a = random_floats(n, 1), b = random_floats(n, 2), c = random_floats(n, 3);
    const float *in[3] = {a.p, b.p, c.p}, weights[3] = {0.25F, 0.5F, 0.3F};
    k->weighted_sum(in, weights, 3, n, ACT_SWISH, out);
    CHECK_INT(guarded_release(&a) + guarded_release(&b) + guarded_release(&c), 0);
}

static void scaled(const struct kernels *k, float *out)
{
    struct guarded scale = random_floats(n, 1);
    fill_random(out, PIXELS * n, 2);
    k->channel_scale(out, PIXELS, (int)n, scale.p);
    CHECK_INT(guarded_release(&scale), 0);
}

static void normed(const struct kernels *k, float *out)
{
    struct guarded x = random_floats(PIXELS * n, 1), w = random_floats(n, 2), b = random_floats(n, 3);
    k->layer_norm(x.p, PIXELS, n, w.p, b.p, 1e-12F, out);
    CHECK_INT(guarded_release(&x) + guarded_release(&w) + guarded_release(&b), 0);
}

static void soft(const struct kernels *k, float *out)
{
    fill_random(out, 2 * PIXELS * n, 1);
    k->softmax(out, PIXELS, n, n);
    k->log_softmax(out + PIXELS * n, PIXELS, n, n);
}

static void test_rows(void)
{
    static const size_t columns[] = {1, 80, 384, 1000};
    for (int i = 0; i < 4; i++) {
        n = columns[i];
        check("channel_scale", scaled, PIXELS * n);
        check("layer_norm", normed, PIXELS * n);
        check("softmax", soft, 2 * PIXELS * n);
        n *= 101;
        check("weighted_sum", sums, n);
    }
}

/* ---- attention ---- */

static int heads, dim;

static void attention(const struct kernels *k, float *out)
{
    size_t d = (size_t)(heads * dim), ld = 3 * d;
    struct guarded x = random_floats(n * ld, 1), scratch = guarded_floats((size_t)heads * n);
    struct kv_span all = {x.p + d, x.p + 2 * d, n, ld},
                   parts[3] = {{x.p + d, x.p + 2 * d, n / 3, ld},
                               {x.p + d, x.p + 2 * d, 0, ld},
                               {x.p + n / 3 * ld + d, x.p + n / 3 * ld + 2 * d, n - n / 3, ld}};
    k->attend_block(x.p, m, ld, &all, heads, dim, 0.2F, scratch.p, out, d);
    k->attend(x.p, parts, 3, heads, dim, 0.2F, scratch.p, out + m * d);
    CHECK_INT(guarded_release(&x) + guarded_release(&scratch), 0);
}

static void test_attention(void)
{
    static const int head_counts[] = {1, 3, 12}, dims[] = {8, 32, 40};
    for (int i = 0; i < 27; i++) {
        heads = head_counts[i % 3];
        dim = dims[i / 3 % 3];
        n = (size_t)(i < 9 ? 5 : i < 18 ? 84 : 400);
        m = n < 84 ? n : 84;
        check("attention", attention, (m + 1) * (size_t)(heads * dim));
    }
}

/* ---- loops of others ---- */

int main(void)
{
    CHECK_INT(crew_create(&crew, 1), OK);
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_can_run((enum isa)isa)) {
            continue;
        }
        inner = kernels_select((enum isa)isa, GEMM_NATIVE);
        table = split_kernels(&split, inner);
        split_enter(inner, crew, 0);
        n_cut = 0;
        test_products();
        test_filters();
        test_rows();
        test_attention();
        CHECK(n_cut > 250); /* most of them are large enough */
    }
    inner = kernels_select(ISA_REF, GEMM_OPENBLAS);
    table = split_kernels(&split, inner);
    split_enter(inner, crew, 0);
    test_products();
    split_enter(inner, NULL, 0);
    crew_destroy(crew);
    return check_result();
}
