/* One table says what may stand in config.json: section, key, kind, range, place in the struct. A key that is not in
 * the table is an error, one that is in it is required unless the table says that it may be absent: then it stays zero.
 * What two keys say together is checked afterwards by the functions check_*; each of their messages names a key too. */
#include "engine/model/load/model_config.h"

#include "engine/model/load/jsonread.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 64 * 1024, MAX_DEPTH = 4, MAX_KEYS = 16, KEY_SIZE = 64 };

enum kind { KIND_INT, KIND_FLOAT, KIND_BOOL, KIND_STRING, KIND_CHOICE, KIND_STAGES };

struct field {
    const char *key;
    enum kind kind;
    size_t offset; /* in struct model_config */
    int count;     /* > 1: an array of exactly this many; strings: size of the buffer; choices: how many words */
    double min, max;
    const char *const *words;
    bool is_optional;
};

struct section {
    const char *key; /* "": the root itself */
    bool is_optional;
    int n_fields;
    const struct field *fields;
};

static const char *const formats[] = {"minivlm-1"};
static const char *const resizes[] = {[MODEL_RESIZE_SQUARE] = "square", [MODEL_RESIZE_SHORT_SIDE] = "short_side"};
static const char *const activations[] = {[MODEL_SWISH] = "swish", [MODEL_RELU6] = "relu6"};
static const char *const decoders[] = {[MODEL_DECODER_MASK] = "mask", [MODEL_DECODER_CAUSAL] = "causal"};
static const char *const paddings[] = {[MODEL_PAD_SYMMETRIC] = "symmetric", [MODEL_PAD_SAME] = "same"};

/* What follows the key in a field. */
#define AT(member)                  offsetof(struct model_config, member)
#define INT(member, min, max)       KIND_INT, AT(member), 1, min, max, NULL, false
#define FLOAT(member, min, max)     KIND_FLOAT, AT(member), 1, min, max, NULL, false
#define RGB(member, min, max)       KIND_FLOAT, AT(member), 3, min, max, NULL, false
#define LEVELS(member, min, max)    KIND_INT, AT(member), MODEL_LEVELS, min, max, NULL, false
#define BOOL(member)                KIND_BOOL, AT(member), 1, 0, 1, NULL, false
#define STRING(member)              KIND_STRING, AT(member), sizeof(((struct model_config *)0)->member), 0, 0, NULL, false
#define CHOICE(member, words)       KIND_CHOICE, AT(member), sizeof(words) / sizeof(words[0]), 0, 0, words, false
#define MAYBE_CHOICE(member, words) KIND_CHOICE, AT(member), sizeof(words) / sizeof(words[0]), 0, 0, words, true
#define STAGES                      KIND_STAGES, 0, 0, 0, 0, NULL, false

static const struct field image_fields[] = {
    {"resize", CHOICE(image.resize, resizes)},  {"size", INT(image.size, 32, 2048)},
    {"max_size", INT(image.max_size, 1, 4096)}, {"divisor", INT(image.divisor, 32, 128)},
    {"mean", RGB(image.mean, -1000.0, 1000.0)}, {"std", RGB(image.std, 1e-3, 1000.0)},
};
static const struct field backbone_fields[] = {
    {"activation", CHOICE(backbone.activation, activations)},
    {"squeeze_excite", BOOL(backbone.squeeze_excite)},
    {"padding", CHOICE(backbone.padding, paddings)},
    {"stem", INT(backbone.stem, 1, 1024)},
    {"stages", STAGES},
};
static const struct field bifpn_fields[] = {
    {"channels", INT(bifpn.channels, 1, 1024)},
    {"repeats", INT(bifpn.repeats, 1, 16)},
};
static const struct field rpn_fields[] = {
    {"anchor_sizes", LEVELS(rpn.anchor_sizes, 1, 4096)},
    {"pre_nms", INT(rpn.pre_nms, 1, 10000)},
    {"nms", FLOAT(rpn.nms, 0.0, 1.0)},
    {"proposals", INT(rpn.proposals, 1, 4096)},
};
static const struct field roi_fields[] = {
    {"pool", INT(roi.pool, 1, 32)},
    {"sampling", INT(roi.sampling, 1, 8)},
    {"hidden", INT(roi.hidden, 1, 8192)},
    {"classes", INT(roi.classes, 1, 10000)},
    {"nms", FLOAT(roi.nms, 0.0, 1.0)},
    {"score_threshold", FLOAT(roi.score_threshold, 0.0, 1.0)},
    {"min_regions", INT(roi.min_regions, 0, 1000)},
    {"max_regions", INT(roi.max_regions, 1, 1000)},
};
static const struct field context_fields[] = {
    {"channels", INT(context.channels, 1, 8192)},
    {"own_blocks", INT(context.own_blocks, 0, 1024)},
    {"pool", INT(context.pool, 1, 64)},
    {"regions", INT(context.regions, 0, 1000)},
};
static const struct field fusion_fields[] = {
    {"layers", INT(fusion.layers, 1, 96)},    {"hidden", INT(fusion.hidden, 1, 8192)},
    {"heads", INT(fusion.heads, 1, 128)},     {"ffn", INT(fusion.ffn, 1, 32768)},
    {"vocab", INT(fusion.vocab, 5, 1000000)}, {"positions", INT(fusion.positions, 4, 8192)},
};
static const struct field text_fields[] = {
    {"caption_length", INT(text.caption_length, 2, 1024)},
    {"text_length", INT(text.text_length, 3, 1024)},
    {"tags_length", INT(text.tags_length, 2, 1024)},
    {"tag_threshold", FLOAT(text.tag_threshold, 0.0, 1.0)},
};
static const struct field caption_fields[] = {
    {"num_beams", INT(caption.num_beams, 1, MODEL_MAX_BEAMS)},
    {"max_tokens", INT(caption.max_tokens, 1, MODEL_MAX_TOKENS)},
    {"length_penalty", FLOAT(caption.length_penalty, -10.0, 10.0)},
    {"decoder", MAYBE_CHOICE(caption.decoder, decoders)},
};
static const struct field vqa_fields[] = {
    {"answers", INT(vqa.answers, 1, 100000)},
};
static const struct field weights_fields[] = {
    {"file", STRING(weights.file)},
    {"sha256", STRING(weights.sha256)},
};

#define FIELDS(fields)       false, sizeof(fields) / sizeof(fields[0]), fields
#define MAYBE_FIELDS(fields) true, sizeof(fields) / sizeof(fields[0]), fields
static const struct section sections[] = {
    {"image", FIELDS(image_fields)},   {"backbone", FIELDS(backbone_fields)}, {"bifpn", FIELDS(bifpn_fields)},
    {"rpn", FIELDS(rpn_fields)},       {"roi", FIELDS(roi_fields)},           {"context", MAYBE_FIELDS(context_fields)},
    {"fusion", FIELDS(fusion_fields)}, {"text", FIELDS(text_fields)},         {"caption", FIELDS(caption_fields)},
    {"vqa", FIELDS(vqa_fields)},       {"weights", FIELDS(weights_fields)},
};
enum { N_SECTIONS = sizeof(sections) / sizeof(sections[0]) };

/* The full name of a key for messages. */
struct full_key {
    char text[KEY_SIZE];
};

static struct full_key full_key(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct full_key full_key(const char *fmt, ...)
{
    struct full_key full;
    va_list args;
    va_start(args, fmt);
    vsnprintf(full.text, sizeof(full.text), fmt, args);
    va_end(args);
    return full;
}

/* ---- what follows from it ---- */

static int padded(int side, int divisor)
{
    return (side + divisor - 1) / divisor * divisor;
}

const char *model_config_decoder_name(enum model_decoder decoder)
{
    return decoders[decoder];
}

void model_config_max_input(const struct model_config *c, int *shorter, int *longer)
{
    *shorter = *longer = padded(c->image.size, c->image.divisor);
    if (c->image.resize == MODEL_RESIZE_SHORT_SIDE) {
        /* Rounding the short side of a narrow picture can push its long side a little over the limit. */
        *longer = padded(c->image.max_size, c->image.divisor) + c->image.divisor;
    }
}

int model_config_max_cells(const struct model_config *c)
{
    if (c->context.channels == 0) {
        return 0;
    }
    int shorter, longer, side = MODEL_LAST_STRIDE * c->context.pool;
    model_config_max_input(c, &shorter, &longer);
    return ((shorter + side - 1) / side) * ((longer + side - 1) / side);
}

int model_config_max_seen(const struct model_config *c)
{
    return c->context.channels == 0 ? c->roi.max_regions : c->context.regions;
}

int model_config_max_context(const struct model_config *c)
{
    return c->text.tags_length + model_config_max_seen(c) + model_config_max_cells(c);
}

/* ---- reading ---- */

static enum err read_stage(const struct jsonread *r, const char *key, const json_t *row, struct model_stage *stage)
{
    static const struct {
        int min, max;
    } range[] = {{1, 32}, {3, 5}, {1, 2}, {1, 4096}, {1, 64}};
    int *const values[] = {&stage->expand, &stage->kernel, &stage->stride, &stage->channels, &stage->repeats};
    enum err rc = jsonread_array(r, key, row, 5, 5);
    for (size_t i = 0; !rc && i < 5; i++) {
        struct full_key full = full_key("%s[%zu]", key, i);
        rc = jsonread_int(r, full.text, json_array_get(row, i), range[i].min, range[i].max, values[i]);
    }
    return rc;
}

static enum err read_stages(const struct jsonread *r, const char *key, const json_t *value, struct model_config *out)
{
    enum err rc = jsonread_array(r, key, value, 1, MODEL_MAX_STAGES);
    out->backbone.n_stages = rc ? 0 : (int)json_array_size(value);
    for (int i = 0; !rc && i < out->backbone.n_stages; i++) {
        struct full_key full = full_key("%s[%d]", key, i);
        rc = read_stage(r, full.text, json_array_get(value, (size_t)i), &out->backbone.stages[i]);
    }
    return rc;
}

static enum err read_number(const struct jsonread *r, const struct field *f, const char *key, const json_t *value,
                            void *place)
{
    if (f->kind == KIND_INT) {
        return jsonread_int(r, key, value, (int)f->min, (int)f->max, place);
    }
    return jsonread_float(r, key, value, f->min, f->max, place);
}

static enum err read_field(const struct jsonread *r, const struct field *f, const char *key, const json_t *value,
                           struct model_config *out)
{
    char *place = (char *)out + f->offset;
    enum err rc = OK;
    int choice = 0;
    switch (f->kind) {
    case KIND_BOOL:
        return jsonread_bool(r, key, value, (bool *)place);
    case KIND_STRING:
        return jsonread_string(r, key, value, place, (size_t)f->count);
    case KIND_CHOICE:
        rc = jsonread_choice(r, key, value, f->words, f->count, &choice);
        memcpy(place, &choice, sizeof(choice)); /* an enum is as wide as an int */
        return rc;
    case KIND_STAGES:
        return read_stages(r, key, value, out);
    case KIND_INT:
    case KIND_FLOAT:
        break;
    }
    if (f->count == 1) {
        return read_number(r, f, key, value, place);
    }
    rc = jsonread_array(r, key, value, (size_t)f->count, (size_t)f->count);
    for (int i = 0; !rc && i < f->count; i++) {
        struct full_key full = full_key("%s[%d]", key, i);
        rc = read_number(r, f, full.text, json_array_get(value, (size_t)i), place + (size_t)i * sizeof(float));
    }
    return rc;
}

static enum err read_section(const struct jsonread *r, const struct section *s, const json_t *root,
                             struct model_config *out)
{
    const json_t *object = json_object_get(root, s->key);
    const char *known[MAX_KEYS];
    if (!object && s->is_optional) {
        return OK;
    }
    for (int i = 0; i < s->n_fields; i++) {
        known[i] = s->fields[i].key;
    }
    enum err rc = jsonread_object(r, s->key, object, known, s->n_fields);
    for (int i = 0; !rc && i < s->n_fields; i++) {
        const json_t *value = json_object_get(object, known[i]);
        if (value || !s->fields[i].is_optional) {
            rc = read_field(r, &s->fields[i], full_key("%s.%s", s->key, known[i]).text, value, out);
        }
    }
    return rc;
}

static enum err read_root(const struct jsonread *r, const json_t *root, struct model_config *out)
{
    static const char *const own[] = {"format", "name", "version"};
    const char *known[3 + N_SECTIONS];
    memcpy(known, own, sizeof(own));
    for (int i = 0; i < N_SECTIONS; i++) {
        known[3 + i] = sections[i].key;
    }
    int format = 0;
    enum err rc = jsonread_choice(r, "format", json_object_get(root, "format"), formats, 1, &format);
    if (!rc) {
        rc = jsonread_object(r, "", root, known, 3 + N_SECTIONS);
    }
    if (!rc) {
        rc = jsonread_string(r, "name", json_object_get(root, "name"), out->name, sizeof(out->name));
    }
    if (!rc) {
        rc = jsonread_string(r, "version", json_object_get(root, "version"), out->version, sizeof(out->version));
    }
    for (int i = 0; !rc && i < N_SECTIONS; i++) {
        rc = read_section(r, &sections[i], root, out);
    }
    return rc;
}

/* ---- what keys say together ---- */

static enum err fault(const struct jsonread *r, const char *key, const char *what)
{
    return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' %s", r->file, key, what);
}

/* The stem halves the image and every stride is 1 or 2: a total of 32 passes through 4, 8 and 16. */
static enum err check_stages(const struct jsonread *r, const struct model_config *c)
{
    int stride = 2;
    for (int i = 0; i < c->backbone.n_stages; i++) {
        if (c->backbone.stages[i].kernel % 2 == 0) {
            return fault(r, "backbone.stages", "has a kernel that is neither 3 nor 5");
        }
        stride *= c->backbone.stages[i].stride;
    }
    if (stride != 32) {
        return fault(r, "backbone.stages",
                     "must come to a stride of 32 (with the 2 of the stem), for taps at 4, 8, "
                     "16 and 32");
    }
    return OK;
}

static enum err check_vision(const struct jsonread *r, const struct model_config *c)
{
    if (c->image.divisor % 32 != 0) {
        return fault(r, "image.divisor", "must be a multiple of 32");
    }
    if (c->image.resize == MODEL_RESIZE_SHORT_SIDE && c->image.max_size < c->image.size) {
        return fault(r, "image.max_size", "is less than image.size");
    }
    if (c->roi.min_regions > c->roi.max_regions) {
        return fault(r, "roi.min_regions", "is above roi.max_regions");
    }
    return check_stages(r, c);
}

static enum err check_context(const struct jsonread *r, const struct model_config *c)
{
    int n_blocks = 0;
    for (int i = 0; i < c->backbone.n_stages; i++) {
        n_blocks += c->backbone.stages[i].repeats;
    }
    if (c->context.own_blocks > n_blocks) {
        return fault(r, "context.own_blocks", "is more than backbone.stages has blocks");
    }
    if (c->context.regions > c->roi.max_regions) {
        return fault(r, "context.regions", "is above roi.max_regions");
    }
    return OK;
}

static enum err check_text(const struct jsonread *r, const struct model_config *c)
{
    if (c->fusion.hidden % c->fusion.heads != 0) {
        return fault(r, "fusion.hidden", "must be a multiple of fusion.heads");
    }
    if (c->text.caption_length + c->text.tags_length > c->fusion.positions) {
        return fault(r, "fusion.positions", "is less than text.caption_length + text.tags_length");
    }
    if (c->text.text_length + c->text.tags_length > c->fusion.positions) {
        return fault(r, "fusion.positions", "is less than text.text_length + text.tags_length");
    }
    if (c->caption.max_tokens >= c->text.caption_length) {
        return fault(r, "caption.max_tokens", "must be below text.caption_length");
    }
    return OK;
}

static enum err check_weights(const struct jsonread *r, const struct model_config *c)
{
    if (strchr(c->weights.file, '/') || c->weights.file[0] == '.') {
        return fault(r, "weights.file", "must be the name of a file in the model directory");
    }
    if (strspn(c->weights.sha256, "0123456789abcdef") != 64) {
        return fault(r, "weights.sha256", "must have 64 lower-case hex digits");
    }
    return OK;
}

enum err model_config_parse(struct model_config *out, const char *json, size_t n, const char *path, struct errbuf *e)
{
    const struct jsonread r = {.file = path, .e = e};
    json_t *root = NULL;
    memset(out, 0, sizeof(*out));
    enum err rc = jsonread_parse(&r, &root, json, n, MAX_BYTES, MAX_DEPTH);
    if (!rc) {
        rc = read_root(&r, root, out);
    }
    if (!rc) {
        rc = check_vision(&r, out);
    }
    if (!rc) {
        rc = check_context(&r, out);
    }
    if (!rc) {
        rc = check_text(&r, out);
    }
    if (!rc) {
        rc = check_weights(&r, out);
    }
    json_decref(root);
    return rc;
}
