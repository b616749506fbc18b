/* boxes - geometry of the detector. Boxes are inclusive pixels: width = x1 - x0 + 1 (docs/model-format.md, "Boxes").
 *
 * Threads: any. No allocation, no failure; NaN stays NaN. */
#ifndef ENGINE_MODEL_BOXES_H
#define ENGINE_MODEL_BOXES_H

#include "engine/kernels/kernels.h"
#include "engine/model/load/model_config.h"

/* Anchors of cell (0, 0) for a stride: ratios (height / width) 0.5, 1, 2 in this order. The ratio windows of one stride
 * are rounded first, then scaled by size / stride. */
void boxes_anchors(int stride, int size, struct roi_box out[MODEL_ANCHOR_RATIOS]);
/* The anchor of cell (row, column). */
struct roi_box boxes_shift(struct roi_box anchor, int stride, int row, int column);
/* Applies deltas (dx, dy, dw, dh), divided by `weights`, and clips to [0, width - 1] x [0, height - 1]. */
struct roi_box boxes_decode(struct roi_box box, const float deltas[4], const float weights[4], int width, int height);
float boxes_area(struct roi_box b);
float boxes_inside(struct roi_box a, struct roi_box b); /* fraction of a that lies in b: 0..1 */

/* x0/W, y0/H, x1/W, y1/H, (x1-x0)/W, (y1-y0)/H of x0, y0, x1, y1 in an image of W x H. */
enum { BOXES_GEOMETRY = 6 };
void boxes_geometry(const float box[4], float width, float height, float out[BOXES_GEOMETRY]);

/* Greedy suppression of boxes sorted best first: writes the indices of the first `max_keep` that are kept and returns
 * their number. scratch: 5 * max_keep floats. */
int boxes_nms(const struct roi_box *boxes, int n, float threshold, int max_keep, int *keep, float *scratch);

#endif
