/* font - a 5 x 7 bitmap font: capital letters (small ones look the same), digits, a few signs.
 * Threads: thread-safe. */
#ifndef ENGINE_IMAGE_FONT_H
#define ENGINE_IMAGE_FONT_H

#include <stdint.h>

enum { FONT_WIDTH = 5, FONT_HEIGHT = 7 };

/* [FONT_HEIGHT] rows from the top; bit 4 is the leftmost pixel. Characters it lacks are an empty frame. */
const uint8_t *font_glyph(char c);

#endif
