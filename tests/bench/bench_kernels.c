/* Speed of every kernel on the shapes of MiniVLM, instruction sets and back ends side by side.
 *
 * Use: bench_kernels [part of a name]. One line per shape: median of ROUNDS interleaved rounds for each candidate, in
 * GFLOP/s or GB/s (read and written), and the spread (upper minus lower quartile, in % of the median) of the first.
 * `cold` shapes walk through copies of the weights so that they come from memory, as in a decoding step.
 * OpenBLAS older than the CPU falls back to its slowest kernels: set OPENBLAS_CORETYPE (for instance SkylakeX). */
#include "tests/bench/bench_kernels.h"

/* -- matrix product -- */

static void run_gemm(struct bench *b)
{
    size_t size = b->k->gemm_packed_floats(b->n, b->depth);
    struct gemm_weights w = {.n = b->n, .k = b->depth, .packed = b->packed + b->turn * size, .bias = b->extra};
    b->turn = (b->turn + 1) % b->copies;
    b->k->gemm(&w, b->in, b->depth, b->m, b->out, b->n, b->act, NULL, 0);
}

static void gemm_shape(const char *what, size_t m, size_t n, size_t depth, enum act act, bool cold)
{
    char name[80];
    snprintf(name, sizeof(name), "gemm %s %zu x %zu x %zu%s", what, m, n, depth, cold ? " cold" : "");
    if (!wanted(name)) {
        return;
    }
    struct bench b[CANDIDATES] = {{.k = kernels_select(MORE, GEMM_NATIVE)},
                                  {.k = kernels_select(SOME, GEMM_NATIVE)},
                                  {.k = kernels_select(ISA_AVX512, GEMM_OPENBLAS)},
                                  {.k = kernels_select(ISA_REF, GEMM_NATIVE)}};
    float *in = floats(m * depth), *out = floats(m * n), *bias = floats(n), *w = floats(n * depth);
    for (int c = 0; c < CANDIDATES; c++) {
        size_t size = b[c].k->gemm_packed_floats(n, depth);
        b[c] = (struct bench){.k = b[c].k, .in = in, .out = out, .extra = bias, .m = m, .n = n, .depth = depth};
        b[c].act = act;
        b[c].copies = cold ? COLD_BYTES / (size * sizeof(float)) + 1 : 1;
        b[c].packed = floats(b[c].copies * size);
        for (size_t i = 0; i < b[c].copies; i++) {
            b[c].k->gemm_pack(w, n, depth, b[c].packed + i * size);
        }
    }
    measure(name, b, CANDIDATES, run_gemm, 2e-9 * (double)m * (double)n * (double)depth, "GFLOP/s");
    for (int c = 0; c < CANDIDATES; c++) {
        mem_free(b[c].packed);
    }
    mem_free(in);
    mem_free(out);
    mem_free(bias);
    mem_free(w);
}

/* EfficientNet-B0's blocks (expand, kernel, stride, in, out), the first of each stage, and where they run. */
struct block {
    int expand, kernel, stride, in, out, at; /* `at`: input's stride against the image */
};
static const struct block blocks[] = {{1, 3, 1, 32, 16, 2},    {6, 3, 2, 16, 24, 2},    {6, 3, 1, 24, 24, 4},
                                      {6, 5, 2, 24, 40, 4},    {6, 5, 1, 40, 40, 8},    {6, 3, 2, 40, 80, 8},
                                      {6, 3, 1, 80, 80, 16},   {6, 5, 1, 80, 112, 16},  {6, 5, 1, 112, 112, 16},
                                      {6, 5, 2, 112, 192, 16}, {6, 5, 1, 192, 192, 32}, {6, 3, 1, 192, 320, 32}};
static const int images[][2] = {{256, 256}, {512, 704}};

/* Rows of a strip: as the model runs them, about half a megabyte at a time. */
static int strip_rows(int rows, int row_floats)
{
    int max = (1 << 17) / row_floats;
    return max < 4 ? (rows < 4 ? rows : 4) : rows < max ? rows : max;
}

static void bench_gemm(void)
{
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        for (size_t j = 0; j < sizeof(blocks) / sizeof(blocks[0]); j++) {
            const struct block *b = &blocks[j];
            int wide = b->in * b->expand, w = images[i][1] / b->at, h = images[i][0] / b->at;
            size_t in_rows = (size_t)(strip_rows(h, w * wide) * w);
            size_t out_rows = (size_t)(strip_rows(h / b->stride, w / b->stride * wide) * w / b->stride);
            if (b->expand > 1) {
                gemm_shape(i ? "512x704 expand" : "256 expand", in_rows, (size_t)wide, (size_t)b->in, ACT_SWISH, false);
            }
            gemm_shape(i ? "512x704 project" : "256 project", out_rows, (size_t)b->out, (size_t)wide, ACT_NONE, false);
        }
    }
    gemm_shape("bifpn", 1024, 64, 64, ACT_NONE, false);
    gemm_shape("region fc6", 300, 1024, 1024, ACT_RELU, false);
    gemm_shape("fusion qkv", 100, 1152, 384, ACT_NONE, false);
    gemm_shape("fusion out", 100, 384, 384, ACT_NONE, false);
    gemm_shape("fusion up", 100, 1536, 384, ACT_GELU, false);
    gemm_shape("fusion down", 100, 384, 1536, ACT_NONE, false);
    gemm_shape("fusion up", 400, 1536, 384, ACT_NONE, false);
    gemm_shape("fusion up", 400, 1536, 384, ACT_GELU, false);
    gemm_shape("fusion down", 400, 384, 1536, ACT_NONE, false);
    static const size_t rows[] = {2, 4, 10};
    for (int i = 0; i < 3; i++) {
        gemm_shape("step qkv", rows[i], 1152, 384, ACT_NONE, true);
        gemm_shape("step up", rows[i], 1536, 384, ACT_GELU, true);
        gemm_shape("step down", rows[i], 384, 1536, ACT_NONE, true);
        gemm_shape("step words", rows[i], 30522, 384, ACT_NONE, true);
    }
}

/* -- the same of bytes -- */

static void run_gemm8(struct bench *b)
{
    static const struct gemm8_row row = {0.01f, 128};
    size_t size = (b->k->gemm8_packed_bytes(b->n, b->depth) + 63) / 64 * 64;
    struct gemm8_weights w = {b->n, b->depth, (int8_t *)b->packed + b->turn * size, b->weights, b->extra};
    struct gemm8_in in = {(uint8_t *)b->in, b->depth, &row, 0};
    struct gemm8_out out = {.c = b->out, .ld = b->n, .act = b->act};
    b->turn = (b->turn + 1) % b->copies;
    b->k->gemm8(&w, &in, b->m, &out);
}

static void gemm8_shape(const char *what, size_t m, size_t n, size_t depth, enum act act, bool cold)
{
    bool has_tiles = isa_can_run(ISA_AMX); /* which are not among those that are chosen by themselves */
    const enum isa isas[CANDIDATES] = {has_tiles ? ISA_AMX : MOST, has_tiles ? MOST : MORE, SOME, ISA_REF};
    char name[80];
    snprintf(name, sizeof(name), "gemm8 %s %zu x %zu x %zu%s", what, m, n, depth, cold ? " cold" : "");
    if (!wanted(name)) {
        return;
    }
    struct bench b[CANDIDATES];
    float *in = floats(m * depth / 4 + 1), *out = floats(m * n), *bias = floats(n), *w = floats(n * depth / 4 + 1);
    for (int c = 0; c < CANDIDATES; c++) {
        const struct kernels *k = kernels_select(isas[c], GEMM_NATIVE);
        size_t size = (k->gemm8_packed_bytes(n, depth) + 63) / 64 * 64;
        b[c] = (struct bench){.k = k, .in = in, .out = out, .weights = bias, .extra = bias, .m = m, .n = n};
        b[c].depth = depth;
        b[c].act = act;
        b[c].copies = cold ? COLD_BYTES / size + 1 : 1;
        b[c].packed = floats(b[c].copies * size / sizeof(float));
        for (size_t i = 0; i < b[c].copies; i++) {
            k->gemm8_pack((int8_t *)w, n, depth, (int8_t *)b[c].packed + i * size);
        }
    }
    measure(name, b, CANDIDATES, run_gemm8, 2e-9 * (double)m * (double)n * (double)depth, "GOP/s");
    for (int c = 0; c < CANDIDATES; c++) {
        mem_free(b[c].packed);
    }
    mem_free(in);
    mem_free(out);
    mem_free(bias);
    mem_free(w);
}

static void bench_gemm8(void)
{
    gemm8_shape("fusion qkv", 100, 1152, 384, ACT_NONE, false);
    gemm8_shape("fusion out", 100, 384, 384, ACT_NONE, false);
    gemm8_shape("fusion up", 100, 1536, 384, ACT_GELU, false);
    gemm8_shape("fusion down", 100, 384, 1536, ACT_NONE, false);
    gemm8_shape("region fc6", 96, 1024, 1024, ACT_RELU, false);
    gemm8_shape("expand", 392, 144, 24, ACT_RELU6, false);
    gemm8_shape("expand", 196, 672, 112, ACT_RELU6, false);
    gemm8_shape("project", 196, 112, 672, ACT_NONE, false);
    static const size_t rows[] = {1, 2, 4, 16};
    for (int i = 0; i < 4; i++) {
        gemm8_shape("step qkv", rows[i], 1152, 384, ACT_NONE, true);
        gemm8_shape("step up", rows[i], 1536, 384, ACT_GELU, true);
        gemm8_shape("step down", rows[i], 384, 1536, ACT_NONE, true);
        gemm8_shape("step words", rows[i], 4324, 384, ACT_NONE, true);
    }
}

/* -- everything else: the same buffers for all candidates -- */

static void compare(const char *name, struct bench *b, void (*run)(struct bench *), double amount, const char *unit)
{
    struct bench each[3] = {*b, *b, *b};
    each[0].k = kernels_select(MORE, GEMM_NATIVE);
    each[1].k = kernels_select(SOME, GEMM_NATIVE);
    each[2].k = kernels_select(ISA_REF, GEMM_NATIVE);
    measure(name, each, 3, run, amount, unit);
}

static void run_depthwise(struct bench *b)
{
    b->k->depthwise(&b->conv, b->in, b->weights, b->extra, b->act, b->out);
}

static void depthwise_shape(const char *what, int h, int w, int channels, int kernel, int stride, enum act act)
{
    char name[80];
    int out_w = w / stride, rows = strip_rows(h / stride, out_w * channels * stride * stride);
    snprintf(name, sizeof(name), "depthwise %s %dx%dx%d k%d s%d act %d", what, rows, out_w, channels, kernel, stride,
             (int)act);
    if (!wanted(name)) {
        return;
    }
    struct bench b = {.act = act};
    b.conv = (struct conv_shape){.in_h = (rows - 1) * stride + kernel,
                                 .in_w = w,
                                 .channels = channels,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .pad_left = kernel / 2,
                                 .out_h = rows,
                                 .out_w = out_w};
    b.in = floats((size_t)(b.conv.in_h * w * channels));
    b.out = floats((size_t)(rows * out_w * channels));
    b.weights = floats((size_t)(kernel * kernel * channels));
    b.extra = floats((size_t)channels);
    compare(name, &b, run_depthwise, 2e-9 * rows * out_w * channels * kernel * kernel, "GFLOP/s");
    mem_free(b.in);
    mem_free(b.out);
    mem_free(b.weights);
    mem_free(b.extra);
}

static void run_depthwise8(struct bench *b)
{
    struct filter8 w = {b->packed, b->weights, b->extra};
    b->k->depthwise8(&b->conv, (const uint8_t *)b->in, &w, (uint8_t *)b->out);
}

/* A whole map. */
static void depthwise8_shape(int w, int channels, int kernel, int stride)
{
    static const enum isa isas[CANDIDATES] = {ISA_AVX512VNNI, ISA_AVX512, ISA_AVX2, ISA_REF};
    char name[80];
    snprintf(name, sizeof(name), "depthwise8 %dx%dx%d k%d s%d", w, w, channels, kernel, stride);
    if (!wanted(name)) {
        return;
    }
    int out_w = (w + stride - 1) / stride;
    size_t n = (size_t)(w * w * channels);
    struct bench b[CANDIDATES];
    float *in = floats(n / 4), *out = floats(n / 4), *bias = floats((size_t)channels);
    int16_t *taps = (int16_t *)floats((size_t)(kernel * kernel * channels));
    memset(taps, 1, (size_t)(kernel * kernel * channels) * sizeof(*taps));
    for (int c = 0; c < CANDIDATES; c++) {
        const struct kernels *k = kernels_select(isas[c], GEMM_NATIVE);
        b[c] = (struct bench){.k = k, .in = in, .out = out, .weights = bias, .extra = bias};
        b[c].conv = (struct conv_shape){w, w, channels, kernel, stride, kernel / 2, kernel / 2, out_w, out_w};
        b[c].packed = floats(k->filter8_packed_bytes(kernel, channels) / sizeof(float) + 1);
        k->filter8_pack(taps, kernel, channels, b[c].packed);
    }
    measure(name, b, CANDIDATES, run_depthwise8, 2e-9 * out_w * out_w * channels * kernel * kernel, "GOP/s");
    for (int c = 0; c < CANDIDATES; c++) {
        mem_free(b[c].packed);
    }
    mem_free(in);
    mem_free(out);
    mem_free(bias);
    mem_free(taps);
}

static void bench_depthwise8(void)
{
    depthwise8_shape(112, 32, 3, 1);
    depthwise8_shape(112, 96, 3, 2);
    depthwise8_shape(56, 144, 3, 1);
    depthwise8_shape(56, 144, 5, 2);
    depthwise8_shape(28, 240, 5, 1);
    depthwise8_shape(14, 480, 3, 1);
    depthwise8_shape(14, 672, 5, 1);
    depthwise8_shape(7, 1152, 5, 1);
    depthwise8_shape(7, 1152, 3, 1);
}

static void bench_depthwise(void)
{
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        for (size_t j = 0; j < sizeof(blocks) / sizeof(blocks[0]); j++) {
            const struct block *b = &blocks[j];
            int h = images[i][0] / b->at, w = images[i][1] / b->at;
            depthwise_shape(i ? "512x704" : "256", h, w, b->in * b->expand, b->kernel, b->stride, ACT_SWISH);
        }
    }
    depthwise_shape("lite", 32, 32, 144, 5, 1, ACT_RELU6);
    depthwise_shape("bifpn", 64, 64, 64, 3, 1, ACT_NONE);
    depthwise_shape("bifpn", 16, 16, 64, 3, 1, ACT_NONE);
}

static void run_conv_rgb(struct bench *b)
{
    b->k->conv_rgb(&b->conv, b->in, b->weights, b->extra, 32, b->act, b->out);
}

static void bench_conv_rgb(void)
{
    if (!wanted("conv_rgb")) {
        return;
    }
    struct bench b = {.act = ACT_SWISH};
    b.conv = (struct conv_shape){.in_h = 256, .in_w = 256, .channels = 3, .kernel = 3, .stride = 2, .pad_top = 1};
    b.conv.pad_left = 1;
    b.conv.out_h = b.conv.out_w = 128;
    b.in = floats(256 * 256 * 3);
    b.out = floats(128 * 128 * 32);
    b.weights = floats(27 * 32);
    b.extra = floats(32);
    compare("conv_rgb 256x256 -> 32, swish", &b, run_conv_rgb, 2e-9 * 128 * 128 * 27 * 32, "GFLOP/s");
    b.act = ACT_RELU6;
    compare("conv_rgb 256x256 -> 32, relu6", &b, run_conv_rgb, 2e-9 * 128 * 128 * 27 * 32, "GFLOP/s");
    mem_free(b.in);
    mem_free(b.out);
    mem_free(b.weights);
    mem_free(b.extra);
}

/* The rest works on two buffers of at most MAX floats and needs no shapes of its own. */
enum { MAX = 64 * 64 * 64 };

static void run_maxpool3x3s2(struct bench *b)
{
    b->k->maxpool3x3s2(b->in, 32, 32, 64, b->out);
}
static void run_upsample_nearest(struct bench *b)
{
    b->k->upsample_nearest(b->in, 16, 16, 64, 32, 32, b->out);
}
static void run_weighted_sum(struct bench *b)
{
    const float *in[3] = {b->in, b->weights, b->extra};
    const float weights[3] = {0.2f, 0.3f, 0.4f};
    b->k->weighted_sum(in, weights, 3, 32 * 32 * 64, ACT_SWISH, b->out);
}
static void run_channel_mean(struct bench *b)
{
    b->k->channel_mean(b->in, 16 * 16, 480, b->out);
}
static void run_channel_scale(struct bench *b)
{
    b->k->channel_scale(b->in, 16 * 16, 480, b->extra);
}
static void run_roi_align(struct bench *b)
{
    struct roi_box box = {10.0f, 15.0f, 180.0f, 120.0f};
    b->k->roi_align(b->in, 64, 64, 64, 0.25f, &box, 4, 2, b->out);
}
static void run_attend(struct bench *b)
{
    struct kv_span spans[2] = {{b->in, b->weights, 90, 384}, {b->in, b->weights, 10, 384}};
    b->k->attend(b->extra, spans, 2, 12, 32, 0.17f, b->out + 4096, b->out);
}
static void run_attend_block(struct bench *b)
{
    struct kv_span span = {b->in, b->in + 384, 100, 1152};
    b->k->attend_block(b->weights, 100, 1152, &span, 12, 32, 0.17f, b->extra, b->out, 384);
}
static void run_layer_norm(struct bench *b)
{
    b->k->layer_norm(b->in, 100, 384, b->weights, b->extra, 1e-12f, b->out);
}
static void run_activate(struct bench *b)
{
    b->k->activate(b->out, 8192, b->act);
}
static void run_softmax(struct bench *b)
{
    b->k->softmax(b->out, 100, 100, 100);
}
static void run_log_softmax(struct bench *b)
{
    b->k->log_softmax(b->out, 2, 30522, 30522);
}
static void run_dequantize_i8(struct bench *b)
{
    b->k->dequantize_i8((const int8_t *)b->in, 0.01f, 8192, b->out);
}
static void run_bf16_to_f32(struct bench *b)
{
    b->k->bf16_to_f32((const uint16_t *)b->in, 8192, b->out);
}

static void run_quantize(struct bench *b)
{
    b->k->quantize(b->in, 100 * 384, 0.02f, (uint8_t *)b->out);
}

static void run_quantize_rows(struct bench *b)
{
    struct gemm8_row row[100];
    b->k->quantize_rows(b->in, 384, 100, 384, (uint8_t *)b->out, 384, row);
}

#define PEAK(op)                                                                                                       \
    static void run_##op(struct bench *b)                                                                              \
    {                                                                                                                  \
        b->n = b->k->op(1000);                                                                                         \
    }
LIST_PEAK(PEAK)
#undef PEAK

static void simple(const char *name, void (*run)(struct bench *), double amount, const char *unit, enum act act)
{
    if (!wanted(name)) {
        return;
    }
    struct bench b = {.in = floats(MAX), .out = floats(MAX), .weights = floats(MAX), .extra = floats(MAX)};
    b.act = act;
    compare(name, &b, run, amount * 1e-9, unit);
    mem_free(b.in);
    mem_free(b.out);
    mem_free(b.weights);
    mem_free(b.extra);
}

#define SIMPLE(op, shape, amount, unit)                                                                                \
    static void bench_##op(void)                                                                                       \
    {                                                                                                                  \
        simple(#op " " shape, run_##op, amount, unit, ACT_NONE);                                                       \
    }
SIMPLE(maxpool3x3s2, "32x32x64", 4.0 * (32 * 32 + 16 * 16) * 64, "GB/s")
SIMPLE(upsample_nearest, "16x16x64", 4.0 * (16 * 16 + 32 * 32) * 64, "GB/s")
SIMPLE(weighted_sum, "3 of 32x32x64, swish", 4.0 * 4 * 32 * 32 * 64, "GB/s")
SIMPLE(channel_mean, "256x480", 4.0 * 256 * 480, "GB/s")
SIMPLE(channel_scale, "256x480", 8.0 * 256 * 480, "GB/s")
SIMPLE(roi_align, "64x64x64, pool 4", 2.0 * 16 * 16 * 64, "GFLOP/s")
SIMPLE(attend, "12x32, 90 + 10", 4.0 * 100 * 384, "GFLOP/s")
SIMPLE(attend_block, "100 x 100, 12x32", 4.0 * 100 * 100 * 384, "GFLOP/s")
SIMPLE(layer_norm, "100x384", 8.0 * 100 * 384, "GB/s")
SIMPLE(softmax, "100x100", 8.0 * 100 * 100, "GB/s")
SIMPLE(log_softmax, "2x30522", 8.0 * 2 * 30522, "GB/s")
SIMPLE(quantize, "100x384", 5.0 * 100 * 384, "GB/s")
SIMPLE(quantize_rows, "100x384", 5.0 * 100 * 384, "GB/s")
SIMPLE(dequantize_i8, "8192", 5.0 * 8192, "GB/s")
SIMPLE(bf16_to_f32, "8192", 6.0 * 8192, "GB/s")
#undef SIMPLE

/* In the operations of the best table; the others do fewer in a round. */
#define PEAK(op)                                                                                                       \
    static void bench_##op(void)                                                                                       \
    {                                                                                                                  \
        const struct kernels *best = kernels_select(ISA_COUNT - 1, GEMM_NATIVE);                                       \
        simple(#op " 1000 rounds", run_##op, (double)best->op(1000), "Gop/s", ACT_NONE);                               \
    }
LIST_PEAK(PEAK)
#undef PEAK

static void bench_activate(void)
{
    simple("activate swish 8192", run_activate, 8.0 * 8192, "GB/s", ACT_SWISH);
    simple("activate gelu 8192", run_activate, 8.0 * 8192, "GB/s", ACT_GELU);
    simple("activate sigmoid 8192", run_activate, 8.0 * 8192, "GB/s", ACT_SIGMOID);
}

int main(int argc, char **argv)
{
    filter = argc > 1 ? argv[1] : NULL;
    printf("median (best); avx512, avx2, [openblas for gemm,] ref; time and spread of the first\n");
#define RUN(op) bench_##op();
    LIST_ALL(RUN)
#undef RUN
    return 0;
}
