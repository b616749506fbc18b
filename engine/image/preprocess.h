/* preprocess - upright RGB to the network's input: resize, normalise, pad (docs/model-format.md, "Image").
 *
 * The resize is Pillow's antialiased bilinear filter, bit for bit (two passes, each rounded to 8 bits), applied to the
 * smaller copy if the picture was decoded smaller; then (x / 255 - mean) / std, and zeros on the right and below up to
 * a multiple of `divisor`.
 *
 * Ownership: a preprocessor owns its scratch rows. Output memory is the caller's.
 * Threads:   one preprocessor per thread; preprocess_shape is thread-safe. */
#ifndef ENGINE_IMAGE_PREPROCESS_H
#define ENGINE_IMAGE_PREPROCESS_H

#include "engine/base/err.h"
#include "engine/image/image.h"

enum resize_mode { RESIZE_SQUARE, RESIZE_SHORT_SIDE };

struct preprocess_params {
    enum resize_mode mode;
    int size, max_size, divisor;
    float mean[3], std[3];
};

struct preprocess_shape {
    int resized_width, resized_height; /* without padding */
    int padded_width, padded_height;   /* multiples of divisor: the input is [padded_height, padded_width, 3] */
};

/* Under RESIZE_SHORT_SIDE very narrow pictures come out longer than max_size: by up to a third if they become two
 * pixels wide, and at their own length if one. Callers with a fixed input buffer must compare the padded sides
 * first. */
void preprocess_shape(const struct preprocess_params *p, int width, int height, struct preprocess_shape *out);

struct preprocessor;
MUST_USE enum err preprocessor_create(struct preprocessor **out, const struct preprocess_params *params);
void preprocessor_destroy(struct preprocessor *p); /* NULL is fine */

/* input: float [padded_height, padded_width, 3], written whole. Allocates only when an image is wider or higher than
 * any before it. */
MUST_USE enum err preprocessor_run(struct preprocessor *p, const struct image *image, struct preprocess_shape *shape,
                                   float *input);

#endif
