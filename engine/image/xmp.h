/* xmp - the orientation of a picture, from an XMP packet (RDF as text inside a picture).
 *
 * Web editors and some phones write it there and omit EXIF. The packet is searched, not parsed: the name
 * tiff:Orientation followed by its value, as an attribute or as an element; the first one counts.
 * Source: XMP part 2, tiff namespace.
 *
 * Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_XMP_H
#define ENGINE_IMAGE_XMP_H

#include <stddef.h>
#include <stdint.h>

/* The packet may be truncated. Returns 1..8, or 0 if it has no orientation. */
int xmp_orientation(const uint8_t *packet, size_t n);

#endif
