/* heif - HEIC and AVIF to upright RGB (the primary picture); the only file that knows libheif. Called by image.c with
 * bytes that begin like one. Built with MINIVLM_HEIF only.
 *
 * Ownership: borrows bytes and limits; pixels and work are the decoder's memory and grow as needed.
 * Threads:   thread-safe on different scratch memory.
 * Errors:    those of image.h, with text. */
#ifndef ENGINE_IMAGE_HEIF_H
#define ENGINE_IMAGE_HEIF_H

#include "engine/image/image.h"
#include "engine/image/scratch.h"

/* Call once, from a thread that may open files: the library then loads its plug-ins now instead of at the first
 * picture. */
void heif_prepare(void);
/* Reads the header. Fills everything of *info but the format, which is set; limits are checked. */
MUST_USE enum err heif_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                             struct errbuf *e);
/* info as returned by heif_probe for the same bytes; warnings may be added. Leaves [height, width, 3] in pixels. */
MUST_USE enum err heif_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits,
                              struct image_info *info, struct scratch *pixels, struct scratch *work, struct errbuf *e);

#endif
