/* config.json: every key of the good one, and one spoiled copy for each thing that can be wrong with it. */
#include "engine/model/load/model_config.h"
#include "engine/model/model.h"
#include "tests/support/check.h"
#include "tests/support/slurp.h"

#define HEX16 "0123456789abcdef"

static const char good[] =
    "{\"format\": \"minivlm-1\", \"name\": \"test\", \"version\": \"1.2\",\n"
    "\"image\": {\"resize\": \"short_side\", \"size\": 256, \"max_size\": 512, \"divisor\": 32,"
    " \"mean\": [0.5, 0.25, 0], \"std\": [1, 0.125, 2.5]},\n"
    "\"backbone\": {\"activation\": \"relu6\", \"squeeze_excite\": true, \"padding\": \"same\", \"stem\": 8,"
    " \"stages\": [[1,3,1,5,1],[6,5,2,9,2],[6,3,2,10,2],[4,3,2,14,1],[5,5,2,18,2]]},\n"
    "\"bifpn\": {\"channels\": 12, \"repeats\": 2},\n"
    "\"rpn\": {\"anchor_sizes\": [8, 16, 32, 64, 128], \"pre_nms\": 60, \"nms\": 0.7, \"proposals\": 40},\n"
    "\"roi\": {\"pool\": 4, \"sampling\": 2, \"hidden\": 40, \"classes\": 12, \"nms\": 0.5, \"score_threshold\": 0.2,"
    " \"min_regions\": 4, \"max_regions\": 11},\n"
    "\"fusion\": {\"layers\": 2, \"hidden\": 48, \"heads\": 4, \"ffn\": 76, \"vocab\": 247, \"positions\": 27},\n"
    "\"text\": {\"caption_length\": 13, \"text_length\": 14, \"tags_length\": 11, \"tag_threshold\": 0.75},\n"
    "\"caption\": {\"num_beams\": 3, \"max_tokens\": 10, \"length_penalty\": -1},\n"
    "\"vqa\": {\"answers\": 15},\n"
    "\"weights\": {\"file\": \"w.safetensors\", \"sha256\": \"" HEX16 HEX16 HEX16 HEX16 "\"}}\n";

static enum err parse(const char *json, struct model_config *c, struct errbuf *e)
{
    errbuf_clear(e);
    return model_config_parse(c, json, strlen(json), "config.json", e);
}

static void test_every_key(void)
{
    struct model_config c;
    struct errbuf e;
    CHECK_INT(parse(good, &c, &e), OK);
    CHECK_STR(e.text, "");
    CHECK_STR(c.name, "test");
    CHECK_STR(c.version, "1.2");
    CHECK(c.image.resize == MODEL_RESIZE_SHORT_SIDE && c.image.size == 256 && c.image.max_size == 512);
    CHECK(c.image.divisor == 32 && c.image.mean[0] == 0.5f && c.image.mean[1] == 0.25f && c.image.mean[2] == 0.0f);
    CHECK(c.image.std[0] == 1.0f && c.image.std[1] == 0.125f && c.image.std[2] == 2.5f);
    CHECK(c.backbone.activation == MODEL_RELU6 && c.backbone.squeeze_excite && c.backbone.padding == MODEL_PAD_SAME);
    CHECK(c.backbone.stem == 8 && c.backbone.n_stages == 5);
    struct model_stage s = c.backbone.stages[1];
    CHECK(s.expand == 6 && s.kernel == 5 && s.stride == 2 && s.channels == 9 && s.repeats == 2);
    CHECK(c.bifpn.channels == 12 && c.bifpn.repeats == 2);
    CHECK(c.rpn.anchor_sizes[0] == 8 && c.rpn.anchor_sizes[4] == 128 && c.rpn.pre_nms == 60 && c.rpn.nms == 0.7f);
    CHECK(c.rpn.proposals == 40 && c.roi.pool == 4 && c.roi.sampling == 2 && c.roi.hidden == 40);
    CHECK(c.roi.classes == 12 && c.roi.nms == 0.5f && c.roi.score_threshold == 0.2f);
    CHECK(c.roi.min_regions == 4 && c.roi.max_regions == 11);
    CHECK(c.fusion.layers == 2 && c.fusion.hidden == 48 && c.fusion.heads == 4 && c.fusion.ffn == 76);
    CHECK(c.fusion.vocab == 247 && c.fusion.positions == 27);
    CHECK(c.text.caption_length == 13 && c.text.text_length == 14 && c.text.tags_length == 11);
    CHECK(c.text.tag_threshold == 0.75f && c.caption.num_beams == 3 && c.caption.max_tokens == 10);
    CHECK(c.caption.length_penalty == -1.0f && c.vqa.answers == 15);
    CHECK(c.caption.decoder == MODEL_DECODER_MASK && c.context.channels == 0); /* where they are absent */
    CHECK(model_config_max_cells(&c) == 0 && model_config_max_seen(&c) == 11);
    CHECK_INT(model_config_max_context(&c), 11 + 11);
    CHECK_STR(c.weights.file, "w.safetensors");
    CHECK_STR(c.weights.sha256, HEX16 HEX16 HEX16 HEX16);
    CHECK_INT(MODEL_MAX_BEAMS, CAPTION_MAX_BEAMS);
    CHECK_INT(MODEL_MAX_TOKENS, CAPTION_MAX_TOKENS);
}

/* The good config with the first `from` replaced by `to`. */
static const char *spoiled(const char *from, const char *to)
{
    static char text[sizeof(good) + 512];
    const char *at = strstr(good, from);
    CHECK(at != NULL);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return text;
}

static void test_decoders(void)
{
    static const char *const words[] = {[MODEL_DECODER_MASK] = "mask", [MODEL_DECODER_CAUSAL] = "causal"};
    for (int i = 0; i < 2; i++) {
        char to[64];
        struct model_config c;
        struct errbuf e;
        snprintf(to, sizeof(to), "\"length_penalty\": 1, \"decoder\": \"%s\"", words[i]);
        CHECK_INT(parse(spoiled("\"length_penalty\": -1", to), &c, &e), OK);
        CHECK_INT(c.caption.decoder, i);
    }
}

#define CONTEXT(channels, own_blocks, pool, regions)                                                                   \
    "\"context\": {\"channels\": " #channels ", \"own_blocks\": " #own_blocks ", \"pool\": " #pool                     \
    ", \"regions\": " #regions "}, \"fusion\""

/* Sides of 256 to 512 + 32 pixels, 32 x pool for a cell. */
static void test_context(void)
{
    static const struct {
        int pool, cells;
    } pools[] = {{1, 8 * 17}, {2, 4 * 9}, {3, 3 * 6}, {7, 2 * 3}, {64, 1}};
    for (int i = 0; i < 5; i++) {
        char to[128];
        struct model_config c;
        struct errbuf e;
        snprintf(to, sizeof(to),
                 "\"context\": {\"channels\": 21, \"own_blocks\": 8, \"pool\": %d, \"regions\": %d}, \"fusion\"",
                 pools[i].pool, i);
        CHECK_INT(parse(spoiled("\"fusion\"", to), &c, &e), OK);
        CHECK(c.context.channels == 21 && c.context.own_blocks == 8 && c.context.pool == pools[i].pool);
        CHECK_INT(c.context.regions, i);
        CHECK_INT(model_config_max_cells(&c), pools[i].cells);
        CHECK_INT(model_config_max_seen(&c), i);
        CHECK_INT(model_config_max_context(&c), 11 + i + pools[i].cells);
        c.image.resize = MODEL_RESIZE_SQUARE;
        c.context.pool = 3;
        CHECK_INT(model_config_max_cells(&c), 3 * 3);
    }
}

static const struct {
    const char *from, *to, *fragment; /* fragment NULL: still fine */
} spoils[] = {
    {"minivlm-1", "minivlm-2", "key 'format' must be 'minivlm-1'"},
    {"\"format\": \"minivlm-1\", ", "", "key 'format' is missing"},
    {"\"version\"", "\"extra\": 1, \"version\"", "unknown key 'extra'"},
    {"\"version\"", "\"name\": \"x\", \"version\"", "duplicate"},
    {"\"test\"", "\"\"", "key 'name'"},
    {"\"test\"", "\"0123456789012345678901234567890123456789012345678901234567890123\"", "key 'name' must be a string"},
    {"\"1.2\"", "1.2", "key 'version' must be a string"},
    {"\"image\": {", "\"image\": {\"sise\": 1, ", "unknown key 'image.sise'"},
    {"\"vqa\": {\"answers\": 15}", "\"vqa\": 15", "key 'vqa' must be an object"},
    {"\"vqa\": {\"answers\": 15},", "", "key 'vqa' is missing"},
    {"\"vqa\": {\"answers\": 15}", "\"vqa\": {}", "key 'vqa.answers' is missing"},
    {"\"short_side\"", "\"long_side\"", "key 'image.resize' must be 'square' or 'short_side'"},
    {"\"size\": 256", "\"size\": 31", "key 'image.size' must be a whole number from 32 to 2048"},
    {"\"size\": 256", "\"size\": 256.5", "key 'image.size'"},
    {"\"size\": 256", "\"size\": \"256\"", "key 'image.size'"},
    {"\"size\": 256", "\"size\": 513", "key 'image.max_size' is less than image.size"},
    {"\"divisor\": 32", "\"divisor\": 48", "key 'image.divisor' must be a multiple of 32"},
    {"[0.5, 0.25, 0]", "[0.5, 0.25]", "key 'image.mean' must be an array of 3"},
    {"[0.5, 0.25, 0]", "[0.5, null, 0]", "key 'image.mean[1]' must be a number"},
    {"[1, 0.125, 2.5]", "[1, 0.125, 0]", "key 'image.std[2]'"},
    {"\"relu6\"", "\"relu\"", "key 'backbone.activation' must be 'swish' or 'relu6'"},
    {"true", "1", "key 'backbone.squeeze_excite' must be true or false"},
    {"\"same\"", "\"valid\"", "key 'backbone.padding' must be 'symmetric' or 'same'"},
    {"\"stem\": 8", "\"stem\": 0", "key 'backbone.stem'"},
    {"[[1,3,1,5,1],", "[[1,3,1,5],", "key 'backbone.stages[0]' must be an array of 5"},
    {"[[1,3,1,5,1],", "[7,", "key 'backbone.stages[0]'"},
    {"[[1,3,1,5,1],", "[[1,4,1,5,1],", "key 'backbone.stages' has a kernel"},
    {"[[1,3,1,5,1],", "[[1,7,1,5,1],", "key 'backbone.stages[0][1]'"},
    {"[[1,3,1,5,1],", "[[1,3,3,5,1],", "key 'backbone.stages[0][2]'"},
    {"[[1,3,1,5,1],", "[[1,3,2,5,1],", "key 'backbone.stages' must come to a stride of 32"},
    {"[6,3,2,10,2],", "", "key 'backbone.stages' must come to a stride of 32"},
    {"[[1,3,1,5,1],[6,5,2,9,2],[6,3,2,10,2],[4,3,2,14,1],[5,5,2,18,2]]", "[]",
     "key 'backbone.stages' must be an array of"},
    {"\"repeats\": 2", "\"repeats\": 0", "key 'bifpn.repeats'"},
    {"[8, 16, 32, 64, 128]", "[8, 16, 32, 64]", "key 'rpn.anchor_sizes' must be an array of 5"},
    {"[8, 16, 32, 64, 128]", "[8, 16, 32, 64, 128, 256]", "key 'rpn.anchor_sizes' must be an array of 5"},
    {"[8, 16, 32, 64, 128]", "[8, 16, 32, 0, 128]", "key 'rpn.anchor_sizes[3]'"},
    {"\"pre_nms\": 60", "\"pre_nms\": 99999999999", "key 'rpn.pre_nms'"},
    {"\"nms\": 0.7", "\"nms\": 1.1", "key 'rpn.nms' must be a number from 0 to 1"},
    {"\"score_threshold\": 0.2", "\"score_threshold\": -0.1", "key 'roi.score_threshold'"},
    {"\"min_regions\": 4", "\"min_regions\": 12", "key 'roi.min_regions' is above roi.max_regions"},
    {"\"min_regions\": 4", "\"min_regions\": 0", NULL},
    {"\"heads\": 4", "\"heads\": 5", "key 'fusion.hidden' must be a multiple of fusion.heads"},
    {"\"positions\": 27", "\"positions\": 25", NULL},
    {"\"positions\": 27", "\"positions\": 24", "less than text.text_length + text.tags_length"},
    {"\"caption_length\": 13", "\"caption_length\": 17", "less than text.caption_length + text.tags_length"},
    {"\"text_length\": 14", "\"text_length\": 2", "key 'text.text_length'"},
    {"\"tag_threshold\": 0.75", "\"tag_threshold\": 2", "key 'text.tag_threshold'"},
    {"\"num_beams\": 3", "\"num_beams\": 11", "key 'caption.num_beams'"},
    {"\"max_tokens\": 10", "\"max_tokens\": 12", NULL},
    {"\"max_tokens\": 10", "\"max_tokens\": 13", "key 'caption.max_tokens' must be below text.caption_length"},
    {"\"max_tokens\": 10", "\"max_tokens\": 65", "key 'caption.max_tokens'"},
    {"\"max_tokens\": 10", "\"max_tokens\": 10, \"decoder\": \"mask\"", NULL},
    {"\"max_tokens\": 10", "\"max_tokens\": 10, \"decoder\": \"Causal\"",
     "key 'caption.decoder' must be 'mask' or 'causal'"},
    {"\"max_tokens\": 10", "\"max_tokens\": 10, \"decoder\": null", "key 'caption.decoder'"},
    {"\"max_tokens\": 10", "\"max_tokens\": 10, \"decoders\": \"mask\"", "unknown key 'caption.decoders'"},
    {"\"fusion\"", CONTEXT(1, 0, 1, 0), NULL},
    {"\"fusion\"", CONTEXT(1, 8, 1, 11), NULL},
    {"\"fusion\"", CONTEXT(0, 0, 1, 0), "key 'context.channels' must be a whole number from 1"},
    {"\"fusion\"", CONTEXT(1, 9, 1, 0), "key 'context.own_blocks' is more than backbone.stages has blocks"},
    {"\"fusion\"", CONTEXT(1, -1, 1, 0), "key 'context.own_blocks'"},
    {"\"fusion\"", CONTEXT(1, 0, 0, 0), "key 'context.pool' must be a whole number from 1"},
    {"\"fusion\"", CONTEXT(1, 0, 1.5, 0), "key 'context.pool'"},
    {"\"fusion\"", CONTEXT(1, 0, 1, 12), "key 'context.regions' is above roi.max_regions"},
    {"\"fusion\"", CONTEXT(1, 0, 1, -1), "key 'context.regions'"},
    {"\"fusion\"", CONTEXT("7", 0, 1, 0), "key 'context.channels'"},
    {"\"fusion\"", "\"context\": {\"channels\": 1, \"own_blocks\": 0, \"pool\": 1}, \"fusion\"",
     "key 'context.regions' is missing"},
    {"\"fusion\"", "\"context\": {\"cells\": 1}, \"fusion\"", "unknown key 'context.cells'"},
    {"\"fusion\"", "\"context\": {}, \"fusion\"", "key 'context.channels' is missing"},
    {"\"fusion\"", "\"context\": null, \"fusion\"", "key 'context' must be an object"},
    {"\"fusion\"", "\"contexts\": {}, \"fusion\"", "unknown key 'contexts'"},
    {"w.safetensors", "../w.safetensors", "key 'weights.file' must be the name of a file"},
    {"w.safetensors", "..", "key 'weights.file'"},
    {"w.safetensors", "a/b", "key 'weights.file'"},
    {"0123456789abcdef\"", "0123456789abcde\"", "key 'weights.sha256' must have 64"},
    {"0123456789abcdef\"", "0123456789abcdeF\"", "key 'weights.sha256' must have 64"},
    {"0123456789abcdef\"", "0123456789abcdef0\"", "key 'weights.sha256'"},
    {"15}", "[[[[15]]]]}", "nested deeper than 4"},
};

static void test_spoiled(void)
{
    for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
        struct model_config c;
        struct errbuf e;
        enum err rc = parse(spoiled(spoils[i].from, spoils[i].to), &c, &e);
        bool is_as_expected = spoils[i].fragment ? rc == ERR_BAD_MODEL && strstr(e.text, spoils[i].fragment) : rc == OK;
        CHECK(is_as_expected);
        if (!is_as_expected) {
            fprintf(stderr, "  %s -> %s gave: %s\n", spoils[i].from, spoils[i].to, e.text);
        }
        CHECK(rc == OK || strstr(e.text, "config.json: ") == e.text);
    }
}

/* Every byte changed to some others, and the text cut at every length: an answer, never a crash. */
static void test_every_byte_flipped(void)
{
    static const char values[] = {0, '0', '9', '-', '"', '{', ']', ',', 'e', ' ', (char)0xff};
    static char text[sizeof(good)];
    struct model_config c;
    struct errbuf e;
    int accepted = 0;
    memcpy(text, good, sizeof(good));
    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        for (size_t v = 0; v < sizeof(values); v++) {
            text[i] = values[v];
            accepted += model_config_parse(&c, text, sizeof(good) - 1, "config.json", &e) == OK;
        }
        text[i] = good[i];
        CHECK(i + 2 >= sizeof(good) - 1 || model_config_parse(&c, good, i, "config.json", &e) == ERR_BAD_MODEL);
    }
    CHECK(accepted > 100); /* other digits are other numbers */
}

static void test_tiny_models(void)
{
    static const char *const paths[] = {"tests/data/tiny/config.json", "tests/data/tiny-lite/config.json",
                                        "tests/data/tiny-cells/config.json", "tests/data/tiny-both/config.json"};
    for (int i = 0; i < 4; i++) {
        size_t n;
        char *json = slurp(paths[i], &n);
        struct model_config c;
        struct errbuf e;
        CHECK_INT(parse(json, &c, &e), OK);
        CHECK_STR(e.text, "");
        free(json);
    }
}

int main(void)
{
    test_every_key();
    test_decoders();
    test_context();
    test_spoiled();
    test_every_byte_flipped();
    test_tiny_models();
    return check_result();
}
