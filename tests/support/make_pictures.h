/* make_pictures - noise as a picture of each format and kind that the libraries' encoders can write.
 *
 * Ownership: the caller frees the bytes. Errors: no bytes where the build or the library lacks the format. */
#ifndef TESTS_SUPPORT_MAKE_PICTURES_H
#define TESTS_SUPPORT_MAKE_PICTURES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#ifdef MINIVLM_GIF
#include <gif_lib.h>
#endif
#ifdef MINIVLM_HEIF
#include <libheif/heif.h>
#endif
#ifdef MINIVLM_TIFF
#include <tiffio.h>
#endif

struct bytes {
    uint8_t *data;
    size_t n;
};

/* Noise: no decoder has it easy. */
static uint8_t *noise(size_t n)
{
    uint8_t *p = malloc(n);
    uint32_t state = 1;
    for (size_t i = 0; p && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (uint8_t)(state >> 24);
    }
    return p;
}

struct kind {
    const char *name;
    enum { JPEG, PNG, WEBP, GIF, HEIC, AVIF, TIFF_STRIP, TIFF_STRIPS } format;
    int channels;
    bool progressive, subsampled, is_separate; /* JPEG; is_separate: baseline, a scan for each component */
    bool interlaced, deep;                     /* PNG */
    bool lossless;                             /* WebP */
    int width, height;
    int orientation; /* 0: none is told */
    int min_side;    /* of image_limits */
};

static void put_exif(struct jpeg_compress_struct *c, int orientation)
{
    uint8_t exif[] = "Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    exif[24] = (uint8_t)orientation;
    jpeg_write_marker(c, JPEG_APP0 + 1, exif, sizeof(exif) - 1);
}

static struct bytes make_jpeg(const struct kind *k, const uint8_t *pixels)
{
    static const jpeg_scan_info separate[] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}, {1, {3}, 0, 63, 0, 0}};
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long n = 0;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &n);
    c.image_width = (JDIMENSION)k->width;
    c.image_height = (JDIMENSION)k->height;
    c.input_components = k->channels;
    c.in_color_space = k->channels == 1 ? JCS_GRAYSCALE : k->channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    c.comp_info[0].h_samp_factor = c.comp_info[0].v_samp_factor = k->subsampled ? 2 : 1;
    if (k->progressive) {
        jpeg_simple_progression(&c);
    } else if (k->is_separate) {
        c.scan_info = separate;
        c.num_scans = k->channels;
    }
    jpeg_start_compress(&c, TRUE);
    if (k->orientation) {
        put_exif(&c, k->orientation);
    }
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = (JSAMPROW)pixels + (size_t)c.next_scanline * (size_t)k->width * (size_t)k->channels;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return (struct bytes){out, n};
}

static void append(png_structp png, png_bytep from, size_t n)
{
    struct bytes *b = png_get_io_ptr(png);
    b->data = realloc(b->data, b->n + n);
    memcpy(b->data + b->n, from, n);
    b->n += n;
}

static struct bytes make_png(const struct kind *k, const uint8_t *pixels)
{
    static const int colors[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                 PNG_COLOR_TYPE_RGBA};
    struct bytes out = {NULL, 0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &out, append, NULL);
    png_set_compression_level(png, 1);
    png_set_IHDR(png, info, (png_uint_32)k->width, (png_uint_32)k->height, k->deep ? 16 : 8, colors[k->channels],
                 k->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    size_t row = (size_t)k->width * (size_t)k->channels * (k->deep ? 2 : 1);
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < k->height; y++) {
            png_write_row(png, pixels + (size_t)y * row);
        }
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return out;
}

static struct bytes make_webp(const struct kind *k, const uint8_t *pixels)
{
    uint8_t *out = NULL;
    int row = k->width * k->channels;
    size_t n = 0;
    if (k->lossless) {
        n = k->channels == 4 ? WebPEncodeLosslessRGBA(pixels, k->width, k->height, row, &out)
                             : WebPEncodeLosslessRGB(pixels, k->width, k->height, row, &out);
    } else {
        n = k->channels == 4 ? WebPEncodeRGBA(pixels, k->width, k->height, row, 80, &out)
                             : WebPEncodeRGB(pixels, k->width, k->height, row, 80, &out);
    }
    return (struct bytes){out, n};
}

#ifdef MINIVLM_GIF
static int append_gif(GifFileType *gif, const GifByteType *from, int n)
{
    struct bytes *b = gif->UserData;
    b->data = realloc(b->data, b->n + (size_t)n);
    memcpy(b->data + b->n, from, (size_t)n);
    b->n += (size_t)n;
    return n;
}

static struct bytes make_gif(const struct kind *k, uint8_t *pixels)
{
    struct bytes out = {NULL, 0};
    int code;
    GifFileType *gif = EGifOpen(&out, append_gif, &code);
    ColorMapObject *map = GifMakeMapObject(256, NULL);
    EGifPutScreenDesc(gif, k->width, k->height, 8, 0, map);
    EGifPutImageDesc(gif, 0, 0, k->width, k->height, k->interlaced, NULL);
    for (int y = 0; y < k->height; y++) {
        EGifPutLine(gif, pixels + (size_t)y * (size_t)k->width, k->width);
    }
    EGifCloseFile(gif, &code);
    GifFreeMapObject(map);
    return out;
}
#endif

#ifdef MINIVLM_TIFF
struct memory_file {
    struct bytes bytes;
    size_t at;
};

static tmsize_t read_nothing(thandle_t h, void *p, tmsize_t n)
{
    (void)h, (void)p, (void)n;
    return 0;
}

static tmsize_t write_memory(thandle_t h, void *p, tmsize_t n)
{
    struct memory_file *f = h;
    if (f->at + (size_t)n > f->bytes.n) {
        f->bytes.data = realloc(f->bytes.data, f->at + (size_t)n);
        f->bytes.n = f->at + (size_t)n;
    }
    memcpy(f->bytes.data + f->at, p, (size_t)n);
    f->at += (size_t)n;
    return n;
}

static toff_t seek_memory(thandle_t h, toff_t offset, int whence)
{
    struct memory_file *f = h;
    f->at = (size_t)offset + (whence == SEEK_CUR ? f->at : whence == SEEK_END ? f->bytes.n : 0);
    return f->at;
}

static int close_memory(thandle_t h)
{
    (void)h;
    return 0;
}

static toff_t size_memory(thandle_t h)
{
    return ((struct memory_file *)h)->bytes.n;
}

static struct bytes make_tiff(const struct kind *k, uint8_t *pixels)
{
    struct memory_file f = {.at = 0};
    TIFF *t =
        TIFFClientOpen("", "w", &f, read_nothing, write_memory, seek_memory, close_memory, size_memory, NULL, NULL);
    size_t row = (size_t)k->width * (size_t)k->channels * (k->deep ? 2 : 1);
    TIFFSetField(t, TIFFTAG_IMAGEWIDTH, k->width);
    TIFFSetField(t, TIFFTAG_IMAGELENGTH, k->height);
    TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, k->deep ? 16 : 8);
    TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, k->channels);
    TIFFSetField(t, TIFFTAG_PHOTOMETRIC, k->channels == 1 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB);
    TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(t, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
    TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, k->format == TIFF_STRIP ? k->height : 16);
    for (int y = 0; y < k->height; y++) {
        TIFFWriteScanline(t, pixels + (size_t)y * row, (uint32_t)y, 0);
    }
    TIFFClose(t);
    return f.bytes;
}
#endif

#ifdef MINIVLM_HEIF
static struct heif_error append_heif(struct heif_context *c, const void *from, size_t n, void *user)
{
    struct bytes *b = user;
    (void)c;
    b->data = realloc(b->data, b->n + n);
    memcpy(b->data + b->n, from, n);
    b->n += n;
    return (struct heif_error){heif_error_Ok, heif_suberror_Unspecified, ""};
}

/* NULL data where the library cannot encode. */
static struct bytes make_heif(const struct kind *k, const uint8_t *pixels)
{
    struct bytes out = {NULL, 0};
    struct heif_context *c = heif_context_alloc();
    struct heif_encoder *encoder = NULL;
    struct heif_image *image = NULL;
    struct heif_image_handle *handle = NULL;
    struct heif_writer writer = {1, append_heif};
    int stride;
    size_t row = (size_t)k->width * (size_t)k->channels;
    if (heif_context_get_encoder_for_format(c, k->format == HEIC ? heif_compression_HEVC : heif_compression_AV1,
                                            &encoder)
            .code) {
        heif_context_free(c);
        return out;
    }
    heif_encoder_set_lossy_quality(encoder, 20);
    heif_encoder_set_parameter_string(encoder, "preset", "ultrafast");
    heif_encoder_set_parameter_integer(encoder, "speed", 8);
    heif_encoder_set_parameter_string(encoder, "chroma", k->subsampled ? "420" : "444");
    enum heif_chroma chroma = k->channels == 4 ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
    heif_image_create(k->width, k->height, heif_colorspace_RGB, chroma, &image);
    heif_image_add_plane(image, heif_channel_interleaved, k->width, k->height, 8);
    uint8_t *to = heif_image_get_plane(image, heif_channel_interleaved, &stride);
    for (size_t y = 0; y < (size_t)k->height; y++) {
        memcpy(to + y * (size_t)stride, pixels + y * row, row);
    }
    heif_context_encode_image(c, image, encoder, NULL, &handle);
    heif_context_write(c, &writer, &out);
    heif_image_handle_release(handle);
    heif_image_release(image);
    heif_encoder_release(encoder);
    heif_context_free(c);
    return out;
}
#endif

/* The formats that a build may leave out; no bytes where it does. */
static struct bytes make_other(const struct kind *k, uint8_t *pixels)
{
    (void)pixels;
    switch (k->format) {
#ifdef MINIVLM_GIF
    case GIF:
        return make_gif(k, pixels);
#endif
#ifdef MINIVLM_HEIF
    case HEIC:
    case AVIF:
        return make_heif(k, pixels);
#endif
#ifdef MINIVLM_TIFF
    case TIFF_STRIP:
    case TIFF_STRIPS:
        return make_tiff(k, pixels);
#endif
    default:
        return (struct bytes){NULL, 0};
    }
}

static struct bytes make(const struct kind *k)
{
    uint8_t *pixels = noise((size_t)k->width * (size_t)k->height * (size_t)k->channels * (k->deep ? 2 : 1));
    struct bytes b = k->format == JPEG   ? make_jpeg(k, pixels)
                     : k->format == PNG  ? make_png(k, pixels)
                     : k->format == WEBP ? make_webp(k, pixels)
                                         : make_other(k, pixels);
    free(pixels);
    return b;
}

#endif
