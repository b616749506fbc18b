/* A WebP file is a RIFF list of chunks. The library reads still pictures whole; what it does not tell (EXIF, profile,
 * the first frame of an animation) is found by a walk over the chunk headers, which takes no memory however many chunks
 * a file has. A frame of an animation is a part of the canvas; the rest of the canvas is transparent, so white.
 *
 * Pictures with alpha are decoded to four bytes a pixel and packed to three in the same memory. */
#include "engine/image/webp.h"

#include "engine/image/alpha.h"
#include "engine/image/exif.h"
#include "engine/image/limits.h"
#include "engine/image/orient.h"
#include "engine/image/upright.h"
#include "engine/image/xmp.h"

#include <string.h>

#include <webp/decode.h>

enum { RIFF_BYTES = 12, CHUNK_BYTES = 8, FRAME_BYTES = 16 /* of a frame's header */ };

struct chunk {
    const uint8_t *name, *body;
    size_t n; /* bytes of the body that are there */
};

static size_t read_24(const uint8_t *p)
{
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
}

/* The chunk at *at, which moves past it; false at the end. */
static bool next_chunk(const uint8_t *bytes, size_t n, size_t *at, struct chunk *out)
{
    if (*at > n || n - *at < CHUNK_BYTES) {
        return false;
    }
    const uint8_t *p = bytes + *at;
    size_t length = read_24(p + 4) | (size_t)p[7] << 24, left = n - *at - CHUNK_BYTES;
    *out = (struct chunk){p, p + CHUNK_BYTES, length < left ? length : left};
    *at += CHUNK_BYTES + length + (length & 1); /* may point past the end */
    return true;
}

static bool is_named(const struct chunk *c, const char *name)
{
    return memcmp(c->name, name, 4) == 0;
}

static enum err fail(struct errbuf *e, VP8StatusCode status)
{
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return err_set(e, ERR_NOMEM, "WebP: no memory to decode");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "WebP: a feature that is not supported; save it as JPEG or PNG");
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return err_set(e, ERR_CORRUPT_IMAGE, "WebP: the end is missing; send the whole file");
    default:
        return err_set(e, ERR_CORRUPT_IMAGE, "WebP: not valid; send an undamaged copy");
    }
}

static enum err get_features(const uint8_t *bytes, size_t n, WebPBitstreamFeatures *f, struct errbuf *e)
{
    VP8StatusCode status = WebPGetFeatures(bytes, n, f);
    if (status != VP8_STATUS_OK) {
        return fail(e, status);
    }
    return f->width > 0 && f->height > 0 ? OK : fail(e, VP8_STATUS_BITSTREAM_ERROR);
}

/* Pixels, once more where they are turned or put on a canvas, and what the library keeps: four bytes a pixel of a
 * lossless picture, five for the alpha of a lossy one. */
static uint64_t bytes_to_decode(const WebPBitstreamFeatures *f, int orientation)
{
    enum { FIXED_BYTES = 256 << 10, ROW_BYTES_A_COLUMN = 160, LOSSLESS = 2 };
    uint64_t n = (uint64_t)f->width * (uint64_t)f->height, channels = f->has_alpha ? 4 : 3;
    bool is_lossless = f->format == LOSSLESS, is_direct = orientation == 1 && !f->has_animation;
    uint64_t library = is_lossless ? 4 : f->has_alpha || f->has_animation ? 5 : 0;
    uint64_t pixels = is_direct ? channels : channels + 3;
    return FIXED_BYTES + (pixels + library) * n + ROW_BYTES_A_COLUMN * (uint64_t)f->width;
}

enum err webp_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                    struct errbuf *e)
{
    WebPBitstreamFeatures f;
    enum err rc = get_features(bytes, n, &f, e);
    if (!rc) {
        rc = limits_check((uint32_t)f.width, (uint32_t)f.height, limits->max_pixels, "", e);
    }
    if (rc) {
        return rc;
    }
    info->progressive = false;
    info->warnings = f.has_animation ? IMAGE_WARN_ANIMATION : 0;
    info->warnings |= f.has_alpha ? IMAGE_WARN_ALPHA : 0;
    int exif = 0, xmp = 0;
    struct chunk c;
    for (size_t at = RIFF_BYTES; next_chunk(bytes, n, &at, &c);) {
        if (is_named(&c, "EXIF")) {
            exif = exif_orientation(c.body, c.n);
        } else if (is_named(&c, "XMP ") && !xmp) {
            xmp = xmp_orientation(c.body, c.n);
        } else if (is_named(&c, "ICCP")) {
            info->warnings |= IMAGE_WARN_ICC;
        }
    }
    upright_describe(info, exif, xmp, (uint32_t)f.width, (uint32_t)f.height);
    info->decode_bytes = bytes_to_decode(&f, info->orientation);
    return OK;
}

/* ---- pixels ---- */

/* A picture in the file: the only one, or the first frame of an animation at its place on the canvas. */
struct frame {
    const uint8_t *bytes;
    size_t n;
    int x, y, width, height;
    bool has_alpha;
};

static enum err find_frame(const uint8_t *bytes, size_t n, const WebPBitstreamFeatures *canvas, struct frame *frame,
                           struct errbuf *e)
{
    struct chunk c;
    WebPBitstreamFeatures f;
    for (size_t at = RIFF_BYTES; next_chunk(bytes, n, &at, &c);) {
        if (!is_named(&c, "ANMF")) {
            continue;
        }
        if (c.n < FRAME_BYTES) {
            return fail(e, VP8_STATUS_NOT_ENOUGH_DATA);
        }
        frame->x = (int)(2 * read_24(c.body));
        frame->y = (int)(2 * read_24(c.body + 3));
        frame->bytes = c.body + FRAME_BYTES;
        frame->n = c.n - FRAME_BYTES;
        enum err rc = get_features(frame->bytes, frame->n, &f, e);
        if (rc) {
            return rc;
        }
        frame->width = f.width;
        frame->height = f.height;
        frame->has_alpha = f.has_alpha;
        bool fits = frame->x + f.width <= canvas->width && frame->y + f.height <= canvas->height;
        bool is_as_told = (size_t)f.width == read_24(c.body + 6) + 1 && (size_t)f.height == read_24(c.body + 9) + 1;
        return fits && is_as_told ? OK : fail(e, VP8_STATUS_BITSTREAM_ERROR);
    }
    return fail(e, VP8_STATUS_NOT_ENOUGH_DATA);
}

/* Decodes to packed RGB at the beginning of `out`, which has room for three or, with alpha, four bytes a pixel. */
static enum err decode_frame(const struct frame *f, uint8_t *out, struct errbuf *e)
{
    int bytes_a_pixel = f->has_alpha ? 4 : 3;
    size_t n_pixels = (size_t)f->width * (size_t)f->height;
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        return err_set(
            e, ERR_INTERNAL,
            "WebP: the installed library does not fit the headers that this program was built with; build it again");
    }
    config.output.colorspace = f->has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){out, f->width * bytes_a_pixel, n_pixels * (size_t)bytes_a_pixel};
    VP8StatusCode status = WebPDecode(f->bytes, f->n, &config);
    WebPFreeDecBuffer(&config.output);
    if (status != VP8_STATUS_OK) {
        return fail(e, status);
    }
    if (f->has_alpha) {
        alpha_on_white(out, n_pixels);
    }
    return OK;
}

enum err webp_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                     struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    WebPBitstreamFeatures f;
    (void)limits; /* checked by webp_probe, on the same header */
    enum err rc = get_features(bytes, n, &f, e);
    if (rc) {
        return rc;
    }
    struct frame frame = {bytes, n, 0, 0, f.width, f.height, f.has_alpha};
    if (f.has_animation) {
        rc = find_frame(bytes, n, &f, &frame, e);
        if (rc) {
            return rc;
        }
    }
    bool is_whole = frame.width == f.width && frame.height == f.height, is_direct = is_whole && info->orientation == 1;
    size_t n_frame = (size_t)frame.width * (size_t)frame.height, n_canvas = (size_t)f.width * (size_t)f.height;
    rc = scratch_reserve(pixels, n_canvas, is_direct && frame.has_alpha ? 4 : 3);
    if (!rc && !is_direct) {
        rc = scratch_reserve(work, n_frame, frame.has_alpha ? 4 : 3);
    }
    if (rc) {
        return err_set(e, rc, "no memory for %zu pixels", n_canvas);
    }
    rc = decode_frame(&frame, is_direct ? pixels->bytes : work->bytes, e);
    if (!rc && !is_direct) {
        if (!is_whole) {
            memset(pixels->bytes, 255, 3 * n_canvas);
        }
        struct orient o = {pixels->bytes, f.width, f.height, info->orientation};
        orient_put(&o, &(struct orient_grid){frame.x, frame.y, 1, 1, frame.width, frame.height}, work->bytes);
    }
    return rc;
}
