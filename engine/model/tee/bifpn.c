#include "engine/model/tee/bifpn.h"

#include "engine/model/linear.h"

#include <string.h>

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* ---- running ---- */

static void run_pointwise(const struct plan_step *s, const struct plan_run *r)
{
    size_t n_pixels = (size_t)s->out.h * (size_t)s->out.w;
    plan_linear(s, r, s->linear, plan_at(r, s->in[0]), n_pixels, plan_at(r, s->out), ACT_NONE, NULL); /* [h, w, n] */
}

static void run_pool(const struct plan_step *s, const struct plan_run *r)
{
    r->kernels->maxpool3x3s2(plan_at(r, s->in[0]), s->in[0].h, s->in[0].w, s->in[0].c, plan_at(r, s->out));
}

/* Rows [first, end) of map `m`, as they stand or enlarged to the size of the output into `room`. */
static const float *input_rows(const struct plan_step *s, const struct plan_run *r, int i, int first, int end,
                               float *room)
{
    struct plan_map m = s->in[i];
    size_t row = (size_t)m.w * (size_t)m.c, out_row = (size_t)s->out.w * (size_t)m.c;
    const float *x = plan_at(r, m);
    if (m.h == s->out.h && m.w == s->out.w) {
        return x + (size_t)first * row;
    }
    for (int y = first; y < end; y++) { /* the nearest row, then the nearest column */
        int from = (int)((long)y * m.h / s->out.h);
        r->kernels->upsample_nearest(x + (size_t)from * row, 1, m.w, m.c, 1, s->out.w,
                                     room + (size_t)(y - first) * out_row);
    }
    return room;
}

/* scratch: [strip + 2, w, C] sums, then [strip + 2, w, C] enlarged rows; scratch2: [strip, w, C] filtered. */
static void run_node(const struct plan_step *s, const struct plan_run *r)
{
    const struct bind_node *node = s->node;
    size_t row = (size_t)s->out.w * (size_t)s->out.c;
    float *sums = r->arena + s->scratch, *room = sums + (size_t)(s->strip + 2) * row,
          *filtered = r->arena + s->scratch2;
    int have_first = 0, have_end = 0;
    for (int y = 0; y < s->out.h; y += s->strip) {
        int n = min_int(s->strip, s->out.h - y);
        int first = max_int(y - 1, 0), end = min_int(y + n + 1, s->out.h);
        int keep = max_int(have_end - first, 0), start = first + keep;
        if (keep > 0) {
            memmove(sums, sums + (size_t)(first - have_first) * row, (size_t)keep * row * sizeof(float));
        }
        if (end > start) {
            const float *in[3];
            for (int i = 0; i < node->n_inputs; i++) {
                in[i] = input_rows(s, r, i, start, end, room);
            }
            r->kernels->weighted_sum(in, node->fuse, node->n_inputs, (size_t)(end - start) * row, ACT_SWISH,
                                     sums + (size_t)keep * row); /* [end - first, w, C] */
        }
        have_first = first;
        have_end = end;
        struct conv_shape part = s->conv;
        part.in_h = end - first;
        part.pad_top = y == 0 ? 1 : 0;
        part.out_h = n;
        r->kernels->depthwise(&part, sums, node->depthwise.weight, NULL, ACT_NONE, filtered); /* [n, w, C] */
        plan_linear(s, r, &node->pointwise, filtered, (size_t)n * (size_t)s->out.w,
                    plan_at(r, s->out) + (size_t)y * row, ACT_NONE, NULL);
    }
}

/* ---- planning ---- */

static void plan_pointwise(struct plan *p, const char *name, const struct bind_linear *w, struct plan_map in,
                           struct plan_map out)
{
    size_t mark = p->top;
    struct plan_step *s = plan_add(p, name, run_pointwise);
    s->linear = w;
    s->in[0] = in;
    s->out = out;
    s->bytes = plan_room_linear(p, w, (size_t)in.h * (size_t)in.w);
    plan_release(p, mark);
}

static void plan_pool(struct plan *p, struct plan_map in, struct plan_map out)
{
    struct plan_step *s = plan_add(p, "pool", run_pool);
    s->in[0] = in;
    s->out = out;
}

static struct plan_map half_map(struct plan *p, struct plan_map m)
{
    return plan_map(p, (m.h + 1) / 2, (m.w + 1) / 2, m.c);
}

/* out = node(a, b, c); c only where the node has three inputs. */
static void plan_node(struct plan *p, const struct bind_node *node, struct plan_map a, struct plan_map b,
                      struct plan_map c, struct plan_map out)
{
    size_t mark = p->top, row = (size_t)out.w * (size_t)out.c;
    struct plan_step *s = plan_add(p, "node", run_node);
    s->node = node;
    s->in[0] = a;
    s->in[1] = b;
    s->in[2] = c;
    s->out = out;
    s->conv =
        (struct conv_shape){.in_w = out.w, .channels = out.c, .kernel = 3, .stride = 1, .pad_left = 1, .out_w = out.w};
    int strip_in = plan_strip_rows(row, 3, out.h + 2);
    s->strip = strip_in - 2;
    s->scratch = plan_take(p, 2 * plan_strip_floats(row, 3, out.h + 2));
    s->scratch2 = plan_take(p, plan_strip_floats(row, 3, out.h + 2));
    s->bytes = plan_room_linear(p, &node->pointwise, plan_strip_floats(row, 3, out.h + 2) / (size_t)out.c);
    plan_release(p, mark);
}

/* One repeat: `in` -> `out`; `up` are the inputs of the bottom-up half. Names as in docs/model-format.md. */
static void plan_cell(struct plan *p, const struct bind_cell *cell, const struct plan_map in[MODEL_LEVELS],
                      const struct plan_map up[MODEL_LEVELS], const struct plan_map out[MODEL_LEVELS])
{
    size_t mark = p->top;
    struct plan_map td[MODEL_LEVELS] = {out[0], plan_map(p, in[1].h, in[1].w, in[1].c),
                                        plan_map(p, in[2].h, in[2].w, in[2].c), plan_map(p, in[3].h, in[3].w, in[3].c),
                                        in[4]};
    for (int i = 3; i >= 0; i--) {
        plan_node(p, &cell->nodes[3 - i], in[i], td[i + 1], td[i + 1], td[i]); /* [h_i, w_i, C] */
    }
    for (int i = 1; i < MODEL_LEVELS; i++) {
        size_t inner = p->top;
        struct plan_map pooled = half_map(p, out[i - 1]);
        plan_pool(p, out[i - 1], pooled);
        if (i < 4) {
            plan_node(p, &cell->nodes[3 + i], up[i], td[i], pooled, out[i]);
        } else {
            plan_node(p, &cell->nodes[7], up[4], pooled, pooled, out[4]);
        }
        plan_release(p, inner);
    }
    plan_release(p, mark);
}

static void plan_levels(struct plan *p, const struct plan_map taps[MODEL_TAPS], int channels,
                        struct plan_map out[MODEL_LEVELS])
{
    for (int i = 0; i < MODEL_TAPS; i++) {
        out[i] = plan_map(p, taps[i].h, taps[i].w, channels);
    }
    out[4] = half_map(p, out[3]);
}

void bifpn_plan(struct plan *p, const struct bind_tee *weights, const struct plan_map taps[MODEL_TAPS],
                struct plan_map pyramid[MODEL_LEVELS])
{
    int channels = (int)linear_n(&weights->lateral[0]);
    struct plan_map other[MODEL_LEVELS], up[MODEL_LEVELS];
    plan_levels(p, taps, channels, pyramid);
    size_t mark = p->top;
    plan_levels(p, taps, channels, other);

    /* cells write to `pyramid` and `other` in turns, the last one to `pyramid` */
    struct plan_map *in = weights->n_cells % 2 ? other : pyramid, *out = in == other ? pyramid : other;
    for (int i = 0; i < MODEL_TAPS; i++) {
        plan_pointwise(p, "lateral", &weights->lateral[i], taps[i], in[i]); /* [h_i, w_i, C] */
    }
    plan_pool(p, in[3], in[4]);
    memcpy(up, in, sizeof(up));
    for (int i = 1; i <= 2; i++) {
        up[i] = plan_map(p, taps[i].h, taps[i].w, channels);
        plan_pointwise(p, "lateral2", &weights->lateral2[i - 1], taps[i], up[i]);
    }
    for (int i = 0; i < weights->n_cells; i++) {
        plan_cell(p, &weights->cells[i], in, i == 0 ? up : in, out);
        struct plan_map *turn = in;
        in = out;
        out = turn;
    }
    plan_release(p, mark);
}

void bifpn_plan_rpn(struct plan *p, const struct bind_tee *weights, const struct plan_map pyramid[MODEL_LEVELS],
                    struct plan_map rpn[MODEL_LEVELS])
{
    for (int i = 0; i < MODEL_LEVELS; i++) {
        rpn[i] = plan_map(p, pyramid[i].h, pyramid[i].w, (int)linear_n(&weights->rpn));
        plan_pointwise(p, "rpn", &weights->rpn, pyramid[i], rpn[i]); /* [h_i, w_i, 3 + 12] */
    }
}

int bifpn_max_steps(const struct bind_tee *weights)
{
    return MODEL_TAPS + 1 + 2 + weights->n_cells * (BIND_NODES + MODEL_LEVELS - 1) + MODEL_LEVELS;
}
