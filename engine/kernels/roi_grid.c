#include "engine/kernels/roi_grid.h"

struct roi_grid roi_grid(int h, int w, float scale, const struct roi_box *box, int pool, int sampling)
{
    struct roi_grid g = {.y = box->y0 * scale, .x = box->x0 * scale, .h = h, .w = w, .sampling = sampling};
    float box_h = box->y1 * scale - g.y, box_w = box->x1 * scale - g.x;
    g.bin_h = (box_h > 1.0f ? box_h : 1.0f) / (float)pool;
    g.bin_w = (box_w > 1.0f ? box_w : 1.0f) / (float)pool;
    return g;
}

/* One direction: the two cells around `at` and the share of the upper one. False outside the map. */
static bool neighbours(float at, int length, int *low, int *high, float *share)
{
    if (!(at >= -1.0f && at <= (float)length)) {
        return false;
    }
    at = at > 0.0f ? at : 0.0f;
    int cell = (int)at;
    if (cell >= length - 1) {
        *low = *high = length - 1;
        *share = 0.0f;
    } else {
        *low = cell;
        *high = cell + 1;
        *share = at - (float)cell;
    }
    return true;
}

struct roi_taps roi_grid_taps(const struct roi_grid *g, int row, int column, int sy, int sx)
{
    struct roi_taps t = {.pixel = {0}};
    float y = g->y + (float)row * g->bin_h + ((float)sy + 0.5f) * g->bin_h / (float)g->sampling;
    float x = g->x + (float)column * g->bin_w + ((float)sx + 0.5f) * g->bin_w / (float)g->sampling;
    int y0, y1, x0, x1;
    float ly, lx;
    if (!neighbours(y, g->h, &y0, &y1, &ly) || !neighbours(x, g->w, &x0, &x1, &lx)) {
        return t;
    }
    float share = 1.0f / (float)(g->sampling * g->sampling);
    const int ys[4] = {y0, y0, y1, y1}, xs[4] = {x0, x1, x0, x1};
    const float weights[4] = {(1.0f - ly) * (1.0f - lx), (1.0f - ly) * lx, ly * (1.0f - lx), ly * lx};
    for (int i = 0; i < 4; i++) {
        t.pixel[i] = (size_t)ys[i] * (size_t)g->w + (size_t)xs[i];
        t.weight[i] = weights[i] * share;
    }
    return t;
}
