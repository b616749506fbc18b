/* A GIF is a canvas with pictures on it, one after the other; the first one is decoded, row by row, with the library's
 * LZW decoder, and everything that it leaves uncovered or transparent is white.
 *
 * Some files have a canvas that is too small for the first picture, or none: it grows, as in Pillow and browsers. */
#include "engine/image/gif.h"

#include "engine/image/limits.h"
#include "engine/image/orient.h"
#include "engine/image/upright.h"
#include "engine/image/xmp.h"

#include <string.h>

#include <gif_lib.h>

struct reader {
    GifFileType *gif;
    const uint8_t *next;
    size_t n_left;
    int transparent; /* index of the first picture's transparent color, -1: none */
    uint32_t width, height;
    int orientation; /* of XMP, 0: none */
};

/* Behind the end single bytes are zero, which end a list of blocks: a file whose last bytes are missing is whole as far
 * as its first picture goes. A block that is cut short is an error. */
static int on_read(GifFileType *gif, GifByteType *out, int n)
{
    struct reader *r = gif->UserData;
    size_t taken = (size_t)n < r->n_left ? (size_t)n : r->n_left;
    memcpy(out, r->next, taken);
    r->next += taken;
    r->n_left -= taken;
    if (taken == 0 && n == 1) {
        *out = 0;
        return 1;
    }
    return (int)taken;
}

static enum err fail(const struct reader *r, int code, struct errbuf *e)
{
    if (code == D_GIF_ERR_NOT_ENOUGH_MEM) {
        return err_set(e, ERR_NOMEM, "GIF: no memory to decode");
    }
    if (r->n_left == 0) {
        return err_set(e, ERR_CORRUPT_IMAGE, "GIF: the end is missing; send the whole file");
    }
    const char *text = code == D_GIF_ERR_READ_FAILED    ? "its pixels cannot be read"
                       : code == D_GIF_ERR_EOF_TOO_SOON ? "its pixels end too early"
                                                        : GifErrorString(code);
    return err_set(e, ERR_CORRUPT_IMAGE, "GIF: not valid (%s); send an undamaged copy",
                   text ? text : "no picture in it");
}

enum { XMP_MAX = 65536 };

/* Extensions before the first picture; the graphics control block tells its transparent color. */
static bool read_extension(struct reader *r)
{
    int kind;
    GifByteType *block;
    if (DGifGetExtension(r->gif, &kind, &block) != GIF_OK) {
        return false;
    }
    if (kind == APPLICATION_EXT_FUNC_CODE && block && block[0] == 11 && memcmp(block + 1, "XMP DataXMP", 11) == 0) {
        r->orientation = xmp_orientation(r->next, r->n_left < XMP_MAX ? r->n_left : XMP_MAX); /* not in blocks */
    }
    if (kind == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4) {
        r->transparent = block[1] & 1 ? block[4] : -1;
    }
    while (block) {
        if (DGifGetExtensionNext(r->gif, &block) != GIF_OK) {
            return false;
        }
    }
    return true;
}

/* Opens the file and reads on until the pixels of the first picture. The reader is closed by the caller. */
static enum err open_reader(struct reader *r, const struct image_limits *limits, struct errbuf *e)
{
    int code = 0;
    GifRecordType kind = UNDEFINED_RECORD_TYPE;
    r->transparent = -1;
    r->gif = DGifOpen(r, on_read, &code);
    if (!r->gif) {
        return fail(r, code, e);
    }
    do {
        if (DGifGetRecordType(r->gif, &kind) != GIF_OK || (kind == EXTENSION_RECORD_TYPE && !read_extension(r))) {
            return fail(r, r->gif->Error, e);
        }
    } while (kind == EXTENSION_RECORD_TYPE);
    if (kind != IMAGE_DESC_RECORD_TYPE || DGifGetImageDesc(r->gif) != GIF_OK) {
        return fail(r, r->gif->Error, e);
    }
    const GifImageDesc *d = &r->gif->Image;
    uint32_t right = (uint32_t)(d->Left + d->Width), low = (uint32_t)(d->Top + d->Height);
    r->width = right > (uint32_t)r->gif->SWidth ? right : (uint32_t)r->gif->SWidth;
    r->height = low > (uint32_t)r->gif->SHeight ? low : (uint32_t)r->gif->SHeight;
    if (d->Width == 0 || d->Height == 0) {
        return err_set(e, ERR_CORRUPT_IMAGE, "GIF: its first picture has %dx%d pixels; send an undamaged copy",
                       d->Width, d->Height);
    }
    return limits_check(r->width, r->height, limits->max_pixels, "", e);
}

static void close_reader(struct reader *r)
{
    int code;
    if (r->gif) {
        DGifCloseFile(r->gif, &code);
    }
}

/* Behind the first picture: does another one follow? */
static bool has_more(struct reader *r)
{
    int code_size;
    GifByteType *block;
    GifRecordType kind;
    bool is_good = DGifGetCode(r->gif, &code_size, &block) == GIF_OK;
    while (is_good && block) {
        is_good = DGifGetCodeNext(r->gif, &block) == GIF_OK;
    }
    while (is_good && DGifGetRecordType(r->gif, &kind) == GIF_OK) {
        if (kind != EXTENSION_RECORD_TYPE) {
            return kind == IMAGE_DESC_RECORD_TYPE;
        }
        is_good = read_extension(r);
    }
    return false;
}

static bool covers_canvas(const struct reader *r)
{
    const GifImageDesc *d = &r->gif->Image;
    return d->Left == 0 && d->Top == 0 && (uint32_t)d->Width == r->width && (uint32_t)d->Height == r->height;
}

/* Pixels, a row, and the library's tables. */
static uint64_t bytes_to_decode(const struct reader *r)
{
    enum { FIXED_BYTES = 128 << 10 };
    return FIXED_BYTES + 3 * (uint64_t)r->width * r->height + 5 * (uint64_t)r->width;
}

enum err gif_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                   struct errbuf *e)
{
    struct reader r = {.next = bytes, .n_left = n};
    enum err rc = open_reader(&r, limits, e);
    if (!rc) {
        bool has_alpha = r.transparent >= 0 || !covers_canvas(&r);
        info->width = (int)r.width;
        info->height = (int)r.height;
        info->progressive = false;
        info->decode_bytes = bytes_to_decode(&r);
        info->warnings = (has_alpha ? IMAGE_WARN_ALPHA : 0) | (has_more(&r) ? IMAGE_WARN_ANIMATION : 0);
        upright_describe(info, 0, r.orientation, r.width, r.height);
    }
    close_reader(&r);
    return rc;
}

/* ---- pixels ---- */

/* Indices that are in no color map are black, transparent ones white. */
static void color_row(const struct reader *r, const uint8_t *indices, uint8_t *out)
{
    const ColorMapObject *map = r->gif->Image.ColorMap ? r->gif->Image.ColorMap : r->gif->SColorMap;
    for (int x = 0; x < r->gif->Image.Width; x++, out += 3) {
        int i = indices[x];
        if (i == r->transparent) {
            memset(out, 255, 3);
        } else if (map && i < map->ColorCount) {
            out[0] = map->Colors[i].Red;
            out[1] = map->Colors[i].Green;
            out[2] = map->Colors[i].Blue;
        } else {
            memset(out, 0, 3);
        }
    }
}

/* work: a row of indices, followed by one of pixels. */
static enum err read_rows(const struct reader *r, int first, int step, uint8_t *work, const struct orient *to,
                          struct errbuf *e)
{
    const GifImageDesc *d = &r->gif->Image;
    uint8_t *row = work, *rgb = work + r->width;
    for (int y = first; y < d->Height; y += step) {
        if (DGifGetLine(r->gif, row, d->Width) != GIF_OK) {
            return fail(r, r->gif->Error, e);
        }
        color_row(r, row, rgb);
        orient_put(to, &(struct orient_grid){d->Left, d->Top + y, 1, 1, d->Width, 1}, rgb);
    }
    return OK;
}

enum err gif_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                    struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    static const struct {
        int first, step;
    } passes[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}}, plain = {0, 1};
    struct reader r = {.next = bytes, .n_left = n};
    enum err rc = open_reader(&r, limits, e);
    if (!rc && (scratch_reserve(pixels, (size_t)r.width * r.height, 3) || scratch_reserve(work, r.width, 4))) {
        rc = err_set(e, ERR_NOMEM, "no memory for %ux%u pixels", r.width, r.height);
    }
    struct orient to = {pixels->bytes, (int)r.width, (int)r.height, info->orientation};
    if (!rc && !covers_canvas(&r)) {
        memset(pixels->bytes, 255, 3 * (size_t)r.width * r.height);
    }
    if (!rc && !r.gif->Image.Interlace) {
        rc = read_rows(&r, plain.first, plain.step, work->bytes, &to, e);
    }
    for (size_t i = 0; !rc && r.gif->Image.Interlace && i < sizeof(passes) / sizeof(passes[0]); i++) {
        rc = read_rows(&r, passes[i].first, passes[i].step, work->bytes, &to, e);
    }
    close_reader(&r);
    return rc;
}
