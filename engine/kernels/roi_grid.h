/* roi_grid - where RoIAlign reads: the sample points of a box and their bilinear taps.
 *
 * All instruction sets share these points, compiled once without any of their flags: a point on the border of the map
 * must fall on the same side everywhere. */
#ifndef ENGINE_KERNELS_ROI_GRID_H
#define ENGINE_KERNELS_ROI_GRID_H

#include "engine/kernels/kernels.h"

enum { ROI_GRID_MAX = 256 }; /* pool * sampling */

/* A sample point along one axis: two cells of the map and the weight of the upper one. */
struct roi_point {
    int low, high;
    float share;
    bool is_inside;
};

struct roi_grid {
    struct roi_point y[ROI_GRID_MAX], x[ROI_GRID_MAX]; /* sampling points of one bin after the other */
    float share;                                       /* of a sample in its bin */
    int w;
};

/* Four pixels of the map and their weights; a sample outside the map has four weights of 0. */
struct roi_taps {
    size_t pixel[4];
    float weight[4]; /* already divided by the samples of a bin */
};

void roi_grid(struct roi_grid *g, int h, int w, float scale, const struct roi_box *box, int pool, int sampling);

/* The sample at row y and column x of all points. */
static inline struct roi_taps roi_grid_taps(const struct roi_grid *g, int y, int x)
{
    struct roi_taps t = {.pixel = {0}};
    const struct roi_point *py = &g->y[y], *px = &g->x[x];
    if (!py->is_inside || !px->is_inside) {
        return t;
    }
    float ly = py->share, lx = px->share;
    size_t upper = (size_t)py->low * (size_t)g->w, lower = (size_t)py->high * (size_t)g->w;
    t.pixel[0] = upper + (size_t)px->low;
    t.pixel[1] = upper + (size_t)px->high;
    t.pixel[2] = lower + (size_t)px->low;
    t.pixel[3] = lower + (size_t)px->high;
    t.weight[0] = (1.0f - ly) * (1.0f - lx) * g->share;
    t.weight[1] = (1.0f - ly) * lx * g->share;
    t.weight[2] = ly * (1.0f - lx) * g->share;
    t.weight[3] = ly * lx * g->share;
    return t;
}

#endif
