/* image_fuzz - what the fuzz targets of the picture formats share: one of them is one file, which shapes its
 * inputs (signature, checksums) so that the time goes into one decoder.
 *
 * The input goes through probe, decode and preprocess, with small limits so that one takes little time. An odd length
 * stands for tolerate_truncated. Besides crashes it looks for broken promises: other errors than those of image.h, an
 * error without text, a decoded picture that the probe described differently, values that are no numbers. */
#include "engine/base/mem.h"
#include "engine/image/image.h"
#include "engine/image/preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PIXELS = 60000, MAX_PROGRESSIVE = 30000, SIDE = 48, MAX_FLOATS = 3 * 64 * 4096 };

static const struct preprocess_params params[] = {
    {RESIZE_SQUARE, SIDE, 0, 32, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
    {RESIZE_SHORT_SIDE, SIDE, 100, 32, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
};

static struct image_decoder *decoder;
static struct preprocessor *preprocessors[2];
static float *input;

static void set_up(void)
{
    if (!decoder) {
        BUG_ON(image_decoder_create(&decoder) || mem_array(&input, MAX_FLOATS, sizeof(*input)));
        for (int i = 0; i < 2; i++) {
            BUG_ON(preprocessor_create(&preprocessors[i], &params[i]));
        }
    }
}

static bool is_promised(enum err rc)
{
    return rc == OK || rc == ERR_UNSUPPORTED_IMAGE || rc == ERR_CORRUPT_IMAGE || rc == ERR_IMAGE_TOO_LARGE;
}

static void prepare(const struct image *image)
{
    for (int i = 0; i < 2; i++) {
        struct preprocess_shape shape;
        preprocess_shape(&params[i], image->info.width, image->info.height, &shape);
        size_t n = 3 * (size_t)shape.padded_width * (size_t)shape.padded_height;
        if (n > MAX_FLOATS) {
            continue; /* a very long picture keeps its length with short_side */
        }
        memset(input, 0xff, n * sizeof(*input));
        BUG_ON(preprocessor_run(preprocessors[i], image, &shape, input));
        for (size_t k = 0; k < n; k++) {
            BUG_ON(!isfinite(input[k]));
        }
    }
}

static void run(const uint8_t *data, size_t size)
{
    const struct image_limits limits = {MAX_PIXELS, MAX_PROGRESSIVE, size & 1, size & 2 ? 4 : 0};
    struct image_info info;
    struct image image;
    struct errbuf e = {""};
    enum err probed = image_probe(data, size, &limits, &info, &e);
    BUG_ON(!is_promised(probed) || (probed && !e.text[0]));
    errbuf_clear(&e);
    enum err rc = image_decode(decoder, data, size, &limits, &image, &e);
    BUG_ON(!is_promised(rc) || (rc && !e.text[0]));
    BUG_ON(probed && rc != probed);
    if (!rc) {
        BUG_ON(image.info.width != info.width || image.info.height != info.height);
        /* of a JPEG the two are known behind its last row */
        uint32_t late = info.format == IMAGE_JPEG ? IMAGE_WARN_TRUNCATED | IMAGE_WARN_PAGES | IMAGE_WARN_RESTARTS : 0;
        BUG_ON((image.info.warnings & ~late) != info.warnings);
        BUG_ON((uint64_t)info.width * (uint64_t)info.height > MAX_PIXELS);
        prepare(&image);
    }
}

/* A copy of the input, shaped into a file of the target's format where it is large enough. */
static __attribute__((unused)) void run_shaped(const uint8_t *data, size_t size, void (*shape)(uint8_t *, size_t))
{
    set_up();
    if (size < 32) {
        return;
    }
    uint8_t *copy = malloc(size); /* of its exact length, for the sanitizer */
    BUG_ON(!copy);
    memcpy(copy, data, size);
    shape(copy, size);
    run(copy, size);
    free(copy);
}
