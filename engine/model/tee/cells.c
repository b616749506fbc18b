#include "engine/model/tee/cells.h"

#include "engine/model/boxes.h"
#include "engine/model/finite.h"
#include "engine/model/linear.h"
#include "engine/model/tee/backbone.h"

#include <string.h>

static const float NORM_EPS = 1e-12F;

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int parts(int length, int size)
{
    return (length + size - 1) / size;
}

/* ---- the map ---- */

static void run_head(const struct plan_step *s, const struct plan_run *r)
{
    size_t n = (size_t)s->out.h * (size_t)s->out.w;
    plan_linear(s, r, s->linear, plan_at(r, s->in[0]), n, plan_at(r, s->out), s->act, NULL); /* [h, w, G] */
}

/* The mean of the window that begins at (y, x), as far as it lies in the map. */
static void mean_of_window(struct plan_map in, const float *map, int y, int x, int pool, float *out)
{
    int end_y = min_int(y + pool, in.h), end_x = min_int(x + pool, in.w);
    float share = 1.0F / (float)((end_y - y) * (end_x - x));
    memset(out, 0, (size_t)in.c * sizeof(*out));
    for (int row = y; row < end_y; row++) {
        for (int column = x; column < end_x; column++) {
            const float *place = map + ((size_t)row * (size_t)in.w + (size_t)column) * (size_t)in.c;
            for (int c = 0; c < in.c; c++) {
                out[c] += place[c];
            }
        }
    }
    for (int c = 0; c < in.c; c++) {
        out[c] *= share;
    }
}

static void run_pool(const struct plan_step *s, const struct plan_run *r)
{
    int pool = s->conv.kernel;
    float *out = plan_at(r, s->out);
    for (int y = 0; y < s->out.h; y++) {
        for (int x = 0; x < s->out.w; x++, out += s->out.c) {
            mean_of_window(s->in[0], plan_at(r, s->in[0]), y * pool, x * pool, pool, out); /* [G] */
        }
    }
}

struct plan_map cells_plan(struct plan *p, const struct bind_cells *weights, const struct model_config *c,
                           struct plan_map entry)
{
    int n = weights->n_blocks, h = entry.h, w = entry.w, pool = c->context.pool;
    for (int i = 0; i < n; i++) {
        h = weights->blocks[i].stride == 2 ? (h + 1) / 2 : h;
        w = weights->blocks[i].stride == 2 ? (w + 1) / 2 : w;
    }
    struct plan_map cells = plan_map(p, parts(h, pool), parts(w, pool), c->context.channels);
    size_t mark = p->top;
    struct plan_map last = entry, map = cells;
    if (n > 0) {
        last = plan_map(p, h, w, weights->blocks[n - 1].outputs);
        backbone_plan_blocks(p, weights->blocks, n, c, entry, last);
    }
    if (pool > 1) {
        map = plan_map(p, h, w, c->context.channels);
    }
    struct plan_step *s = plan_add(p, "head", run_head);
    s->linear = &weights->head;
    s->bytes = plan_room_linear(p, &weights->head, (size_t)h * (size_t)w);
    s->in[0] = last;
    s->out = map;
    s->act = backbone_act(c);
    if (pool > 1) {
        s = plan_add(p, "pool", run_pool);
        s->conv.kernel = pool;
        s->in[0] = map;
        s->out = cells;
    }
    plan_release(p, mark);
    return cells;
}

int cells_max_steps(const struct bind_cells *weights)
{
    return backbone_max_steps(weights->n_blocks) + 2;
}

/* ---- the cells of a picture ---- */

int cells_inputs(const struct model_config *c, struct plan_map map, const float *values, const struct tee_input *in,
                 float *inputs, float *boxes)
{
    int side = MODEL_LAST_STRIDE * c->context.pool, n = 0;
    size_t channels = (size_t)map.c;
    float scale_x = (float)((double)in->width / in->resized_width);
    float scale_y = (float)((double)in->height / in->resized_height);
    for (int y = 0; y * side < in->resized_height; y++) {
        for (int x = 0; x * side < in->resized_width; x++, n++) {
            float *box = boxes + 4 * (size_t)n, *row = inputs + (size_t)n * (channels + BOXES_GEOMETRY);
            const float *cell = values + ((size_t)y * (size_t)map.w + (size_t)x) * channels;
            box[0] = (float)(x * side) * scale_x;
            box[1] = (float)(y * side) * scale_y;
            box[2] = (float)(min_int((x + 1) * side, in->resized_width) - 1) * scale_x;
            box[3] = (float)(min_int((y + 1) * side, in->resized_height) - 1) * scale_y;
            memcpy(row, cell, channels * sizeof(*row));
            boxes_geometry(box, (float)in->width, (float)in->height, row + channels); /* [G + 6] */
        }
    }
    return n;
}

bool cells_embed(const struct kernels *k, const struct bind_fusion *weights, const struct linear_scratch *bytes,
                 const float *inputs, int n, float *rows)
{
    const struct bind_linear *w = &weights->cells;
    const struct bind_norm *norm = &weights->cells_norm;
    size_t n_rows = (size_t)n, dim = linear_n(w);
    linear_run(k, w, bytes, inputs, linear_k(w), n_rows, rows, dim, ACT_NONE, NULL, 0); /* [n, D] */
    k->layer_norm(rows, n_rows, dim, norm->weight, norm->bias, NORM_EPS, rows);
    return finite_floats(rows, n_rows * dim);
}
