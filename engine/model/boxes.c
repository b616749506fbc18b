#include "engine/model/boxes.h"

#include <math.h>

static const double ratios[MODEL_ANCHOR_RATIOS] = {0.5, 1.0, 2.0};
static const float log_ratio_max = 4.135166556742356F; /* log(1000 / 16) */

void boxes_anchors(int stride, int size, struct roi_box out[MODEL_ANCHOR_RATIOS])
{
    double centre = 0.5 * (stride - 1);
    for (int i = 0; i < MODEL_ANCHOR_RATIOS; i++) {
        double width = rint(sqrt((double)stride * stride / ratios[i])); /* half to even */
        double height = rint(width * ratios[i]);
        double half_w = 0.5 * (width * size / stride - 1), half_h = 0.5 * (height * size / stride - 1);
        out[i] = (struct roi_box){(float)(centre - half_w), (float)(centre - half_h), (float)(centre + half_w),
                                  (float)(centre + half_h)};
    }
}

struct roi_box boxes_shift(struct roi_box anchor, int stride, int row, int column)
{
    float x = (float)(column * stride), y = (float)(row * stride);
    return (struct roi_box){anchor.x0 + x, anchor.y0 + y, anchor.x1 + x, anchor.y1 + y};
}

static float clamp(float v, float max)
{
    return v < 0.0F ? 0.0F : v > max ? max : v; /* NaN stays */
}

struct roi_box boxes_decode(struct roi_box box, const float deltas[4], const float weights[4], int width, int height)
{
    float w = box.x1 - box.x0 + 1.0F, h = box.y1 - box.y0 + 1.0F;
    float dw = deltas[2] / weights[2], dh = deltas[3] / weights[3];
    float cx = deltas[0] / weights[0] * w + (box.x0 + 0.5F * w);
    float cy = deltas[1] / weights[1] * h + (box.y0 + 0.5F * h);
    w *= expf(dw > log_ratio_max ? log_ratio_max : dw);
    h *= expf(dh > log_ratio_max ? log_ratio_max : dh);
    float max_x = (float)(width - 1), max_y = (float)(height - 1);
    return (struct roi_box){clamp(cx - 0.5F * w, max_x), clamp(cy - 0.5F * h, max_y),
                            clamp(cx + 0.5F * w - 1.0F, max_x), clamp(cy + 0.5F * h - 1.0F, max_y)};
}

float boxes_area(struct roi_box b)
{
    return (b.x1 - b.x0 + 1.0F) * (b.y1 - b.y0 + 1.0F);
}

static float min_of(float a, float b)
{
    return a < b ? a : b;
}

static float max_of(float a, float b)
{
    return a > b ? a : b;
}

static float common(struct roi_box a, struct roi_box b)
{
    float w = max_of(min_of(a.x1, b.x1) - max_of(a.x0, b.x0) + 1.0F, 0.0F);
    float h = max_of(min_of(a.y1, b.y1) - max_of(a.y0, b.y0) + 1.0F, 0.0F);
    return w * h;
}

static float overlap(struct roi_box a, float area_a, struct roi_box b, float area_b)
{
    float both = common(a, b);
    return both / (area_a + area_b - both);
}

float boxes_inside(struct roi_box a, struct roi_box b)
{
    return common(a, b) / boxes_area(a);
}

void boxes_geometry(const float box[4], float width, float height, float out[BOXES_GEOMETRY])
{
    for (int i = 0; i < 4; i++) {
        out[i] = box[i] / (i % 2 ? height : width);
    }
    out[4] = (box[2] - box[0]) / width;
    out[5] = (box[3] - box[1]) / height;
}

/* Each box is held against those that stay; the work is bounded by n * max_keep. The kept ones lie as five columns, so
 * that the compiler can take several at once. */
int boxes_nms(const struct roi_box *boxes, int n, float threshold, int max_keep, int *keep, float *scratch)
{
    enum { CHUNK = 16 };
    float *x0 = scratch, *y0 = x0 + max_keep, *x1 = y0 + max_keep, *y1 = x1 + max_keep, *area = y1 + max_keep;
    int n_kept = 0;
    for (int i = 0; i < n && n_kept < max_keep; i++) {
        struct roi_box b = boxes[i];
        float b_area = boxes_area(b);
        int hit = 0;
        for (int j = 0; j < n_kept && !hit; j += CHUNK) {
            int end = j + CHUNK < n_kept ? j + CHUNK : n_kept;
            for (int k = j; k < end; k++) {
                hit |= overlap((struct roi_box){x0[k], y0[k], x1[k], y1[k]}, area[k], b, b_area) > threshold;
            }
        }
        if (!hit) {
            x0[n_kept] = b.x0;
            y0[n_kept] = b.y0;
            x1[n_kept] = b.x1;
            y1[n_kept] = b.y1;
            area[n_kept] = b_area;
            keep[n_kept++] = i;
        }
    }
    return n_kept;
}
