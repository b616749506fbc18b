#include "engine/image/alpha.h"

static uint8_t mix(unsigned c, unsigned a)
{
    return (uint8_t)((c * a + 255 * (255 - a) + 127) / 255);
}

void alpha_on_white(uint8_t *pixels, size_t n)
{
    uint8_t *to = pixels;
    for (const uint8_t *from = pixels; n; n--, from += 4, to += 3) {
        uint8_t r = mix(from[0], from[3]), g = mix(from[1], from[3]), b = mix(from[2], from[3]);
        to[0] = r;
        to[1] = g;
        to[2] = b;
    }
}
