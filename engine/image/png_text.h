/* png_text - the orientation that a text chunk of a PNG may hold: a raw EXIF profile in hexadecimal digits, as
 * ImageMagick writes it (tEXt, zTXt, iTXt), XMP in the same shape, or XMP (iTXt).
 *
 * The orientation comes early in both, so only the first 16 KB of a compressed text are unpacked, and at most four
 * compressed texts per file: hostile files repeat them.
 *
 * Threads: thread-safe on different findings. Failure: none; anything not understood counts as absent. */
#ifndef ENGINE_IMAGE_PNG_TEXT_H
#define ENGINE_IMAGE_PNG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of all text chunks so far; begin with a zeroed struct. */
struct png_text {
    int exif, xmp; /* orientations, 0: none */
    int _n_unpacked;
};

bool png_text_is_one(const uint8_t *name); /* tEXt, zTXt, iTXt */
/* name: the four letters of the chunk; chunks other than text are ignored. */
void png_text_read(struct png_text *t, const uint8_t *name, const uint8_t *body, size_t n);

#endif
