#include "engine/model/tee/block8.h"

#include "engine/model/linear.h"

#include <math.h>
#include <string.h>

enum { STRIP_BYTES = 160 * 1024 }; /* of widened rows: with what else a strip needs well within a common L2 */

static const struct gemm8_row relu6 = {BIND_RELU6_SCALE, 0};

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* ---- running ---- */

/* The rows of the widened map that are there, of those that the filter reads. */
struct window {
    uint8_t *rows; /* [end - first, w, wide] */
    int first, end;
};

static bool are_finite(const struct gemm8_row *row, size_t n)
{
    float sum = 0.0F;
    for (size_t i = 0; i < n; i++) {
        sum += row[i].scale * 0.0F;
    }
    return sum == 0.0F;
}

/* n pixels, widened, to bytes; false where one is not finite. */
static bool widen(const struct plan_step *s, const struct plan_run *r, const float *x, size_t n, uint8_t *out)
{
    const struct gemm8_weights *w = &s->block->bytes.expand;
    if (w->n == 0) {
        r->kernels->quantize(x, n * (size_t)s->in[0].c, relu6.scale, out);
        return true;
    }
    struct linear_scratch bytes;
    struct arena room = plan_room_arena(s->bytes, r->arena);
    linear_place(&bytes, &room, n, w->k);
    size_t ld = linear_row_bytes(w->k);
    r->kernels->quantize_rows(x, w->k, n, w->k, bytes.bytes, ld, bytes.row);
    struct gemm8_in in = {bytes.bytes, ld, bytes.row, 1};
    struct gemm8_out to = {.q = out, .ld = w->n, .to = {1.0F, 0}}; /* the bounds of a byte are those of ReLU6 */
    r->kernels->gemm8(w, &in, n, &to);
    return are_finite(bytes.row, n);
}

/* Moves the window to rows first .. end - 1 of the map, upwards. */
static bool move_window(const struct plan_step *s, const struct plan_run *r, struct window *w, int first, int end)
{
    size_t row = (size_t)s->conv.in_w * (size_t)s->conv.channels;
    int keep = max_int(w->end - first, 0), start = first + keep;
    if (keep > 0 && first > w->first) {
        memmove(w->rows, w->rows + (size_t)(first - w->first) * row, (size_t)keep * row);
    }
    w->first = first;
    w->end = end;
    const struct plan_map x = s->in[0];
    const float *from = plan_at(r, x) + (size_t)start * (size_t)x.w * (size_t)x.c;
    return end <= start || widen(s, r, from, (size_t)(end - start) * (size_t)x.w, w->rows + (size_t)keep * row);
}

/* Output rows y .. y + n - 1. What is not finite must not be lost in bytes. */
static void run_strip(const struct plan_step *s, const struct plan_run *r, struct window *w, int y, int n)
{
    const struct bind_block *b = s->block;
    const struct gemm8_weights *project = &b->project.bytes;
    struct conv_shape part = s->conv;
    int top = y * part.stride - part.pad_top; /* may lie above the map */
    int first = max_int(top, 0), end = min_int(top + (n - 1) * part.stride + part.kernel, part.in_h);
    bool is_finite = move_window(s, r, w, first, end);
    part.in_h = end - first;
    part.pad_top = first - top;
    part.out_h = n;
    uint8_t *filtered = (uint8_t *)(r->arena + s->scratch2);
    r->kernels->depthwise8(&part, w->rows, &b->bytes.filter, filtered); /* [n, w/stride, wide] */

    size_t pixels = (size_t)n * (size_t)s->out.w, at = (size_t)y * (size_t)s->out.w * project->n;
    float *out = plan_at(r, s->out) + at;
    struct gemm8_in in = {filtered, project->k, &relu6, 0};
    struct gemm8_out to = {.c = out, .ld = project->n, .ldr = project->n};
    to.residual = b->has_residual ? plan_at(r, s->in[0]) + at : NULL;
    r->kernels->gemm8(project, &in, pixels, &to); /* [n, w/stride, out] */
    for (size_t i = 0; !is_finite && i < pixels * project->n; i++) {
        out[i] = NAN;
    }
}

static void run_block(const struct plan_step *s, const struct plan_run *r)
{
    struct window w = {(uint8_t *)(r->arena + s->scratch), 0, 0};
    for (int y = 0; y < s->out.h; y += s->strip) {
        run_strip(s, r, &w, y, min_int(s->strip, s->out.h - y));
    }
}

/* ---- planning ---- */

static size_t floats_for(size_t bytes)
{
    return (bytes + sizeof(float) - 1) / sizeof(float);
}

void block8_plan(struct plan *p, const struct bind_block *b, const struct conv_shape *conv, struct plan_map x,
                 struct plan_map y)
{
    size_t mark = p->top, wide = (size_t)b->wide, in_row = (size_t)x.w * wide, out_row = (size_t)y.w * wide;
    int min = b->kernel + b->stride, max = x.h + min; /* rows of the window */
    size_t room = (size_t)min * in_row > STRIP_BYTES ? (size_t)min * in_row : STRIP_BYTES;
    room = room < (size_t)max * in_row ? room : (size_t)max * in_row;
    int strip = max_int(((int)(room / in_row) - b->kernel) / b->stride + 1, 1);
    int n_strips = (y.h + strip - 1) / strip;

    struct plan_step *s = plan_add(p, "block", run_block);
    s->block = b;
    s->in[0] = x;
    s->out = y;
    s->conv = *conv;
    s->strip = (y.h + n_strips - 1) / n_strips; /* as equal as can be */
    s->scratch = plan_take(p, floats_for(room));
    s->scratch2 = plan_take(p, floats_for((size_t)(strip < y.h ? strip : y.h) * out_row));
    s->bytes = plan_room_linear(p, &b->expand, room / wide);
    plan_release(p, mark);
}
