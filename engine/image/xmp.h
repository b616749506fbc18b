/* xmp - the orientation of a picture, from an XMP packet (RDF as text inside a picture).
 *
 * Editors on the web and some phones write it there and leave EXIF out. The packet is searched, not parsed: the name
 * tiff:Orientation followed by its value, as an attribute or as an element; the first one counts.
 * Source: XMP part 2, tiff namespace.
 *
 * Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_XMP_H
#define ENGINE_IMAGE_XMP_H

#include <stddef.h>
#include <stdint.h>

/* The packet may be cut short. Returns 1..8, 0 where it tells none. */
int xmp_orientation(const uint8_t *packet, size_t n);

#endif
