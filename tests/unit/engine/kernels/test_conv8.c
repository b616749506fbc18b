/* The depthwise filter of bytes: plain C against whole sums in 64 bits, every other table against plain C bit for
 * bit. */
#include "engine/kernels/gemm8_row.h"
#include "engine/kernels/list.h"
#include "tests/support/kernel_check.h"

#include <string.h>

enum { GUARD_BYTES = 64, GUARD_BYTE = 0xa5 };

struct filter {
    struct conv_shape s;
    uint8_t *in;
    int16_t *w;
    struct guarded scale, bias;
};

static size_t area(int h, int w, int channels)
{
    return (size_t)h * (size_t)w * (size_t)channels;
}

static struct conv_shape shape_of(int h, int w, int channels, int kernel, int stride, int pad, int pad_end)
{
    int out_h = (h + pad + pad_end - kernel) / stride + 1, out_w = (w + pad + pad_end - kernel) / stride + 1;
    return (struct conv_shape){h,
                               w,
                               channels,
                               kernel,
                               stride,
                               pad,
                               pad,
                               h + pad + pad_end < kernel ? 0 : out_h,
                               w + pad + pad_end < kernel ? 0 : out_w};
}

static struct filter filter_make(struct conv_shape s, uint32_t seed)
{
    struct filter f = {.s = s};
    size_t n = area(s.in_h, s.in_w, s.channels), taps = area(s.kernel, s.kernel, s.channels);
    f.in = malloc(n + 1);
    f.w = malloc(taps * sizeof(*f.w) + 1);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        f.in[i] = (uint8_t)(seed >> 24);
    }
    for (size_t i = 0; i < taps; i++) {
        seed = seed * 1664525u + 1013904223u;
        f.w[i] = (int16_t)((int)(seed >> 8) % (2 * FILTER8_MAX + 1) - FILTER8_MAX);
    }
    f.scale = random_floats((size_t)s.channels, 2);
    f.bias = random_floats((size_t)s.channels, 3);
    for (int c = 0; c < s.channels; c++) {
        f.scale.p[c] = 0.0001f + 0.0003f * fabsf(f.scale.p[c]);
        f.bias.p[c] = 40.0f + 40.0f * f.bias.p[c];
    }
    return f;
}

static void filter_release(struct filter *f)
{
    CHECK_INT(guarded_release(&f->scale) + guarded_release(&f->bias), 0);
    free(f->in);
    free(f->w);
}

/* Its outputs, one more byte of them than there are; NULL where something beyond them was written. */
static uint8_t *run(const struct kernels *k, const struct filter *f)
{
    size_t n = area(f->s.out_h, f->s.out_w, f->s.channels);
    size_t n_packed = (k->filter8_packed_bytes(f->s.kernel, f->s.channels) + 63) / 64 * 64;
    void *packed = aligned_alloc(64, n_packed ? n_packed : 64);
    uint8_t *out = malloc(n + 2 * GUARD_BYTES);
    memset(out, GUARD_BYTE, n + 2 * GUARD_BYTES);
    k->filter8_pack(f->w, f->s.kernel, f->s.channels, packed);
    struct filter8 w = {packed, f->scale.p, f->bias.p};
    k->depthwise8(&f->s, f->in, &w, out + GUARD_BYTES);
    int written = 0;
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        written += out[i] != GUARD_BYTE;
        written += out[GUARD_BYTES + n + i] != GUARD_BYTE;
    }
    CHECK_INT(written, 0);
    memmove(out, out + GUARD_BYTES, n);
    free(packed);
    return out;
}

static const struct kernels *plain(void)
{
    return kernels_select(ISA_REF, GEMM_NATIVE);
}

/* What the header says, in double; by a byte at most where that lies next to a half. */
static int faults(const struct filter *f, const uint8_t *out)
{
    const struct conv_shape *s = &f->s;
    int n = 0;
    for (size_t i = 0; i < area(s->out_h, s->out_w, s->channels); i++) {
        int c = (int)(i % (size_t)s->channels), x = (int)(i / (size_t)s->channels) % s->out_w,
            y = (int)(i / (size_t)s->channels) / s->out_w;
        int64_t sum = 0;
        for (int k = 0; k < s->kernel * s->kernel; k++) {
            int row = y * s->stride - s->pad_top + k / s->kernel, column = x * s->stride - s->pad_left + k % s->kernel;
            if (row >= 0 && row < s->in_h && column >= 0 && column < s->in_w) {
                sum +=
                    f->in[((ptrdiff_t)row * s->in_w + column) * s->channels + c] * (int64_t)f->w[k * s->channels + c];
            }
        }
        double exact = (double)sum * f->scale.p[c] + f->bias.p[c];
        exact = fmin(fmax(exact, 0.0), 255.0);
        n += fabs((double)out[i] - exact) > 0.501;
    }
    return n;
}

static void check_plain(struct conv_shape s)
{
    struct filter f = filter_make(s, 7);
    uint8_t *out = run(plain(), &f);
    CHECK_INT(faults(&f, out), 0);
    if (area(s.out_h, s.out_w, s.channels) > 4) { /* one wrong weight is found */
        f.w[area(s.kernel, s.kernel, s.channels) / 2] ^= 512;
        CHECK(faults(&f, out) > 0);
    }
    free(out);
    filter_release(&f);
}

static void check_same(const struct kernels *k, struct conv_shape s)
{
    struct filter f = filter_make(s, 1);
    uint8_t *expected = run(plain(), &f), *out = run(k, &f);
    int differ = 0;
    for (size_t i = 0; i < area(s.out_h, s.out_w, s.channels); i++) {
        differ += out[i] != expected[i];
    }
    CHECK_INT(differ, 0);
    if (differ) {
        fprintf(stderr, "  in %dx%dx%d, kernel %d, stride %d, pad %d, out %dx%d\n", s.in_h, s.in_w, s.channels,
                s.kernel, s.stride, s.pad_top, s.out_h, s.out_w);
    }
    free(expected);
    free(out);
    filter_release(&f);
}

static void test_depthwise8(const struct kernels *k)
{
    static const int widths[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 17},
                     channels[] = {1, 3, 8, 16, 24, 31, 32, 33, 48, 70, 130};
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        for (size_t j = 0; j < sizeof(widths) / sizeof(widths[0]); j++) {
            for (int kernel = 3; kernel <= 5; kernel += 2) {
                for (int stride = 1; stride <= 2; stride++) {
                    int h = 1 + (int)(i + j) % 7, w = widths[j];
                    check_same(k, shape_of(h, w, channels[i], kernel, stride, kernel / 2, kernel / 2));
                    check_same(k, shape_of(h, w, channels[i], kernel, stride, 0, 1));
                    check_same(k, shape_of(h, w, channels[i], kernel, stride, kernel / 2, 0));
                }
            }
        }
    }
    check_same(k, shape_of(9, 11, 20, 7, 1, 3, 3));
    check_same(k, shape_of(9, 11, 20, 1, 1, 0, 0));
    check_same(k, shape_of(13, 15, 20, 3, 3, 1, 1));
    check_same(k, shape_of(9, 200, 48, 5, 1, 2, 2));
    check_same(k, shape_of(4, 6, 16, 3, 1, 4, 4)); /* outputs that see no input at all */
    check_same(k, shape_of(0, 4, 16, 3, 1, 1, 2));
}

/* The largest numbers there are, whichever way; and what is not finite. */
static void test_extremes(const struct kernels *k)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        struct filter f = filter_make(shape_of(6, 6, 33, 5, 1, 2, 2), 1);
        memset(f.in, 255, area(6, 6, 33));
        for (size_t i = 0; i < area(5, 5, 33); i++) {
            f.w[i] = (int16_t)(sign * FILTER8_MAX);
        }
        f.scale.p[0] = 70.0f; /* times the largest sum: next to FILTER8_LARGEST */
        f.scale.p[1] = 1e-5f;
        f.bias.p[2] = NAN;
        uint8_t *expected = run(plain(), &f), *out = run(k, &f);
        CHECK_INT(memcmp(out, expected, area(6, 6, 33)), 0);
        CHECK_INT(out[0], sign < 0 ? 0 : 255);
        CHECK_INT(out[2], 0);
        free(expected);
        free(out);
        filter_release(&f);
    }
}

/* Strips of output rows, each with the input rows it needs, as the model runs them. */
static void test_strips(const struct kernels *k)
{
    for (int kernel = 3; kernel <= 5; kernel += 2) {
        for (int stride = 1; stride <= 2; stride++) {
            struct filter f = filter_make(shape_of(13, 9, 40, kernel, stride, kernel / 2, kernel / 2), 4), part = f;
            uint8_t *whole = run(k, &f);
            size_t in_row = area(1, f.s.in_w, f.s.channels), out_row = area(1, f.s.out_w, f.s.channels);
            for (int y = 0, n; y < f.s.out_h; y += n) {
                n = y + 3 <= f.s.out_h ? 3 : f.s.out_h - y;
                int top = y * stride - f.s.pad_top, first = top > 0 ? top : 0, end = top + (n - 1) * stride + kernel;
                part.in = f.in + (size_t)first * in_row;
                part.s.in_h = (end < f.s.in_h ? end : f.s.in_h) - first;
                part.s.pad_top = first - top;
                part.s.out_h = n;
                uint8_t *rows = run(k, &part);
                CHECK_INT(memcmp(rows, whole + (size_t)y * out_row, (size_t)n * out_row), 0);
                free(rows);
            }
            free(whole);
            filter_release(&f);
        }
    }
}

int main(void)
{
    for (int kernel = 1; kernel <= 5; kernel += 2) {
        check_plain(shape_of(5, 7, 9, kernel, 1, kernel / 2, kernel / 2));
        check_plain(shape_of(6, 8, 3, kernel, 2, 0, kernel / 2));
    }
#define RUN(op) for_each_isa(test_##op);
    LIST_CONV8(RUN)
#undef RUN
    for_each_isa(test_extremes);
    for_each_isa(test_strips);
    return check_result();
}
