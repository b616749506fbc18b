/* jpeg_segments - the segments of a JPEG file, without the library: a segment is 0xff, a marker, two bytes of length
 * and a body.
 *
 * Ownership: borrows the bytes. Threads: thread-safe. Failure: as said. */
#ifndef ENGINE_IMAGE_JPEG_SEGMENTS_H
#define ENGINE_IMAGE_JPEG_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the picture begins: some tools write the start marker twice, and the library refuses that. */
size_t jpeg_segments_begin(const uint8_t *bytes, size_t n);

/* The first segment before the first scan with this marker and beginning; its body goes to *body, *n. */
bool jpeg_segments_find(const uint8_t *bytes, size_t n_bytes, int marker, const char *prefix, size_t n_prefix,
                        const uint8_t **body, size_t *n);

/* The last place before the end where a segment seems to begin; 0: none. */
size_t jpeg_segments_last(const uint8_t *bytes, size_t n);

/* Number of restart markers in the coded data that begin here and end with another marker. */
size_t jpeg_segments_restarts(const uint8_t *bytes, size_t n);

#endif
