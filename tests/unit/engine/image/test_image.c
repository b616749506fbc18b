/* Every file of tests/data/images/codec (made by scripts/make_image_golden.py): the header alone, then the pixels
 * against what Pillow makes of them. Then each file cut short at every byte. */
#include "engine/image/image.h"

#include "engine/base/fmap.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "tests/support/check.h"

#include <stdlib.h>

/* Lossy pixels may differ a little between versions of the libraries. */
enum { LOSSY_TOLERANCE = 2 };

static const struct row {
    const char *name;
    enum err err;
    enum image_format format;
    int width, height, orientation;
    bool progressive;
    uint32_t warnings;
    const char *sha;
} rows[] = {
#define IMAGE_ROW(...) {__VA_ARGS__},
#include "tests/data/images/codec/table.inc"
#undef IMAGE_ROW
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool is_in_build(const char *name)
{
    static const struct {
        const char *end;
        enum image_format format;
    } kinds[] = {{".gif", IMAGE_GIF}, {".heic", IMAGE_HEIC}, {".avif", IMAGE_AVIF}, {".tiff", IMAGE_TIFF}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strstr(name, kinds[i].end)) {
            return image_is_readable(kinds[i].format);
        }
    }
    return true;
}

static struct fmap *open_file(const char *folder, const char *name, const char *tail)
{
    char path[256];
    struct fmap *map = NULL;
    struct errbuf e;
    snprintf(path, sizeof(path), "tests/data/images/codec/%s%s%s", folder, name, tail);
    if (fmap_open(&map, path, &e)) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    return map;
}

static void compare_lossless(const struct image *image, const struct row *row)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX];
    sha256(image->rgb, 3 * (size_t)image->info.width * (size_t)image->info.height, digest);
    sha256_hex(digest, hex);
    hex[16] = '\0';
    CHECK_STR(hex, row->sha);
}

/* The expected pixels are a PNG, decoded by a decoder of its own. */
static void compare_lossy(const struct image *image, const struct row *row)
{
    struct image_decoder *d = NULL;
    struct image expected;
    struct fmap *map = open_file("expected/", row->name, ".png");
    CHECK_INT(image_decoder_create(&d), OK);
    CHECK_INT(image_decode(d, fmap_bytes(map), fmap_size(map), &image_default_limits, &expected, NULL), OK);
    CHECK_INT(expected.info.width, image->info.width);
    CHECK_INT(expected.info.height, image->info.height);
    int worst = 0;
    for (size_t i = 0; i < 3 * (size_t)image->info.width * (size_t)image->info.height; i++) {
        int difference = abs(image->rgb[i] - expected.rgb[i]);
        worst = difference > worst ? difference : worst;
    }
    if (worst > LOSSY_TOLERANCE) {
        fprintf(stderr, "%s: pixels differ by %d\n", row->name, worst);
    }
    CHECK(worst <= LOSSY_TOLERANCE);
    image_decoder_destroy(d);
    fmap_close(map);
}

/* Every refusal tells the sender what to do. */
static bool has_remedy(const char *text)
{
    static const char *const remedies[] = {"send ", "save it", "transfer"};
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (strstr(text, remedies[i])) {
            return true;
        }
    }
    fprintf(stderr, "says not what to do: %s\n", text);
    return false;
}

static void check_info(const struct image_info *info, const struct row *row)
{
    CHECK_INT(info->format, row->format);
    CHECK_INT(info->width, row->width);
    CHECK_INT(info->height, row->height);
    CHECK_INT(info->orientation, row->orientation);
    CHECK_INT(info->progressive, row->progressive);
    CHECK_INT(info->warnings, row->warnings);
}

static void test_table(void)
{
    struct image_decoder *d = NULL;
    CHECK_INT(image_decoder_create(&d), OK);
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *row = &rows[i];
        if (!is_in_build(row->name)) {
            continue;
        }
        struct fmap *map = open_file("", row->name, "");
        struct image_info info;
        struct image image;
        struct errbuf e = {""};
        int failures = check_failures;
        enum err probed = image_probe(fmap_bytes(map), fmap_size(map), &image_default_limits, &info, NULL);
        enum err rc = image_decode(d, fmap_bytes(map), fmap_size(map), &image_default_limits, &image, &e);
        CHECK_INT(rc, row->err);
        if (row->err) {
            CHECK(has_remedy(e.text));
            CHECK(image.rgb == NULL);
            CHECK(probed == OK || probed == rc); /* a header may be fine where pixels are not */
        } else if (!rc) {
            CHECK_INT(probed, OK);
            info.warnings |= image.info.warnings &
                             (IMAGE_WARN_PAGES | IMAGE_WARN_RESTARTS); /* of a JPEG: found behind its last row */
            check_info(&info, row);
            check_info(&image.info, row);
            row->sha[0] ? compare_lossless(&image, row) : compare_lossy(&image, row);
        }
        if (check_failures != failures) {
            fprintf(stderr, "in %s: %s\n", row->name, e.text);
        }
        fmap_close(map);
    }
    image_decoder_destroy(d);
}

/* Refused on the header means refused before anything is decoded: these must not reach the decoder. */
static void test_limits_come_first(void)
{
    static const char *const early[] = {"bomb.jpg", "bomb.png", "bomb.webp", "bomb-progressive.jpg", "huge.png"};
    for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
        struct fmap *map = open_file("", early[i], "");
        struct image_info info;
        struct errbuf e = {""};
        CHECK_INT(image_probe(fmap_bytes(map), fmap_size(map), &image_default_limits, &info, &e), ERR_IMAGE_TOO_LARGE);
        CHECK(strstr(e.text, "the image is ") != NULL);
        fmap_close(map);
    }
    /* The sizes of telephones with "48" and "50 megapixels" pass; the checksum of this header is not looked at. */
    static const uint16_t sizes[][2] = {{8064, 6048}, {8160, 6144}, {8192, 6144}};
    for (int k = 0; k < 3; k++) {
        uint8_t png[] = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0ww\0\0hh\x08\2\0\0\0crc.";
        struct image_info info;
        for (int side = 0; side < 2; side++) {
            png[18 + 4 * side] = (uint8_t)(sizes[k][side] >> 8);
            png[19 + 4 * side] = (uint8_t)sizes[k][side];
        }
        CHECK_INT(image_probe(png, sizeof(png) - 1, &image_default_limits, &info, NULL), OK);
        CHECK_INT(info.width * info.height, sizes[k][0] * sizes[k][1]);
    }
    struct image_limits small = {.max_pixels = 45 * 34, .max_progressive_pixels = 45 * 34};
    struct image_info info;
    for (int k = 0; k < 4; k++) {
        static const char *const files[] = {"baseline.jpg", "progressive.jpg", "lossy.webp", "rgba-8.png"};
        struct fmap *map = open_file("", files[k], "");
        CHECK_INT(image_probe(fmap_bytes(map), fmap_size(map), &small, &info, NULL), OK);
        struct image_limits less = {(uint64_t)info.width * (uint64_t)info.height - 1, 45 * 34, false, 0};
        CHECK_INT(image_probe(fmap_bytes(map), fmap_size(map), &less, &info, NULL), ERR_IMAGE_TOO_LARGE);
        fmap_close(map);
    }
    small.max_progressive_pixels--;
    struct fmap *map = open_file("", "progressive.jpg", "");
    CHECK_INT(image_probe(fmap_bytes(map), fmap_size(map), &small, &info, NULL), ERR_IMAGE_TOO_LARGE);
    fmap_close(map);
}

static void test_messages(void)
{
    static const char *const told[][2] = {
        {"picture.bmp", "BMP"},
        {"picture.svg", "SVG"},
        {"picture.pdf", "PDF"},
        {"picture.jxl", "JPEG XL"},
        {"base64.txt", "base64"},
        {"bomb.png", "60000x60000"},
        {"empty.jpg", "no bytes"},
        {"noise.jpg", "send JPEG, PNG"},
        {"stripped.jpg", "--data-binary"},
        {"stripped.png", "--data-binary"},
        {"unix.png", "text mode"},
        {"dos.png", "text mode"},
        {"latin.jpg", "decoded as text"},
        {"utf.png", "decoded as text"},
        {"seven-bits.jpg", "7-bit"},
        {"led.png", "2 bytes before the PNG signature"},
        {"led.jpg", "2 bytes before the JPEG signature"},
        {"ios.png", "iOS"},
        {"dnl.jpg", "DNL"},
        {"twelve-bit.jpg", "8-bit JPEG"},
        {"lossless-process.jpg", "a lossless JPEG"},
        {"hierarchical.jpg", "a hierarchical JPEG"},
        {"jpeg-ls.jpg", "a JPEG-LS file"},
        {"bad-method.png", "compression 1"},
#ifdef MINIVLM_GIF
        {"bad-code-size.gif", "its pixels cannot be read"},
        {"lying-height.gif", "its pixels end too early"},
#endif
        {"critical.png", "its chunk ABCD must be understood"},
        {"restart-missing.jpg", "tolerate_truncated=true"},
#ifdef MINIVLM_TIFF
        {"zstd.tiff", "50000 (Zstandard) is not read; save it with LZW"},
        {"odd-compression.tiff", "34925 (LZMA) is not read"},
        {"float.tiff", "TIFF: can not handle images with 32-bit samples"},
#endif
    };
    struct image_decoder *d = NULL;
    CHECK_INT(image_decoder_create(&d), OK);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        struct fmap *map = open_file("", told[i][0], "");
        struct image image;
        struct errbuf e = {""};
        CHECK(image_decode(d, fmap_bytes(map), fmap_size(map), &image_default_limits, &image, &e) != OK);
        if (!strstr(e.text, told[i][1])) {
            fprintf(stderr, "%s: %s\n", told[i][0], e.text);
            CHECK(false);
        }
        fmap_close(map);
    }
    image_decoder_destroy(d);
}

#ifdef MINIVLM_TIFF
static void test_cut_tiffs(void)
{
    static const char *const names[] = {"strip-outside.tiff", "truncated.tiff", "tiles-outside.tiff"};
    struct image_decoder *d = NULL;
    CHECK(image_decoder_create(&d) == OK);
    for (size_t i = 0; i < 3; i++) {
        struct fmap *map = open_file("", names[i], "");
        struct image image;
        struct errbuf e = {""};
        CHECK(image_decode(d, fmap_bytes(map), fmap_size(map), &image_default_limits, &image, &e) == ERR_CORRUPT_IMAGE);
        CHECK_STR(e.text, "TIFF: the end is missing; send the whole file");
        fmap_close(map);
    }
    image_decoder_destroy(d);
}
#endif

/* A JPEG whose line feeds became CR LF decodes to garbage without any error: refused before that. */
static void test_dos_lines(void)
{
    struct fmap *map = NULL;
    struct errbuf e = {""};
    struct image_info info;
    CHECK(fmap_open(&map, "docs/photos/cat.jpg", &e) == OK);
    size_t n = 0;
    uint8_t *dos = malloc(2 * fmap_size(map));
    for (size_t i = 0; i < fmap_size(map); i++) {
        uint8_t b = fmap_bytes(map)[i];
        if (b == '\n') {
            dos[n++] = '\r';
        }
        dos[n++] = b;
    }
    CHECK(image_probe(fmap_bytes(map), fmap_size(map), &image_default_limits, &info, &e) == OK);
    CHECK(image_probe(dos, n, &image_default_limits, &info, &e) == ERR_CORRUPT_IMAGE);
    CHECK(strstr(e.text, "text mode") != NULL);
    free(dos);
    fmap_close(map);
}

/* The copy has exactly the bytes that are given, so that a sanitizer sees any read behind them. */
static void decode_cut(struct image_decoder *d, const struct row *row, const uint8_t *bytes, size_t n, size_t n_whole)
{
    struct image image;
    struct errbuf e = {""};
    struct image_limits limits = image_default_limits;
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) {
        exit(1);
    }
    memcpy(copy, bytes, n);
    enum err rc = image_decode(d, copy, n, &limits, &image, &e);
    bool is_expected = rc == ERR_CORRUPT_IMAGE || (rc == ERR_UNSUPPORTED_IMAGE && n < 12) ||
                       (rc == OK && n + 160 >= n_whole); /* the end may be checksums, metadata or padding */
    if (!is_expected || (rc && !e.text[0])) {
        fprintf(stderr, "%s cut to %zu of %zu bytes: %s\n", row->name, n, n_whole, err_slug(rc));
    }
    CHECK(is_expected);
    CHECK(!rc || e.text[0]);
    limits.tolerate_truncated = true;
    rc = image_decode(d, copy, n, &limits, &image, NULL);
    CHECK(rc == OK || rc == ERR_CORRUPT_IMAGE || rc == ERR_UNSUPPORTED_IMAGE);
    if (rc == OK && n > 0) {
        CHECK(image.rgb[3 * (size_t)image.info.width * (size_t)image.info.height - 1] <= 255);
    }
    free(copy);
}

static void test_truncation_at_every_byte(void)
{
    static const char *const files[] = {"baseline-444.jpg", "progressive.jpg",    "restart.jpg",           "exif-6.jpg",
                                        "rgba-8.png",       "palette-4-trns.png", "rgb-16-interlaced.png", "lossy.webp",
                                        "lossless.webp",    "lossy-alpha.webp",   "animated-part.webp"};
    struct image_decoder *d = NULL;
    CHECK_INT(image_decoder_create(&d), OK);
    for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
        const struct row *row = rows;
        while (strcmp(row->name, files[k]) != 0) {
            row++;
        }
        if (!is_in_build(row->name)) {
            continue;
        }
        struct fmap *map = open_file("", row->name, "");
        for (size_t n = 0; n < fmap_size(map); n++) {
            decode_cut(d, row, fmap_bytes(map), n, fmap_size(map));
        }
        fmap_close(map);
    }
    image_decoder_destroy(d);
}

/* Each bit changed of small files of all kinds: a picture or an error of the promised kinds, with text. */
static void test_changed_bits(void)
{
    static const char *const files[] = {"progressive.jpg",  "restart.jpg",    "palette-4-trns.png",
                                        "lossy-alpha.webp", "part-clear.gif", "packbits.tiff",
                                        "fax4.tiff",        "made.heic",      "made.avif"};
    struct image_decoder *d = NULL;
    const struct image_limits limits = {.max_pixels = 100000, .max_progressive_pixels = 100000};
    CHECK_INT(image_decoder_create(&d), OK);
    for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
        struct fmap *map = open_file("", files[k], "");
        size_t n = fmap_size(map);
        uint8_t *copy = malloc(n);
        for (size_t i = 0; copy && i<8 * n; i += n> 1000 ? 5 : 1) {
            struct image image;
            struct errbuf e = {""};
            memcpy(copy, fmap_bytes(map), n);
            copy[i / 8] ^= (uint8_t)(1 << i % 8);
            enum err rc = image_decode(d, copy, n, &limits, &image, &e);
            CHECK(rc == OK ||
                  ((rc == ERR_CORRUPT_IMAGE || rc == ERR_UNSUPPORTED_IMAGE || rc == ERR_IMAGE_TOO_LARGE) && e.text[0]));
        }
        free(copy);
        fmap_close(map);
    }
    image_decoder_destroy(d);
}

static void test_tolerated_truncation(void)
{
    struct image_decoder *d = NULL;
    struct image image;
    struct image_limits limits = image_default_limits;
    limits.tolerate_truncated = true;
    CHECK_INT(image_decoder_create(&d), OK);
    static const char *const files[] = {"truncated.jpg", "truncated-progressive.jpg", "last-scan-missing.jpg"};
    for (int k = 0; k < 3; k++) {
        struct fmap *map = open_file("", files[k], "");
        CHECK_INT(image_decode(d, fmap_bytes(map), fmap_size(map), &limits, &image, NULL), OK);
        CHECK_INT(image.info.warnings, IMAGE_WARN_TRUNCATED);
        fmap_close(map);
    }
    struct fmap *map = open_file("", "truncated.jpg", "");
    CHECK_INT(image_decode(d, fmap_bytes(map), fmap_size(map), &limits, &image, NULL), OK);
    const uint8_t *last = image.rgb + 3 * (45 * 34 - 1);
    CHECK(abs(last[0] - 128) < 4 && abs(last[1] - 128) < 4 && abs(last[2] - 128) < 4); /* grey */
    fmap_close(map);
    map = open_file("", "truncated.png", ""); /* only JPEG is tolerated */
    CHECK_INT(image_decode(d, fmap_bytes(map), fmap_size(map), &limits, &image, NULL), ERR_CORRUPT_IMAGE);
    fmap_close(map);
    image_decoder_destroy(d);
}

/* A decoder takes no new memory for a picture no larger than those before; pixels of refused pictures are not kept. */
static void test_memory_is_reused(void)
{
    struct image_decoder *d = NULL;
    struct image image;
    CHECK_INT(image_decoder_create(&d), OK);
    static const char *const files[] = {"baseline.jpg", "exif-6.jpg", "cmyk-adobe.jpg", "lossy-alpha.webp"};
    uint64_t count = 0;
    for (int round = 0; round < 2; round++) {
        count = mem_count();
        for (int k = 0; k < 4; k++) {
            struct fmap *map = open_file("", files[k], "");
            count += 1; /* of the map */
            CHECK_INT(image_decode(d, fmap_bytes(map), fmap_size(map), &image_default_limits, &image, NULL), OK);
            fmap_close(map);
        }
    }
    CHECK_INT(mem_count(), count);
    image_decoder_destroy(d);
}

static void test_texts(void)
{
    CHECK_STR(image_format_name(IMAGE_JPEG), "jpeg");
    CHECK_STR(image_format_name(IMAGE_PNG), "png");
    CHECK_STR(image_format_name(IMAGE_WEBP), "webp");
    CHECK_STR(image_format_name(IMAGE_GIF), "gif");
    CHECK_STR(image_format_name(IMAGE_HEIC), "heic");
    CHECK_STR(image_format_name(IMAGE_AVIF), "avif");
    CHECK_STR(image_format_name(IMAGE_TIFF), "tiff");
    CHECK(strstr(image_formats_text(), "JPEG, PNG") != NULL && strstr(image_formats_text(), " or WebP") != NULL);
}

int main(void)
{
    test_table();
    test_limits_come_first();
    test_messages();
    test_truncation_at_every_byte();
    test_changed_bits();
    test_tolerated_truncation();
    test_memory_is_reused();
    test_texts();
    test_dos_lines();
#ifdef MINIVLM_TIFF
    test_cut_tiffs();
#endif
    return check_result();
}
