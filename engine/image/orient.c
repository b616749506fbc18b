#include "engine/image/orient.h"

#include <string.h>

bool orient_swaps(int orientation)
{
    return orientation >= 5;
}

/* Where a stored pixel (x, y) goes: rgb + at + x * step_x + y * step_y, in bytes. */
struct mapping {
    ptrdiff_t at, step_x, step_y;
};

static struct mapping map(const struct orient *o)
{
    ptrdiff_t row = 3 * (ptrdiff_t)(orient_swaps(o->orientation) ? o->height : o->width);
    ptrdiff_t right = 3 * ((ptrdiff_t)o->width - 1), low = row * ((ptrdiff_t)o->height - 1);     /* sides kept */
    ptrdiff_t last_x = row * ((ptrdiff_t)o->width - 1), last_y = 3 * ((ptrdiff_t)o->height - 1); /* exchanged */
    switch (o->orientation) {
    case 2:
        return (struct mapping){right, -3, row};
    case 3:
        return (struct mapping){low + right, -3, -row};
    case 4:
        return (struct mapping){low, 3, -row};
    case 5:
        return (struct mapping){0, row, 3};
    case 6:
        return (struct mapping){last_y, row, -3};
    case 7:
        return (struct mapping){last_x + last_y, -row, -3};
    case 8:
        return (struct mapping){last_x, -row, 3};
    default:
        return (struct mapping){0, 3, row};
    }
}

static void copy_line(uint8_t *to, ptrdiff_t step, const uint8_t *from, size_t from_step, int n)
{
    for (int i = 0; i < n; i++, to += step, from += from_step) {
        to[0] = from[0];
        to[1] = from[1];
        to[2] = from[2];
    }
}

void orient_put(const struct orient *o, const struct orient_grid *grid, const uint8_t *src)
{
    const struct mapping m = map(o);
    uint8_t *first = o->rgb + m.at + grid->x * m.step_x + grid->y * m.step_y;
    ptrdiff_t step_x = grid->dx * m.step_x, step_y = grid->dy * m.step_y;
    size_t src_row = 3 * (size_t)grid->columns;
    if (step_x == 3) {
        for (int j = 0; j < grid->rows; j++) {
            memcpy(first + j * step_y, src + (size_t)j * src_row, src_row);
        }
    } else if (orient_swaps(o->orientation)) { /* stored columns are upright rows: walk along those */
        for (int i = 0; i < grid->columns; i++) {
            copy_line(first + i * step_x, step_y, src + 3 * (size_t)i, src_row, grid->rows);
        }
    } else {
        for (int j = 0; j < grid->rows; j++) {
            copy_line(first + j * step_y, step_x, src + (size_t)j * src_row, 3, grid->columns);
        }
    }
}
