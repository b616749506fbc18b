/* upright - which of a file's orientations counts, and what it does to the described picture.
 *
 * Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_UPRIGHT_H
#define ENGINE_IMAGE_UPRIGHT_H

#include "engine/image/image.h"

/* exif and xmp as exif_orientation and xmp_orientation gave them; EXIF goes first. Sets orientation, width and height
 * of *info from the stored sides, and adds the warning of what was applied. */
void upright_describe(struct image_info *info, int exif, int xmp, uint32_t stored_width, uint32_t stored_height);

#endif
