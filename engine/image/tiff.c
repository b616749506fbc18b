/* A TIFF may hold anything in any compression, so it is bounded from three sides: only the first page, strips or tiles
 * of the usual kinds and of the compressions in is_usual(); sizes checked on the directory before anything is decoded;
 * and the library's own limit for one allocation. The library reads from memory and never opens another file.
 *
 * Pixels come strip by strip (or tile by tile) as RGBA from the library's TIFFRGBAImage, which knows all color spaces.
 * Its colors are multiplied by alpha already (but for grey ones), so white shines through what alpha leaves.
 *
 * Camera raw files are TIFF files whose first picture is a thumbnail; they are refused by that. */
#include "engine/image/tiff.h"

#include "engine/image/limits.h"
#include "engine/image/orient.h"
#include "engine/image/upright.h"
#include "engine/image/xmp.h"

#include <stdio.h>
#include <string.h>

#include <tiffio.h>

struct reader {
    TIFF *tiff;
    const uint8_t *bytes;
    size_t n, at;
    char message[200];    /* the first that the library told */
    uint64_t field_bytes; /* of the values of all fields */
    uint32_t width, height, piece_width, piece_height;
    bool is_tiled, has_alpha, is_straight /* grey, and not multiplied by alpha */;
    bool names_extra; /* the file says what its channels beyond the color are */
    bool has_other;   /* a fourth channel that is not alpha; the library takes it for alpha */
    uint16_t compression, photometric, bits, samples, orientation;
};

/* ---- the file in memory ---- */

static tmsize_t on_read(thandle_t handle, void *out, tmsize_t n)
{
    struct reader *r = handle;
    size_t left = r->at < r->n ? r->n - r->at : 0, taken = (size_t)n < left ? (size_t)n : left;
    memcpy(out, r->bytes + (r->at < r->n ? r->at : 0), taken);
    r->at += taken;
    return (tmsize_t)taken;
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle, (void)from, (void)n;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct reader *r = handle;
    r->at = (size_t)(whence == SEEK_CUR ? r->at + offset : whence == SEEK_END ? r->n + offset : offset);
    return r->at;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    const struct reader *r = handle;
    return r->n;
}

/* Mapped, for what it is: the library then takes stored pieces of any size. It rounds those that it reads itself up to
 * 1024 bytes, and refuses uncompressed tiles of another size afterwards. */
static int on_map(thandle_t handle, void **base, toff_t *n)
{
    struct reader *r = handle;
    *base = (void *)(uintptr_t)r->bytes;
    *n = r->n;
    return 1;
}

static void on_unmap(thandle_t handle, void *base, toff_t n)
{
    (void)handle, (void)base, (void)n;
}

static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list values)
{
    struct reader *r = user;
    (void)tiff, (void)module;
    if (!r->message[0]) {
        vsnprintf(r->message, sizeof(r->message), format, values);
    }
    return 1;
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list values)
{
    (void)tiff, (void)user, (void)module, (void)format, (void)values;
    return 1;
}

/* Where a piece of the picture lies beyond the end; the library tells of strips only. */
static bool is_cut_short(const struct reader *r)
{
    uint32_t n = !r->tiff ? 0 : r->is_tiled ? TIFFNumberOfTiles(r->tiff) : TIFFNumberOfStrips(r->tiff);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = TIFFGetStrileOffset(r->tiff, i), bytes = TIFFGetStrileByteCount(r->tiff, i);
        if (bytes > r->n || at > r->n - bytes) {
            return true;
        }
    }
    return false;
}

static enum err fail(const struct reader *r, struct errbuf *e)
{
    const char *what = r->message + strspn(r->message, ": "); /* it may begin with a name that it does not have */
    static const char *const at_end[] = {"Read error", "Can not read TIFF directory"};
    bool is_cut = strncmp(what, at_end[0], strlen(at_end[0])) == 0 || strncmp(what, at_end[1], strlen(at_end[1])) == 0;
    if (is_cut || is_cut_short(r)) { /* told with numbers of the library's own */
        return err_set(e, ERR_CORRUPT_IMAGE, "TIFF: the end is missing; send the whole file");
    }
    return err_set(e, ERR_CORRUPT_IMAGE, "TIFF: %s; send an undamaged copy", *what ? what : "the picture is not valid");
}

/* ---- directory ---- */

static bool is_usual(uint16_t compression)
{
    switch (compression) {
    case COMPRESSION_NONE:
    case COMPRESSION_CCITTRLE:
    case COMPRESSION_CCITTFAX3:
    case COMPRESSION_CCITTFAX4:
    case COMPRESSION_LZW:
    case COMPRESSION_JPEG:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_PACKBITS:
        return TIFFIsCODECConfigured(compression);
    default:
        return false;
    }
}

static const char *name_of(uint16_t compression)
{
    enum { PNG = 34933, JPEG_XR = 34934, JPEG_XR_OF_MICROSCOPES = 22610 }; /* as tifffile writes them */
    static const struct {
        uint16_t compression;
        const char *name;
    } names[] = {{COMPRESSION_ZSTD, " (Zstandard)"},
                 {COMPRESSION_LZMA, " (LZMA)"},
                 {COMPRESSION_WEBP, " (WebP)"},
                 {COMPRESSION_OJPEG, " (JPEG of TIFF 6.0)"},
                 {COMPRESSION_JP2000, " (JPEG 2000)"},
                 {COMPRESSION_LERC, " (LERC)"},
                 {COMPRESSION_JXL, " (JPEG XL)"},
                 {COMPRESSION_JBIG, " (JBIG)"},
                 {PNG, " (PNG)"},
                 {JPEG_XR, " (JPEG XR)"},
                 {JPEG_XR_OF_MICROSCOPES, " (JPEG XR)"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].compression == compression) {
            return names[i].name;
        }
    }
    return "";
}

static enum err read_sizes(struct reader *r, uint64_t max_pixels, struct errbuf *e)
{
    TIFF *t = r->tiff;
    uint32_t kind = 0;
    TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &r->width);
    TIFFGetField(t, TIFFTAG_IMAGELENGTH, &r->height);
    enum err rc = limits_check(r->width, r->height, max_pixels, "", e);
    if (rc) {
        return rc;
    }
    TIFFGetFieldDefaulted(t, TIFFTAG_SUBFILETYPE, &kind);
    if (kind & FILETYPE_REDUCEDIMAGE) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE,
                       "this seems to be a camera raw file, or a TIFF that begins with a thumbnail; save it as JPEG");
    }
    r->is_tiled = TIFFIsTiled(t);
    if (r->is_tiled) {
        TIFFGetField(t, TIFFTAG_TILEWIDTH, &r->piece_width);
        TIFFGetField(t, TIFFTAG_TILELENGTH, &r->piece_height);
    } else {
        TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &r->piece_height);
        r->piece_width = r->width;
        r->piece_height = r->piece_height < r->height ? r->piece_height : r->height;
    }
    uint64_t pixels = (uint64_t)r->piece_width * r->piece_height, picture = (uint64_t)r->width * r->height;
    if (pixels == 0 || pixels > 4 * picture + (1 << 20)) {
        return err_set(e, ERR_CORRUPT_IMAGE,
                       "TIFF: pieces of %ux%u pixels in a picture of %ux%u; send an undamaged copy", r->piece_width,
                       r->piece_height, r->width, r->height);
    }
    return OK;
}

static void read_alpha(struct reader *r)
{
    uint16_t n_extra = 0, *extra = NULL;
    TIFFGetFieldDefaulted(r->tiff, TIFFTAG_EXTRASAMPLES, &n_extra, &extra);
    uint16_t straight = EXTRASAMPLE_UNASSALPHA;
    if (!r->names_extra && r->samples == 4 && r->photometric == PHOTOMETRIC_RGB) { /* as Pillow has it */
        TIFFSetField(r->tiff, TIFFTAG_EXTRASAMPLES, 1, &straight);
        r->has_alpha = true;
        return;
    }
    r->has_alpha = n_extra > 0 && extra[0] != EXTRASAMPLE_UNSPECIFIED;
    r->has_other = n_extra > 0 && !r->has_alpha;
    r->is_straight = r->has_alpha && extra[0] == straight && r->photometric <= PHOTOMETRIC_MINISBLACK;
}

static enum err read_kind(struct reader *r, struct errbuf *e)
{
    TIFF *t = r->tiff;
    char why[1024] = "";
    TIFFGetFieldDefaulted(t, TIFFTAG_COMPRESSION, &r->compression);
    TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &r->bits);
    TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &r->samples);
    TIFFGetField(t, TIFFTAG_ORIENTATION, &r->orientation);
    TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &r->photometric);
    read_alpha(r);
    if (!is_usual(r->compression)) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE,
                       "TIFF: compression %u%s is not read; save it with LZW or Deflate, or as JPEG or PNG",
                       r->compression, name_of(r->compression));
    }
    if (r->samples == 0 || r->samples > 5) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "TIFF: %u samples a pixel are not supported; save it as JPEG or PNG",
                       r->samples);
    }
    if (!TIFFRGBAImageOK(t, why)) {
        static const char sorry[] = "Sorry, ";
        bool is_sorry = strncmp(why, sorry, sizeof(sorry) - 1) == 0;
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "TIFF: %.200s; save it with 8 bits a channel, as JPEG or PNG",
                       why + (is_sorry ? sizeof(sorry) - 1 : 0));
    }
    return OK;
}

static uint32_t number(const uint8_t *p, int n, bool is_big)
{
    uint32_t value = 0;
    for (int i = 0; i < n; i++) {
        value = value << 8 | p[is_big ? i : n - 1 - i];
    }
    return value;
}

/* The library takes time with the square of the number of unknown fields, and memory for the values of each, which may
 * all lie in the same place: no file needs more for them than it has bytes. Whatever else is wrong the library says. */
static bool has_modest_directory(struct reader *r)
{
    enum { MAX_FIELDS = 512, HEADER_BYTES = 8, FIELD_BYTES = 12, N_TYPES = 14 };
    static const uint8_t sizes[N_TYPES] = {1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4};
    bool is_big = r->bytes[0] == 'M';
    size_t at = r->n >= HEADER_BYTES ? number(r->bytes + 4, 4, is_big) : r->n;
    if (r->n < HEADER_BYTES || at > r->n - 2) {
        return true;
    }
    uint32_t n_fields = number(r->bytes + at, 2, is_big);
    at += 2;
    for (uint32_t i = 0; i < n_fields && r->n - at >= FIELD_BYTES; i++, at += FIELD_BYTES) {
        uint32_t type = number(r->bytes + at + 2, 2, is_big);
        r->names_extra |= number(r->bytes + at, 2, is_big) == TIFFTAG_EXTRASAMPLES;
        r->field_bytes += (uint64_t)number(r->bytes + at + 4, 4, is_big) * (type < N_TYPES ? sizes[type] : 1);
    }
    return n_fields <= MAX_FIELDS && r->field_bytes <= r->n;
}

static enum err open_reader(struct reader *r, const struct image_limits *limits, struct errbuf *e)
{
    if (!has_modest_directory(r)) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE,
                       "TIFF: too many or too large fields in its directory; save it as JPEG or PNG");
    }
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) {
        return err_set(e, ERR_NOMEM, "TIFF: no memory to decode");
    }
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, r);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, r);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)(32 * limits->max_pixels + (4 << 20)));
    r->tiff = TIFFClientOpenExt("", "r", r, on_read, on_write, on_seek, on_close, on_size, on_map, on_unmap, options);
    TIFFOpenOptionsFree(options);
    if (!r->tiff) {
        return fail(r, e);
    }
    enum err rc = read_sizes(r, limits->max_pixels, e);
    return rc ? rc : read_kind(r, e);
}

static void close_reader(struct reader *r)
{
    if (r->tiff) {
        TIFFClose(r->tiff);
    }
}

/* Pixels, a piece as RGBA, once more as its samples and, if its bits stand the other way round, as it is stored, and
 * the directory. */
static uint64_t bytes_to_decode(const struct reader *r)
{
    enum { FIXED_BYTES = 1 << 18 };
    uint64_t piece = (uint64_t)r->piece_width * r->piece_height, stored = 0;
    uint16_t order = FILLORDER_MSB2LSB;
    TIFFGetFieldDefaulted(r->tiff, TIFFTAG_FILLORDER, &order);
    uint32_t n_pieces = order == FILLORDER_MSB2LSB ? 0
                        : r->is_tiled              ? TIFFNumberOfTiles(r->tiff)
                                                   : TIFFNumberOfStrips(r->tiff);
    for (uint32_t i = 0; i < n_pieces; i++) {
        uint64_t n = TIFFGetStrileByteCount(r->tiff, i);
        stored = n > stored ? n : stored;
    }
    stored = stored < r->n ? stored : r->n;
    return FIXED_BYTES + 3 * (uint64_t)r->width * r->height + 4 * piece +
           ((uint64_t)r->bits * r->samples + 7) / 8 * piece + stored + 4 * r->field_bytes;
}

static void describe(struct reader *r, struct image_info *info)
{
    uint32_t n_profile = 0, n_packet = 0;
    void *profile = NULL, *packet = NULL;
    bool is_valid = r->orientation >= 1 && r->orientation <= 8;
    info->progressive = false;
    info->warnings = r->has_alpha ? IMAGE_WARN_ALPHA : 0;
    info->warnings |= r->photometric == PHOTOMETRIC_SEPARATED ? IMAGE_WARN_CMYK : 0;
    info->warnings |= r->bits > 8 ? IMAGE_WARN_DEPTH : 0;
    info->warnings |= TIFFGetField(r->tiff, TIFFTAG_ICCPROFILE, &n_profile, &profile) ? IMAGE_WARN_ICC : 0;
    info->warnings |= TIFFLastDirectory(r->tiff) ? 0 : IMAGE_WARN_PAGES;
    int xmp = !is_valid && TIFFGetField(r->tiff, TIFFTAG_XMLPACKET, &n_packet, &packet)
                  ? xmp_orientation(packet, n_packet)
                  : 0;
    upright_describe(info, is_valid ? r->orientation : 0, xmp, r->width, r->height);
    info->decode_bytes = bytes_to_decode(r);
}

enum err tiff_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                    struct errbuf *e)
{
    struct reader r = {.bytes = bytes, .n = n};
    enum err rc = open_reader(&r, limits, e);
    if (!rc) {
        describe(&r, info);
    }
    close_reader(&r);
    return rc;
}

/* ---- pixels ---- */

static uint8_t on_white(uint32_t color, uint32_t alpha)
{
    uint32_t sum = color + 255 - alpha;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* A row of the library's pixels to RGB, in the same memory, from its beginning. */
static void pack_row(const struct reader *r, uint32_t *row, size_t n)
{
    uint8_t *to = (uint8_t *)row;
    for (size_t i = 0; i < n; i++, to += 3) {
        uint32_t p = row[i], alpha = TIFFGetA(p);
        if (r->has_other) {
            to[0] = (uint8_t)TIFFGetR(p);
            to[1] = (uint8_t)TIFFGetG(p);
            to[2] = (uint8_t)TIFFGetB(p);
            continue;
        }
        if (r->is_straight) {
            memset(to, on_white((TIFFGetR(p) * alpha + 127) / 255, alpha), 3);
            continue;
        }
        to[0] = on_white(TIFFGetR(p), alpha);
        to[1] = on_white(TIFFGetG(p), alpha);
        to[2] = on_white(TIFFGetB(p), alpha);
    }
}

/* The piece at column x, row y: its rows stand in the library's order, the last one first. */
static bool read_piece(struct reader *r, uint32_t x, uint32_t y, uint32_t *raster, const struct orient *to)
{
    uint32_t columns = r->width - x < r->piece_width ? r->width - x : r->piece_width;
    uint32_t rows = r->height - y < r->piece_height ? r->height - y : r->piece_height;
    uint32_t raster_rows = r->is_tiled ? r->piece_height : rows;
    int is_read =
        r->is_tiled ? TIFFReadRGBATileExt(r->tiff, x, y, raster, 1) : TIFFReadRGBAStripExt(r->tiff, y, raster, 1);
    for (uint32_t i = 0; is_read && i < rows; i++) {
        uint32_t *row = raster + (size_t)(raster_rows - 1 - i) * r->piece_width;
        pack_row(r, row, columns);
        orient_put(to, &(struct orient_grid){(int)x, (int)(y + i), 1, 1, (int)columns, 1}, (uint8_t *)row);
    }
    return is_read;
}

enum err tiff_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                     struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    struct reader r = {.bytes = bytes, .n = n};
    enum err rc = open_reader(&r, limits, e);
    if (!rc && (scratch_reserve(pixels, (size_t)r.width * r.height, 3) ||
                scratch_reserve(work, (size_t)r.piece_width * r.piece_height, sizeof(uint32_t)))) {
        rc = err_set(e, ERR_NOMEM, "no memory for %ux%u pixels", r.width, r.height);
    }
    if (!rc) {
        struct orient to = {pixels->bytes, (int)r.width, (int)r.height, info->orientation};
        TIFFSetField(r.tiff, TIFFTAG_ORIENTATION,
                     ORIENTATION_TOPLEFT); /* the library would turn pieces, not pictures */
        for (uint32_t y = 0; !rc && y < r.height; y += r.piece_height) {
            for (uint32_t x = 0; !rc && x < r.width; x += r.piece_width) {
                rc = read_piece(&r, x, y, (uint32_t *)(void *)work->bytes, &to) ? OK : fail(&r, e);
            }
        }
    }
    close_reader(&r);
    return rc;
}
