/* limits - the checks of a picture's size that all formats share.
 *
 * Threads: thread-safe. Errors: ERR_IMAGE_TOO_LARGE with the size and the limit; ERR_CORRUPT_IMAGE for an empty
 * side. */
#ifndef ENGINE_IMAGE_LIMITS_H
#define ENGINE_IMAGE_LIMITS_H

#include "engine/image/image.h"

/* `kind` of pictures the limit is for, "" or " for progressive JPEG". */
MUST_USE enum err limits_check(uint32_t width, uint32_t height, uint64_t max_pixels, const char *kind,
                               struct errbuf *e);

#endif
