/* sample_png - a PNG picture of 32 x 32 pixels (red x, green y, blue x xor y), for the warm-up. */
#ifndef SERVER_SAMPLE_PNG_H
#define SERVER_SAMPLE_PNG_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t sample_png[];
extern const size_t sample_png_bytes;

#endif
