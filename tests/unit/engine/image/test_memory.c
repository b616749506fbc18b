/* What decoding really takes, against what image_probe says before it begins: every malloc of this process is counted,
 * those of the libraries too. MINIVLM_TEST_PRINT=1 prints the table of bytes a pixel. */
#include "engine/image/image.h"
#include "engine/image/sniff.h"
#include "tests/support/check.h"
#include "tests/support/make_pictures.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
/* The encoder that makes HEIC pictures for this test keeps some of its memory. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libx265\n";
}
#endif

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
void *memalign(size_t alignment, size_t n);
int posix_memalign(void **out, size_t alignment, size_t n);
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

void *memalign(size_t alignment, size_t n)
{
    return counted(__libc_memalign(alignment, n));
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    *out = counted(__libc_memalign(alignment, n));
    return *out ? 0 : ENOMEM;
}

void free(void *p)
{
    uncount(p);
    __libc_free(p);
}
#endif

static void measure(const struct kind *k)
{
    const struct image_limits limits = {
        .max_pixels = 50000000, .max_progressive_pixels = 50000000, .min_side = k->min_side};
    struct bytes b = make(k);
    struct image_decoder *d = NULL;
    struct image image;
    struct image_info info;
    struct errbuf e = {""};
    if (!b.data) {
        return; /* not in this build */
    }
    CHECK_INT(image_decoder_create(&d), OK);
    size_t before = live_bytes;
    peak_bytes = live_bytes;
    CHECK_INT(image_probe(b.data, b.n, &limits, &info, &e), OK);
    size_t probed = peak_bytes - before;
    uint64_t told = (uint64_t)k->width * (uint64_t)k->height;
    if (k->format == HEIC) { /* whose encoder pads small pictures */
        told = sniff_pixels(b.data, b.n);
        CHECK(told >= (uint64_t)k->width * (uint64_t)k->height);
    }
    CHECK_INT(sniff_pixels(b.data, b.n), told);
    for (size_t cut = 0; cut < b.n && cut < 700; cut++) {
        uint64_t pixels = sniff_pixels(b.data, cut);
        CHECK(pixels == 0 || pixels == told);
    }
    CHECK_INT(image_decode(d, b.data, b.n, &limits, &image, &e), OK);
    size_t took = peak_bytes - before, n_pixels = (size_t)k->width * (size_t)k->height;
    if (getenv("MINIVLM_TEST_PRINT")) {
        printf("%-32s %5d x %5d  measured %6.2f  told %6.2f bytes a pixel, probe %zu KB\n", k->name, k->width,
               k->height, (double)took / (double)n_pixels, (double)info.decode_bytes / (double)n_pixels, probed / 1024);
    }
    if (IS_COUNTED) {
        size_t n_shrunk = (size_t)image_columns(&image) * (size_t)image_rows(&image);
        CHECK(took >= 3 * n_shrunk); /* it does count */
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
    {.name = "jpeg shrunk", .format = JPEG, .channels = 3, .subsampled = true, .min_side = 200},
    {.name = "jpeg shrunk turned", .format = JPEG, .channels = 3, .orientation = 8, .min_side = 100},
    {.name = "jpeg progressive shrunk", .format = JPEG, .channels = 3, .progressive = true, .min_side = 200},
    {.name = "jpeg cmyk shrunk", .format = JPEG, .channels = 4, .min_side = 200},
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
    {.name = "gif", .format = GIF, .channels = 1},
    {.name = "gif interlaced", .format = GIF, .channels = 1, .interlaced = true},
    {.name = "tiff one strip", .format = TIFF_STRIP, .channels = 3},
    {.name = "tiff one strip rgba 16 bit", .format = TIFF_STRIP, .channels = 4, .deep = true},
    {.name = "tiff one strip grey", .format = TIFF_STRIP, .channels = 1},
    {.name = "tiff strips", .format = TIFF_STRIPS, .channels = 3},
    {.name = "heic 4:2:0", .format = HEIC, .channels = 3, .subsampled = true},
    {.name = "heic 4:4:4", .format = HEIC, .channels = 3},
    {.name = "heic alpha", .format = HEIC, .channels = 4, .subsampled = true},
    {.name = "avif 4:2:0", .format = AVIF, .channels = 3, .subsampled = true},
    {.name = "avif 4:4:4", .format = AVIF, .channels = 3},
    {.name = "avif alpha", .format = AVIF, .channels = 4, .subsampled = true},
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
