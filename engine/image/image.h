/* image - bytes of a photograph to upright 8-bit RGB.
 *
 * JPEG (baseline, progressive, grey, CMYK, YCCK, EXIF orientation), PNG (all types), WebP (lossy, lossless, alpha; the
 * first frame of an animation) and, where the build has their libraries, GIF (first frame), HEIC, AVIF and TIFF (first
 * page). The type is decided by the bytes. Limits are checked on the header, before a pixel is decoded. `warnings`
 * records what was done to the picture.
 *
 * Ownership: an image_decoder owns its scratch memory and the pixels of the last decoded image, which stay valid until
 *            the next call on it. Input bytes are borrowed for the call.
 * Threads:   one decoder per thread. image_probe is thread-safe.
 * Errors:    ERR_UNSUPPORTED_IMAGE, ERR_CORRUPT_IMAGE, ERR_IMAGE_TOO_LARGE, ERR_NOMEM. No input crashes it. */
#ifndef ENGINE_IMAGE_IMAGE_H
#define ENGINE_IMAGE_IMAGE_H

#include "engine/base/err.h"

#include <stdint.h>

enum image_format { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_GIF, IMAGE_HEIC, IMAGE_AVIF, IMAGE_TIFF };

/* X(symbol, bit, text): what was done to an image. */
#define IMAGE_WARNING_LIST(X)                                                                                          \
    X(IMAGE_WARN_ROTATED, 0, "turned upright from its EXIF orientation")                                               \
    X(IMAGE_WARN_ALPHA, 1, "alpha laid on white")                                                                      \
    X(IMAGE_WARN_CMYK, 2, "CMYK converted without a colour profile")                                                   \
    X(IMAGE_WARN_ICC, 3, "ICC profile ignored")                                                                        \
    X(IMAGE_WARN_ANIMATION, 4, "animation: first frame used")                                                          \
    X(IMAGE_WARN_TRUNCATED, 5, "truncated: the missing part is grey")                                                  \
    X(IMAGE_WARN_DEPTH, 6, "16 bits a channel reduced to 8")                                                           \
    X(IMAGE_WARN_ROTATED_XMP, 7, "turned upright from its XMP orientation")                                            \
    X(IMAGE_WARN_PAGES, 8, "several pictures: the first used")                                                         \
    X(IMAGE_WARN_TURNED, 9, "turned or mirrored as the file's own boxes (irot, imir) say")                             \
    X(IMAGE_WARN_RESTARTS, 10, "restart markers out of order: the data used as it comes")

enum image_warning {
#define IMAGE_WARNING_ENUM(symbol, bit, text) symbol = 1 << (bit),
    IMAGE_WARNING_LIST(IMAGE_WARNING_ENUM)
#undef IMAGE_WARNING_ENUM
};

enum { IMAGE_MAX_SIDE = 65535 }; /* pixels; longer pictures are refused whatever the limits say */

struct image_limits {
    uint64_t max_pixels;             /* 51 MP by default: "50 megapixel" phones save 8192x6144 */
    uint64_t max_progressive_pixels; /* 26 MP: a JPEG of several scans keeps all coefficients in memory */
    bool tolerate_truncated;         /* a truncated JPEG decodes with a warning */
    /* 0, or the smallest side that is useful: a JPEG is then decoded 2, 4 or 8 times smaller on each side, if neither
     * side falls below this. The library skips the high frequencies of each block, which takes a fraction of the
     * time. */
    int min_side;
};
extern const struct image_limits image_default_limits;

struct image_info {
    enum image_format format;
    int width, height; /* of the upright image, pixels */
    int orientation;   /* EXIF 1..8; 1 where there is none */
    bool progressive;  /* JPEG only */
    uint32_t warnings; /* enum image_warning bits */
    int shrink;        /* 1, 2, 4 or 8: how many times smaller each side is decoded (image_limits.min_side) */
    /* Upper bound of the memory that decoding takes, including pixels and the library's own. */
    uint64_t decode_bytes;
};

struct image {
    struct image_info info;
    const uint8_t *rgb; /* [image_rows, image_columns, 3], upright, owned by the decoder */
};

/* Length of a side of `pixels` in a picture decoded `shrink` times smaller: rounded up, so the last pixel may cover
 * fewer. */
static inline int image_shrunk(int pixels, int shrink)
{
    return (pixels + shrink - 1) / shrink;
}
static inline int image_columns(const struct image *i)
{
    return image_shrunk(i->info.width, i->info.shrink);
}
static inline int image_rows(const struct image *i)
{
    return image_shrunk(i->info.height, i->info.shrink);
}

struct image_decoder;
MUST_USE enum err image_decoder_create(struct image_decoder **out);
void image_decoder_destroy(struct image_decoder *d); /* NULL is fine */

/* Releases its memory except `keep` bytes, so that one large picture does not hold memory indefinitely. */
void image_decoder_trim(struct image_decoder *d, size_t keep);

const char *image_format_name(enum image_format format); /* "jpeg", "png", "webp", "gif", "heic", "avif", "tiff" */
bool image_is_readable(enum image_format format);        /* by this build */
const char *image_formats_text(void);                    /* the supported ones: "JPEG, PNG or WebP" */

/* Reads the header only: format, upright size, orientation, limits. Microseconds. */
MUST_USE enum err image_probe(const uint8_t *bytes, size_t n_bytes, const struct image_limits *limits,
                              struct image_info *out, struct errbuf *e);

MUST_USE enum err image_decode(struct image_decoder *d, const uint8_t *bytes, size_t n_bytes,
                               const struct image_limits *limits, struct image *out, struct errbuf *e);

#endif
