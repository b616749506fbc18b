/* Inclusive boxes: areas, overlaps, deltas, clipping, suppression. Values by hand; tests/golden/test_units.c has those
 * of the reference. */
#include "engine/model/boxes.h"

#include "tests/support/check.h"
#include "tests/support/overlap.h"

#include <stdlib.h>

static const float unit[4] = {1.0F, 1.0F, 1.0F, 1.0F};

static void check_box(struct roi_box b, float x0, float y0, float x1, float y1)
{
    CHECK_NEAR(b.x0, x0, 1e-5);
    CHECK_NEAR(b.y0, y0, 1e-5);
    CHECK_NEAR(b.x1, x1, 1e-5);
    CHECK_NEAR(b.y1, y1, 1e-5);
}

static void test_overlap(void)
{
    struct roi_box a = {0, 0, 9, 9}, b = {5, 0, 14, 9}, pixel = {3, 4, 3, 4}, beside = {10, 0, 19, 9};
    CHECK_NEAR(boxes_area(a), 100.0, 0.0);
    CHECK_NEAR(boxes_area(pixel), 1.0, 0.0);
    struct roi_box pairs[][2] = {{a, a}, {a, b}, {b, a}, {a, pixel}, {a, beside}};
    static const double overlaps[] = {1.0, 50.0 / 150.0, 50.0 / 150.0, 0.01, 0.0};
    for (int i = 0; i < 5; i++) { /* the second of two goes when they overlap by more than the threshold */
        int keep[2];
        float scratch[10];
        CHECK_NEAR(overlap_of(pairs[i][0], pairs[i][1]), overlaps[i], 1e-7);
        CHECK_INT(boxes_nms(pairs[i], 2, (float)overlaps[i] + 0.001F, 2, keep, scratch), 2);
        CHECK_INT(boxes_nms(pairs[i], 2, (float)overlaps[i] - 0.001F, 2, keep, scratch), 1);
    }
}

static void test_anchors(void)
{
    struct roi_box a[MODEL_ANCHOR_RATIOS];
    boxes_anchors(16, 128, a); /* the windows of py-faster-rcnn, 23 x 12, 16 x 16 and 11 x 22, times 8 */
    check_box(a[0], -84, -40, 99, 55);
    check_box(a[1], -56, -56, 71, 71);
    check_box(a[2], -36, -80, 51, 95);
    check_box(boxes_shift(a[1], 16, 2, 3), -56 + 48, -56 + 32, 71 + 48, 71 + 32);
}

static void test_decode(void)
{
    static const float none[4] = {0, 0, 0, 0}, head[4] = {10.0F, 10.0F, 5.0F, 5.0F};
    const float twice[4] = {0.5F, -0.25F, logf(2.0F), 0.0F}, huge[4] = {0, 0, 90.0F, 90.0F};
    const float divided[4] = {5.0F, -2.5F, 5.0F * logf(2.0F), 0.0F}, broken[4] = {NAN, 0, 0, 0};
    struct roi_box b = {20, 40, 29, 59};
    check_box(boxes_decode(b, none, unit, 100, 100), 20, 40, 29, 59);
    check_box(boxes_decode(b, twice, unit, 100, 100), 20, 35, 39, 54);
    check_box(boxes_decode(b, divided, head, 100, 100), 20, 35, 39, 54);
    check_box(boxes_decode(b, none, unit, 25, 50), 20, 40, 24, 49);
    check_box(boxes_decode(b, none, unit, 1, 1), 0, 0, 0, 0);
    check_box(boxes_decode((struct roi_box){0, 0, 0, 0}, huge, unit, 1000, 1000), 0, 0, 0.5F + 31.25F - 1.0F,
              0.5F + 31.25F - 1.0F); /* at most 1000 / 16 times as wide */
    CHECK(isnan(boxes_decode(b, broken, unit, 100, 100).x0));
}

static void test_nms(void)
{
    const struct roi_box boxes[4] = {{0, 0, 9, 9}, {0, 0, 9, 8}, {0, 0, 9, 4}, {20, 0, 29, 9}};
    int keep[4];
    float scratch[20];
    CHECK_INT(boxes_nms(boxes, 4, 0.7F, 4, keep, scratch), 3);
    CHECK(keep[0] == 0 && keep[1] == 2 && keep[2] == 3);
    CHECK_INT(boxes_nms(boxes, 4, 0.5F, 4, keep, scratch), 3); /* exactly at the threshold stays */
    CHECK_INT(boxes_nms(boxes, 4, 0.49F, 4, keep, scratch), 2);
    CHECK_INT(boxes_nms(boxes, 4, 0.7F, 2, keep, scratch), 2);
    CHECK_INT(boxes_nms(boxes, 0, 0.7F, 4, keep, scratch), 0);
}

/* Many boxes against the definition: kept where no kept one before overlaps too much. */
static void test_many(void)
{
    enum { N = 400 };
    struct roi_box boxes[N];
    int keep[N], n_kept = 0;
    float scratch[5 * N];
    for (int i = 0; i < N; i++) {
        float x = (float)(rand() % 150), y = (float)(rand() % 150);
        boxes[i] = (struct roi_box){x, y, x + (float)(rand() % 40), y + (float)(rand() % 40)};
    }
    int n = boxes_nms(boxes, N, 0.3F, N, keep, scratch);
    CHECK(n > 64 && n < N);
    for (int i = 0; i < N; i++) {
        bool stays = true;
        for (int j = 0; j < n_kept; j++) {
            stays = stays && !(overlap_of(boxes[keep[j]], boxes[i]) > 0.3F);
        }
        if (stays) {
            CHECK(n_kept < n && keep[n_kept] == i);
            n_kept++;
        }
    }
    CHECK_INT(n, n_kept);
}

static void test_inside(void)
{
    const struct roi_box cell = {32, 64, 63, 95}; /* 32 x 32 */
    CHECK_NEAR(boxes_inside(cell, cell), 1.0, 0.0);
    CHECK_NEAR(boxes_inside(cell, (struct roi_box){0, 0, 500, 500}), 1.0, 0.0);
    CHECK_NEAR(boxes_inside(cell, (struct roi_box){48, 64, 200, 95}), 0.5, 1e-6);
    CHECK_NEAR(boxes_inside(cell, (struct roi_box){40, 70, 47, 73}), 32.0 / 1024.0, 1e-6);
    CHECK_NEAR(boxes_inside(cell, (struct roi_box){64, 64, 200, 95}), 0.0, 0.0);
    CHECK_NEAR(boxes_inside(cell, (struct roi_box){0, 0, 31, 63}), 0.0, 0.0);
}

static void test_geometry(void)
{
    static const float box[4] = {20, 30, 120, 90}, expected[BOXES_GEOMETRY] = {0.1F, 0.1F, 0.6F, 0.3F, 0.5F, 0.2F};
    float geometry[BOXES_GEOMETRY];
    boxes_geometry(box, 200.0F, 300.0F, geometry);
    for (int i = 0; i < BOXES_GEOMETRY; i++) {
        CHECK_NEAR(geometry[i], expected[i], 1e-6);
    }
}

int main(void)
{
    test_inside();
    test_geometry();
    test_overlap();
    test_anchors();
    test_decode();
    test_nms();
    test_many();
    return check_result();
}
