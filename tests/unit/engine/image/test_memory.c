/* What decoding really takes, against what image_probe says before it begins: every malloc of this process is counted,
 * those of the libraries too. MINIVLM_TEST_PRINT=1 prints the table of bytes a pixel. */
#include "engine/image/image.h"
#include "tests/support/check.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
enum { IS_COUNTED = 0 }; /* the sanitizers have a malloc of their own */
static size_t peak_bytes, live_bytes;
#else
enum { IS_COUNTED = 1 };
static size_t peak_bytes, live_bytes;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);
void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void *aligned_alloc(size_t alignment, size_t n);
void free(void *p);

static void *counted(void *p)
{
    live_bytes += p ? malloc_usable_size(p) : 0;
    peak_bytes = live_bytes > peak_bytes ? live_bytes : peak_bytes;
    return p;
}

static void uncount(void *p)
{
    size_t n = p ? malloc_usable_size(p) : 0;
    live_bytes -= n < live_bytes ? n : live_bytes;
}

void *malloc(size_t n)
{
    return counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    uncount(p);
    return counted(__libc_realloc(p, n));
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return counted(__libc_memalign(alignment, n));
}

void free(void *p)
{
    uncount(p);
    __libc_free(p);
}
#endif

/* ---- pictures ---- */

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
    enum { JPEG, PNG, WEBP } format;
    int channels;
    bool progressive, subsampled, is_separate; /* JPEG; is_separate: baseline, a scan for each component */
    bool interlaced, deep;                     /* PNG */
    bool lossless;                             /* WebP */
    int width, height;
    int orientation; /* 0: none is told */
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

static struct bytes make(const struct kind *k)
{
    uint8_t *pixels = noise((size_t)k->width * (size_t)k->height * (size_t)k->channels * (k->deep ? 2 : 1));
    struct bytes b = k->format == JPEG  ? make_jpeg(k, pixels)
                     : k->format == PNG ? make_png(k, pixels)
                                        : make_webp(k, pixels);
    free(pixels);
    return b;
}

/* ---- measuring ---- */

static void measure(const struct kind *k)
{
    static const struct image_limits limits = {.max_pixels = 50000000, .max_progressive_pixels = 50000000};
    struct bytes b = make(k);
    struct image_decoder *d = NULL;
    struct image image;
    struct image_info info;
    struct errbuf e = {""};
    CHECK_INT(image_decoder_create(&d), OK);
    size_t before = live_bytes;
    peak_bytes = live_bytes;
    CHECK_INT(image_probe(b.data, b.n, &limits, &info, &e), OK);
    size_t probed = peak_bytes - before;
    CHECK_INT(image_decode(d, b.data, b.n, &limits, &image, &e), OK);
    size_t took = peak_bytes - before, n_pixels = (size_t)k->width * (size_t)k->height;
    if (getenv("MINIVLM_TEST_PRINT")) {
        printf("%-32s %5d x %5d  measured %6.2f  told %6.2f bytes a pixel, probe %zu KB\n", k->name, k->width,
               k->height, (double)took / (double)n_pixels, (double)info.decode_bytes / (double)n_pixels, probed / 1024);
    }
    if (IS_COUNTED) {
        CHECK(took >= 3 * n_pixels); /* it does count */
        if (took > info.decode_bytes) {
            fprintf(stderr, "%s, %d x %d: %zu bytes, told %llu\n", k->name, k->width, k->height, took,
                    (unsigned long long)info.decode_bytes);
        }
        CHECK(took <= info.decode_bytes);
        CHECK(info.decode_bytes <= took * 3 / 2 + (1 << 20)); /* nor is it a wild guess */
    }
    image_decoder_trim(d, 0);
    if (IS_COUNTED) {
        CHECK(live_bytes <= before + 4096);
    }
    image_decoder_destroy(d);
    free(b.data);
}

static const struct kind kinds[] = {
    {.name = "jpeg 4:4:4", .format = JPEG, .channels = 3},
    {.name = "jpeg 4:2:0", .format = JPEG, .channels = 3, .subsampled = true},
    {.name = "jpeg grey", .format = JPEG, .channels = 1},
    {.name = "jpeg cmyk", .format = JPEG, .channels = 4},
    {.name = "jpeg turned", .format = JPEG, .channels = 3, .orientation = 6},
    {.name = "jpeg progressive 4:4:4", .format = JPEG, .channels = 3, .progressive = true},
    {.name = "jpeg progressive 4:2:0", .format = JPEG, .channels = 3, .progressive = true, .subsampled = true},
    {.name = "jpeg progressive 4:2:0 turned",
     .format = JPEG,
     .channels = 3,
     .progressive = true,
     .subsampled = true,
     .orientation = 6},
    {.name = "jpeg progressive cmyk", .format = JPEG, .channels = 4, .progressive = true},
    {.name = "jpeg progressive grey", .format = JPEG, .channels = 1, .progressive = true},
    {.name = "jpeg a scan each", .format = JPEG, .channels = 3, .is_separate = true},
    {.name = "png rgb", .format = PNG, .channels = 3},
    {.name = "png rgba", .format = PNG, .channels = 4},
    {.name = "png grey 16 bit", .format = PNG, .channels = 1, .deep = true},
    {.name = "png rgba 16 bit", .format = PNG, .channels = 4, .deep = true},
    {.name = "png rgba 16 bit interlaced", .format = PNG, .channels = 4, .deep = true, .interlaced = true},
    {.name = "png rgb interlaced", .format = PNG, .channels = 3, .interlaced = true},
    {.name = "webp lossy", .format = WEBP, .channels = 3},
    {.name = "webp lossy alpha", .format = WEBP, .channels = 4},
    {.name = "webp lossless", .format = WEBP, .channels = 3, .lossless = true},
    {.name = "webp lossless alpha", .format = WEBP, .channels = 4, .lossless = true},
};

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0); /* its buffer shall not be counted */
    static const int sizes[][2] = {{1200, 800}, {40, 30}, {3000, 16}, {16, 3000}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            struct kind k = kinds[i];
            k.width = sizes[s][0];
            k.height = sizes[s][1];
            measure(&k);
        }
    }
    return check_result();
}
