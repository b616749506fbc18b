/* A session allocates nothing after its creation, comes back from pixels and features that are not finite, and fails
 * only the item they belong to; with both decoders of captions, with regions and
 * with context cells. */
#include "engine/model/session.h"

#include "engine/base/mem.h"
#include "engine/model/model_private.h"
#include "tests/support/check.h"

#include <stdlib.h>

enum { SIDE = 96, ITEMS = 4, ROWS = 200, TOKENS = 6, ANSWERS = 15 };

static struct model *model;
static struct session *session;
static float pixels[SIDE * SIDE * 3];
static struct features *features, *other;
static struct caption_state *caption;
static float answers[ANSWERS], match, attention[3][16];
static const int words[5] = {60, 61, 62, 100, 101};

static struct tee_input make_input(int width, int height)
{
    for (int i = 0; i < width * height * 3; i++) {
        pixels[i] = (float)(rand() % 1000) / 250.0F - 2.0F;
    }
    return (struct tee_input){pixels, width, height, width - 3, height - 1, 2 * width, 3 * height};
}

static bool make(const char *dir)
{
    struct model_options options = {.isa_cap = ISA_AVX512, .gemm_backend = GEMM_NATIVE, .verify_hash = true};
    struct session_limits limits = {SIDE, SIDE, ROWS};
    struct errbuf e;
    if (model_open(&model, dir, &options, &e) != OK) {
        fprintf(stderr, "%s\n", e.text);
        return false;
    }
    size_t bytes = features_bytes(model_config(model));
    CHECK_INT(model_config(model)->vqa.answers, ANSWERS);
    CHECK_INT(session_create(&session, model, &limits), OK);
    CHECK(session_memory_bytes(session) > sizeof(pixels));
    features = malloc(bytes);
    other = malloc(bytes);
    if (features && other) {
        features_init(features, model_config(model));
        features_init(other, model_config(model));
    }
    return session && features && other;
}

static void release(void)
{
    free(features);
    free(other);
    session_destroy(session);
    model_close(model);
}

static void test_sizes(void)
{
    static const int sides[][2] = {{96, 96}, {32, 32}, {96, 32}, {64, 96}, {96, 96}};
    for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
        struct tee_input in = make_input(sides[i][0], sides[i][1]);
        uint64_t before = mem_count();
        CHECK_INT(session_regions(session, &in, features), OK);
        CHECK_INT(mem_count() - before, 0);
        CHECK(features->n_regions > 0 && features->width == in.width && features->height == in.height);
        CHECK_INT(features_n_cells(features) > 0, model->config.context.channels > 0);
        CHECK(features_valid(features, features_bytes(model_config(model)), model_config(model)));
    }
}

static void test_bad_pixels(void)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    struct tee_input in = make_input(64, 64);
    size_t bytes = features_bytes(model_config(model));
    features_init(features, model_config(model));
    CHECK_INT(session_regions(session, &in, features), OK);
    for (int i = 0; i < 3; i++) {
        float before = pixels[1000];
        pixels[1000] = odd[i];
        CHECK_INT(session_regions(session, &in, other), ERR_INTERNAL);
        pixels[1000] = before;
        features_init(other, model_config(model));
        CHECK_INT(session_regions(session, &in, other), OK); /* nothing of it stays */
        CHECK_INT(memcmp(features, other, bytes), 0);
    }
}

static void make_items(struct fusion_item items[ITEMS], const struct features *of_second)
{
    struct caption_params params = {3, 2, TOKENS, 1.0F};
    caption_state_reset(caption, &params);
    items[0] = (struct fusion_item){.kind = FUSION_CAPTION, .features = features, .caption = caption};
    items[1] =
        (struct fusion_item){.kind = FUSION_VQA, .features = of_second, .tokens = words, .n_tokens = 5, .out = answers};
    items[2] = (struct fusion_item){
        .kind = FUSION_RETRIEVE, .features = features, .tokens = words, .n_tokens = 3, .out = &match};
    for (int i = 0; i < 3; i++) {
        items[i].region_attention = attention[i];
    }
}

/* All that one row pays is 1; what it pays to a cell counts for each region that covers the cell. */
static void check_attention(float sum)
{
    float max = features->max_cells > 0 ? (float)features->n_regions : 1.0F;
    CHECK(sum > 0.0F && sum < max);
}

static void test_steps(void)
{
    struct fusion_item items[ITEMS];
    enum err errors[ITEMS];
    make_items(items, features);
    int steps = 0;
    uint64_t before = mem_count();
    session_fusion_step(session, items, 3, errors);
    for (int i = 0; i < 3; i++) {
        float sum = 0.0F;
        for (int k = 0; k < features->n_regions; k++) {
            sum += attention[i][k];
        }
        CHECK_INT(errors[i], OK);
        check_attention(sum); /* the rest went to words and tags */
    }
    for (; !caption_state_is_done(caption); steps++) {
        session_fusion_step(session, items, 1, errors);
        CHECK_INT(errors[0], OK);
        float sum = 0.0F;
        for (int k = 0; k < features->n_regions; k++) {
            sum += attention[0][k];
        }
        check_attention(sum); /* of the best beam, not of all */
    }
    CHECK_INT(mem_count() - before, 0);
    CHECK(steps < TOKENS);
    CHECK_INT(caption_state_n_results(caption), 2);
    CHECK(match > 0.0F && match < 1.0F);
}

static void test_bad_features(void)
{
    struct fusion_item items[ITEMS];
    enum err errors[ITEMS];
    float before_answers[ANSWERS], before = match;
    memcpy(other, features, features_bytes(model_config(model)));
    *(other->max_cells > 0 ? features_cells(other) + 1 : features_vectors(other) + 1) = NAN;
    memcpy(before_answers, answers, sizeof(answers));
    match = 0.0F;
    make_items(items, other);
    session_fusion_step(session, items, 3, errors);
    CHECK_INT(errors[0], OK);
    CHECK_INT(errors[1], ERR_INTERNAL);
    CHECK_INT(errors[2], OK);
    CHECK_INT(memcmp(answers, before_answers, sizeof(answers)), 0); /* not written */
    CHECK_INT(memcmp(&match, &before, sizeof(match)), 0);
    make_items(items, features);
    items[0].features = other;
    session_fusion_step(session, items, 3, errors);
    CHECK_INT(errors[0], ERR_INTERNAL);
    CHECK_INT(errors[1], OK);
    CHECK_INT(errors[2], OK);
    CHECK_INT(memcmp(answers, before_answers, sizeof(answers)), 0);
}

/* No regions, no tags, no words: still an answer. */
static void test_nothing(void)
{
    struct fusion_item items[ITEMS];
    enum err errors[ITEMS];
    features_init(other, model_config(model));
    make_items(items, other);
    items[0].features = items[2].features = other;
    items[1].n_tokens = items[2].n_tokens = 0;
    CHECK_INT(fusion_item_rows(model, &items[0]), model->config.caption.decoder == MODEL_DECODER_MASK ? 2 : 1);
    CHECK_INT(fusion_item_rows(model, &items[1]), 2);
    session_fusion_step(session, items, 3, errors);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(errors[i], OK);
    }
    CHECK(match > 0.0F && match < 1.0F);
}

static void test_no_memory(void)
{
    struct session_limits limits = {SIDE, SIDE, ROWS};
    size_t live = mem_live_bytes();
    for (int n = 1; n <= 3; n++) {
        struct session *s = NULL;
        mem_fail_after(n);
        CHECK_INT(session_create(&s, model, &limits), ERR_NOMEM);
        mem_fail_after(0);
        CHECK(!s);
        CHECK_INT(mem_live_bytes(), live);
    }
}

/* The weights are the same, only who predicts differs. */
static void test_decoder(enum model_decoder decoder)
{
    struct tee_input in = make_input(96, 96);
    model->config.caption.decoder = decoder;
    CHECK_INT(session_regions(session, &in, features), OK);
    CHECK_INT(caption_state_create(&caption, model, 3, TOKENS), OK);
    test_steps();
    test_bad_features();
    test_nothing();
    caption_state_destroy(caption);
}

static void test_model(const char *dir)
{
    if (make(dir)) {
        test_sizes();
        if (model->config.backbone.activation == MODEL_SWISH) { /* relu6 puts bounds to what is infinite */
            test_bad_pixels();
        }
        test_decoder(MODEL_DECODER_MASK);
        test_decoder(MODEL_DECODER_CAUSAL);
        test_no_memory();
    } else {
        CHECK(!"the model opens");
    }
    release();
}

int main(void)
{
    srand(3);
    test_model("tests/data/tiny");
    test_model("tests/data/tiny-cells");
    test_model("tests/data/tiny-both");
    return check_result();
}
