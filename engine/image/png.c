/* libpng reports errors by longjmp, so there is one setjmp, in attempt(), and nothing to release below it.
 *
 * The header is read here, not by the library: probing is a walk over chunk headers. Of the ancillary chunks the
 * library gets only tRNS; the others (compressed texts and profiles above all) are skipped unread, so they cost no
 * memory, and their checksums do not matter, as in browsers. A wrong checksum of a chunk that is used makes the file
 * corrupt. Where EXIF or XMP stand in a compressed text, its first bytes are unpacked, as the orientation comes early.
 *
 * Interlaced files are placed pass by pass through orient_put instead of by the library, which would need the whole
 * picture a second time with its alpha. */
#include "engine/image/png.h"

#include "engine/base/mem.h"
#include "engine/image/alpha.h"
#include "engine/image/exif.h"
#include "engine/image/limits.h"
#include "engine/image/orient.h"
#include "engine/image/png_text.h"
#include "engine/image/transfer.h"
#include "engine/image/upright.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

enum { SIGNATURE_BYTES = 8, IHDR_BYTES = 13, CHUNK_BYTES = 12 /* length, name, checksum */, MAX_LENGTH = 0x7fffffff };

/* ---- header ---- */

struct header {
    uint32_t width, height;
    int depth, color, interlace;
};

static uint32_t read_32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bits a sample that a colour type allows, as a set; 0 for an unknown type. */
static unsigned depths_of(int color)
{
    switch (color) {
    case PNG_COLOR_TYPE_GRAY:
        return 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16;
    case PNG_COLOR_TYPE_PALETTE:
        return 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8;
    case PNG_COLOR_TYPE_RGB:
    case PNG_COLOR_TYPE_GRAY_ALPHA:
    case PNG_COLOR_TYPE_RGB_ALPHA:
        return 1 << 8 | 1 << 16;
    default:
        return 0;
    }
}

static enum err read_header(const uint8_t *bytes, size_t n, struct header *h, struct errbuf *e)
{
    const uint8_t *chunk = bytes + SIGNATURE_BYTES, *body = chunk + 8;
    if (n >= SIGNATURE_BYTES + CHUNK_BYTES && memcmp(chunk + 4, "CgBI", 4) == 0) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE,
                       "PNG: made for iOS programs (CgBI), not a standard PNG; send the original of this image");
    }
    if (n < SIGNATURE_BYTES + CHUNK_BYTES + IHDR_BYTES || read_32(chunk) != IHDR_BYTES ||
        memcmp(chunk + 4, "IHDR", 4) != 0) {
        return err_set(e, ERR_CORRUPT_IMAGE, "PNG: the header is missing; send the whole file, undamaged");
    }
    *h = (struct header){
        .width = read_32(body), .height = read_32(body + 4), .depth = body[8], .color = body[9], .interlace = body[12]};
    if (h->depth > 16 || !(depths_of(h->color) >> h->depth & 1) || body[10] != 0 || body[11] != 0 || h->interlace > 1) {
        return err_set(
            e, ERR_CORRUPT_IMAGE,
            "PNG: the header is not valid (%d bits, colour type %d, compression %d, filter %d, interlace %d); "
            "send an undamaged copy",
            h->depth, h->color, body[10], body[11], h->interlace);
    }
    return OK;
}

/* What the chunks tell beside the picture. */
struct findings {
    int exif; /* orientation, 0: none */
    struct png_text text;
    uint32_t warnings;
    bool has_bad_transparency; /* its checksum is wrong */
};

static bool has_wrong_checksum(const uint8_t *name, size_t length)
{
    return crc32(0, name, (uInt)length + 4) != read_32(name + 4 + length);
}

/* A chunk before the end; name, body and checksum are there. */
static void read_chunk(const uint8_t *name, size_t length, bool has_pixels, const struct header *h, struct findings *f)
{
    const uint8_t *body = name + 4;
    if (memcmp(name, "eXIf", 4) == 0) { /* may follow the pixels */
        f->exif = has_wrong_checksum(name, length) ? f->exif : exif_orientation(body, length);
    } else if (memcmp(name, "iCCP", 4) == 0) {
        f->warnings |= IMAGE_WARN_ICC;
    } else if (memcmp(name, "acTL", 4) == 0 && !has_pixels) {
        f->warnings |= IMAGE_WARN_ANIMATION;
    } else if (memcmp(name, "tRNS", 4) == 0 && !has_pixels && !(h->color & PNG_COLOR_MASK_ALPHA)) {
        f->warnings |= IMAGE_WARN_ALPHA;
        f->has_bad_transparency = has_wrong_checksum(name, length);
    } else if (png_text_is_one(name) && !has_wrong_checksum(name, length)) {
        png_text_read(&f->text, name, body, length);
    }
}

static void read_chunks(const uint8_t *bytes, size_t n, const struct header *h, struct findings *f)
{
    bool has_pixels = false;
    for (size_t at = SIGNATURE_BYTES; n - at >= CHUNK_BYTES;) {
        const uint8_t *name = bytes + at + 4;
        size_t length = read_32(bytes + at);
        if (length > MAX_LENGTH || length > n - at - CHUNK_BYTES) {
            return;
        }
        if (memcmp(name, "IEND", 4) == 0) {
            at += CHUNK_BYTES + length;
            f->warnings |= transfer_signature(bytes + at, n - at) ? IMAGE_WARN_PAGES : 0;
            return;
        }
        has_pixels = has_pixels || memcmp(name, "IDAT", 4) == 0;
        read_chunk(name, length, has_pixels, h, f);
        at += CHUNK_BYTES + length;
    }
}

/* Pixels, and rows of the library and of ours. */
static uint64_t bytes_to_decode(const struct header *h)
{
    enum { FIXED_BYTES = 128 << 10, ROW_BYTES_A_COLUMN = 112 };
    return FIXED_BYTES + 3 * (uint64_t)h->width * h->height + ROW_BYTES_A_COLUMN * (uint64_t)h->width;
}

enum err png_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                   struct errbuf *e)
{
    struct header h = {.width = 0};
    struct findings f = {.exif = 0};
    enum err rc = read_header(bytes, n, &h, e);
    if (!rc) {
        rc = limits_check(h.width, h.height, limits->max_pixels, "", e);
    }
    if (rc) {
        return rc;
    }
    f.warnings = (h.color & PNG_COLOR_MASK_ALPHA ? IMAGE_WARN_ALPHA : 0) | (h.depth == 16 ? IMAGE_WARN_DEPTH : 0);
    read_chunks(bytes, n, &h, &f);
    if (f.has_bad_transparency) {
        return err_set(e, ERR_CORRUPT_IMAGE, "PNG: wrong checksum of its transparency (tRNS); send an undamaged copy");
    }
    info->progressive = false;
    info->decode_bytes = bytes_to_decode(&h);
    info->warnings = f.warnings;
    upright_describe(info, f.exif ? f.exif : f.text.exif, f.text.xmp, h.width, h.height);
    return OK;
}

/* ---- the library ---- */

static const char missing_end[] = "the end is missing";

struct reader {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    char message[128];
    bool is_out_of_memory;
    const uint8_t *next;
    size_t n_left;
    struct orient to;
    uint8_t *strip; /* ORIENT_STRIP rows of four bytes a pixel */
};

static void on_error(png_structp png, png_const_charp message)
{
    struct reader *r = png_get_error_ptr(png);
    snprintf(r->message, sizeof(r->message), "%s", message);
    longjmp(r->escape, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t n)
{
    struct reader *r = png_get_mem_ptr(png);
    void *p;
    if (mem_alloc(&p, n)) {
        r->is_out_of_memory = true;
    }
    return p;
}

static void on_free(png_structp png, png_voidp p)
{
    (void)png;
    mem_free(p);
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct reader *r = png_get_io_ptr(png);
    if (n > r->n_left) {
        png_error(png, missing_end);
    }
    memcpy(out, r->next, n);
    r->next += n;
    r->n_left -= n;
}

static bool attempt(struct reader *r, void (*work)(struct reader *))
{
    if (setjmp(r->escape)) {
        return false;
    }
    work(r);
    return true;
}

static void open_reader(struct reader *r)
{
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, on_malloc, on_free);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    if (!r->info) {
        snprintf(r->message, sizeof(r->message), "the library cannot start");
        longjmp(r->escape, 1);
    }
}

/* Everything becomes 8-bit RGB, or RGBA where there is any transparency. */
static void set_up(struct reader *r)
{
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* all ancillary ones but tRNS */
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
    png_set_option(r->png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON); /* some encoders name too small a window */
    png_read_info(r->png, r->info);
    png_set_expand(r->png); /* palette, fewer than 8 bits, tRNS */
    png_set_strip_16(r->png);
    png_set_gray_to_rgb(r->png);
    png_read_update_info(r->png, r->info);
    size_t row_bytes = png_get_rowbytes(r->png, r->info);
    BUG_ON(row_bytes != 3 * (size_t)r->to.width && row_bytes != 4 * (size_t)r->to.width);
}

/* The rows of the grid from the library to their places. */
static void read_rows(struct reader *r, const struct orient_grid *grid)
{
    bool has_alpha = png_get_channels(r->png, r->info) == 4;
    size_t columns = (size_t)grid->columns;
    for (int j = 0; j < grid->rows; j++) {
        uint8_t *row = r->strip + 3 * columns * (size_t)j;
        png_read_row(r->png, row, NULL);
        if (has_alpha) {
            alpha_on_white(row, columns); /* the next row overwrites what sticks out */
        }
    }
    orient_put(&r->to, grid, r->strip);
}

static void read_plain(struct reader *r)
{
    for (int y = 0; y < r->to.height; y += ORIENT_STRIP) {
        int n = r->to.height - y < ORIENT_STRIP ? r->to.height - y : ORIENT_STRIP;
        read_rows(r, &(struct orient_grid){0, y, 1, 1, r->to.width, n});
    }
}

static void read_interlaced(struct reader *r)
{
    for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++) {
        struct orient_grid grid = {.x = PNG_PASS_START_COL(pass),
                                   .y = PNG_PASS_START_ROW(pass),
                                   .dx = PNG_PASS_COL_OFFSET(pass),
                                   .dy = PNG_PASS_ROW_OFFSET(pass),
                                   .columns = PNG_PASS_COLS(r->to.width, pass),
                                   .rows = 1};
        if (grid.columns == 0) {
            continue;
        }
        for (int n = PNG_PASS_ROWS(r->to.height, pass); n; n--, grid.y += grid.dy) {
            read_rows(r, &grid);
        }
    }
}

static void read_picture(struct reader *r)
{
    set_up(r);
    if (png_get_interlace_type(r->png, r->info) == PNG_INTERLACE_ADAM7) {
        read_interlaced(r);
    } else {
        read_plain(r);
    }
}

static enum err report(const struct reader *r, enum err rc, struct errbuf *e)
{
    static const char unknown[] = ": unhandled critical chunk";
    const char *mark = strstr(r->message, unknown);
    if (mark) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE,
                       "PNG: its chunk %.*s must be understood to show it, and is not known here; save it again with "
                       "another program",
                       (int)(mark - r->message), r->message);
    }
    bool is_short = strcmp(r->message, missing_end) == 0;
    return err_set(e, rc, "PNG: %s; send %s", r->message, is_short ? "the whole file" : "an undamaged copy");
}

enum err png_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                    struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    struct header h = {.width = 0};
    struct reader r = {.next = bytes, .n_left = n};
    (void)limits; /* checked by png_probe, on the same header */
    enum err rc = read_header(bytes, n, &h, e);
    if (rc) {
        return rc;
    }
    rc = scratch_reserve(pixels, (size_t)h.width * h.height, 3);
    if (!rc) {
        rc = scratch_reserve(work, h.width, 4 * ORIENT_STRIP);
    }
    if (rc) {
        return err_set(e, rc, "no memory for %ux%u pixels", h.width, h.height);
    }
    r.to = (struct orient){pixels->bytes, (int)h.width, (int)h.height, info->orientation};
    r.strip = work->bytes;
    if (!attempt(&r, open_reader) || !attempt(&r, read_picture)) {
        rc = r.is_out_of_memory ? ERR_NOMEM : ERR_CORRUPT_IMAGE;
        rc = report(&r, rc, e);
    }
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return rc;
}
