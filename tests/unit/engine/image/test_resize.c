/* Noise resized by Pillow (scripts/make_image_golden.py), bit for bit. */
#include "engine/image/resize.c"

#include "engine/base/sha256.h"
#include "tests/support/check.h"

#include <stdlib.h>

static const struct row {
    int width, height, to_width, to_height;
    const char *sha;
} rows[] = {
#define RESIZE_ROW(...) {__VA_ARGS__},
#include "tests/data/resize.inc"
#undef RESIZE_ROW
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static uint8_t *make_noise(int width, int height)
{
    size_t n = 3 * (size_t)width * (size_t)height;
    uint8_t *noise = malloc(n);
    for (size_t i = 0; noise && i < n; i++) {
        noise[i] = (uint8_t)(((uint32_t)i * 2654435761u) >> 24);
    }
    return noise;
}

struct output {
    uint8_t *rgb;
    int width, next_y;
};

static void put(void *user, int y, const uint8_t *row)
{
    struct output *o = user;
    CHECK_INT(y, o->next_y);
    o->next_y = y + 1;
    memcpy(o->rgb + 3 * (size_t)o->width * (size_t)y, row, 3 * (size_t)o->width);
}

static void run(struct resize *r, const uint8_t *from, const struct row *row, uint8_t *to)
{
    struct output o = {to, row->to_width, 0};
    struct resize_job job = {from, row->width, row->height, 0, 0, row->to_width, row->to_height, put, &o};
    CHECK_INT(resize_run(r, &job), OK);
    CHECK_INT(o.next_y, row->to_height);
}

static void test_pillow(void)
{
    struct resize *r = NULL;
    CHECK_INT(resize_create(&r), OK);
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *row = &rows[i];
        uint8_t digest[SHA256_BYTES], *from = make_noise(row->width, row->height);
        size_t n = 3 * (size_t)row->to_width * (size_t)row->to_height;
        uint8_t *to = malloc(n);
        char hex[SHA256_HEX];
        if (!from || !to) {
            exit(1);
        }
        run(r, from, row, to);
        sha256(to, n, digest);
        sha256_hex(digest, hex);
        hex[16] = '\0';
        if (strcmp(hex, row->sha) != 0) {
            fprintf(stderr, "%dx%d to %dx%d:\n", row->width, row->height, row->to_width, row->to_height);
        }
        CHECK_STR(hex, row->sha);
        free(from);
        free(to);
    }
    resize_destroy(r);
}

/* A pixel of weight 1 comes through as it is, and one weight too many or too few would show in a flat picture. */
static void test_flat_stays_flat(void)
{
    struct resize *r = NULL;
    CHECK_INT(resize_create(&r), OK);
    static uint8_t from[3 * 100 * 100], to[3 * 100 * 100]; /* side * (200 - side) at most */
    memset(from, 255, sizeof(from));
    for (int side = 1; side < 200; side += 13) {
        run(r, from, &(struct row){97, 83, side, 200 - side, ""}, to);
        CHECK(memcmp(to, from, 3 * (size_t)side * (size_t)(200 - side)) == 0);
    }
    resize_destroy(r);
}

/* Memory: nothing for a picture no larger than one before, and little for a very long one. */
static void test_memory(void)
{
    struct resize *r = NULL;
    CHECK_INT(resize_create(&r), OK);
    size_t live = mem_live_bytes();
    uint8_t *from = make_noise(5, 65535), *to = malloc(3 * 32 * 256);
    if (!from || !to) {
        exit(1);
    }
    run(r, from, &(struct row){5, 65535, 32, 256, ""}, to);
    CHECK(mem_live_bytes() - live < 700000);
    uint64_t count = mem_count();
    run(r, from, &(struct row){4, 60000, 32, 256, ""}, to);
    run(r, from, &(struct row){5, 65535, 32, 256, ""}, to);
    CHECK_INT(mem_count(), count);
    free(from);
    free(to);
    resize_destroy(r);
    CHECK_INT(mem_live_bytes() < live, true);
}

/* Each allocation fails once; afterwards the same object still works. */
static void test_torture(void)
{
    uint8_t *from = make_noise(40, 30);
    static uint8_t to[3 * 64 * 64], again[3 * 64 * 64];
    const struct row up = {40, 30, 64, 64, ""}, down = {40, 30, 7, 9, ""};
    enum err rc = ERR_NOMEM;
    int n = 0;
    size_t live = mem_live_bytes();
    while (rc) {
        struct resize *r = NULL;
        struct output o = {to, 64, 0};
        struct resize_job job = {from, 40, 30, 0, 0, 64, 64, put, &o};
        mem_fail_after(++n);
        rc = resize_create(&r);
        rc = rc ? rc : resize_run(r, &job);
        mem_fail_after(0);
        CHECK(rc == OK || rc == ERR_NOMEM);
        if (r && rc) {
            run(r, from, &down, again);
            run(r, from, &up, again);
        }
        resize_destroy(r);
    }
    CHECK(n > 6);
    /* Weights lost on the way to another size are made again for the old one. */
    struct resize *r = NULL;
    struct output o = {again, 64, 0};
    struct resize_job larger = {from, 10, 120, 0, 0, 64, 300, put, &o};
    CHECK_INT(resize_create(&r), OK);
    for (int k = 1; k < 3; k++) {
        run(r, from, &up, again);
        mem_fail_after(k);
        CHECK_INT(resize_run(r, &larger), ERR_NOMEM);
        mem_fail_after(0);
    }
    memset(again, 0, sizeof(again));
    run(r, from, &up, again);
    resize_destroy(r);
    CHECK(memcmp(to, again, sizeof(to)) == 0);
    CHECK_INT(mem_live_bytes(), live);
    free(from);
}

int main(void)
{
    test_pillow();
    test_flat_stays_flat();
    test_memory();
    test_torture();
    return check_result();
}
