#include "engine/model/tee/backbone.h"

#include "engine/model/linear.h"
#include "engine/model/tee/block8.h"

#include <string.h>

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int half(int n)
{
    return (n + 1) / 2;
}

/* The padding before the first row or column. */
static int pad_before(enum model_padding rule, int size, int kernel, int stride)
{
    if (rule == MODEL_PAD_SYMMETRIC) {
        return (kernel - 1) / 2;
    }
    int total = ((size + stride - 1) / stride - 1) * stride + kernel - size;
    return max_int(total, 0) / 2;
}

static struct conv_shape shape_of(enum model_padding rule, int h, int w, int channels, int kernel, int stride)
{
    return (struct conv_shape){.in_h = h,
                               .in_w = w,
                               .channels = channels,
                               .kernel = kernel,
                               .stride = stride,
                               .pad_top = pad_before(rule, h, kernel, stride),
                               .pad_left = pad_before(rule, w, kernel, stride),
                               .out_h = stride == 2 ? half(h) : h,
                               .out_w = stride == 2 ? half(w) : w};
}

/* ---- running ---- */

static void run_stem(const struct plan_step *s, const struct plan_run *r)
{
    r->kernels->conv_rgb(&s->conv, r->pixels, s->filter->weight, s->filter->bias, s->out.c, s->act,
                         plan_at(r, s->out)); /* [h/2, w/2, stem] */
}

/* Rows [first, end) of the map that the depthwise filter reads, in `strip`, which already holds *have_first.. up to
 * *have_end from the strip before. */
static void widen_rows(const struct plan_step *s, const struct plan_run *r, int first, int end, int *have_first,
                       int *have_end, float *strip)
{
    size_t row = (size_t)s->conv.in_w * (size_t)s->conv.channels;
    const struct plan_map x = s->in[0];
    int keep = max_int(*have_end - first, 0), start = first + keep;
    if (keep > 0 && first > *have_first) {
        memmove(strip, strip + (size_t)(first - *have_first) * row, (size_t)keep * row * sizeof(float));
    }
    if (end > start) {
        size_t at = (size_t)start * (size_t)x.w * (size_t)x.c;
        plan_linear(s, r, &s->block->expand, plan_at(r, x) + at, (size_t)(end - start) * (size_t)x.w,
                    strip + (size_t)keep * row, s->act, NULL);
    }
    *have_first = first;
    *have_end = end;
}

static void add_mean(const struct plan_step *s, const struct plan_run *r, const float *rows, int n, float *sum)
{
    float *mean = sum + s->out.c;
    float share = (float)n / (float)s->out.h;
    r->kernels->channel_mean(rows, (size_t)n * (size_t)s->out.w, s->out.c, mean);
    for (int c = 0; c < s->out.c; c++) {
        sum[c] += share * mean[c];
    }
}

static void run_widen(const struct plan_step *s, const struct plan_run *r)
{
    const struct conv_shape *full = &s->conv;
    size_t in_row = (size_t)full->in_w * (size_t)full->channels, out_row = (size_t)s->out.w * (size_t)s->out.c;
    float *strip = r->arena + s->scratch, *sum = r->arena + s->channel_sum;
    bool has_expand = linear_n(&s->block->expand) > 0, has_sum = s->block->se_reduce.n > 0;
    int have_first = 0, have_end = 0;
    if (has_sum) {
        memset(sum, 0, (size_t)s->out.c * sizeof(float));
    }
    for (int y = 0; y < s->out.h; y += s->strip) {
        int n = min_int(s->strip, s->out.h - y);
        int top = y * full->stride - full->pad_top; /* may lie above the map */
        int first = max_int(top, 0), end = min_int(top + (n - 1) * full->stride + full->kernel, full->in_h);
        struct conv_shape part = *full;
        part.in_h = end - first;
        part.pad_top = first - top;
        part.out_h = n;
        const float *in = plan_at(r, s->in[0]) + (size_t)first * in_row;
        if (has_expand) {
            widen_rows(s, r, first, end, &have_first, &have_end, strip); /* [end - first, w, E] */
            in = strip;
        }
        float *out = plan_at(r, s->out) + (size_t)y * out_row; /* [n, w/stride, E] */
        r->kernels->depthwise(&part, in, s->block->depthwise.weight, s->block->depthwise.bias, s->act, out);
        if (has_sum) {
            add_mean(s, r, out, n, sum);
        }
    }
}

static void run_excite(const struct plan_step *s, const struct plan_run *r)
{
    const struct bind_block *b = s->block;
    float *scale = r->arena + s->channel_sum, *squeezed = r->arena + s->scratch;
    r->kernels->gemm(&b->se_reduce, scale, b->se_reduce.k, 1, squeezed, b->se_reduce.n, s->act, NULL, 0);      /* [S] */
    r->kernels->gemm(&b->se_expand, squeezed, b->se_expand.k, 1, scale, b->se_expand.n, ACT_SIGMOID, NULL, 0); /* [E] */
}

static void run_narrow(const struct plan_step *s, const struct plan_run *r)
{
    const struct bind_linear *w = &s->block->project;
    size_t n_in = linear_k(w), n_out = linear_n(w);
    size_t n_pixels = (size_t)s->out.h * (size_t)s->out.w, strip = (size_t)s->strip * (size_t)s->out.w;
    float *x = plan_at(r, s->in[0]), *y = plan_at(r, s->out);
    for (size_t at = 0; at < n_pixels; at += strip) {
        size_t n = at + strip < n_pixels ? strip : n_pixels - at;
        float *rows = x + at * n_in; /* [n, E] */
        if (s->block->se_reduce.n > 0) {
            r->kernels->channel_scale(rows, n, (int)n_in, r->arena + s->channel_sum);
        }
        const float *residual = s->block->has_residual ? plan_at(r, s->in[1]) + at * n_out : NULL;
        plan_linear(s, r, w, rows, n, y + at * n_out, ACT_NONE, residual); /* [n, out] */
    }
}

/* ---- planning ---- */

static void plan_block(struct plan *p, const struct bind_block *b, const struct model_config *c, struct plan_map x,
                       struct plan_map y)
{
    enum act act = backbone_act(c);
    size_t mark = p->top;
    struct conv_shape conv = shape_of(c->backbone.padding, x.h, x.w, b->wide, b->kernel, b->stride);
    if (b->bytes.filter.packed) {
        block8_plan(p, b, &conv, x, y);
        return;
    }
    size_t channel_sum = plan_take(p, 2 * (size_t)b->wide);
    size_t squeezed = plan_take(p, (size_t)b->narrow);
    struct plan_map wide = plan_map(p, conv.out_h, conv.out_w, b->wide); /* [h/s, w/s, E] */

    struct plan_step *s = plan_add(p, "widen", run_widen);
    size_t row = (size_t)x.w * (size_t)b->wide;
    int min = b->kernel + b->stride;
    int strip_in = plan_strip_rows(row, min, x.h + min);
    s->block = b;
    s->in[0] = x;
    s->out = wide;
    s->conv = conv;
    s->act = act;
    s->strip = max_int((strip_in - b->kernel) / b->stride + 1, 1);
    s->channel_sum = channel_sum;
    if (b->wide != b->inputs) {
        size_t strip = plan_strip_floats(row, min, x.h + min);
        s->scratch = plan_take(p, strip);
        s->bytes = plan_room_linear(p, &b->expand, strip / (size_t)b->wide);
    }
    if (c->backbone.squeeze_excite) {
        s = plan_add(p, "excite", run_excite);
        s->block = b;
        s->act = act;
        s->channel_sum = channel_sum;
        s->scratch = squeezed;
    }
    s = plan_add(p, "narrow", run_narrow);
    s->block = b;
    s->in[0] = wide;
    s->in[1] = x;
    s->out = y;
    row = (size_t)wide.w * (size_t)wide.c;
    s->strip = plan_strip_rows(row, 1, wide.h);
    s->bytes = plan_room_linear(p, &b->project, plan_strip_floats(row, 1, wide.h) / (size_t)wide.c);
    s->channel_sum = channel_sum;
    plan_release(p, mark);
}

/* The size of the map after a block. */
static struct plan_map after_block(const struct bind_block *b, struct plan_map x)
{
    bool is_halved = b->stride == 2;
    return (struct plan_map){.h = is_halved ? half(x.h) : x.h, .w = is_halved ? half(x.w) : x.w, .c = b->outputs};
}

/* Two places take turns for what is between blocks; each is as large as the largest that it may hold. */
static void plan_turns(struct plan *p, const struct bind_block *blocks, int n, struct plan_map x, size_t turns[2])
{
    size_t max = plan_floats(x);
    for (int i = 0; i < n; i++) {
        x = after_block(&blocks[i], x);
        max = plan_floats(x) > max ? plan_floats(x) : max;
    }
    turns[0] = plan_take(p, max);
    turns[1] = plan_take(p, max);
}

void backbone_plan_blocks(struct plan *p, const struct bind_block *blocks, int n, const struct model_config *c,
                          struct plan_map x, struct plan_map y)
{
    size_t mark = p->top, turns[2];
    plan_turns(p, blocks, n, x, turns);
    for (int i = 0; i < n; i++) {
        struct plan_map next = after_block(&blocks[i], x);
        next.at = i == n - 1 ? y.at : x.at == turns[0] ? turns[1] : turns[0];
        plan_block(p, &blocks[i], c, x, next); /* [h/stride, w/stride, out] */
        x = next;
    }
    plan_release(p, mark);
}

/* The map that enters block `i`; its place is taken here unless it is a tap. */
static struct plan_map keep_entry(struct plan *p, const struct bind_tee *weights, int i, struct plan_map stem,
                                  const struct plan_map taps[MODEL_TAPS])
{
    struct plan_map x = stem;
    for (int k = 0; k < i; k++) {
        x = after_block(&weights->blocks[k], x);
    }
    int tap = i > 0 ? weights->blocks[i - 1].tap : -1;
    x.at = tap >= 0 ? taps[tap].at : plan_take(p, plan_floats(x));
    return x;
}

void backbone_plan(struct plan *p, const struct bind_tee *weights, const struct model_config *c, int h, int w,
                   struct plan_map taps[MODEL_TAPS], struct plan_map *entry)
{
    int n = weights->n_blocks, first_own = n - c->context.own_blocks;
    struct plan_map x = {.h = half(h), .w = half(w), .c = c->backbone.stem}; /* [h/2, w/2, stem] */
    for (int i = 0; i < n; i++) {                                            /* what stays lies lowest */
        int tap = weights->blocks[i].tap;
        if (tap >= 0) {
            taps[tap] = plan_map(p, h >> (tap + 2), w >> (tap + 2), weights->blocks[i].outputs);
        }
    }
    *entry = keep_entry(p, weights, first_own, x, taps);
    size_t mark = p->top, turns[2];
    plan_turns(p, weights->blocks, n, x, turns);
    x.at = first_own == 0 ? entry->at : turns[0];

    struct plan_step *stem = plan_add(p, "stem", run_stem);
    stem->filter = &weights->stem;
    stem->conv = shape_of(c->backbone.padding, h, w, 3, 3, 2);
    stem->act = backbone_act(c);
    stem->out = x;
    for (int i = 0; i < n; i++) {
        const struct bind_block *b = &weights->blocks[i];
        struct plan_map y = after_block(b, x);
        y.at = b->tap >= 0 ? taps[b->tap].at : i + 1 == first_own ? entry->at : x.at == turns[0] ? turns[1] : turns[0];
        plan_block(p, b, c, x, y); /* [h/stride, w/stride, out] */
        x = y;
    }
    plan_release(p, mark);
}

enum act backbone_act(const struct model_config *c)
{
    return c->backbone.activation == MODEL_SWISH ? ACT_SWISH : ACT_RELU6;
}

int backbone_max_steps(int n_blocks)
{
    return 1 + 3 * n_blocks;
}
