/* draw - frames and labels on an RGB picture, for people to look at.
 *
 * Everything is clipped to the picture. Ownership: borrows the pixels. Threads: one picture, one thread. Failure:
 * none. */
#ifndef ENGINE_IMAGE_DRAW_H
#define ENGINE_IMAGE_DRAW_H

#include <stddef.h>
#include <stdint.h>

struct draw {
    uint8_t *rgb; /* [height, width, 3] */
    int width, height;
};

struct draw_colour {
    uint8_t r, g, b;
};

/* The frame of the pixels x0..x1, y0..y1, `thickness` pixels wide, inside. */
void draw_frame(const struct draw *d, int x0, int y0, int x1, int y1, int thickness, struct draw_colour c);
/* At most some hundred characters; `scale` pixels for a pixel of the font, on a ground of colour `paper`; moved into
 * the picture where it would stick out on the right or above. x, y: the ground's lower left corner. */
void draw_label(const struct draw *d, int x, int y, int scale, const char *text, struct draw_colour paper);

/* A colour for each n, neighbours well apart. */
struct draw_colour draw_palette(unsigned n);

#endif
