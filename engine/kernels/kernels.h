/* kernels - the numerical building blocks, one table per instruction set.
 *
 * kernels_select() fills a table with the plain-C reference entries and overlays what the CPU (and the cap given) does
 * better: avx2, avx512, and for products and filters of bytes avxvnni or avx512vnni above them; neon, and neondot
 * above it. Above avx512vnni is amx, for products of bytes, which has to be named: its logic is tested everywhere, with
 * the instructions in plain C, but it was never timed. Every entry of an overlay is tested against ref on odd sizes.
 *
 * Contract of every entry: no failure, no allocation, no globals, any size (tails included), thread-safe. Maps are
 * channels-last, [height, width, channels], rows dense. An output never overlaps an input unless the entry says so.
 * The value of an output element depends only on its own inputs, never on how many other rows there are: this makes a
 * result independent of its batch mates. */
#ifndef ENGINE_KERNELS_KERNELS_H
#define ENGINE_KERNELS_KERNELS_H

#include "engine/base/err.h"
#include "engine/base/isa_list.h"

#include <stddef.h>
#include <stdint.h>

/* ISA_REF, ISA_AVX2, ... */
#define ID(id, name) ISA_##id,
enum isa { ISA_LIST(ID) ISA_COUNT };
#undef ID
enum gemm_backend { GEMM_NATIVE, GEMM_OPENBLAS, GEMM_BACKEND_COUNT };
enum act { ACT_NONE, ACT_RELU, ACT_RELU6, ACT_SWISH, ACT_GELU, ACT_TANH, ACT_SIGMOID };

/* C[m, n] = act(A[m, k] * W[n, k]^T + bias) + residual. W is packed once by gemm_pack of the same table. The residual
 * may be C itself (with the same stride). */
struct gemm_weights {
    size_t n, k;
    const float *packed; /* gemm_packed_floats(n, k) floats, 64-byte aligned; NULL with halves */
    const float *bias;   /* [n] or NULL */
    /* Or the same numbers in the same places as IEEE binary16, which must hold them exactly: half the memory to read,
     * the same result bit for bit. Only where the table says gemm_takes_halves. */
    const uint16_t *halves;
};

/* -- the same in 8 bits --
 *
 * A row of bytes represents the numbers (q - zero) * scale, a row of weights q * scale. Sums are integers, hence exact;
 * the steps after them have a fixed order, so that every instruction set gives the same bits (except the last ones of
 * swish, GELU, tanh and sigmoid):
 *     s = sum over i of (a[i] - zero) * w[i]                                   32 bits, exact
 *     y = fma((float)s, scale of the row * scale of the column, bias)
 *     y = act(y) + residual                                                    to floats, or to bytes at a fixed scale:
 *     q = y / scale rounded (half to even) + zero, clamped to 0..255; 0 for NaN */
enum {
    GEMM8_MAX_DEPTH = 1 << 16, /* of a product: this many terms cannot overflow */
    GEMM8_ALIGN = 4            /* bytes of a row are read up to a multiple of this; the bytes beyond k are ignored */
};

struct gemm8_weights {
    size_t n, k;
    const int8_t *packed; /* gemm8_packed_bytes(n, k), 64-byte aligned, by gemm8_pack of the same table */
    const float *scale;   /* [n] */
    const float *bias;    /* [n] or NULL */
};

struct gemm8_row {
    float scale; /* NaN where the row had a number that is not finite: then the product's row is NaN too */
    int32_t zero;
};

/* A: rows of bytes. An image is rows too, one a pixel, channels-last. */
struct gemm8_in {
    const uint8_t *q; /* [m, ld], ld at least k rounded up to GEMM8_ALIGN */
    size_t ld;
    const struct gemm8_row *row;
    size_t row_step; /* 1: a row has its own scale; 0: all have row[0] */
};

/* C, as floats or as bytes; the other is NULL. The residual may be c itself (with the same stride). */
struct gemm8_out {
    float *c;   /* [m, n] */
    uint8_t *q; /* [m, n] */
    size_t ld;
    struct gemm8_row to; /* of q: scale above 0 and zero within 0..255 */
    enum act act;
    const float *residual; /* [m, n] or NULL */
    size_t ldr;
};

/* A depthwise filter from bytes to bytes that represent q * scale of their map, as after ReLU6. The scales of
 * both maps are in the filter's own. Sums are whole and exact:
 *     s = sum over the taps of q * w
 *     q = fma((float)s, scale, bias) rounded (half to even), clamped to 0..255; 0 for NaN */
enum { FILTER8_MAX = 2047 }; /* |w|: twelve bits, because in eight a narrow filter loses too much */

struct filter8 {
    const void *packed; /* filter8_packed_bytes, 64-byte aligned, by filter8_pack of the same table */
    const float *scale; /* [channels] */
    const float *bias;  /* [channels]; |fma(..)| of any sum must stay below FILTER8_LARGEST or be NaN */
};
#define FILTER8_LARGEST 1e9F

/* Keys and values of one range of positions; rows are `ld` floats apart. */
struct kv_span {
    const float *k, *v; /* [n, ld] at the first head's column */
    size_t n, ld;
};

struct conv_shape {
    int in_h, in_w, channels;
    int kernel, stride, pad_top, pad_left; /* reads outside give zero */
    int out_h, out_w;
};

/* A region of interest on one map, in image pixels (inclusive box). */
struct roi_box {
    float x0, y0, x1, y1;
};

struct kernels {
    enum isa isa;
    enum gemm_backend gemm_backend;
    bool gemm_takes_halves;
    /* Packed weights are panels of this many columns, one after another, each as large as gemm_packed_floats (or
     * gemm8_packed_bytes) returns for that many, so that a product may begin at a panel; the last one has at most
     * *_last columns. 0: they are not. */
    size_t gemm_panel, gemm_last, gemm8_panel, gemm8_last;

    /* -- matrices -- */
    size_t (*gemm_packed_floats)(size_t n, size_t k);
    void (*gemm_pack)(const float *w /* [n, k] */, size_t n, size_t k, float *packed);
    void (*gemm)(const struct gemm_weights *w, const float *a, size_t lda, size_t m, float *c, size_t ldc, enum act act,
                 const float *residual /* [m, ldr] or NULL */, size_t ldr);

    size_t (*gemm8_packed_bytes)(size_t n, size_t k);
    void (*gemm8_pack)(const int8_t *w /* [n, k] */, size_t n, size_t k, int8_t *packed);
    void (*gemm8)(const struct gemm8_weights *w, const struct gemm8_in *a, size_t m, const struct gemm8_out *out);
    /* Rows of n floats, ldx apart, to bytes, ldq apart: scale (max - min) / 255 and zero so that 0 is one of the 256
     * numbers. A row of nothing but zeros (below 1e-30) has scale 0. The bytes up to GEMM8_ALIGN are written too. The
     * same bits for every instruction set. */
    void (*quantize_rows)(const float *x, size_t ldx, size_t rows, size_t n, uint8_t *q, size_t ldq,
                          struct gemm8_row *row /* [rows] */);

    /* Numbers to bytes at a scale, zero 0: x / scale rounded (half to even), clamped to 0..255; 0 for NaN. */
    void (*quantize)(const float *x, size_t n, float scale, uint8_t *q);

    /* -- convolutions -- */
    /* First convolution: 3x3 on 3 channels. w [3*3*3, out_channels] (row, column, channel), out_channels any. */
    void (*conv_rgb)(const struct conv_shape *s, const float *in, const float *w, const float *bias, int out_channels,
                     enum act act, float *out);
    /* w [kernel*kernel, channels]; bias may be NULL. */
    void (*depthwise)(const struct conv_shape *s, const float *in, const float *w, const float *bias, enum act act,
                      float *out);
    /* The same in bytes, kernels of at most 15; w [kernel*kernel, channels]. */
    size_t (*filter8_packed_bytes)(int kernel, int channels);
    void (*filter8_pack)(const int16_t *w, int kernel, int channels, void *packed);
    void (*depthwise8)(const struct conv_shape *s, const uint8_t *in, const struct filter8 *w, uint8_t *out);
    /* 3x3, stride 2, padding 1; out [(h+1)/2, (w+1)/2, channels]. */
    void (*maxpool3x3s2)(const float *in, int h, int w, int channels, float *out);
    void (*upsample_nearest)(const float *in, int h, int w, int channels, int out_h, int out_w, float *out);
    /* out[i] = act(sum_j weights[j] * in[j][i]), n_in 1..3; out may be one of the inputs. */
    void (*weighted_sum)(const float *const *in, const float *weights, int n_in, size_t n, enum act act, float *out);
    /* mean over h*w of each channel. */
    void (*channel_mean)(const float *in, size_t n_pixels, int channels, float *out);
    /* in place: x[p, c] *= scale[c]. */
    void (*channel_scale)(float *x, size_t n_pixels, int channels, const float *scale);
    /* RoIAlign without the half-pixel shift, sampling x sampling points a bin; out [pool, pool, channels];
     * pool * sampling at most 256. */
    void (*roi_align)(const float *map, int h, int w, int channels, float scale, const struct roi_box *box, int pool,
                      int sampling, float *out);

    /* -- transformer -- */
    /* out = LayerNorm(x) * weight + bias, rows of n; out may be x. */
    void (*layer_norm)(const float *x, size_t rows, size_t n, const float *weight, const float *bias, float eps,
                       float *out);
    /* One query row, all heads: out[head] = softmax(q k^T * scale) v over all spans in order. scratch: floats, at least
     * n_heads * total positions. */
    void (*attend)(const float *q /* [n_heads * head_dim] */, const struct kv_span *spans, int n_spans, int n_heads,
                   int head_dim, float scale, float *scratch, float *out /* [n_heads * head_dim] */);
    /* Many query rows that all attend to the same single span (a whole sequence attending to itself). scratch as
     * above. */
    void (*attend_block)(const float *q, size_t n_q, size_t ldq, const struct kv_span *span, int n_heads, int head_dim,
                         float scale, float *scratch, float *out, size_t ldo);

    /* -- rows -- */
    void (*activate)(float *x, size_t n, enum act act);          /* in place */
    void (*softmax)(float *x, size_t rows, size_t n, size_t ld); /* in place, each row */
    void (*log_softmax)(float *x, size_t rows, size_t n, size_t ld);
    /* out[i] = x[i] * scale: one row of an int8 tensor. */
    void (*dequantize_i8)(const int8_t *x, float scale, size_t n, float *out);
    void (*bf16_to_f32)(const uint16_t *x, size_t n, float *out);

    /* -- the limits of a core -- */
    /* Multiply and add in registers only, floats, bytes as gemm8 does, and words of 16 bits as depthwise8 does; return
     * the number of operations, two for each product. Timed, these are a core's peaks. */
    uint64_t (*multiply_add)(uint64_t rounds);
    uint64_t (*multiply_add8)(uint64_t rounds);
    uint64_t (*multiply_add16)(uint64_t rounds);
};

/* "ref", "avx2", ... */
const char *isa_name(enum isa isa);
const char *gemm_backend_name(enum gemm_backend b);
/* The table for the best instruction set up to `cap` that the CPU and the operating system support, which need not
 * support all those listed before it; amx only where cap is that. Cheap; the table is constant for the process.
 * OpenBLAS is limited to one thread per caller. */
const struct kernels *kernels_select(enum isa cap, enum gemm_backend backend);

#endif
