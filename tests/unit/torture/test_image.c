/* From bytes to the network's input with every allocation failing once, the n-th for n = 1, 2, ... until all goes well:
 * the only answers are success and out of memory, nothing is left behind, and the same objects work afterwards. */
#include "engine/base/fmap.h"
#include "engine/base/mem.h"
#include "engine/image/image.h"
#include "engine/image/preprocess.h"
#include "tests/support/check.h"

#include <dirent.h>
#include <stdlib.h>

enum { MAX_FLOATS = 64 * 64 * 3, N_PARAMS = 2 };

static const struct preprocess_params params[N_PARAMS] = {
    {RESIZE_SQUARE, 40, 0, 32, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
    {RESIZE_SHORT_SIDE, 24, 60, 8, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
};
static float input[MAX_FLOATS], again[MAX_FLOATS];

struct pipeline {
    struct image_decoder *decoder;
    struct preprocessor *preprocessor;
};

static enum err open_pipeline(struct pipeline *p, int kind)
{
    enum err rc = image_decoder_create(&p->decoder);
    return rc ? rc : preprocessor_create(&p->preprocessor, &params[kind]);
}

static void close_pipeline(struct pipeline *p)
{
    preprocessor_destroy(p->preprocessor);
    image_decoder_destroy(p->decoder);
}

static enum err run(const struct pipeline *p, const struct fmap *map, int kind, float *to)
{
    struct image image;
    struct preprocess_shape shape;
    enum err rc = image_decode(p->decoder, fmap_bytes(map), fmap_size(map), &image_default_limits, &image, NULL);
    if (rc) {
        return rc;
    }
    preprocess_shape(&params[kind], image.info.width, image.info.height, &shape);
    if (shape.padded_width * shape.padded_height * 3 > MAX_FLOATS) {
        return OK; /* a very narrow picture: not for this input */
    }
    return preprocessor_run(p->preprocessor, &image, &shape, to);
}

/* Returns how many allocations the way has. */
static int fail_each(const char *name, const struct fmap *map, int kind)
{
    struct pipeline whole = {NULL, NULL};
    CHECK_INT(open_pipeline(&whole, kind), OK);
    memset(input, 0, sizeof(input));
    enum err expected = run(&whole, map, kind, input), rc;
    close_pipeline(&whole);
    size_t live = mem_live_bytes();
    int n = 0;
    do {
        struct pipeline p = {NULL, NULL};
        mem_fail_after(++n);
        rc = open_pipeline(&p, kind);
        bool is_open = !rc;
        rc = rc ? rc : run(&p, map, kind, again);
        mem_fail_after(0);
        if (rc != expected && rc != ERR_NOMEM) {
            fprintf(stderr, "%s: %s when allocation %d fails\n", name, err_slug(rc), n);
        }
        CHECK(rc == expected || rc == ERR_NOMEM);
        if (is_open && rc == ERR_NOMEM) { /* the failure is over: the same objects do their work */
            memset(again, 0, sizeof(again));
            CHECK_INT(run(&p, map, kind, again), expected);
            CHECK(memcmp(input, again, sizeof(input)) == 0);
        }
        close_pipeline(&p);
        CHECK_INT(mem_live_bytes(), live);
    } while (rc == ERR_NOMEM);
    return n;
}

int main(void)
{
    static const char *const folder = "tests/data/images/codec";
    DIR *d = opendir(folder);
    struct dirent *entry;
    int n_files = 0, n_allocations = 0;
    while (d && (entry = readdir(d)) != NULL) {
        char path[512];
        struct fmap *map = NULL;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (fmap_open(&map, path, NULL) == OK) { /* folders are refused */
            n_allocations += fail_each(entry->d_name, map, n_files % N_PARAMS);
            n_files++;
            fmap_close(map);
        }
    }
    CHECK(n_files > 150);
    CHECK(n_allocations > 10 * n_files);
    if (d) {
        closedir(d);
    }
    return check_result();
}
