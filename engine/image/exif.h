/* exif - the orientation of a picture, from an EXIF block (a TIFF file inside a picture).
 *
 * Only the first directory is read, and each of its entries once, so no offset can lead in circles. Anything not
 * understood counts as absent. Source: EXIF 2.32, 4.6.2 and tag 0x0112.
 *
 * Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_EXIF_H
#define ENGINE_IMAGE_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* The block with or without its "Exif\0\0" prefix; may be truncated. Returns 1..8, or 0 if it has no orientation.
 *   1 upright   2 mirrored   3 turned by 180   4 flipped   5 transposed   6 to be turned right   7 transversed
 *   8 to be turned left */
int exif_orientation(const uint8_t *block, size_t n);

#endif
