/* orient - writes decoded pixels to their places in the upright picture.
 *
 * A decoder hands over pixels in the order of its file: rows, strips of rows, or the scattered pixels of an interlace
 * pass. They go directly to their upright place, so no second picture is needed for any of the eight orientations.
 *
 * Ownership: borrows all memory. Threads: thread-safe on different pictures. Failure: none. */
#ifndef ENGINE_IMAGE_ORIENT_H
#define ENGINE_IMAGE_ORIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many rows to hand over at once when sides are exchanged: a cache line of the upright picture. */
enum { ORIENT_STRIP = 16 };

struct orient {
    uint8_t *rgb;      /* the upright picture, [upright height, upright width, 3] */
    int width, height; /* as stored in the file; exchanged in the upright picture if orient_swaps */
    int orientation;   /* EXIF, 1..8 */
};

bool orient_swaps(int orientation); /* width and height change places: 5..8 */

/* Column i, row j of a grid is the stored pixel (x + i * dx, y + j * dy). */
struct orient_grid {
    int x, y, dx, dy, columns, rows;
};
/* src: [rows, columns, 3], rows dense. */
void orient_put(const struct orient *o, const struct orient_grid *grid, const uint8_t *src);

#endif
