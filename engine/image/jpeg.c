/* libjpeg reports errors by longjmp and most damage only as a counted warning, so three rules hold here.
 *
 * 1. One setjmp, in attempt(). Nothing that must be released is a local variable of what runs below it.
 * 2. Warnings are judged by what is missing of the picture, not by their number (on_message): a scan that ends early
 * and codes that mean nothing end the work as corrupt, or are noted where the caller tolerates that. Odd bytes between
 *    segments and before restart markers (phones, webcams and scanners write them) lose nothing and pass. The end of
 *    the data is not a warning either: it counts only if the picture was not complete by then.
 * 3. Work is bounded before it begins: pixels on the header, a smaller cap where all coefficients must be kept
 *    (several scans), the number of scans while they are read, and the library's own memory limit.
 *
 * CMYK: the values are taken as inverted, as Adobe writes them and as Pillow reads them, with or without its marker. */
#include "engine/image/jpeg.h"

#include "engine/image/exif.h"
#include "engine/image/jpeg_library.h"
#include "engine/image/jpeg_segments.h"
#include "engine/image/limits.h"
#include "engine/image/orient.h"
#include "engine/image/transfer.h"
#include "engine/image/upright.h"
#include "engine/image/xmp.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h> /* its codes depend on the switches of jpeglib.h */

/* Encoders write about ten scans; a thousand empty ones would cost seconds. */
enum { MAX_SCANS = 64 };

struct reader {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    bool has_damage, is_empty; /* picture data lost (tolerated); from the first row on */
    bool ran_out;              /* read beyond the last byte */
    bool has_odd_restarts;     /* markers that are not in order, and none too few */
    enum err err;              /* of the error that ended the attempt */
    int code;                  /* the library's, 0 for our own errors */
    char message[JMSG_LENGTH_MAX + 200];
    const struct image_limits *limits;
    struct errbuf *e;
    /* decoding */
    const uint8_t *bytes, *scan; /* the file; the data of its first scan */
    size_t n, n_scan;
    const struct image_info *info;
    uint8_t *rgb, *strip;
};

/* ---- messages ---- */

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
    r->code = cinfo->err->msg_code;
    r->err = jpeg_library_err(r->code, cinfo->err->msg_parm.i[0]);
    cinfo->err->format_message(cinfo, r->message);
    longjmp(r->escape, 1);
}

/* Not tolerated damage ends the work at once, because a tiny file may promise many pixels. */
static void on_damage(struct reader *r)
{
    static const char help[] = "or take it as it is with tolerate_truncated=true";
    struct jpeg_decompress_struct *c = &r->cinfo;
    char what[JMSG_LENGTH_MAX];
    unsigned row = c->input_iMCU_row * (unsigned)c->max_v_samp_factor * DCTSIZE;
    if (!r->has_damage && r->ran_out) {
        r->is_empty = row == 0 && c->input_scan_number <= 1;
    }
    r->has_damage = true;
    if (r->limits->tolerate_truncated) {
        return;
    }
    r->err = ERR_CORRUPT_IMAGE;
    r->errors.format_message((j_common_ptr)c, what);
    if (r->ran_out && jpeg_has_multiple_scans(c)) {
        snprintf(r->message, sizeof(r->message), "the file is cut short in scan %d; send the whole file, %s",
                 c->input_scan_number, help);
    } else if (r->ran_out) {
        snprintf(r->message, sizeof(r->message),
                 "the file is cut short: of %u rows those from %u on are missing; send the whole file, %s",
                 c->image_height, row, help);
    } else {
        snprintf(r->message, sizeof(r->message), "damaged at row %u of %u (%s); send an undamaged copy, %s", row,
                 c->image_height, what, help);
    }
    longjmp(r->escape, 1);
}

/* level -1: a warning; others are traces. */
static void on_message(j_common_ptr cinfo, int level)
{
    if (level >= 0) {
        return;
    }
    switch (cinfo->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_MUST_RESYNC:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
        on_damage(reader_of(cinfo));
        return;
    default: /* nothing of the picture is missing */
        return;
    }
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo; /* nothing is printed */
}

/* ---- source: the bytes in memory, then end markers without end ---- */

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

/* Instead of the marker that was due another one came. Where a picture of one scan has as many as it needs they are
 * only numbered wrongly, and everything is in its place; the library would skip data. */
static boolean on_restart(j_decompress_ptr cinfo, int due)
{
    struct reader *r = reader_of((j_common_ptr)cinfo);
    size_t needed = cinfo->restart_interval
                        ? ((size_t)cinfo->MCUs_per_row * cinfo->MCU_rows_in_scan - 1) / cinfo->restart_interval
                        : 0;
    bool is_restart = cinfo->unread_marker >= JPEG_RST0 && cinfo->unread_marker < JPEG_RST0 + 8;
    if (!r->has_odd_restarts &&
        (!is_restart || jpeg_has_multiple_scans(cinfo) || jpeg_segments_restarts(r->scan, r->n_scan) != needed)) {
        return jpeg_resync_to_restart(cinfo, due);
    }
    r->has_odd_restarts = true;
    cinfo->unread_marker = 0;
    return TRUE;
}

static void on_progress(j_common_ptr cinfo)
{
    j_decompress_ptr decompress = (j_decompress_ptr)cinfo;
    if (decompress->input_scan_number > MAX_SCANS) {
        fail(reader_of(cinfo), ERR_CORRUPT_IMAGE, "more scans than any encoder writes; save it again");
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
    source.resync_to_restart = on_restart;
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
    r->scan = r->source.next_input_byte;
    r->n_scan = r->source.bytes_in_buffer;
    enum err rc = limits_check(c->image_width, c->image_height, r->limits->max_pixels, "", r->e);
    if (!rc && jpeg_has_multiple_scans(c)) {
        rc = limits_check(c->image_width, c->image_height, r->limits->max_progressive_pixels,
                          c->progressive_mode ? " for progressive JPEG" : " for JPEG of several scans", r->e);
    }
    if (rc) {
        fail(r, rc, "");
    }
    if (c->num_components != 1 && c->num_components != 3 && c->num_components != 4) {
        fail(r, ERR_UNSUPPORTED_IMAGE, "neither 1, 3 nor 4 components; save it in RGB or grey");
    }
    c->mem->max_memory_to_use = (long)larger(8 * (uint64_t)c->image_width * c->image_height, SPARE_BYTES) * 2;
}

static void close_reader(struct reader *r)
{
    jpeg_destroy_decompress(&r->cinfo); /* fine after a failed create too */
}

/* A text that says what to change, where the library's does not. */
static void explain(struct reader *r, const uint8_t *bytes, size_t n)
{
    const char *text = jpeg_library_words(r->code, r->errors.msg_parm.i[0]);
    if (!text && r->code == JERR_EMPTY_IMAGE && memmem(bytes, n, "\xff\xdc\0\4", 4)) {
        r->err = ERR_UNSUPPORTED_IMAGE;
        text = "its height comes after the picture (DNL), which is not supported; save it again with another program";
    } else if (!text && r->code == JERR_EMPTY_IMAGE) {
        text = "the header says that the picture is empty; send an undamaged copy";
    } else if (!text && r->ran_out && r->err == ERR_CORRUPT_IMAGE && r->cinfo.input_scan_number == 0) {
        text = "the file ends before the picture begins; send the whole file";
    } else if (!text && r->code && r->err != ERR_NOMEM) {
        char what[JMSG_LENGTH_MAX];
        r->errors.format_message((j_common_ptr)&r->cinfo, what);
        snprintf(r->message, sizeof(r->message), "%.180s; %s", what,
                 r->err == ERR_CORRUPT_IMAGE       ? "send an undamaged copy"
                 : r->err == ERR_UNSUPPORTED_IMAGE ? "save it as an ordinary 8-bit JPEG"
                                                   : "send a smaller copy");
    }
    if (text) {
        snprintf(r->message, sizeof(r->message), "%s", text);
    }
}

static enum err report(struct reader *r, const uint8_t *bytes, size_t n)
{
    if (!r->message[0]) {
        return r->err; /* limits_check has told */
    }
    explain(r, bytes, n);
    return err_set(r->e, r->err, "JPEG: %s", r->message);
}

/* ---- what the header tells ---- */

static uint64_t rounded_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* The most that the picture may be shrunk. */
static int shrink_of(const struct image_info *info, int min_side)
{
    int shorter = info->width < info->height ? info->width : info->height, shrink = 1;
    while (min_side > 0 && shrink < DCTSIZE && shorter / (2 * shrink) >= min_side) {
        shrink *= 2;
    }
    return shrink;
}

/* Pixels, rows of the library and of ours, and, for several scans, two bytes for each coefficient of whole blocks.
 * tests/unit/engine/image/test_memory.c measures it. */
static uint64_t bytes_to_decode(struct jpeg_decompress_struct *c, int shrink)
{
    enum { FIXED_BYTES = 128 << 10, ROW_BYTES_A_COLUMN = 192 };
    uint64_t width = c->image_width, height = c->image_height, bytes = FIXED_BYTES;
    bytes += 3 * (uint64_t)image_shrunk((int)width, shrink) * (uint64_t)image_shrunk((int)height, shrink);
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
    info->warnings = 0;
    int exif =
        jpeg_segments_find(bytes, n, JPEG_APP0 + 1, "Exif\0", 6, &body, &n_body) ? exif_orientation(body, n_body) : 0;
    static const char packet[] = "http://ns.adobe.com/xap/1.0/", more[] = "http://ns.adobe.com/xmp/extension/";
    int xmp = !exif && jpeg_segments_find(bytes, n, JPEG_APP0 + 1, packet, sizeof(packet), &body, &n_body)
                  ? xmp_orientation(body, n_body)
                  : 0;
    if (!exif && !xmp && jpeg_segments_find(bytes, n, JPEG_APP0 + 1, more, sizeof(more), &body, &n_body)) {
        xmp = xmp_orientation(body, n_body);
    }
    upright_describe(info, exif, xmp, c->image_width, c->image_height);
    info->progressive = c->progressive_mode;
    info->shrink = shrink_of(info, r->limits->min_side);
    info->decode_bytes = bytes_to_decode(c, info->shrink);
    if (jpeg_segments_find(bytes, n, JPEG_APP0 + 2, "ICC_PROFILE", 12, &body, &n_body)) {
        info->warnings |= IMAGE_WARN_ICC;
    }
    if (c->num_components == 4) {
        info->warnings |= IMAGE_WARN_CMYK;
    }
}

enum err jpeg_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                    struct errbuf *e)
{
    size_t skipped = jpeg_segments_begin(bytes, n);
    bytes += skipped;
    n -= skipped;
    struct reader r = {.limits = limits, .e = e, .source = {.next_input_byte = bytes, .bytes_in_buffer = n}};
    enum err rc = OK;
    if (attempt(&r, read_header)) {
        describe(&r, bytes, n, info);
    } else {
        rc = report(&r, bytes, n);
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
    c->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    c->scale_num = 1;
    c->scale_denom = (unsigned)r->info->shrink;
    jpeg_start_decompress(c);
    size_t row_bytes = (size_t)c->output_width * (is_cmyk ? 4 : 3);
    struct orient o = {r->rgb, (int)c->output_width, (int)c->output_height, r->info->orientation};
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
            cmyk_to_rgb(to, (size_t)n * c->output_width);
        }
        if (!is_direct) {
            struct orient_grid grid = {0, (int)first, 1, 1, o.width, (int)n};
            orient_put(&o, &grid, to);
        }
    }
}

/* Of a file of several scans without its end marker: do those that are there hold the whole picture? */
static bool has_all_scans(const struct jpeg_decompress_struct *c)
{
    for (int i = 0; i < c->num_components; i++) {
        if (!c->comp_info[i].quant_table) {
            return false; /* in no scan */
        }
        for (int k = 0; c->progressive_mode && k < DCTSIZE2; k++) {
            if (c->coef_bits[i][k] != 0) {
                return false; /* not all bits of this coefficient */
            }
        }
    }
    return true;
}

/* Another picture follows this one directly, and no index of pictures mentions it: somebody joined two files.
 * Phones write previews and gain maps there, with an index (MPF). */
static bool is_one_of_several(const struct reader *r)
{
    const uint8_t *at = r->source.next_input_byte, *body;
    size_t n = r->ran_out ? 0 : r->source.bytes_in_buffer, n_body;
    if (n >= 2 && at[0] == 0xff && at[1] == JPEG_EOI) { /* not read by now where the last row ends the picture */
        at += 2;
        n -= 2;
    }
    return transfer_signature(at, n) && !jpeg_segments_find(r->bytes, r->n, JPEG_APP0 + 2, "MPF", 4, &body, &n_body);
}

/* After the last row: was the picture whole? */
static enum err judge(const struct reader *r, struct image_info *info)
{
    bool lacks_scans = jpeg_has_multiple_scans((j_decompress_ptr)&r->cinfo) && r->ran_out && !has_all_scans(&r->cinfo);
    if (!r->has_damage && !lacks_scans) {
        info->warnings |= is_one_of_several(r) ? IMAGE_WARN_PAGES : 0;
        info->warnings |= r->has_odd_restarts ? IMAGE_WARN_RESTARTS : 0;
        return OK;
    }
    if (r->is_empty) {
        return err_set(r->e, ERR_CORRUPT_IMAGE,
                       "JPEG: the file is cut short before the first rows of the picture; send the whole file");
    }
    if (r->limits->tolerate_truncated) {
        info->warnings |= IMAGE_WARN_TRUNCATED;
        return OK;
    }
    return err_set(r->e, ERR_CORRUPT_IMAGE,
                   "JPEG: the file is cut short: scans are missing; send the whole file, or take it as it is with "
                   "tolerate_truncated=true");
}

static enum err decode_bytes(struct reader *r, const uint8_t *bytes, size_t n, struct image_info *info)
{
    r->bytes = bytes;
    r->n = n;
    r->source = (struct jpeg_source_mgr){.next_input_byte = bytes, .bytes_in_buffer = n};
    enum err rc = attempt(r, read_header) && attempt(r, read_pixels) ? judge(r, info) : report(r, bytes, n);
    close_reader(r);
    return rc;
}

enum err jpeg_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                     struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    size_t width = (size_t)image_shrunk(info->width, info->shrink), skipped = jpeg_segments_begin(bytes, n);
    size_t height = (size_t)image_shrunk(info->height, info->shrink), n_pixels = width * height;
    size_t stored_width = orient_swaps(info->orientation) ? height : width;
    enum err rc = scratch_reserve(pixels, n_pixels, 3);
    if (!rc) {
        rc = scratch_reserve(work, stored_width, 4 * ORIENT_STRIP);
    }
    if (rc) {
        return err_set(e, rc, "no memory for %zu pixels", n_pixels);
    }
    bytes += skipped;
    n -= skipped;
    struct reader r = {.limits = limits, .e = e, .info = info, .rgb = pixels->bytes, .strip = work->bytes};
    const struct reader fresh = r;
    rc = decode_bytes(&r, bytes, n, info);
    if (rc == ERR_CORRUPT_IMAGE && limits->tolerate_truncated && r.code && r.ran_out && r.cinfo.input_scan_number > 0) {
        r = fresh; /* cut short between two scans, within the tables: without these it is readable */
        rc = decode_bytes(&r, bytes, jpeg_segments_last(bytes, n), info);
    }
    return rc;
}
