/* sniff - which kind of file the bytes are, by their beginning: names and Content-Type do not count.
 *
 * Threads: thread-safe.
 * Errors:  ERR_UNSUPPORTED_IMAGE with a text that names what the file seems to be and what this build reads;
 *          ERR_CORRUPT_IMAGE where a picture was damaged on its way (transfer.h). */
#ifndef ENGINE_IMAGE_SNIFF_H
#define ENGINE_IMAGE_SNIFF_H

#include "engine/image/image.h"

MUST_USE enum err sniff_format(const uint8_t *bytes, size_t n, enum image_format *out, struct errbuf *e);

#endif
