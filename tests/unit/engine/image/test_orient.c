#include "engine/image/orient.h"

#include "tests/support/check.h"

enum { WIDTH = 37, HEIGHT = 23 };

static uint8_t stored[3 * WIDTH * HEIGHT], upright[3 * WIDTH * HEIGHT];

/* Where EXIF says that the stored pixel is seen: the meaning of the eight values, written another way. */
static void place(int orientation, int x, int y, int *to_x, int *to_y)
{
    static const struct {
        bool is_swapped, is_mirrored_x, is_mirrored_y; /* of the upright picture */
    } kinds[9] = {{0, 0, 0}, {0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {1, 0, 1}};
    int width = kinds[orientation].is_swapped ? HEIGHT : WIDTH, height = WIDTH + HEIGHT - width;
    int u = kinds[orientation].is_swapped ? y : x, v = kinds[orientation].is_swapped ? x : y;
    *to_x = kinds[orientation].is_mirrored_x ? width - 1 - u : u;
    *to_y = kinds[orientation].is_mirrored_y ? height - 1 - v : v;
}

static void check_upright(int orientation)
{
    int wrong = 0, width = orient_swaps(orientation) ? HEIGHT : WIDTH;
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            int to_x, to_y;
            place(orientation, x, y, &to_x, &to_y);
            wrong += memcmp(upright + 3 * (to_y * width + to_x), stored + 3 * (y * WIDTH + x), 3) != 0;
        }
    }
    CHECK_INT(wrong, 0);
}

static void test_strips(void)
{
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct orient o = {upright, WIDTH, HEIGHT, orientation};
        memset(upright, 0, sizeof(upright));
        for (int y = 0; y < HEIGHT; y += ORIENT_STRIP) {
            int n = HEIGHT - y < ORIENT_STRIP ? HEIGHT - y : ORIENT_STRIP;
            orient_put(&o, &(struct orient_grid){0, y, 1, 1, WIDTH, n}, stored + 3 * WIDTH * y);
        }
        check_upright(orientation);
    }
}

/* Every pixel alone in one of six interleaved grids. */
static void test_grids(void)
{
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct orient o = {upright, WIDTH, HEIGHT, orientation};
        memset(upright, 0, sizeof(upright));
        for (int part = 0; part < 6; part++) {
            static uint8_t grid[sizeof(stored)];
            struct orient_grid g = {.x = part % 3, .y = part / 3, .dx = 3, .dy = 2};
            g.columns = (WIDTH - g.x + 2) / 3;
            g.rows = (HEIGHT - g.y + 1) / 2;
            for (int j = 0; j < g.rows; j++) {
                for (int i = 0; i < g.columns; i++) {
                    memcpy(grid + 3 * (j * g.columns + i), stored + 3 * ((g.y + 2 * j) * WIDTH + g.x + 3 * i), 3);
                }
            }
            orient_put(&o, &g, grid);
        }
        check_upright(orientation);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof(stored); i++) {
        stored[i] = (uint8_t)((uint32_t)i * 2654435761u >> 24);
    }
    test_strips();
    test_grids();
    CHECK(!orient_swaps(1) && !orient_swaps(4) && orient_swaps(5) && orient_swaps(8));
    return check_result();
}
