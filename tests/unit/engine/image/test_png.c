/* What the files in tests/data/images/codec do not show: memory while decoding, and failing memory. */
#include "engine/image/png.c"

#include "engine/base/fmap.h"
#include "tests/support/check.h"

#include <stdlib.h>

static struct fmap *open_file(const char *name)
{
    char path[256];
    struct fmap *map = NULL;
    snprintf(path, sizeof(path), "tests/data/images/codec/%s", name);
    if (fmap_open(&map, path, NULL)) {
        exit(1);
    }
    return map;
}

static enum err decode(const struct fmap *map, struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    struct image_info info;
    enum err rc = png_probe(fmap_bytes(map), fmap_size(map), &image_default_limits, &info, e);
    return rc ? rc : png_decode(fmap_bytes(map), fmap_size(map), &image_default_limits, &info, pixels, work, e);
}

/* The library allocates from mem too, so each of its allocations fails once. */
static void test_torture(void)
{
    static const char *const files[] = {"rgba-16-interlaced.png", "palette-8-trns.png", "text.png"};
    for (int k = 0; k < 3; k++) {
        struct fmap *map = open_file(files[k]);
        size_t live = mem_live_bytes();
        enum err rc = ERR_NOMEM;
        int n = 0;
        while (rc) {
            struct scratch pixels = {NULL, 0}, work = {NULL, 0};
            struct errbuf e;
            mem_fail_after(++n);
            rc = decode(map, &pixels, &work, &e);
            mem_fail_after(0);
            CHECK(rc == OK || rc == ERR_NOMEM);
            CHECK(!rc || strstr(e.text, "memory") != NULL || strncmp(e.text, "PNG: ", 5) == 0);
            scratch_release(&pixels);
            scratch_release(&work);
            CHECK_INT(mem_live_bytes(), live);
        }
        CHECK(n > 5);
        fmap_close(map);
    }
}

/* 3 MB of compressed text in a small file are never unpacked. */
static void test_text_costs_nothing(void)
{
    struct fmap *plain = open_file("gamma.png"), *text = open_file("text.png");
    struct scratch pixels = {NULL, 0}, work = {NULL, 0};
    uint64_t before = mem_count();
    CHECK_INT(decode(plain, &pixels, &work, NULL), OK);
    uint64_t between = mem_count();
    CHECK_INT(decode(text, &pixels, &work, NULL), OK);
    CHECK(mem_count() - between <= between - before);
    scratch_release(&pixels);
    scratch_release(&work);
    fmap_close(plain);
    fmap_close(text);
}

/* Depths and colour types that exist, against the table of the standard (11.2.2). */
static void test_header(void)
{
    int allowed = 0;
    for (int color = 0; color < 256; color++) {
        for (int depth = 0; depth < 256; depth++) {
            uint8_t file[33] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
            struct header h;
            file[19] = file[23] = 1; /* 1x1 */
            file[24] = (uint8_t)depth;
            file[25] = (uint8_t)color;
            allowed += read_header(file, sizeof(file), &h, NULL) == OK;
        }
    }
    CHECK_INT(allowed, 15);
}

int main(void)
{
    test_torture();
    test_text_costs_nothing();
    test_header();
    return check_result();
}
