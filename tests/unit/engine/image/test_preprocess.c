#include "engine/image/preprocess.c"

#include "tests/support/check.h"

#include <stdlib.h>

static const struct preprocess_params square = {RESIZE_SQUARE,           256, 1333, 32, {0.485f, 0.456f, 0.406f},
                                                {0.229f, 0.224f, 0.225f}};
static const struct preprocess_params short_side = {RESIZE_SHORT_SIDE,       512, 1333, 32, {0.485f, 0.456f, 0.406f},
                                                    {0.229f, 0.224f, 0.225f}};

/* Sizes as the reference computes them (tests/python/test_image_half.py has the same). */
static void test_shapes(void)
{
    static const struct {
        int width, height, to_width, to_height;
    } rows[] = {{640, 480, 682, 512},    {480, 640, 512, 682},   {100, 100, 512, 512},    {1000, 100, 1330, 133},
                {5000, 1, 5000, 1},      {1, 5000, 1, 5000},     {1333, 512, 1333, 512},  {1334, 512, 1334, 512},
                {2666, 1025, 1331, 512}, {1335, 512, 1332, 511}, {65535, 65535, 512, 512}};
    struct preprocess_shape s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        preprocess_shape(&short_side, rows[i].width, rows[i].height, &s);
        CHECK_INT(s.resized_width, rows[i].to_width);
        CHECK_INT(s.resized_height, rows[i].to_height);
        CHECK_INT(s.padded_width % 32, 0);
        CHECK_INT(s.padded_height % 32, 0);
        CHECK(s.padded_width - s.resized_width >= 0 && s.padded_width - s.resized_width < 32);
        CHECK(s.padded_height - s.resized_height >= 0 && s.padded_height - s.resized_height < 32);
    }
    preprocess_shape(&square, 3, 1000, &s);
    CHECK_INT(s.resized_width, 256);
    CHECK_INT(s.resized_height, 256);
    CHECK_INT(s.padded_width, 256);
}

static void test_round_half_to_even(void)
{
    CHECK_INT(round_even(0.5), 0);
    CHECK_INT(round_even(1.5), 2);
    CHECK_INT(round_even(2.5), 2);
}

/* 2x1 pixels stay as they are; values and zeros of the padding are known. */
static void test_values_and_padding(void)
{
    struct preprocess_params p = {RESIZE_SHORT_SIDE, 1, 10, 4, {0.5f, 0.25f, 0.0f}, {0.5f, 0.25f, 2.0f}};
    struct preprocessor *pre = NULL;
    struct preprocess_shape s;
    uint8_t rgb[6] = {0, 255, 51, 102, 0, 255};
    struct image image = {.info = {.width = 2, .height = 1, .shrink = 1}, .rgb = rgb};
    float input[4 * 4 * 3];
    memset(input, 0xff, sizeof(input)); /* NaN: everything must be written */
    CHECK_INT(preprocessor_create(&pre, &p), OK);
    CHECK_INT(preprocessor_run(pre, &image, &s, input), OK);
    CHECK_INT(s.resized_width, 2);
    CHECK_INT(s.resized_height, 1);
    CHECK_INT(s.padded_width, 4);
    CHECK_INT(s.padded_height, 4);
    const float expected[6] = {-1.0f, 3.0f, 0.1f, -0.2f, -1.0f, 0.5f};
    for (int i = 0; i < 48; i++) {
        CHECK_NEAR(input[i], i < 6 ? expected[i] : 0.0f, 1e-7);
    }
    preprocessor_destroy(pre);
}

/* The order is (v / 255 - mean) / std with every step rounded to float: no multiplication by reciprocals. */
static void test_exact_floats(void)
{
    struct preprocessor *pre = NULL;
    CHECK_INT(preprocessor_create(&pre, &square), OK);
    for (int v = 0; v < 256; v++) {
        volatile float x = (float)v / 255.0f;
        x = x - 0.406f;
        x = x / 0.225f;
        CHECK(pre->value[2][v] == x);
    }
    preprocessor_destroy(pre);
}

static void test_torture(void)
{
    struct preprocess_shape s;
    uint8_t rgb[3 * 5 * 4] = {1, 2, 3};
    struct image image = {.info = {.width = 5, .height = 4, .shrink = 1}, .rgb = rgb};
    float *input = malloc(256 * 256 * 3 * sizeof(float));
    enum err rc = ERR_NOMEM;
    int n = 0;
    size_t live = mem_live_bytes();
    while (rc) {
        struct preprocessor *pre = NULL;
        mem_fail_after(++n);
        rc = preprocessor_create(&pre, &square);
        CHECK((rc == OK) == (pre != NULL));
        rc = rc ? rc : preprocessor_run(pre, &image, &s, input);
        mem_fail_after(0);
        CHECK(rc == OK || rc == ERR_NOMEM);
        preprocessor_destroy(pre);
    }
    CHECK(n > 7);
    CHECK_INT(mem_live_bytes(), live);
    free(input);
}

/* A slope whose colour is its place, whole and made smaller: the same input, up to its last column, which stands for
 * fewer pixels. A wrong place by a twelfth of a pixel of the input shows. */
static void test_shrunk(void)
{
    enum { SIDE = 16, WHOLE = 1001, SHRINK = 8, SMALL = (WHOLE + SHRINK - 1) / SHRINK };
    struct preprocess_params p = {RESIZE_SQUARE, SIDE, 0, SIDE, {0, 0, 0}, {1, 1, 1}};
    static uint8_t rgb[3 * SMALL * SMALL];
    static float input[3 * SIDE * SIDE];
    struct preprocessor *pre = NULL;
    struct preprocess_shape s;
    struct image image = {.info = {.width = WHOLE, .height = WHOLE, .shrink = SHRINK}, .rgb = rgb};
    for (int i = 0; i < SMALL * SMALL; i++) {
        rgb[3 * i] = (uint8_t)(255.0 * (i % SMALL + 0.5) * SHRINK / WHOLE + 0.5);
        rgb[3 * i + 1] = (uint8_t)(255.0 * (i / SMALL + 0.5) * SHRINK / WHOLE + 0.5);
    }
    CHECK_INT(preprocessor_create(&pre, &p), OK);
    CHECK_INT(preprocessor_run(pre, &image, &s, input), OK);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int x = i % SIDE, y = i / SIDE;
        if (x > 0 && x < SIDE - 1 && y > 0 && y < SIDE - 1) {
            CHECK_NEAR(input[3 * i], (x + 0.5) / SIDE, 1.0 / SIDE / 12);
            CHECK_NEAR(input[3 * i + 1], (y + 0.5) / SIDE, 1.0 / SIDE / 12);
        }
    }
    preprocessor_destroy(pre);
}

int main(void)
{
    test_shrunk();
    test_shapes();
    test_round_half_to_even();
    test_values_and_padding();
    test_exact_floats();
    test_torture();
    return check_result();
}
