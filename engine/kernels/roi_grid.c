#include "engine/kernels/roi_grid.h"

static struct roi_point point_at(float at, int length)
{
    struct roi_point p = {.is_inside = at >= -1.0f && at <= (float)length};
    if (!p.is_inside) {
        return p;
    }
    at = at > 0.0f ? at : 0.0f;
    int cell = (int)at;
    if (cell >= length - 1) {
        p.low = p.high = length - 1;
    } else {
        p.low = cell;
        p.high = cell + 1;
        p.share = at - (float)cell;
    }
    return p;
}

/* One direction, from `first` to `last` on the map. */
static void set_points(struct roi_point *points, float first, float last, int length, int pool, int sampling)
{
    float size = last - first, bin = (size > 1.0f ? size : 1.0f) / (float)pool;
    for (int i = 0; i < pool * sampling; i++) {
        float within = ((float)(i % sampling) + 0.5f) * bin / (float)sampling;
        points[i] = point_at(first + (float)(i / sampling) * bin + within, length);
    }
}

void roi_grid(struct roi_grid *g, int h, int w, float scale, const struct roi_box *box, int pool, int sampling)
{
    BUG_ON(pool * sampling > ROI_GRID_MAX);
    set_points(g->y, box->y0 * scale, box->y1 * scale, h, pool, sampling);
    set_points(g->x, box->x0 * scale, box->x1 * scale, w, pool, sampling);
    g->share = 1.0f / (float)(sampling * sampling);
    g->w = w;
}
