/* heif_boxes - what a HEIF file (HEIC, AVIF) declares, and whether it is consistent.
 *
 * The library follows references between items without a bound: a grid whose tiles are grids, the same large tile a
 * thousand times, or a picture coded far larger than the file says. So the boxes are walked here first, and only the
 * kinds of files that cameras and encoders write are accepted: the primary item is one coded picture, or a grid of
 * different coded pictures that together are about as large as the grid; the same holds for its alpha. No item refers
 * to another file. Nothing is allocated; repeated questions walk the boxes again. Source: ISO/IEC 14496-12, 23008-12.
 *
 * Ownership: borrows the bytes for the call. Threads: thread-safe.
 * Errors:    ERR_CORRUPT_IMAGE, ERR_UNSUPPORTED_IMAGE, ERR_IMAGE_TOO_LARGE, with text. */
#ifndef ENGINE_IMAGE_HEIF_BOXES_H
#define ENGINE_IMAGE_HEIF_BOXES_H

#include "engine/base/err.h"

#include <stdint.h>

struct heif_boxes {
    uint32_t width, height; /* of the primary picture as stored: before it is cropped, turned and mirrored */
    uint32_t coded_width, coded_height; /* of the largest coded picture, in whole blocks */
    int orientation;                    /* EXIF numbering, from the boxes irot and imir */
    bool is_grid, is_av1, has_alpha, has_icc, is_deep /* more than 8 bits */, is_sequence /* has a film, too */;
    bool is_grey, is_limited; /* no colour planes; the box colr says that black is 16 and white 235 */
};

/* max_pixels is checked on the primary picture. */
MUST_USE enum err heif_boxes_read(const uint8_t *bytes, size_t n, uint64_t max_pixels, struct heif_boxes *out,
                                  struct errbuf *e);

#endif
