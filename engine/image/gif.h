/* gif - GIF to upright RGB (the first frame on its canvas); the only file that knows giflib. Called by image.c with
 * bytes that begin like one. Built with MINIVLM_GIF only.
 *
 * Ownership: borrows bytes and limits; pixels and work are the decoder's memory and grow as needed.
 * Threads:   thread-safe on different scratch memory.
 * Errors:    those of image.h, with text. */
#ifndef ENGINE_IMAGE_GIF_H
#define ENGINE_IMAGE_GIF_H

#include "engine/image/image.h"
#include "engine/image/scratch.h"

/* Reads the header. Fills everything of *info but the format; limits are checked. */
MUST_USE enum err gif_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                            struct errbuf *e);
/* info as returned by gif_probe for the same bytes; warnings may be added. Leaves [height, width, 3] in pixels. */
MUST_USE enum err gif_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                             struct scratch *pixels, struct scratch *work, struct errbuf *e);

#endif
