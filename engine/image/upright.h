/* upright - which of a file's orientations applies, and how it changes the described picture.
 *
 * Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_UPRIGHT_H
#define ENGINE_IMAGE_UPRIGHT_H

#include "engine/image/image.h"

/* exif and xmp as returned by exif_orientation and xmp_orientation; EXIF takes precedence. Sets orientation, width and
 * height of *info from the stored sides, and adds the warning of what was applied. */
void upright_describe(struct image_info *info, int exif, int xmp, uint32_t stored_width, uint32_t stored_height);

#endif
