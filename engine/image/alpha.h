/* alpha - lays RGBA pixels on white. Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_ALPHA_H
#define ENGINE_IMAGE_ALPHA_H

#include <stddef.h>
#include <stdint.h>

/* n pixels [n, 4] become [n, 3] in the same memory, from its beginning: (c * a + 255 * (255 - a) + 127) / 255. */
void alpha_on_white(uint8_t *pixels, size_t n);

#endif
