/* libjpeg reports errors by longjmp and most damage only as a counted warning, so three rules hold here.
 *
 * 1. One setjmp, in attempt(). Nothing that must be released is a local variable of what runs below it.
 * 2. Warnings are judged by kind (on_message): what means lost picture data ends the work as corrupt, or is noted where
 *    the caller tolerates that; harmless ones (odd JFIF version, bytes between segments, as phones write) pass.
 *    The end of the data is not a warning: it counts only if the picture was not complete by then.
 * 3. Work is bounded before it begins: pixels on the header, a smaller cap where all coefficients must be kept
 *    (several scans), the number of scans while they are read, and the library's own memory limit.
 *
 * CMYK: the values are taken as inverted, as Adobe writes them and as Pillow reads them, with or without its marker. */
#include "engine/image/jpeg.h"

#include "engine/image/exif.h"
#include "engine/image/limits.h"
#include "engine/image/orient.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

/* Encoders write about ten scans; a thousand empty ones would cost seconds. */
enum { MAX_SCANS = 64 };

struct reader {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    bool has_damage, ran_out; /* picture data lost (tolerated); read beyond the last byte */
    enum err err;             /* of the error that ended the attempt */
    char message[JMSG_LENGTH_MAX];
    const struct image_limits *limits;
    struct errbuf *e;
    /* decoding */
    const struct image_info *info;
    uint8_t *rgb, *strip;
};

/* ---- messages ---- */

static enum err err_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return ERR_NOMEM;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
        return ERR_IMAGE_TOO_LARGE;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOT_COMPILED:
        return ERR_UNSUPPORTED_IMAGE;
    default:
        return ERR_CORRUPT_IMAGE;
    }
}

static struct reader *reader_of(j_common_ptr cinfo)
{
    return cinfo->client_data;
}

static void fail(struct reader *r, enum err rc, const char *message)
{
    r->err = rc;
    snprintf(r->message, sizeof(r->message), "%s", message);
    longjmp(r->escape, 1);
}

static void on_error(j_common_ptr cinfo)
{
    struct reader *r = reader_of(cinfo);
    r->err = err_of(cinfo->err->msg_code);
    cinfo->err->format_message(cinfo, r->message);
    longjmp(r->escape, 1);
}

/* level -1: a warning; others are traces. */
static void on_message(j_common_ptr cinfo, int level)
{
    struct reader *r = reader_of(cinfo);
    if (level >= 0) {
        return;
    }
    switch (cinfo->err->msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_NOT_SEQUENTIAL:
        return;
    case JWRN_EXTRANEOUS_DATA: /* before a restart marker it is picture data that was not understood */
        if (cinfo->err->msg_parm.i[1] < JPEG_RST0 || cinfo->err->msg_parm.i[1] > JPEG_RST0 + 7) {
            return;
        }
        break;
    default:
        break;
    }
    if (!r->limits->tolerate_truncated) {
        on_error(cinfo); /* at once: a tiny file may promise many pixels */
    }
    r->has_damage = true;
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo; /* nothing is printed */
}

/* ---- source: the bytes in memory, then end markers for ever ---- */

static void source_init(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

static boolean source_fill(j_decompress_ptr cinfo)
{
    static const JOCTET end[] = {0xff, JPEG_EOI};
    reader_of((j_common_ptr)cinfo)->ran_out = true;
    cinfo->src->next_input_byte = end;
    cinfo->src->bytes_in_buffer = sizeof(end);
    return TRUE;
}

static void source_skip(j_decompress_ptr cinfo, long n)
{
    struct jpeg_source_mgr *source = cinfo->src;
    if (n <= 0) {
        return;
    }
    if ((size_t)n >= source->bytes_in_buffer) {
        source_fill(cinfo);
    } else {
        source->next_input_byte += n;
        source->bytes_in_buffer -= (size_t)n;
    }
}

static void on_progress(j_common_ptr cinfo)
{
    j_decompress_ptr decompress = (j_decompress_ptr)cinfo;
    if (decompress->input_scan_number > MAX_SCANS) {
        fail(reader_of(cinfo), ERR_CORRUPT_IMAGE, "more scans than any encoder writes");
    }
}

/* ---- attempts ---- */

/* Runs work; false when an error ended it, with err and message set. */
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
    struct jpeg_source_mgr source = r->source; /* the bytes */
    r->cinfo.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = on_output;
    r->cinfo.client_data = r;
    jpeg_create_decompress(&r->cinfo); /* keeps err and client_data */
    source.init_source = source_init;
    source.fill_input_buffer = source_fill;
    source.skip_input_data = source_skip;
    source.resync_to_restart = jpeg_resync_to_restart;
    source.term_source = source_init;
    r->source = source;
    r->cinfo.src = &r->source;
    r->progress.progress_monitor = on_progress;
    r->cinfo.progress = &r->progress;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Header and limits. A coefficient has two bytes, a pixel at most four of them; blocks round up. */
static void read_header(struct reader *r)
{
    enum { SPARE_BYTES = 32 << 20 };
    struct jpeg_decompress_struct *c = &r->cinfo;
    open_reader(r);
    jpeg_read_header(c, TRUE);
    enum err rc = limits_check(c->image_width, c->image_height, r->limits->max_pixels, "", r->e);
    if (!rc && jpeg_has_multiple_scans(c)) {
        rc = limits_check(c->image_width, c->image_height, r->limits->max_progressive_pixels,
                          c->progressive_mode ? " for progressive JPEG" : " for JPEG of several scans", r->e);
    }
    if (rc) {
        fail(r, rc, "");
    }
    if (c->num_components != 1 && c->num_components != 3 && c->num_components != 4) {
        fail(r, ERR_UNSUPPORTED_IMAGE, "a JPEG of neither 1, 3 nor 4 components");
    }
    c->mem->max_memory_to_use = (long)larger(8 * (uint64_t)c->image_width * c->image_height, SPARE_BYTES) * 2;
}

static void close_reader(struct reader *r)
{
    jpeg_destroy_decompress(&r->cinfo); /* fine after a failed create too */
}

static enum err report(const struct reader *r)
{
    return r->message[0] ? err_set(r->e, r->err, "JPEG: %s", r->message) : r->err; /* else limits_check has told */
}

/* ---- segments before the first scan ---- */

/* Finds the first segment with this marker and beginning; its body goes to *body, *n. */
static bool find_segment(const uint8_t *bytes, size_t n_bytes, int marker, const char *prefix, size_t n_prefix,
                         const uint8_t **body, size_t *n)
{
    for (size_t at = 2; at + 4 <= n_bytes;) {
        if (bytes[at] != 0xff || bytes[at + 1] == 0xff || bytes[at + 1] == 0) {
            at++; /* fill bytes and garbage between segments, as the library skips them */
            continue;
        }
        int found = bytes[at + 1];
        if (found == 0x01 || (found >= JPEG_RST0 && found <= JPEG_RST0 + 7)) {
            at += 2;
            continue;
        }
        size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (found == JPEG_EOI || found == 0xda || length < 2 || length > n_bytes - at - 2) {
            return false;
        }
        if (found == marker && length - 2 >= n_prefix && memcmp(bytes + at + 4, prefix, n_prefix) == 0) {
            *body = bytes + at + 4;
            *n = length - 2;
            return true;
        }
        at += 2 + length;
    }
    return false;
}

static uint64_t rounded_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Pixels, rows of the library and of ours, and, for several scans, two bytes for each coefficient of whole blocks.
 * tests/unit/engine/image/test_memory.c measures it. */
static uint64_t bytes_to_decode(struct jpeg_decompress_struct *c)
{
    enum { FIXED_BYTES = 128 << 10, ROW_BYTES_A_COLUMN = 192 };
    uint64_t width = c->image_width, height = c->image_height, bytes = FIXED_BYTES + 3 * width * height;
    int high = 1, wide = 1;
    for (int i = 0; i < c->num_components; i++) {
        wide = c->comp_info[i].h_samp_factor > wide ? c->comp_info[i].h_samp_factor : wide;
        high = c->comp_info[i].v_samp_factor > high ? c->comp_info[i].v_samp_factor : high;
    }
    uint64_t mcu_width = rounded_up(width, 8 * (unsigned)wide), mcu_height = rounded_up(height, 8 * (unsigned)high);
    for (int i = 0; jpeg_has_multiple_scans(c) && i < c->num_components; i++) {
        const jpeg_component_info *part = &c->comp_info[i];
        bytes += 2 * mcu_width * (unsigned)part->h_samp_factor / (unsigned)wide * mcu_height *
                 (unsigned)part->v_samp_factor / (unsigned)high;
    }
    return bytes + ROW_BYTES_A_COLUMN * mcu_width;
}

static void describe(struct reader *r, const uint8_t *bytes, size_t n, struct image_info *info)
{
    const uint8_t *body;
    size_t n_body;
    struct jpeg_decompress_struct *c = &r->cinfo;
    info->orientation =
        find_segment(bytes, n, JPEG_APP0 + 1, "Exif\0", 6, &body, &n_body) ? exif_orientation(body, n_body) : 1;
    bool is_turned = orient_swaps(info->orientation);
    info->width = (int)(is_turned ? c->image_height : c->image_width);
    info->height = (int)(is_turned ? c->image_width : c->image_height);
    info->progressive = c->progressive_mode;
    info->decode_bytes = bytes_to_decode(c);
    info->warnings = info->orientation != 1 ? IMAGE_WARN_ROTATED : 0;
    if (find_segment(bytes, n, JPEG_APP0 + 2, "ICC_PROFILE", 12, &body, &n_body)) {
        info->warnings |= IMAGE_WARN_ICC;
    }
    if (c->num_components == 4) {
        info->warnings |= IMAGE_WARN_CMYK;
    }
}

enum err jpeg_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                    struct errbuf *e)
{
    struct reader r = {.limits = limits, .e = e, .source = {.next_input_byte = bytes, .bytes_in_buffer = n}};
    enum err rc = OK;
    if (attempt(&r, read_header)) {
        describe(&r, bytes, n, info);
    } else {
        rc = report(&r);
    }
    close_reader(&r);
    return rc;
}

/* ---- pixels ---- */

/* Pillow's formula: 255 - c and so on are what the file has, because the values are inverted. */
static void cmyk_to_rgb(uint8_t *pixels, size_t n)
{
    const uint8_t *from = pixels;
    for (uint8_t *to = pixels; n; n--, from += 4, to += 3) {
        unsigned black = from[3];
        for (int i = 0; i < 3; i++) {
            unsigned product = (255u - from[i]) * black + 128;
            to[i] = (uint8_t)(black - ((product + (product >> 8)) >> 8));
        }
    }
}

/* Rows straight into the picture where they stay as they are, else strip by strip through r->strip. */
static void read_pixels(struct reader *r)
{
    struct jpeg_decompress_struct *c = &r->cinfo;
    bool is_cmyk = c->num_components == 4, is_direct = !is_cmyk && r->info->orientation == 1;
    size_t row_bytes = (size_t)c->image_width * (is_cmyk ? 4 : 3);
    struct orient o = {r->rgb, (int)c->image_width, (int)c->image_height, r->info->orientation};
    c->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(c);
    while (c->output_scanline < c->output_height) {
        unsigned first = c->output_scanline, n = c->output_height - first;
        n = n > ORIENT_STRIP ? ORIENT_STRIP : n;
        uint8_t *to = is_direct ? r->rgb + first * row_bytes : r->strip;
        while (c->output_scanline < first + n) {
            JSAMPROW rows[ORIENT_STRIP];
            unsigned done = c->output_scanline - first;
            for (unsigned i = 0; done + i < n; i++) {
                rows[i] = to + (done + i) * row_bytes;
            }
            jpeg_read_scanlines(c, rows, n - done);
        }
        if (is_cmyk) {
            cmyk_to_rgb(to, (size_t)n * c->image_width);
        }
        if (!is_direct) {
            struct orient_grid grid = {0, (int)first, 1, 1, o.width, (int)n};
            orient_put(&o, &grid, to);
        }
    }
}

/* After the last row: was the picture whole? Several scans need their end marker, as any scan may have been the last.
 */
static enum err judge(const struct reader *r, bool has_scans, struct image_info *info)
{
    if (!r->has_damage && !(has_scans && r->ran_out)) {
        return OK;
    }
    if (r->limits->tolerate_truncated) {
        info->warnings |= IMAGE_WARN_TRUNCATED;
        return OK;
    }
    return err_set(r->e, ERR_CORRUPT_IMAGE, "JPEG: the end is missing");
}

enum err jpeg_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                     struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    size_t n_pixels = (size_t)info->width * (size_t)info->height;
    size_t stored_width = (size_t)(orient_swaps(info->orientation) ? info->height : info->width);
    struct reader r = {
        .limits = limits, .e = e, .info = info, .source = {.next_input_byte = bytes, .bytes_in_buffer = n}};
    enum err rc = scratch_reserve(pixels, n_pixels, 3);
    if (!rc) {
        rc = scratch_reserve(work, stored_width, 4 * ORIENT_STRIP);
    }
    if (rc) {
        return err_set(e, rc, "no memory for %zu pixels", n_pixels);
    }
    r.rgb = pixels->bytes;
    r.strip = work->bytes;
    if (!attempt(&r, read_header)) {
        rc = report(&r);
    } else {
        bool has_scans = jpeg_has_multiple_scans(&r.cinfo);
        rc = attempt(&r, read_pixels) ? judge(&r, has_scans, info) : report(&r);
    }
    close_reader(&r);
    return rc;
}
