/* Single functions against the reference, on inputs that the small models never give them: the paper's anchors, ties in
 * the suppression, regions on all levels and outside, deltas over the limit, resizing, odd texts. What is in the files:
 * scripts/golden/units.py and tiny.py. */
#include "engine/image/resize.h"
#include "engine/model/tee/proposals.h"
#include "engine/model/tee/regions.h"
#include "engine/model/topk.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

static struct weights *units;

static const float *expected(const char *name, size_t *n)
{
    const struct tensor *t = weights_find(units, name);
    *n = t ? weights_elements(t) : 0;
    CHECK(t && t->type == TENSOR_F32);
    return t ? t->data : NULL;
}

static void same(const char *name, const float *actual, size_t n)
{
    size_t n_expected;
    const float *e = expected(name, &n_expected);
    CHECK_INT(n, n_expected);
    if (n == n_expected && !(golden_error(actual, e, n) <= 1e-5)) {
        fprintf(stderr, "%s: ", name);
        CHECK(!"near the reference");
    }
}

static void test_anchors(void)
{
    static const int strides[] = {4, 8, 16, 32, 64}, cells[3][2] = {{0, 0}, {0, 1}, {1, 0}};
    for (int i = 0; i < 5; i++) {
        struct roi_box windows[MODEL_ANCHOR_RATIOS], boxes[9];
        char name[32];
        boxes_anchors(strides[i], 32 << i, windows);
        for (int k = 0; k < 9; k++) {
            boxes[k] = boxes_shift(windows[k % 3], strides[i], cells[k / 3][0], cells[k / 3][1]);
        }
        snprintf(name, sizeof(name), "anchors.%d", strides[i]);
        same(name, &boxes[0].x0, 36);
    }
}

static void test_decode(void)
{
    static const float weights[4] = {10.0F, 10.0F, 5.0F, 5.0F};
    size_t n;
    const float *boxes = expected("decode.boxes", &n), *deltas = expected("decode.deltas", &n);
    struct roi_box out[64];
    for (size_t i = 0; i < n / 4 && i < 64; i++) {
        struct roi_box b;
        memcpy(&b, boxes + 4 * i, sizeof(b));
        out[i] = boxes_decode(b, deltas + 4 * i, weights, 448, 320);
    }
    same("decode.out", &out[0].x0, n);
}

static void test_nms(void)
{
    enum { MAX = 256 };
    size_t n, n_boxes, n_keep;
    const float *scores = expected("nms.scores", &n), *boxes = expected("nms.boxes", &n_boxes);
    const float *keep = expected("nms.keep", &n_keep);
    uint64_t keys[MAX];
    struct roi_box sorted[MAX];
    int kept[MAX];
    float scratch[5 * MAX];
    CHECK(n <= MAX && n_boxes == 4 * n);
    CHECK_INT(topk_select(scores, n, n, keys), n);
    for (size_t i = 0; i < n; i++) {
        memcpy(&sorted[i], boxes + 4 * topk_index(keys[i]), sizeof(sorted[i]));
    }
    int n_kept = boxes_nms(sorted, (int)n, 0.5F, MAX, kept, scratch);
    CHECK_INT(n_kept, n_keep);
    for (int i = 0; i < n_kept && (size_t)i < n_keep; i++) {
        CHECK_INT(topk_index(keys[kept[i]]), keep[i]);
    }
}

/* [C, h, w] -> [h, w, C] */
static float *turned(const float *map, size_t channels, size_t cells)
{
    float *out = malloc(channels * cells * sizeof(float));
    for (size_t i = 0; out && i < channels * cells; i++) {
        out[i % cells * channels + i / cells] = map[i];
    }
    return out;
}

static void test_roi(enum isa isa)
{
    enum { CHANNELS = 2, MAX = 64, HEIGHT = 320, WIDTH = 448 };
    const struct kernels *k = kernels_select(isa, GEMM_NATIVE);
    size_t n, n_levels;
    const float *boxes = expected("roi.boxes", &n), *levels = expected("roi.levels", &n_levels);
    float *maps[4], pooled[MAX * 32], one[32];
    CHECK(n == 4 * n_levels && n_levels <= MAX);
    for (int i = 0; i < 4; i++) {
        char name[32];
        size_t floats;
        snprintf(name, sizeof(name), "roi.map%d", i + 2);
        const float *map = expected(name, &floats);
        CHECK_INT(floats, CHANNELS * (HEIGHT >> (i + 2)) * (WIDTH >> (i + 2)));
        maps[i] = turned(map, CHANNELS, floats / CHANNELS);
    }
    for (int pool = 3; pool <= 4; pool++) {
        char name[32];
        size_t cells = (size_t)(pool * pool), floats = cells * CHANNELS;
        for (size_t i = 0; i < n_levels; i++) {
            struct roi_box b;
            memcpy(&b, boxes + 4 * i, sizeof(b));
            int level = regions_level(b);
            CHECK_INT(level, levels[i]);
            k->roi_align(maps[level - 2], HEIGHT >> level, WIDTH >> level, CHANNELS, 1.0F / (float)(1 << level), &b,
                         pool, 2, one);
            for (size_t j = 0; j < floats; j++) { /* [pool, pool, C] -> [C, pool, pool] */
                pooled[i * floats + j % CHANNELS * cells + j / CHANNELS] = one[j];
            }
        }
        snprintf(name, sizeof(name), "roi.pool%d", pool);
        same(name, pooled, n_levels * floats);
    }
    for (int i = 0; i < 4; i++) {
        free(maps[i]);
    }
}

struct canvas {
    float *at;
    size_t row;
};

static void put(void *user, int y, const uint8_t *row)
{
    struct canvas *c = user;
    for (size_t i = 0; i < c->row; i++) {
        c->at[(size_t)y * c->row + i] = (float)row[i];
    }
}

/* "resize.NAME.HxW": bit for bit. */
static void test_resize_one(const struct tensor *t, struct resize *r, struct image_decoder *decoder)
{
    char picture[32], path[64];
    struct image image;
    size_t n, floats = weights_elements(t);
    if (sscanf(t->name, "resize.%31[a-z].", picture) != 1) {
        CHECK(!"the name of a picture");
        return;
    }
    snprintf(path, sizeof(path), "tests/data/images/%s.png", picture);
    uint8_t *bytes = (uint8_t *)slurp(path, &n);
    CHECK_INT(image_decode(decoder, bytes, n, &image_default_limits, &image, NULL), OK);
    struct canvas canvas = {calloc(floats, sizeof(float)), t->shape[1] * 3};
    struct resize_job job = {image.rgb, image.info.width, image.info.height, 0, 0, (int)t->shape[1], (int)t->shape[0],
                             put,       &canvas};
    CHECK_INT(resize_run(r, &job), OK);
    CHECK_INT(memcmp(canvas.at, t->data, floats * sizeof(float)), 0);
    free(canvas.at);
    free(bytes);
}

static void test_resize(void)
{
    struct resize *r = NULL;
    struct image_decoder *decoder = NULL;
    int n = 0;
    CHECK_INT(resize_create(&r), OK);
    CHECK_INT(image_decoder_create(&decoder), OK);
    for (int i = 0; i < weights_count(units); i++) {
        const struct tensor *t = weights_at(units, i);
        if (strncmp(t->name, "resize.", 7) == 0) {
            test_resize_one(t, r, decoder);
            n++;
        }
    }
    CHECK(n >= 10);
    image_decoder_destroy(decoder);
    resize_destroy(r);
}

static void test_texts(void)
{
    json_t *page = json_load_file("tests/golden/text.json", 0, NULL), *cases = json_object_get(page, "cases"), *one;
    struct wordpiece *w = NULL;
    size_t i;
    CHECK(json_array_size(cases) > 20);
    CHECK_INT(wordpiece_open(&w, json_string_value(json_object_get(page, "vocab")), NULL), OK);
    json_array_foreach(cases, i, one)
    {
        const json_t *text = json_object_get(one, "text"), *ids = json_object_get(one, "ids");
        int found[512];
        int n = wordpiece_encode(w, json_string_value(text), json_string_length(text), found, 512);
        CHECK_INT(n, json_array_size(ids));
        for (int k = 0; k < n && k < 512; k++) {
            CHECK_INT(found[k], json_integer_value(json_array_get(ids, (size_t)k)));
        }
    }
    wordpiece_close(w);
    json_decref(page);
}

int main(void)
{
    struct errbuf e;
    errbuf_clear(&e);
    if (weights_open(&units, "tests/golden/units.safetensors", &e) != OK) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    test_anchors();
    test_decode();
    test_nms();
    for (int isa = 0; isa <= (int)isa_best(); isa++) {
        test_roi((enum isa)isa);
    }
    test_resize();
    test_texts();
    weights_close(units);
    return check_result();
}
