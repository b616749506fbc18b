/* roi_grid - where RoIAlign reads: the sample points of a box and their bilinear taps.
 *
 * Shared by all instruction sets and compiled once without any of their flags: a point on the border of the map must
 * fall on the same side everywhere. */
#ifndef ENGINE_KERNELS_ROI_GRID_H
#define ENGINE_KERNELS_ROI_GRID_H

#include "engine/kernels/kernels.h"

struct roi_grid {
    float y, x;         /* the box's corner on the map */
    float bin_h, bin_w; /* of one of the pool x pool bins */
    int h, w, sampling;
};

/* Four pixels of the map and their shares; a sample outside the map has four shares of 0. */
struct roi_taps {
    size_t pixel[4];
    float weight[4]; /* already divided by the samples of a bin */
};

struct roi_grid roi_grid(int h, int w, float scale, const struct roi_box *box, int pool, int sampling);
/* Sample (sy, sx) of bin (row, column). */
struct roi_taps roi_grid_taps(const struct roi_grid *g, int row, int column, int sy, int sx);

#endif
