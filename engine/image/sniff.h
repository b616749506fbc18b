/* sniff - which kind of file the bytes are, by their beginning: names and Content-Type do not count.
 *
 * Threads: thread-safe.
 * Errors:  ERR_UNSUPPORTED_IMAGE with a text that names what the file seems to be and what this build reads;
 *          ERR_CORRUPT_IMAGE where a picture was damaged on its way (transfer.h). */
#ifndef ENGINE_IMAGE_SNIFF_H
#define ENGINE_IMAGE_SNIFF_H

#include "engine/image/image.h"

MUST_USE enum err sniff_format(const uint8_t *bytes, size_t n, enum image_format *out, struct errbuf *e);

/* How many pixels the header says, without looking at more than that: for weighing, not for trusting. 0: it does not
 * say. Less than a microsecond. */
uint64_t sniff_pixels(const uint8_t *bytes, size_t n_bytes);

#endif
