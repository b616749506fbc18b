#include "engine/image/preprocess.h"

#include "engine/base/mem.h"
#include "engine/image/resize.h"

#include <math.h>
#include <string.h>

struct preprocessor {
    struct preprocess_params params;
    struct resize *resize;
    float value[3][256]; /* of a channel and its 8-bit value */
};

/* Half to even, in the default rounding mode. */
static double round_even(double x)
{
    return nearbyint(x);
}

static void fit_short_side(const struct preprocess_params *p, int width, int height, struct preprocess_shape *out)
{
    double small = width < height ? width : height, large = width < height ? height : width;
    double side = p->size;
    if (round_even(side * large / small) > p->max_size) {
        side = fmax(1.0, round_even(p->max_size * small / large));
    }
    int other = (int)(side * large / small);
    out->resized_width = height <= width ? other : (int)side;
    out->resized_height = height <= width ? (int)side : other;
}

static int padded(int n, int divisor)
{
    return (n + divisor - 1) / divisor * divisor;
}

void preprocess_shape(const struct preprocess_params *p, int width, int height, struct preprocess_shape *out)
{
    if (p->mode == RESIZE_SQUARE) {
        out->resized_width = out->resized_height = p->size;
    } else {
        fit_short_side(p, width, height, out);
    }
    out->padded_width = padded(out->resized_width, p->divisor);
    out->padded_height = padded(out->resized_height, p->divisor);
}

enum err preprocessor_create(struct preprocessor **out, const struct preprocess_params *params)
{
    struct preprocessor *p = NULL;
    *out = NULL;
    BUG_ON(params->size < 1 || params->divisor < 1);
    enum err rc = mem_alloc(&p, sizeof(*p));
    if (rc) {
        return rc;
    }
    rc = resize_create(&p->resize);
    if (rc) {
        preprocessor_destroy(p);
        return rc;
    }
    p->params = *params;
    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++) {
            p->value[c][v] = ((float)v / 255.0f - params->mean[c]) / params->std[c];
        }
    }
    *out = p;
    return OK;
}

void preprocessor_destroy(struct preprocessor *p)
{
    if (p) {
        resize_destroy(p->resize);
        mem_free(p);
    }
}

struct output {
    const struct preprocessor *p;
    const struct preprocess_shape *shape;
    float *input; /* [padded_height, padded_width, 3] */
};

/* Resized pixels of one row to floats, then zeros up to the padded width. */
static void put_row(void *user, int y, const uint8_t *row)
{
    const struct output *o = user;
    const float(*value)[256] = o->p->value;
    float *to = o->input + 3 * (size_t)o->shape->padded_width * (size_t)y;
    for (int x = 0; x < o->shape->resized_width; x++, row += 3, to += 3) {
        to[0] = value[0][row[0]];
        to[1] = value[1][row[1]];
        to[2] = value[2][row[2]];
    }
    memset(to, 0, 3 * sizeof(float) * (size_t)(o->shape->padded_width - o->shape->resized_width));
}

enum err preprocessor_run(struct preprocessor *p, const struct image *image, struct preprocess_shape *shape,
                          float *input)
{
    preprocess_shape(&p->params, image->info.width, image->info.height, shape);
    struct output o = {p, shape, input};
    struct resize_job job = {.rgb = image->rgb,
                             .width = image_columns(image),
                             .height = image_rows(image),
                             .used_width = (double)image->info.width / image->info.shrink,
                             .used_height = (double)image->info.height / image->info.shrink,
                             .to_width = shape->resized_width,
                             .to_height = shape->resized_height,
                             .put = put_row,
                             .user = &o};
    enum err rc = resize_run(p->resize, &job);
    if (!rc) {
        size_t row = 3 * (size_t)shape->padded_width, n_below = (size_t)(shape->padded_height - shape->resized_height);
        memset(input + row * (size_t)shape->resized_height, 0, n_below * row * sizeof(float));
    }
    return rc;
}
