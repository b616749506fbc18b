/* golden - a model with what the reference computed for it, and comparisons that say which stage differs first.
 *
 * What the tensors are: scripts/golden/record.py. A comparison never aborts: it counts, remembers the first name that
 * differs (in the order of the computation) and goes on, so that a test can plant a fault and see where it is found.
 *
 * Loose: random models of the full size decide by margins smaller than the rounding of float. Then decisions may differ
 * where the reference itself nearly tied, and every stage is fed with the reference's decisions.
 *
 * Ownership: golden_open makes everything, golden_close releases it. Threads: one owner. */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "engine/base/mem.h"
#include "engine/image/image.h"
#include "engine/image/preprocess.h"
#include "engine/model/model_private.h"
#include "engine/model/session.h"
#include "tests/support/isas.h"
#include "tests/support/slurp.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>

static const double golden_tolerance = 1e-4; /* of the largest magnitude in a tensor */

struct golden_place {
    const char *model, *golden, *images; /* folders */
    bool is_loose;
    enum model_precision precision;
    const char *suffix; /* of the results' files: "-bytes" the fusion in 8 bits, "-image" the image half */
    double tolerance;   /* of the fusion; 0: golden_tolerance */
};

struct golden {
    const struct golden_place *place;
    struct weights *tensors;
    bool *seen; /* [tensors] */
    json_t *page, *pictures;
    struct model *model;
    struct session *session;
    struct features *features;
    struct image_decoder *decoder;
    struct preprocessor *preprocessor;
    float *pixels;
    struct tee_input input; /* of the picture under way */
    double tolerance;       /* of the half under way */
    const char *picture;
    json_t *about; /* its page */
    bool is_loud;  /* tell each difference on stderr */
    int n_compared, n_differing;
    char first[128]; /* the first that differs */
    double worst;    /* largest error within the tolerance, and where */
    char worst_name[128];
};

/* ---- comparisons ---- */

static inline void golden_name(const struct golden *g, const char *part, char name[128])
{
    snprintf(name, 128, "%s.%s", g->picture, part);
}

/* Counts one comparison; returns `is_same`. */
static inline bool golden_note(struct golden *g, const char *part, bool is_same, double error)
{
    char name[128];
    golden_name(g, part, name);
    g->n_compared++;
    if (is_same && error > g->worst) {
        g->worst = error;
        memcpy(g->worst_name, name, sizeof(name));
    }
    if (is_same) {
        return true;
    }
    if (g->n_differing++ == 0) {
        memcpy(g->first, name, sizeof(name));
    }
    if (g->is_loud) {
        fprintf(stderr, "%s %s: differs by %.3g\n", g->model->config.name, name, error);
    }
    return false;
}

/* The expected values, or NULL where the reference wrote none. */
static inline const float *golden_expected(struct golden *g, const char *part, size_t *n)
{
    char name[128];
    golden_name(g, part, name);
    const struct tensor *t = weights_find(g->tensors, name);
    *n = t ? weights_elements(t) : 0;
    if (!t) {
        return NULL;
    }
    g->seen[t - weights_at(g->tensors, 0)] = true;
    return t->data;
}

/* Largest difference over the largest expected magnitude; not a number wherever one is not. */
static inline double golden_error(const float *actual, const float *expected, size_t n)
{
    double max = 0.0, magnitude = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)actual[i] - (double)expected[i]);
        max = difference <= max ? max : difference; /* NaN gets in, and then stays */
        if (isnan(difference)) {
            return NAN;
        }
        magnitude = fmax(magnitude, fabs((double)expected[i]));
    }
    return max / magnitude;
}

static inline bool golden_floats(struct golden *g, const char *part, const float *actual, size_t n)
{
    size_t n_expected;
    const float *expected = golden_expected(g, part, &n_expected);
    if (n_expected != n || (n > 0 && !expected)) {
        return golden_note(g, part, false, NAN);
    }
    double error = golden_error(actual, expected, n);
    return golden_note(g, part, error <= g->tolerance, error);
}

static inline bool golden_ints(struct golden *g, const char *part, const int *actual, size_t n)
{
    size_t n_expected, wrong = 0;
    const float *expected = golden_expected(g, part, &n_expected);
    if (n_expected != n) {
        return golden_note(g, part, false, NAN);
    }
    for (size_t i = 0; i < n; i++) {
        wrong += (double)actual[i] != (double)expected[i];
    }
    return golden_note(g, part, wrong == 0, (double)wrong);
}

/* A number of the page, rounded there to six digits. */
static inline bool golden_number(struct golden *g, const char *part, double actual, const json_t *expected)
{
    double error = fabs(actual - json_number_value(expected));
    bool is_near = error <= 1e-6 + g->tolerance * fmax(1.0, fabs(json_number_value(expected)));
    return golden_note(g, part, json_is_number(expected) && is_near, is_near ? 0.0 : error);
}

static inline bool golden_text(struct golden *g, const char *part, const char *actual, const json_t *expected)
{
    const char *text = json_string_value(expected);
    return golden_note(g, part, text && strcmp(text, actual) == 0, 0.0);
}

/* Maps are channels-last here and channels-first there. maps: [n, cells, channels]. */
static inline bool golden_maps(struct golden *g, const char *part, const float *maps, size_t n, size_t cells,
                               size_t channels)
{
    size_t one = cells * channels;
    float *turned = malloc(n * one * sizeof(float) + 1);
    if (!turned) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t cell = 0; cell < cells; cell++) {
            for (size_t c = 0; c < channels; c++) {
                turned[i * one + c * cells + cell] = maps[i * one + cell * channels + c];
            }
        }
    }
    bool is_same = golden_floats(g, part, turned, n * one);
    free(turned);
    return is_same;
}

/* Columns first .. first + width - 1 of rows of `ld` floats. */
static inline bool golden_columns(struct golden *g, const char *part, const float *rows, size_t n, size_t ld,
                                  size_t first, size_t width)
{
    float *cut = malloc(n * width * sizeof(float) + 1);
    if (!cut) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(cut + i * width, rows + i * ld + first, width * sizeof(float));
    }
    bool is_same = golden_floats(g, part, cut, n * width);
    free(cut);
    return is_same;
}

/* ---- opening ---- */

static inline struct preprocess_params golden_preprocess(const struct model_config *c)
{
    struct preprocess_params p = {.mode = c->image.resize == MODEL_RESIZE_SQUARE ? RESIZE_SQUARE : RESIZE_SHORT_SIDE,
                                  .size = c->image.size,
                                  .max_size = c->image.max_size,
                                  .divisor = c->image.divisor};
    memcpy(p.mean, c->image.mean, sizeof(p.mean));
    memcpy(p.std, c->image.std, sizeof(p.std));
    return p;
}

static inline bool golden_image_bytes(const struct golden *g, const char *picture, uint8_t **bytes, size_t *n)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s.png", g->place->images, picture);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return false;
    }
    *bytes = (uint8_t *)slurp(path, n);
    return true;
}

/* Room for the largest of the pictures. */
static inline bool golden_open_session(struct golden *g, int max_rows)
{
    const struct model_config *c = model_config(g->model);
    struct preprocess_params params = golden_preprocess(c);
    struct session_limits limits = {32, 32, max_rows};
    const char *picture;
    json_t *about;
    json_object_foreach(g->pictures, picture, about)
    {
        struct image_info info;
        struct preprocess_shape shape;
        uint8_t *bytes;
        size_t n;
        if (!golden_image_bytes(g, picture, &bytes, &n)) {
            return false;
        }
        enum err rc = image_probe(bytes, n, &image_default_limits, &info, NULL);
        free(bytes);
        if (rc != OK) {
            return false;
        }
        preprocess_shape(&params, info.width, info.height, &shape);
        limits.max_input_width =
            shape.padded_width > limits.max_input_width ? shape.padded_width : limits.max_input_width;
        limits.max_input_height =
            shape.padded_height > limits.max_input_height ? shape.padded_height : limits.max_input_height;
    }
    size_t floats = (size_t)limits.max_input_width * (size_t)limits.max_input_height * 3;
    return mem_array(&g->pixels, floats, sizeof(float)) == OK && image_decoder_create(&g->decoder) == OK &&
           preprocessor_create(&g->preprocessor, &params) == OK &&
           session_create(&g->session, g->model, &limits) == OK && mem_alloc(&g->features, features_bytes(c)) == OK;
}

static inline bool golden_open_expected(struct golden *g, struct errbuf *e)
{
    char path[PATH_MAX];
    json_error_t why;
    const char *name = model_config(g->model)->name;
    const char *suffix = g->place->suffix ? g->place->suffix : "";
    snprintf(path, sizeof(path), "%s/%s%s.safetensors", g->place->golden, name, suffix);
    if (weights_open(&g->tensors, path, e) != OK) {
        return false;
    }
    snprintf(path, sizeof(path), "%s/%s%s.json", g->place->golden, name, suffix);
    g->page = json_load_file(path, 0, &why);
    if (!g->page) {
        err_set(e, ERR_IO, "%s: %s", path, why.text);
        return false;
    }
    g->pictures = json_object_get(g->page, "images");
    return json_object_size(g->pictures) > 0 &&
           mem_array(&g->seen, (size_t)weights_count(g->tensors), sizeof(bool)) == OK;
}

static inline void golden_close(struct golden *g)
{
    mem_free(g->features);
    session_destroy(g->session);
    preprocessor_destroy(g->preprocessor);
    image_decoder_destroy(g->decoder);
    mem_free(g->pixels);
    mem_free(g->seen);
    json_decref(g->page);
    weights_close(g->tensors);
    model_close(g->model);
}

/* False, with a line on stderr, when anything is missing; golden_close is due in both cases. `place` is borrowed. */
static inline bool golden_open(struct golden *g, const struct golden_place *place, enum isa isa,
                               enum gemm_backend backend, int max_rows)
{
    struct errbuf e;
    struct model_options options = {.isa_cap = isa, .gemm_backend = backend, .precision = place->precision};
    errbuf_clear(&e);
    *g = (struct golden){.place = place, .tolerance = golden_tolerance};
    bool is_open = model_open(&g->model, place->model, &options, &e) == OK && golden_open_expected(g, &e) &&
                   golden_open_session(g, max_rows);
    if (!is_open) {
        fprintf(stderr, "%s: %s\n", place->model, errbuf_text(&e, ERR_INTERNAL));
        return false;
    }
    features_init(g->features, model_config(g->model));
    return true;
}

/* Decodes and prepares a picture: g->input. */
static inline bool golden_prepare(struct golden *g, const char *picture)
{
    struct image image;
    struct preprocess_shape shape;
    uint8_t *bytes;
    size_t n;
    g->picture = picture;
    g->tolerance = golden_tolerance;
    g->about = json_object_get(g->pictures, picture);
    if (!golden_image_bytes(g, picture, &bytes, &n)) {
        return false;
    }
    enum err rc = image_decode(g->decoder, bytes, n, &image_default_limits, &image, NULL);
    rc = rc != OK ? rc : preprocessor_run(g->preprocessor, &image, &shape, g->pixels);
    free(bytes);
    g->input = (struct tee_input){g->pixels,           shape.padded_width,   shape.padded_height,
                                  shape.resized_width, shape.resized_height, image.info.width,
                                  image.info.height};
    return rc == OK;
}

/* The folder that MINIVLM_GOLDEN_DIR names, as `scripts/make_golden.py --full` (or --from) writes it: images/, golden/
 * and model/, the last elsewhere where MINIVLM_GOLDEN_MODEL says so. */
struct golden_given {
    struct golden_place place;
    char model[PATH_MAX], golden[PATH_MAX], images[PATH_MAX];
};
/* False where nothing is given. */
static inline bool golden_is_given(struct golden_given *given)
{
    const char *folder = getenv("MINIVLM_GOLDEN_DIR"), *model = getenv("MINIVLM_GOLDEN_MODEL");
    if (folder) {
        snprintf(given->model, PATH_MAX, model ? "%s" : "%s/model", model ? model : folder);
        snprintf(given->golden, PATH_MAX, "%s/golden", folder);
        snprintf(given->images, PATH_MAX, "%s/images", folder);
        given->place =
            (struct golden_place){given->model, given->golden, given->images, true, MODEL_PRECISION_FP32, NULL, 0.0};
    }
    return folder != NULL;
}

/* The folders of the small models. */
enum {
    GOLDEN_TINY,
    GOLDEN_TINY_LITE,
    GOLDEN_TINY_CELLS,
    GOLDEN_TINY_BOTH,
    GOLDEN_TINY_LITE_BYTES,
    GOLDEN_TINY_CELLS_BYTES,
    GOLDEN_PLACES
};
/* In 8 bits a sum that is rounded another way may tip a byte of the next layer over: one step of 255. */
#define GOLDEN_FP32(name)                                                                                              \
    {                                                                                                                  \
        "tests/data/" name, "tests/golden", "tests/data/images", false, MODEL_PRECISION_FP32, NULL, 0.0                \
    }
#define GOLDEN_BYTES(name)                                                                                             \
    {                                                                                                                  \
        "tests/data/" name, "tests/golden", "tests/data/images", false, MODEL_PRECISION_FUSION, "-bytes", 2e-2         \
    }
static const struct golden_place golden_places[GOLDEN_PLACES] = {GOLDEN_FP32("tiny"),       GOLDEN_FP32("tiny-lite"),
                                                                 GOLDEN_FP32("tiny-cells"), GOLDEN_FP32("tiny-both"),
                                                                 GOLDEN_BYTES("tiny-lite"), GOLDEN_BYTES("tiny-cells")};

#endif
