#include "engine/kernels/split.h"

#include "engine/kernels/list.h"

/* What a core does at least, in operations or bytes a nanosecond. */
enum { WEIGHT_BYTES_PER_NS = 30, MAP_BYTES_PER_NS = 8 };
static const uint64_t float_ops_per_ns[ISA_COUNT] = {
    [ISA_REF] = 4,          [ISA_AVX2] = 80, [ISA_AVXVNNI] = 80, [ISA_AVX512] = 140,
    [ISA_AVX512VNNI] = 140, [ISA_AMX] = 140, [ISA_NEON] = 30,    [ISA_NEONDOT] = 30};
static const uint64_t byte_ops_per_ns[ISA_COUNT] = {
    [ISA_REF] = 20,         [ISA_AVX2] = 140, [ISA_AVXVNNI] = 250, [ISA_AVX512] = 170,
    [ISA_AVX512VNNI] = 380, [ISA_AMX] = 380,  [ISA_NEON] = 50,     [ISA_NEONDOT] = 120}; /* amx: never timed */
_Static_assert(ISA_COUNT == 8, "a new instruction set needs its rates in the two tables above: they are divisors");
/* Fewer rows do not use a core's multipliers: their weights are read. */
enum { FEW_ROWS = 8 };

static _Thread_local struct {
    const struct kernels *inner;
    struct crew *crew;
    int self, cuts;
} my;

void split_enter(const struct kernels *inner, struct crew *crew, int self)
{
    my.inner = inner;
    my.crew = crew;
    my.self = self;
}

int split_cuts(void)
{
    int cuts = my.cuts > 1 ? my.cuts : 1;
    my.cuts = 1;
    return cuts;
}

/* Cuts for a call of that many nanoseconds with that many indivisible units. */
static int cuts_for(uint64_t ns, size_t units)
{
    int cuts = my.crew ? crew_cuts(my.crew, my.self, ns, units < CREW_MAX ? (int)units : CREW_MAX) : 1;
    my.cuts = cuts > my.cuts ? cuts : my.cuts;
    return cuts;
}

/* Units of cut i are those from first to end. */
struct range {
    size_t first, end;
};
static struct range range_of(size_t units, int n_cuts, int i)
{
    size_t n = (size_t)n_cuts, at = (size_t)i;
    return (struct range){units * at / n, units * (at + 1) / n};
}

/* Of elements in whole blocks. */
static struct range blocks_of(size_t n, size_t block, int n_cuts, int i)
{
    struct range r = range_of((n + block - 1) / block, n_cuts, i);
    r.first *= block;
    r.end = r.end * block < n ? r.end * block : n;
    return r;
}

static void run(int n_cuts, void (*cut)(void *arg, int i), void *arg)
{
    crew_run(my.crew, my.self, n_cuts, cut, arg);
}

/* ---- products ---- */

enum { ROW_BLOCK = 4 }; /* rows that are not torn apart */

/* How a product of m rows is cut. */
struct product {
    const struct kernels *k;
    size_t m, n, panel, n_panels; /* of columns */
    int cuts;
    bool by_columns;
};

/* The larger of the two factors is divided, and the smaller one read by all; but never so that most have nothing to
 * do. */
static struct product plan_product(size_t m, size_t n, size_t k, size_t panel, size_t last, size_t weight_bytes,
                                   size_t row_bytes, uint64_t ops_per_ns)
{
    struct product p = {.k = my.inner, .m = m, .n = n, .panel = panel, .n_panels = 1, .cuts = 1};
    if (panel > 0 && n > last) {
        p.n_panels += (n - last + panel - 1) / panel;
    }
    uint64_t by_ops = 2 * (uint64_t)(m > FEW_ROWS ? m : FEW_ROWS) * n * k / ops_per_ns;
    uint64_t by_bytes = weight_bytes / WEIGHT_BYTES_PER_NS;
    size_t row_units = (m + ROW_BLOCK - 1) / ROW_BLOCK, column_units = p.n_panels;
    uint64_t ns = m < FEW_ROWS && by_bytes > by_ops ? by_bytes : by_ops;
    p.by_columns = column_units > 1 && (weight_bytes > m * row_bytes || row_units < 2);
    if (p.by_columns && n % panel && column_units < 6 && row_units >= column_units) {
        p.by_columns = false; /* the last panel is narrow */
    }
    p.cuts = cuts_for(ns, p.by_columns ? column_units : row_units);
    return p;
}

static struct range product_range(const struct product *p, int i)
{
    if (!p->by_columns) {
        return blocks_of(p->m, ROW_BLOCK, p->cuts, i);
    }
    struct range r = range_of(p->n_panels, p->cuts, i);
    return (struct range){r.first * p->panel, r.end == p->n_panels ? p->n : r.end * p->panel};
}

struct gemm_call {
    struct product p;
    const struct gemm_weights *w;
    const float *a;
    size_t lda;
    float *c;
    size_t ldc;
    enum act act;
    const float *residual;
    size_t ldr;
};

static void gemm_cut(void *arg, int i)
{
    const struct gemm_call *x = arg;
    struct range r = product_range(&x->p, i);
    if (!x->p.by_columns) {
        x->p.k->gemm(x->w, x->a + r.first * x->lda, x->lda, r.end - r.first, x->c + r.first * x->ldc, x->ldc, x->act,
                     x->residual ? x->residual + r.first * x->ldr : NULL, x->ldr);
        return;
    }
    struct gemm_weights w = *x->w;
    size_t at = r.first / x->p.panel * x->p.k->gemm_packed_floats(x->p.panel, w.k);
    w.n = r.end - r.first;
    w.packed = w.packed ? w.packed + at : NULL;
    w.halves = w.halves ? w.halves + at : NULL;
    w.bias = w.bias ? w.bias + r.first : NULL;
    x->p.k->gemm(&w, x->a, x->lda, x->p.m, x->c + r.first, x->ldc, x->act, x->residual ? x->residual + r.first : NULL,
                 x->ldr);
}

static void split_gemm(const struct gemm_weights *w, const float *a, size_t lda, size_t m, float *c, size_t ldc,
                       enum act act, const float *residual, size_t ldr)
{
    const struct kernels *k = my.inner;
    size_t number = w->halves ? sizeof(uint16_t) : sizeof(float);
    struct gemm_call x = {.w = w, .a = a, .lda = lda, .c = c, .ldc = ldc, .act = act, .residual = residual, .ldr = ldr};
    x.p = plan_product(m, w->n, w->k, k->gemm_panel, k->gemm_last, number * w->n * w->k, sizeof(float) * w->k,
                       float_ops_per_ns[k->isa]);
    if (x.p.cuts > 1) {
        run(x.p.cuts, gemm_cut, &x);
    } else {
        k->gemm(w, a, lda, m, c, ldc, act, residual, ldr);
    }
}

struct gemm8_call {
    struct product p;
    const struct gemm8_weights *w;
    const struct gemm8_in *a;
    const struct gemm8_out *out;
};

static void gemm8_cut(void *arg, int i)
{
    const struct gemm8_call *x = arg;
    struct range r = product_range(&x->p, i);
    struct gemm8_weights w = *x->w;
    struct gemm8_in a = *x->a;
    struct gemm8_out out = *x->out;
    size_t m = x->p.m, in_step = x->p.by_columns ? 0 : r.first;
    size_t out_at = x->p.by_columns ? r.first : r.first * out.ld;
    a.q += in_step * a.ld;
    a.row += in_step * a.row_step;
    out.c = out.c ? out.c + out_at : NULL;
    out.q = out.q ? out.q + out_at : NULL;
    if (x->p.by_columns) {
        w.n = r.end - r.first;
        w.packed += r.first / x->p.panel * x->p.k->gemm8_packed_bytes(x->p.panel, w.k);
        w.scale += r.first;
        w.bias = w.bias ? w.bias + r.first : NULL;
        out.residual = out.residual ? out.residual + r.first : NULL;
    } else {
        m = r.end - r.first;
        out.residual = out.residual ? out.residual + r.first * out.ldr : NULL;
    }
    x->p.k->gemm8(&w, &a, m, &out);
}

static void split_gemm8(const struct gemm8_weights *w, const struct gemm8_in *a, size_t m, const struct gemm8_out *out)
{
    const struct kernels *k = my.inner;
    struct gemm8_call x = {.w = w, .a = a, .out = out};
    x.p = plan_product(m, w->n, w->k, k->gemm8_panel, k->gemm8_last, w->n * w->k, w->k, byte_ops_per_ns[k->isa]);
    if (x.p.cuts > 1) {
        run(x.p.cuts, gemm8_cut, &x);
    } else {
        k->gemm8(w, a, m, out);
    }
}

/* ---- the rest: a call is its arguments and the units of a cut ---- */

#define UNPACK(...) __VA_ARGS__
/* An entry whose parameters are the members of struct `op`_call: nanoseconds, units, block of units, and the call of
 * the entry behind for units r.first .. r.end of x. */
#define SPLIT(op, members, parameters, arguments, ns, units, block, part)                                              \
    struct op##_call {                                                                                                 \
        const struct kernels *k;                                                                                       \
        int cuts;                                                                                                      \
        UNPACK members                                                                                                 \
    };                                                                                                                 \
    static void op##_cut(void *arg, int i)                                                                             \
    {                                                                                                                  \
        const struct op##_call *x = arg;                                                                               \
        struct range r = blocks_of(units, block, x->cuts, i);                                                          \
        UNPACK part                                                                                                    \
    }                                                                                                                  \
    static void split_##op parameters                                                                                  \
    {                                                                                                                  \
        struct op##_call call = {my.inner, 1, UNPACK arguments}, *x = &call;                                           \
        x->cuts = cuts_for(ns, ((units) + (block)-1) / (block));                                                       \
        if (x->cuts > 1) {                                                                                             \
            run(x->cuts, op##_cut, x);                                                                                 \
        } else {                                                                                                       \
            my.inner->op(UNPACK arguments);                                                                            \
        }                                                                                                              \
    }

enum { LINE = 64 }; /* elements that stay together */
#define MAP_NS(floats) ((uint64_t)(floats) * sizeof(float) / MAP_BYTES_PER_NS)

SPLIT(quantize_rows,
      (const float *a; size_t lda; size_t rows; size_t n; uint8_t * q; size_t ldq; struct gemm8_row * row;),
      (const float *a, size_t lda, size_t rows, size_t n, uint8_t *q, size_t ldq, struct gemm8_row *row),
      (a, lda, rows, n, q, ldq, row), MAP_NS(x->rows * x->n) / 2, x->rows, 1,
      (x->k->quantize_rows(x->a + r.first * x->lda, x->lda, r.end - r.first, x->n, x->q + r.first * x->ldq, x->ldq,
                           x->row + r.first);))

SPLIT(quantize, (const float *m; size_t n; float scale; uint8_t * q;),
      (const float *m, size_t n, float scale, uint8_t *q), (m, n, scale, q), MAP_NS(x->n) / 2, x->n, LINE,
      (x->k->quantize(x->m + r.first, r.end - r.first, x->scale, x->q + r.first);))

/* Rows first..end of what a filter writes: what they read of the map, and where that begins. */
static struct conv_shape rows_of(const struct conv_shape *s, struct range r, size_t *in_row)
{
    struct conv_shape part = *s;
    int n = (int)(r.end - r.first), top = (int)r.first * s->stride - s->pad_top;
    int first = top > 0 ? top : 0, end = top + (n - 1) * s->stride + s->kernel;
    end = end < s->in_h ? end : s->in_h;
    part.in_h = end > first ? end - first : 0;
    part.pad_top = first - top;
    part.out_h = n;
    *in_row = (size_t)first * (size_t)s->in_w;
    return part;
}

enum { ROW_PAIR = 2 }; /* rows that the filter of bytes writes together */

/* Nanoseconds of `terms` products for each of n outputs, at half of what matrices give. */
static uint64_t filter_ns(size_t n, size_t terms)
{
    return 4 * (uint64_t)n * terms / float_ops_per_ns[my.inner->isa];
}

static size_t cells_of(const struct conv_shape *s)
{
    return (size_t)s->out_h * (size_t)s->out_w;
}

SPLIT(conv_rgb,
      (const struct conv_shape *s; const float *in; const float *w; const float *bias; int channels; enum act act;
       float *out;),
      (const struct conv_shape *s, const float *in, const float *w, const float *bias, int channels, enum act act,
       float *out),
      (s, in, w, bias, channels, act, out), filter_ns(cells_of(x->s) * (size_t)x->channels, 27), (size_t)x->s->out_h, 1,
      (size_t at; struct conv_shape s = rows_of(x->s, r, &at);
       x->k->conv_rgb(&s, x->in + 3 * at, x->w, x->bias, x->channels, x->act,
                      x->out + r.first * (size_t)s.out_w * (size_t)x->channels);))

SPLIT(depthwise,
      (const struct conv_shape *s; const float *in; const float *w; const float *bias; enum act act; float *out;),
      (const struct conv_shape *s, const float *in, const float *w, const float *bias, enum act act, float *out),
      (s, in, w, bias, act, out),
      filter_ns(cells_of(x->s) * (size_t)x->s->channels, (size_t)(x->s->kernel * x->s->kernel)), (size_t)x->s->out_h, 1,
      (size_t at; struct conv_shape s = rows_of(x->s, r, &at); size_t channels = (size_t)s.channels;
       x->k->depthwise(&s, x->in + at * channels, x->w, x->bias, x->act,
                       x->out + r.first * (size_t)s.out_w * channels);))

SPLIT(depthwise8, (const struct conv_shape *s; const uint8_t *in; const struct filter8 *w; uint8_t * out;),
      (const struct conv_shape *s, const uint8_t *in, const struct filter8 *w, uint8_t *out), (s, in, w, out),
      filter_ns(cells_of(x->s) * (size_t)x->s->channels, (size_t)(x->s->kernel * x->s->kernel)) / 2,
      (size_t)x->s->out_h, ROW_PAIR,
      (size_t at; struct conv_shape s = rows_of(x->s, r, &at); size_t channels = (size_t)s.channels;
       x->k->depthwise8(&s, x->in + at * channels, x->w, x->out + r.first * (size_t)s.out_w * channels);))

SPLIT(weighted_sum, (const float *const *in; const float *weights; int n_in; size_t n; enum act act; float *out;),
      (const float *const *in, const float *weights, int n_in, size_t n, enum act act, float *out),
      (in, weights, n_in, n, act, out), MAP_NS(x->n), x->n, LINE,
      (const float *in[3]; for (int j = 0; j < x->n_in; j++) {
          in[j] = x->in[j] + r.first;
      } x->k->weighted_sum(in, x->weights, x->n_in, r.end - r.first, x->act, x->out + r.first);))

SPLIT(channel_scale, (float *m; size_t n_pixels; int channels; const float *scale;),
      (float *m, size_t n_pixels, int channels, const float *scale), (m, n_pixels, channels, scale),
      MAP_NS(x->n_pixels *(size_t)x->channels), x->n_pixels, 1,
      (x->k->channel_scale(x->m + r.first * (size_t)x->channels, r.end - r.first, x->channels, x->scale);))

SPLIT(layer_norm,
      (const float *m; size_t rows; size_t n; const float *weight; const float *bias; float eps; float *out;),
      (const float *m, size_t rows, size_t n, const float *weight, const float *bias, float eps, float *out),
      (m, rows, n, weight, bias, eps, out), MAP_NS(x->rows * x->n), x->rows, 8,
      (x->k->layer_norm(x->m + r.first * x->n, r.end - r.first, x->n, x->weight, x->bias, x->eps,
                        x->out + r.first * x->n);))

/* Heads: scores and values, at a quarter of what matrices give. */
static uint64_t attention_ns(size_t rows, size_t positions, int n_heads, int head_dim)
{
    return 16 * (uint64_t)rows * positions * (size_t)n_heads * (size_t)head_dim / float_ops_per_ns[my.inner->isa];
}

static size_t positions_of(const struct kv_span *spans, int n_spans)
{
    size_t n = 0;
    for (int i = 0; i < n_spans; i++) {
        n += spans[i].n;
    }
    return n;
}

enum { HEADS = 2, MAX_SPANS = 96 }; /* heads that stay together: a vector of AVX2 or more is then full */

SPLIT(attend,
      (const float *q; const struct kv_span *spans; int n_spans; int n_heads; int dim; float scale; float *scratch;
       float *out;),
      (const float *q, const struct kv_span *spans, int n_spans, int n_heads, int dim, float scale, float *scratch,
       float *out),
      (q, spans, n_spans, n_heads, dim, scale, scratch, out),
      x->n_spans > MAX_SPANS ? 0 : attention_ns(1, positions_of(x->spans, x->n_spans), x->n_heads, x->dim),
      (size_t)x->n_heads, HEADS,
      (struct kv_span spans[MAX_SPANS]; size_t at = r.first * (size_t)x->dim; for (int j = 0; j < x->n_spans; j++) {
          spans[j] = x->spans[j];
          spans[j].k += at;
          spans[j].v += at;
      } x->k->attend(x->q + at, spans, x->n_spans, (int)(r.end - r.first), x->dim, x->scale,
                     x->scratch + r.first * positions_of(x->spans, x->n_spans), x->out + at);))

SPLIT(attend_block,
      (const float *q; size_t n_q; size_t ldq; const struct kv_span *span; int n_heads; int dim; float scale;
       float *scratch; float *out; size_t ldo;),
      (const float *q, size_t n_q, size_t ldq, const struct kv_span *span, int n_heads, int dim, float scale,
       float *scratch, float *out, size_t ldo),
      (q, n_q, ldq, span, n_heads, dim, scale, scratch, out, ldo), attention_ns(x->n_q, x->span->n, x->n_heads, x->dim),
      (size_t)x->n_heads, HEADS,
      (struct kv_span span = *x->span; size_t at = r.first * (size_t)x->dim; span.k += at; span.v += at;
       x->k->attend_block(x->q + at, x->n_q, x->ldq, &span, (int)(r.end - r.first), x->dim, x->scale,
                          x->scratch + r.first * span.n, x->out + at, x->ldo);))

SPLIT(softmax, (float *m; size_t rows; size_t n; size_t ld;), (float *m, size_t rows, size_t n, size_t ld),
      (m, rows, n, ld), MAP_NS(x->rows * x->n), x->rows, 1,
      (x->k->softmax(x->m + r.first * x->ld, r.end - r.first, x->n, x->ld);))

SPLIT(log_softmax, (float *m; size_t rows; size_t n; size_t ld;), (float *m, size_t rows, size_t n, size_t ld),
      (m, rows, n, ld), MAP_NS(x->rows * x->n), x->rows, 1,
      (x->k->log_softmax(x->m + r.first * x->ld, r.end - r.first, x->n, x->ld);))

/* ---- the table ---- */

const struct kernels *split_kernels(struct kernels *out, const struct kernels *inner)
{
    *out = *inner;
    if (inner->gemm_backend == GEMM_NATIVE) {
        out->gemm = split_gemm;
    }
    out->gemm8 = split_gemm8;
    out->quantize_rows = split_quantize_rows;
    out->conv_rgb = split_conv_rgb;
    out->quantize = split_quantize;
    out->depthwise = split_depthwise;
    out->depthwise8 = split_depthwise8;
    out->weighted_sum = split_weighted_sum;
    out->channel_scale = split_channel_scale;
    out->layer_norm = split_layer_norm;
    out->attend = split_attend;
    out->attend_block = split_attend_block;
    out->softmax = split_softmax;
    out->log_softmax = split_log_softmax;
    return out;
}
