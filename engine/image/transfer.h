/* transfer - diagnoses from the bytes that arrived how a picture was damaged in transfer.
 *
 * Programs send pictures as text: `curl -d @file` strips line breaks and NUL bytes, FTP and Windows in text mode change
 * line ends, scripts decode the bytes as UTF-8, templates put a line before them. The decoders then report whatever
 * they hit first; this finds the cause and says what to change.
 *
 * Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_TRANSFER_H
#define ENGINE_IMAGE_TRANSFER_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* For bytes that no decoder could read. True: e has the text. One pass over the bytes. */
bool transfer_explain(const uint8_t *bytes, size_t n, struct errbuf *e);

/* For bytes whose format has no check sums, before they are decoded: JPEG, WebP, HEIC and AVIF often become a picture
 * of garbage, without any error, when each line feed has become CR LF. Reads up to the first line feed that has not, a
 * few hundred bytes of an undamaged picture. True: e has the text. */
bool transfer_has_dos_lines(const uint8_t *bytes, size_t n, struct errbuf *e);

/* "JPEG", "PNG", "WebP" or "GIF" where such a picture begins; NULL. */
const char *transfer_signature(const uint8_t *p, size_t n);

#endif
