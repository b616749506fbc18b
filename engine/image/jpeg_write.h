/* jpeg_write - an RGB picture to a baseline JPEG file.
 *
 * Ownership: borrows everything. Threads: thread-safe. Errors: ERR_IO with the reason; no half-written file is left. */
#ifndef ENGINE_IMAGE_JPEG_WRITE_H
#define ENGINE_IMAGE_JPEG_WRITE_H

#include "engine/base/err.h"

#include <stdint.h>

/* rgb: [height, width, 3], sides 1..65535; quality 1..100. */
MUST_USE enum err jpeg_write_file(const char *path, const uint8_t *rgb, int width, int height, int quality,
                                  struct errbuf *e);

#endif
