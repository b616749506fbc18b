/* JPEG files that are made here with the library: large ones, rare codings, hostile ones. The everyday kinds are files
 * in tests/data/images/codec, checked by test_image.c. */
#include "engine/image/jpeg.c"

#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <stdlib.h>

struct bytes {
    unsigned char *data;
    unsigned long n;
};

struct recipe {
    int width, height, components, quality;
    bool is_arithmetic, is_progressive, is_interleaved;
};

static void color_at(const struct recipe *r, int x, int y, uint8_t *to)
{
    for (int c = 0; c < r->components; c++) {
        to[c] = (uint8_t)(c == 0 ? 255 * x / r->width : c == 1 ? 255 * y / r->height : 96);
    }
}

/* Each component in a scan of its own, first whole. */
static const jpeg_scan_info separate_scans[] = {{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};

static struct bytes encode(const struct recipe *r)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    struct bytes out = {NULL, 0};
    uint8_t *row = malloc((size_t)r->width * (size_t)r->components);
    c.err = jpeg_std_error(&errors); /* ends the test on an error */
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out.data, &out.n);
    c.image_width = (unsigned)r->width;
    c.image_height = (unsigned)r->height;
    c.input_components = r->components;
    c.in_color_space = r->components == 1 ? JCS_GRAYSCALE : r->components == 3 ? JCS_RGB : JCS_UNKNOWN;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, r->quality, TRUE);
    c.arith_code = r->is_arithmetic;
    if (r->is_progressive) {
        jpeg_simple_progression(&c);
    } else if (!r->is_interleaved) {
        c.scan_info = separate_scans;
        c.num_scans = 3;
    }
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < r->height && row; y++) {
        for (int x = 0; x < r->width; x++) {
            color_at(r, x, y, row + (size_t)x * (size_t)r->components);
        }
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(row);
    return out;
}

struct decoded {
    enum err rc;
    struct image_info info;
    struct errbuf e;
    struct scratch pixels, work;
};

static void decode(struct decoded *d, const struct bytes *b, const struct image_limits *limits)
{
    memset(d, 0, sizeof(*d));
    d->rc = jpeg_probe(b->data, b->n, limits, &d->info, &d->e);
    d->rc = d->rc ? d->rc : jpeg_decode(b->data, b->n, limits, &d->info, &d->pixels, &d->work, &d->e);
}

static void release(struct decoded *d)
{
    scratch_release(&d->pixels);
    scratch_release(&d->work);
}

/* Smooth colours survive coding nearly unchanged, so decoded pixels are known. */
static void check_colors(const struct decoded *d, const struct recipe *r)
{
    int worst = 0;
    CHECK_INT(d->info.width, r->width);
    CHECK_INT(d->info.height, r->height);
    for (int y = 0; y < r->height; y += 1 + r->height / 37) {
        for (int x = 0; x < r->width; x += 1 + r->width / 41) {
            uint8_t expected[4];
            const uint8_t *pixel = d->pixels.bytes + 3 * ((size_t)y * (size_t)r->width + (size_t)x);
            color_at(r, x, y, expected);
            for (int c = 0; c < 3; c++) {
                int difference = abs(pixel[c] - expected[r->components == 1 ? 0 : c]);
                worst = difference > worst ? difference : worst;
            }
        }
    }
    CHECK(worst <= 6);
}

static void test_rare_codings(void)
{
    static const struct recipe recipes[] = {{100, 80, 3, 95, .is_arithmetic = true, .is_interleaved = true},
                                            {100, 80, 3, 95, .is_arithmetic = true, .is_progressive = true},
                                            {100, 80, 3, 95, .is_interleaved = false},
                                            {100, 80, 1, 95, .is_interleaved = true},
                                            {1, 20000, 3, 95, .is_interleaved = true},
                                            {20000, 1, 3, 95, .is_progressive = true}};
    for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
        struct bytes b = encode(&recipes[i]);
        struct decoded d;
        decode(&d, &b, &image_default_limits);
        CHECK_INT(d.rc, OK);
        if (d.rc) {
            fprintf(stderr, "%zu: %s\n", i, d.e.text);
        } else {
            CHECK_INT(d.info.progressive, recipes[i].is_progressive);
            check_colors(&d, &recipes[i]);
        }
        release(&d);
        free(b.data);
    }
}

/* 48 megapixels: whole, and with no memory but the pixels. */
static void test_large(void)
{
    const struct recipe r = {8000, 6000, 3, 90, .is_interleaved = true};
    struct bytes b = encode(&r);
    struct decoded d;
    decode(&d, &b, &image_default_limits);
    CHECK_INT(d.rc, OK);
    check_colors(&d, &r);
    CHECK_INT(d.pixels._size, 3 * 8000 * 6000);
    CHECK(d.work._size <= 64 * 8000);
    release(&d);
    struct image_limits small = {.max_pixels = 47999999, .max_progressive_pixels = 47999999};
    decode(&d, &b, &small);
    CHECK_INT(d.rc, ERR_IMAGE_TOO_LARGE);
    CHECK(d.pixels.bytes == NULL);
    CHECK(strstr(d.e.text, "8000x6000") != NULL);
    free(b.data);
}

/* The smaller cap is for all files whose coefficients must be kept, progressive or not. */
static void test_cap_of_several_scans(void)
{
    const struct recipe recipes[] = {{64, 64, 3, 90, .is_progressive = true}, {64, 64, 3, 90, .is_interleaved = false}};
    const struct image_limits limits = {.max_pixels = 64 * 64, .max_progressive_pixels = 64 * 64 - 1};
    for (int i = 0; i < 2; i++) {
        struct bytes b = encode(&recipes[i]);
        struct decoded d;
        decode(&d, &b, &limits);
        CHECK_INT(d.rc, ERR_IMAGE_TOO_LARGE);
        CHECK(strstr(d.e.text, i == 0 ? "progressive" : "several scans") != NULL);
        release(&d);
        free(b.data);
    }
}

static void test_two_components(void)
{
    const struct recipe r = {16, 16, 2, 90, .is_interleaved = true};
    struct bytes b = encode(&r);
    struct decoded d;
    decode(&d, &b, &image_default_limits);
    CHECK_INT(d.rc, ERR_UNSUPPORTED_IMAGE);
    free(b.data);
}

static void test_damage_in_the_middle(void)
{
    const struct recipe r = {200, 200, 3, 95, .is_interleaved = true};
    struct bytes b = encode(&r);
    struct decoded d;
    struct image_limits tolerant = image_default_limits;
    tolerant.tolerate_truncated = true;
    memset(b.data + b.n / 2, 0, 40);
    b.data[b.n / 2] = 0xff;
    b.data[b.n / 2 + 1] = 0xd3; /* a restart marker where none is due */
    decode(&d, &b, &image_default_limits);
    CHECK_INT(d.rc, ERR_CORRUPT_IMAGE);
    CHECK(strncmp(d.e.text, "JPEG: ", 6) == 0);
    release(&d);
    decode(&d, &b, &tolerant);
    CHECK_INT(d.rc, OK);
    CHECK_INT(d.info.warnings, IMAGE_WARN_TRUNCATED);
    release(&d);
    free(b.data);
}

static void test_cmyk_formula(void)
{
    uint8_t p[8] = {255, 0, 128, 255, 10, 20, 30, 100};
    cmyk_to_rgb(p, 2);
    const uint8_t expected[6] = {255, 0, 128, 4, 8, 12};
    for (int i = 0; i < 6; i++) {
        CHECK_INT(p[i], expected[i]);
    }
}

static void test_segments(void)
{
    const uint8_t *body;
    size_t n;
    const uint8_t good[] = {0xff, 0xd8, 0xff, 0xff, 0xe1, 0, 5, 'a', 'b', 'c', 0xff, 0xda, 0, 2};
    CHECK(jpeg_segments_find(good, sizeof(good), 0xe1, "ab", 2, &body, &n));
    CHECK(body == good + 7 && n == 3);
    CHECK(!jpeg_segments_find(good, sizeof(good), 0xe1, "abcd", 4, &body, &n));
    CHECK(!jpeg_segments_find(good, sizeof(good), 0xe2, "", 0, &body, &n));
    CHECK(!jpeg_segments_find(good, 9, 0xe1, "ab", 2, &body, &n)); /* cut short */
    const uint8_t short_length[] = {0xff, 0xd8, 0xff, 0xe1, 0, 1, 0xff, 0xe1, 0, 2};
    CHECK(!jpeg_segments_find(short_length, sizeof(short_length), 0xe1, "", 0, &body, &n));
}

static void test_torture(void)
{
    const struct recipe r = {50, 40, 3, 95, .is_interleaved = true};
    struct bytes b = encode(&r);
    size_t live = mem_live_bytes();
    enum err rc = ERR_NOMEM;
    int n = 0;
    while (rc) {
        struct decoded d;
        mem_fail_after(++n);
        decode(&d, &b, &image_default_limits);
        mem_fail_after(0);
        rc = d.rc;
        CHECK(rc == OK || rc == ERR_NOMEM);
        release(&d);
    }
    CHECK_INT(n, 3);
    CHECK_INT(mem_live_bytes(), live);
    free(b.data);
}

/* ---- smaller than it is ---- */

/* Every pixel stands for a square of the whole picture. */
static void check_shrunk_colors(const struct decoded *d, const struct recipe *r)
{
    int shrink = d->info.shrink, width = image_shrunk(r->width, shrink), height = image_shrunk(r->height, shrink);
    int worst = 0;
    for (int y = 0; y < height - 1; y++) {
        for (int x = 0; x < width - 1; x++) {
            uint8_t expected[4];
            const uint8_t *pixel = d->pixels.bytes + 3 * ((size_t)y * (size_t)width + (size_t)x);
            color_at(r, x * shrink + shrink / 2, y * shrink + shrink / 2, expected);
            for (int c = 0; c < 3; c++) {
                int difference = abs(pixel[c] - expected[r->components == 1 ? 0 : c]);
                worst = difference > worst ? difference : worst;
            }
        }
    }
    CHECK(worst <= 6);
}

static void test_shrink(void)
{
    static const struct recipe recipes[] = {{333, 221, 3, 95, .is_interleaved = true},
                                            {221, 333, 1, 95, .is_interleaved = true},
                                            {333, 221, 3, 95, .is_progressive = true},
                                            {333, 221, 3, 95, .is_interleaved = false}};
    static const struct {
        int min_side, shrink;
    } sides[] = {{0, 1}, {222, 1}, {111, 1}, {110, 2}, {56, 2}, {55, 4}, {28, 4}, {27, 8}, {1, 8}};
    for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
        struct bytes b = encode(&recipes[i]);
        for (size_t k = 0; k < sizeof(sides) / sizeof(sides[0]); k++) {
            struct image_limits limits = image_default_limits;
            struct decoded d;
            limits.min_side = sides[k].min_side;
            decode(&d, &b, &limits);
            CHECK_INT(d.rc, OK);
            CHECK_INT(d.info.width, recipes[i].width);
            CHECK_INT(d.info.height, recipes[i].height);
            CHECK_INT(d.info.shrink, sides[k].shrink);
            CHECK_INT(d.pixels._size, 3 * image_shrunk(333, sides[k].shrink) * image_shrunk(221, sides[k].shrink));
            check_shrunk_colors(&d, &recipes[i]);
            release(&d);
        }
        free(b.data);
    }
}

/* Turned by a quarter after it was shrunk: column x is the row that many from below. */
static void test_shrink_turned(void)
{
    const struct recipe r = {333, 221, 3, 95, .is_interleaved = true};
    struct image_limits limits = image_default_limits;
    struct bytes b = encode(&r);
    struct decoded plain, turned = {.rc = OK};
    limits.min_side = 50;
    decode(&plain, &b, &limits);
    turned.info = plain.info;
    turned.info.orientation = 6;
    turned.info.width = r.height;
    turned.info.height = r.width;
    CHECK_INT(jpeg_decode(b.data, b.n, &limits, &turned.info, &turned.pixels, &turned.work, &turned.e), OK);
    int width = image_shrunk(r.width, plain.info.shrink), height = image_shrunk(r.height, plain.info.shrink);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            const uint8_t *from = plain.pixels.bytes + 3 * ((size_t)y * (size_t)width + (size_t)x);
            size_t at = (size_t)x * (size_t)height + (size_t)(height - 1 - y);
            CHECK_INT(memcmp(from, turned.pixels.bytes + 3 * at, 3), 0);
        }
    }
    release(&plain);
    release(&turned);
    free(b.data);
}

/* What is missing is noticed at any size. */
static void test_shrink_truncated(void)
{
    const struct recipe r = {800, 600, 3, 95, .is_interleaved = true};
    struct image_limits limits = image_default_limits;
    struct bytes b = encode(&r);
    struct decoded d;
    limits.min_side = 75;
    b.n /= 2;
    decode(&d, &b, &limits);
    CHECK_INT(d.rc, ERR_CORRUPT_IMAGE);
    CHECK(strstr(d.e.text, "of 600 rows") != NULL);
    release(&d);
    limits.tolerate_truncated = true;
    decode(&d, &b, &limits);
    CHECK_INT(d.rc, OK);
    CHECK_INT(d.info.shrink, 8);
    CHECK(d.info.warnings & IMAGE_WARN_TRUNCATED);
    release(&d);
    free(b.data);
}

int main(void)
{
    test_shrink();
    test_shrink_turned();
    test_shrink_truncated();
    test_rare_codings();
    test_large();
    test_cap_of_several_scans();
    test_two_components();
    test_damage_in_the_middle();
    test_cmyk_formula();
    test_segments();
    test_torture();
    return check_result();
}
