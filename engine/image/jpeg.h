/* jpeg - JPEG to upright RGB; the only file that knows the library. Called by image.c with bytes that begin like a
 * JPEG.
 *
 * Ownership: borrows bytes and limits; pixels and work are the decoder's memory and grow as needed.
 * Threads:   thread-safe on different scratch memory.
 * Errors:    those of image.h, with text. */
#ifndef ENGINE_IMAGE_JPEG_H
#define ENGINE_IMAGE_JPEG_H

#include "engine/image/image.h"
#include "engine/image/scratch.h"

/* Reads the header. Fills everything of *info but the format; limits are checked. */
MUST_USE enum err jpeg_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                             struct errbuf *e);
/* info as returned by jpeg_probe for the same bytes; warnings may be added. Leaves
 * [height, width, 3] in pixels, each side info->shrink times smaller. */
MUST_USE enum err jpeg_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits,
                              struct image_info *info, struct scratch *pixels, struct scratch *work, struct errbuf *e);

#endif
