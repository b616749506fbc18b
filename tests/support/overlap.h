/* overlap - intersection over union of two boxes, plainly, to check what suppression keeps. */
#ifndef TESTS_SUPPORT_OVERLAP_H
#define TESTS_SUPPORT_OVERLAP_H

#include "engine/model/boxes.h"

#include <math.h>

static inline float overlap_of(struct roi_box a, struct roi_box b)
{
    float w = fmaxf(fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0) + 1.0F, 0.0F);
    float h = fmaxf(fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0) + 1.0F, 0.0F);
    return w * h / (boxes_area(a) + boxes_area(b) - w * h);
}

#endif
