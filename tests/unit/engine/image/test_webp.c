/* What the files in tests/data/images/codec do not show: chunks, the bounds of frames, failing memory. */
#include "engine/image/webp.c"

#include "engine/base/fmap.h"
#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>

static void test_chunks(void)
{
    struct chunk c;
    const uint8_t list[] = {'a', 'b', 'c', 'd', 3, 0, 0, 0, 1, 2, 3, 0, 'e', 'f', 'g', 'h', 0xff, 0xff, 0xff, 0xff, 9};
    size_t at = 0;
    CHECK(next_chunk(list, sizeof(list), &at, &c));
    CHECK(is_named(&c, "abcd") && c.n == 3 && c.body == list + 8);
    CHECK_INT(at, 12); /* odd sizes are padded */
    CHECK(next_chunk(list, sizeof(list), &at, &c));
    CHECK(is_named(&c, "efgh") && c.n == 1); /* as much as is there */
    CHECK(!next_chunk(list, sizeof(list), &at, &c));
    at = sizeof(list) - 7;
    CHECK(!next_chunk(list, sizeof(list), &at, &c));
}

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

/* Every byte of an animation's headers changed in several ways: decoded or refused, never outside the canvas. */
static void test_changed_headers(void)
{
    struct fmap *map = open_file("animated-part.webp");
    size_t n = fmap_size(map), n_headers = 90 < n ? 90 : n;
    uint8_t *copy = malloc(n);
    struct scratch pixels = {NULL, 0}, work = {NULL, 0};
    const struct image_limits limits = {.max_pixels = 1000000};
    int n_refused = 0;
    for (size_t at = 0; at < n_headers && copy; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct image_info info = {.width = 0};
            memcpy(copy, fmap_bytes(map), n);
            copy[at] ^= (uint8_t)(1 << bit);
            enum err rc = webp_probe(copy, n, &limits, &info, NULL);
            rc = rc ? rc : webp_decode(copy, n, &limits, &info, &pixels, &work, NULL);
            CHECK(rc == OK || rc == ERR_CORRUPT_IMAGE || rc == ERR_IMAGE_TOO_LARGE || rc == ERR_UNSUPPORTED_IMAGE);
            n_refused += rc != OK;
        }
    }
    CHECK(n_refused > 200);
    free(copy);
    scratch_release(&pixels);
    scratch_release(&work);
    fmap_close(map);
}

static void test_torture(void)
{
    struct fmap *map = open_file("exif-6.webp");
    size_t live = mem_live_bytes();
    enum err rc = ERR_NOMEM;
    int n = 0;
    while (rc) {
        struct scratch pixels = {NULL, 0}, work = {NULL, 0};
        struct image_info info;
        mem_fail_after(++n);
        rc = webp_probe(fmap_bytes(map), fmap_size(map), &image_default_limits, &info, NULL);
        rc = rc ? rc : webp_decode(fmap_bytes(map), fmap_size(map), &image_default_limits, &info, &pixels, &work, NULL);
        mem_fail_after(0);
        CHECK(rc == OK || rc == ERR_NOMEM);
        scratch_release(&pixels);
        scratch_release(&work);
        CHECK_INT(mem_live_bytes(), live);
    }
    CHECK_INT(n, 3);
    fmap_close(map);
}

int main(void)
{
    test_chunks();
    test_changed_headers();
    test_torture();
    return check_result();
}
