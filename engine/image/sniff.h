/* sniff - detects the file type from its first bytes: names and Content-Type are ignored.
 *
 * Threads: thread-safe.
 * Errors:  ERR_UNSUPPORTED_IMAGE with a text that names what the file seems to be and what this build reads;
 *          ERR_CORRUPT_IMAGE where a picture was damaged on its way (transfer.h). */
#ifndef ENGINE_IMAGE_SNIFF_H
#define ENGINE_IMAGE_SNIFF_H

#include "engine/image/image.h"

MUST_USE enum err sniff_format(const uint8_t *bytes, size_t n, enum image_format *out, struct errbuf *e);

/* Number of pixels according to the header, without reading further: for estimating cost, not for trusting. 0: unknown.
 * Less than a microsecond. */
uint64_t sniff_pixels(const uint8_t *bytes, size_t n_bytes);

#endif
