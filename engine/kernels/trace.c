#include "engine/kernels/trace.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/kernels/list.h"
#include "engine/kernels/split.h"

#include <string.h>

enum { FIRST_ROWS = 256 };

struct trace {
    struct kernels table;
    const struct kernels *inner;
    bool is_summary;
    const char *stage, *step;
    int turn;
    struct trace_row *rows; /* [n], room for max */
    int n, max;
    enum err err;
};

static _Thread_local struct trace *current;

/* ---- rows ---- */

static bool is_same(const struct trace *t, const struct trace_row *a, const struct trace_row *b)
{
    bool is_kernel =
        strcmp(a->kernel, b->kernel) == 0 && strcmp(a->step, b->step) == 0 && strcmp(a->stage, b->stage) == 0;
    return is_kernel && (t->is_summary || (a->turn == b->turn && a->n == b->n && a->k == b->k && a->act == b->act &&
                                           strcmp(a->format, b->format) == 0));
}

/* A row for calls like this one, without any yet. */
static struct trace_row *add_row(struct trace *t, const struct trace_row *like)
{
    if (t->n == t->max) {
        struct trace_row *more = NULL;
        int max = t->max > 0 ? 2 * t->max : FIRST_ROWS;
        enum err rc = mem_array(&more, (size_t)max, sizeof(*more));
        if (rc) {
            t->err = rc;
            return NULL;
        }
        if (t->n > 0) {
            memcpy(more, t->rows, (size_t)t->n * sizeof(*more));
        }
        mem_free(t->rows);
        t->rows = more;
        t->max = max;
    }
    struct trace_row *row = &t->rows[t->n++];
    *row = *like;
    row->calls = row->ns = row->operations = row->bytes = row->m = 0;
    return row;
}

/* A call of a kernel that began at from_ns is over. */
static void note(uint64_t from_ns, struct trace_row call)
{
    struct trace *t = current;
    uint64_t ns = clock_ns() - from_ns;
    struct trace_row *row = NULL;
    call.stage = t->stage;
    call.step = t->step;
    call.turn = t->is_summary ? 0 : t->turn;
    call.format = call.format ? call.format : "f32";
    call.cuts = split_cuts();
    for (int i = t->n - 1; i >= 0 && !row && (t->is_summary || t->rows[i].turn == call.turn); i--) {
        row = is_same(t, &t->rows[i], &call) ? &t->rows[i] : NULL;
    }
    row = row ? row : add_row(t, &call);
    if (row) {
        row->m += call.m;
        row->cuts = call.cuts > row->cuts ? call.cuts : row->cuts;
        row->operations += call.operations;
        row->bytes += call.bytes;
        row->calls++;
        row->ns += ns;
    }
}

/* ---- the entries: TRACE(kernel, what of the call goes into its row, parameters, arguments) ---- */

#define FLOATS(n)   ((n) * sizeof(float))
#define CELLS(h, w) ((uint64_t)(h) * (uint64_t)(w))
#define UNPACK(...) __VA_ARGS__
#define TRACE(op, row, parameters, arguments)                                                                          \
    static void traced_##op parameters                                                                                 \
    {                                                                                                                  \
        uint64_t from_ns = clock_ns();                                                                                 \
        current->inner->op arguments;                                                                                  \
        note(from_ns, (struct trace_row){.kernel = #op, UNPACK row});                                                  \
    }

TRACE(gemm,
      (.format = w->halves ? "f16" : "f32", .act = act, .m = m, .n = w->n, .k = w->k, .operations = 2 * m * w->n * w->k,
       .bytes = w->n * w->k * (w->halves ? sizeof(uint16_t) : sizeof(float)) +
                FLOATS(m * w->k + m * w->n * (residual ? 2 : 1))),
      (const struct gemm_weights *w, const float *a, size_t lda, size_t m, float *c, size_t ldc, enum act act,
       const float *residual, size_t ldr),
      (w, a, lda, m, c, ldc, act, residual, ldr))

TRACE(gemm8,
      (.format = "int8", .unit = TRACE_BYTES, .act = out->act, .m = m, .n = w->n, .k = w->k,
       .operations = 2 * m * w->n * w->k,
       .bytes = w->n * w->k + m * w->k + m * w->n * (out->c ? sizeof(float) : 1) +
                (out->residual ? FLOATS(m * w->n) : 0)),
      (const struct gemm8_weights *w, const struct gemm8_in *a, size_t m, const struct gemm8_out *out), (w, a, m, out))

TRACE(quantize_rows, (.m = rows, .n = n, .k = 1, .operations = 4 * rows * n, .bytes = FLOATS(rows * n) + rows * n),
      (const float *x, size_t ldx, size_t rows, size_t n, uint8_t *q, size_t ldq, struct gemm8_row *row),
      (x, ldx, rows, n, q, ldq, row))

TRACE(quantize, (.m = n, .n = 1, .k = 1, .operations = 2 * n, .bytes = FLOATS(n) + n),
      (const float *x, size_t n, float scale, uint8_t *q), (x, n, scale, q))

TRACE(conv_rgb,
      (.act = act, .m = CELLS(s->out_h, s->out_w), .n = (uint64_t)out_channels, .k = 27,
       .operations = 54 * CELLS(s->out_h, s->out_w) * (uint64_t)out_channels,
       .bytes = FLOATS(3 * CELLS(s->in_h, s->in_w) + (27 + CELLS(s->out_h, s->out_w)) * (uint64_t)out_channels)),
      (const struct conv_shape *s, const float *in, const float *w, const float *bias, int out_channels, enum act act,
       float *out),
      (s, in, w, bias, out_channels, act, out))

TRACE(depthwise,
      (.act = act, .m = CELLS(s->out_h, s->out_w), .n = (uint64_t)s->channels, .k = CELLS(s->kernel, s->kernel),
       .operations = 2 * CELLS(s->out_h, s->out_w) * CELLS(s->kernel, s->kernel) * (uint64_t)s->channels,
       .bytes = FLOATS((CELLS(s->in_h, s->in_w) + CELLS(s->out_h, s->out_w) + CELLS(s->kernel, s->kernel)) *
                       (uint64_t)s->channels)),
      (const struct conv_shape *s, const float *in, const float *w, const float *bias, enum act act, float *out),
      (s, in, w, bias, act, out))

TRACE(depthwise8,
      (.format = "int8", .unit = TRACE_WORDS, .m = CELLS(s->out_h, s->out_w), .n = (uint64_t)s->channels,
       .k = CELLS(s->kernel, s->kernel),
       .operations = 2 * CELLS(s->out_h, s->out_w) * CELLS(s->kernel, s->kernel) * (uint64_t)s->channels,
       .bytes = (CELLS(s->in_h, s->in_w) + CELLS(s->out_h, s->out_w) + 2 * CELLS(s->kernel, s->kernel)) *
                (uint64_t)s->channels),
      (const struct conv_shape *s, const uint8_t *in, const struct filter8 *w, uint8_t *out), (s, in, w, out))

TRACE(maxpool3x3s2,
      (.m = CELLS((h + 1) / 2, (w + 1) / 2), .n = (uint64_t)channels, .k = 9,
       .operations = 9 * CELLS((h + 1) / 2, (w + 1) / 2) * (uint64_t)channels,
       .bytes = FLOATS((CELLS(h, w) + CELLS((h + 1) / 2, (w + 1) / 2)) * (uint64_t)channels)),
      (const float *in, int h, int w, int channels, float *out), (in, h, w, channels, out))

TRACE(upsample_nearest,
      (.m = CELLS(out_h, out_w), .n = (uint64_t)channels, .k = 1,
       .bytes = FLOATS((CELLS(h, w) + CELLS(out_h, out_w)) * (uint64_t)channels)),
      (const float *in, int h, int w, int channels, int out_h, int out_w, float *out),
      (in, h, w, channels, out_h, out_w, out))

TRACE(weighted_sum,
      (.act = act, .m = n, .n = 1, .k = (uint64_t)n_in, .operations = 2 * n * (uint64_t)n_in,
       .bytes = FLOATS(n * (uint64_t)(n_in + 1))),
      (const float *const *in, const float *weights, int n_in, size_t n, enum act act, float *out),
      (in, weights, n_in, n, act, out))

TRACE(channel_mean,
      (.m = n_pixels, .n = (uint64_t)channels, .k = 1, .operations = n_pixels * (uint64_t)channels,
       .bytes = FLOATS(n_pixels * (uint64_t)channels)),
      (const float *in, size_t n_pixels, int channels, float *out), (in, n_pixels, channels, out))

TRACE(channel_scale,
      (.m = n_pixels, .n = (uint64_t)channels, .k = 1, .operations = n_pixels * (uint64_t)channels,
       .bytes = 2 * FLOATS(n_pixels * (uint64_t)channels)),
      (float *x, size_t n_pixels, int channels, const float *scale), (x, n_pixels, channels, scale))

TRACE(roi_align,
      (.m = CELLS(pool, pool), .n = (uint64_t)channels, .k = 4 * CELLS(sampling, sampling),
       .operations = 8 * CELLS(sampling, sampling) * CELLS(pool, pool) * (uint64_t)channels,
       .bytes = FLOATS((4 * CELLS(sampling, sampling) + 1) * CELLS(pool, pool) * (uint64_t)channels)),
      (const float *map, int h, int w, int channels, float scale, const struct roi_box *box, int pool, int sampling,
       float *out),
      (map, h, w, channels, scale, box, pool, sampling, out))

TRACE(layer_norm, (.m = rows, .n = n, .k = n, .operations = 8 * rows * n, .bytes = 2 * FLOATS(rows * n)),
      (const float *x, size_t rows, size_t n, const float *weight, const float *bias, float eps, float *out),
      (x, rows, n, weight, bias, eps, out))

static uint64_t positions_of(const struct kv_span *spans, int n_spans)
{
    uint64_t n = 0;
    for (int i = 0; i < n_spans; i++) {
        n += spans[i].n;
    }
    return n;
}

/* k, the positions, differs from call to call: rows are kept apart by n alone. */
TRACE(attend,
      (.m = 1, .n = CELLS(n_heads, head_dim), .operations = 4 * positions_of(spans, n_spans) * CELLS(n_heads, head_dim),
       .bytes = 2 * FLOATS((positions_of(spans, n_spans) + 1) * CELLS(n_heads, head_dim))),
      (const float *q, const struct kv_span *spans, int n_spans, int n_heads, int head_dim, float scale, float *scratch,
       float *out),
      (q, spans, n_spans, n_heads, head_dim, scale, scratch, out))

TRACE(attend_block,
      (.m = n_q, .n = CELLS(n_heads, head_dim), .k = span->n,
       .operations = 4 * n_q * span->n * CELLS(n_heads, head_dim),
       .bytes = 2 * FLOATS((n_q + span->n) * CELLS(n_heads, head_dim))),
      (const float *q, size_t n_q, size_t ldq, const struct kv_span *span, int n_heads, int head_dim, float scale,
       float *scratch, float *out, size_t ldo),
      (q, n_q, ldq, span, n_heads, head_dim, scale, scratch, out, ldo))

TRACE(activate, (.act = act, .m = n, .n = 1, .k = 1, .operations = n, .bytes = 2 * FLOATS(n)),
      (float *x, size_t n, enum act act), (x, n, act))

TRACE(softmax, (.m = rows, .n = n, .k = n, .operations = 4 * rows * n, .bytes = 2 * FLOATS(rows * n)),
      (float *x, size_t rows, size_t n, size_t ld), (x, rows, n, ld))

TRACE(log_softmax, (.m = rows, .n = n, .k = n, .operations = 4 * rows * n, .bytes = 2 * FLOATS(rows * n)),
      (float *x, size_t rows, size_t n, size_t ld), (x, rows, n, ld))

TRACE(dequantize_i8, (.format = "int8", .m = 1, .n = n, .k = 1, .operations = n, .bytes = n + FLOATS(n)),
      (const int8_t *x, float scale, size_t n, float *out), (x, scale, n, out))

TRACE(bf16_to_f32, (.format = "bf16", .m = 1, .n = n, .k = 1, .bytes = 2 * n + FLOATS(n)),
      (const uint16_t *x, size_t n, float *out), (x, n, out))

/* ---- traces ---- */

enum err trace_create(struct trace **out, bool is_summary)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        (*out)->is_summary = is_summary;
        (*out)->stage = (*out)->step = "";
    }
    return rc;
}

void trace_destroy(struct trace *t)
{
    if (t) {
        mem_free(t->rows);
        mem_free(t);
    }
}

const struct kernels *trace_kernels(struct trace *t, const struct kernels *inner)
{
    t->inner = inner;
    t->table = *inner; /* how weights are packed is not traced */
#define TRACED(op) t->table.op = traced_##op;
    LIST_TRACED(TRACED)
#undef TRACED
    return &t->table;
}

void trace_enter(struct trace *t)
{
    current = t;
}

void trace_leave(void)
{
    current = NULL;
}

void trace_stage(const char *name)
{
    if (current) {
        current->stage = name;
        current->step = "";
        current->turn = 0;
    }
}

void trace_step(const char *name)
{
    if (current) {
        current->step = name;
        current->turn++;
    }
}

enum err trace_rows(const struct trace *t, const struct trace_row **rows, int *n)
{
    *rows = t->rows;
    *n = t->n;
    return t->err;
}

void trace_forget(struct trace *t)
{
    t->n = 0;
    t->err = OK;
}

const char *trace_act_name(enum act act)
{
    static const char *const names[] = {
        [ACT_NONE] = "",     [ACT_RELU] = "relu", [ACT_RELU6] = "relu6",    [ACT_SWISH] = "swish",
        [ACT_GELU] = "gelu", [ACT_TANH] = "tanh", [ACT_SIGMOID] = "sigmoid"};
    return names[act];
}
