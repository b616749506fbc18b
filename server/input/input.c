#include "server/input/input_private.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    JSON_WEIGHT = 16, /* of values without a text, beside parts of a form */
    ECHO_BYTES = 64 << 10,
    ALLOCATION_BYTES = 96 /* what a block costs beside its bytes: alignment and the allocator's own */
};

/* ---- faults and memory ---- */

bool input_fail(struct input_fault *f, enum fault fault, const char *param, const char *fmt, ...)
{
    va_list args;
    f->fault = fault;
    snprintf(f->param, sizeof(f->param), "%s", param ? param : "");
    va_start(args, fmt);
    vsnprintf(f->text.text, sizeof(f->text.text), fmt, args);
    va_end(args);
    return false;
}

bool input_out_of_memory(struct input_fault *f)
{
    return input_fail(f, FAULT_INTERNAL, NULL, "out of memory");
}

bool input_alloc(struct input *in, void *out, size_t n_bytes, struct input_fault *f)
{
    if (mem_alloc(out, n_bytes)) {
        return input_out_of_memory(f);
    }
    in->_held_bytes += n_bytes + ALLOCATION_BYTES;
    return true;
}

void input_limits_of(struct input_limits *out, const struct config *c)
{
    *out = (struct input_limits){.images = (int)c->limits.images,
                                 .texts = (int)c->limits.texts,
                                 .pairs = c->limits.pairs,
                                 .text_bytes = (size_t)c->limits.text_bytes};
}

/* ---- images and texts ---- */

bool input_add_image(struct input_parser *p, const char *param, const struct input_image *image, int index)
{
    struct input *in = p->in;
    if (in->n_images == in->limits.images) {
        return input_fail(p->fault, FAULT_TOO_MANY_INPUTS, param, "more than %d images; send them in several requests",
                          in->n_images);
    }
    p->image_index[in->n_images] = index;
    p->n_indexed_images += index != INPUT_NO_INDEX;
    in->images[in->n_images++] = *image;
    return true;
}

bool input_add_bad_image(struct input_parser *p, const char *param, int index)
{
    struct input_fault *why;
    if (p->fault->fault == FAULT_INTERNAL || !input_alloc(p->in, &why, sizeof(*why), p->fault)) {
        return false;
    }
    *why = *p->fault;
    if (!input_add_image(p, param, &(struct input_image){.fault = why}, index)) {
        mem_free(why);
        return false;
    }
    return true;
}

/* White space, and what is not to be seen: controls, soft hyphens, zero-width characters, marks of direction. */
static bool is_blank(uint32_t code)
{
    return code <= ' ' || (code >= 0x7f && code <= 0xa0) || code == 0xad || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200f) || (code >= 0x2028 && code <= 0x202f) ||
           (code >= 0x205f && code <= 0x206f) || code == 0x3000 || code == 0xfeff;
}

static bool check_text(const struct input *in, const char *param, const char *text, size_t n, struct input_fault *f)
{
    if (in->n_texts == in->limits.texts) {
        return input_fail(f, FAULT_TOO_MANY_INPUTS, param, "more than %d texts; send them in several requests",
                          in->n_texts);
    }
    if (n > in->limits.text_bytes) {
        return input_fail(f, FAULT_TEXT_TOO_LONG, param, "%s has %zu bytes; allowed are %zu: shorten it", param, n,
                          in->limits.text_bytes);
    }
    size_t valid = utf8_valid(text, n);
    if (valid < n) {
        return input_fail(f, FAULT_BAD_REQUEST, param, "%s is not valid UTF-8 at byte %zu: send it as UTF-8", param,
                          valid);
    }
    const char *nul = n ? memchr(text, '\0', n) : NULL;
    if (nul) {
        return input_fail(f, FAULT_BAD_REQUEST, param, "%s has a NUL byte at byte %zu: send it as UTF-8", param,
                          (size_t)(nul - text));
    }
    uint32_t code;
    for (size_t at = 0; at < n;) {
        at += utf8_next(text + at, n - at, &code);
        if (!is_blank(code)) {
            return true;
        }
    }
    return input_fail(f, FAULT_BAD_REQUEST, param, "%s is empty%s", param, n ? ": it has only blanks" : "");
}

bool input_add_text(struct input *in, const char *param, const char *text, size_t n, struct input_fault *f)
{
    char *copy;
    if (!check_text(in, param, text, n, f) || !input_alloc(in, &copy, n + 1, f)) {
        return false;
    }
    memcpy(copy, text, n); /* the block is zeroed: a NUL follows */
    in->texts[in->n_texts] = copy;
    in->text_bytes[in->n_texts++] = n;
    return true;
}

bool input_add_indexed_text(struct input_parser *p, const char *param, const char *text, size_t n, int index)
{
    int at = p->in->n_texts;
    if (!input_add_text(p->in, param, text, n, p->fault)) {
        return false;
    }
    p->text_index[at] = index;
    p->n_indexed_texts += index != INPUT_NO_INDEX;
    return true;
}

/* ---- lists whose places were written out: texts[1] before texts[0] ---- */

/* Turns index[] into the place of each; false with the fault. */
static bool check_places(int *index, int n, int n_indexed, const char *what, struct input_fault *f)
{
    if (n_indexed == 0) {
        return true;
    }
    if (n_indexed < n) {
        return input_fail(f, FAULT_BAD_REQUEST, what,
                          "some %s have an index, as in %s[0], and others have none: number all or none", what, what);
    }
    for (int i = 0; i < n; i++) { /* n numbers below n, none twice: each place is taken */
        if (index[i] >= n) {
            return input_fail(f, FAULT_BAD_REQUEST, what,
                              "%s[%d] is given, but an earlier index is missing; indices begin at 0", what, index[i]);
        }
        for (int k = 0; k < i; k++) {
            if (index[k] == index[i]) {
                return input_fail(f, FAULT_BAD_REQUEST, what, "%s[%d] is given twice", what, index[i]);
            }
        }
    }
    return true;
}

static bool sort_lists(struct input_parser *p)
{
    struct input *in = p->in;
    if (!check_places(p->image_index, in->n_images, p->n_indexed_images, "images", p->fault) ||
        !check_places(p->text_index, in->n_texts, p->n_indexed_texts, in->route == INPUT_VQA ? "questions" : "texts",
                      p->fault)) {
        return false;
    }
    for (int i = 0; p->n_indexed_images && i < in->n_images; i++) {
        while (p->image_index[i] != i) { /* each swap brings one to its place */
            int to = p->image_index[i];
            struct input_image image = in->images[to];
            in->images[to] = in->images[i];
            in->images[i] = image;
            p->image_index[i] = p->image_index[to];
            p->image_index[to] = to;
        }
    }
    for (int i = 0; p->n_indexed_texts && i < in->n_texts; i++) {
        while (p->text_index[i] != i) {
            int to = p->text_index[i];
            const char *text = in->texts[to];
            size_t n = in->text_bytes[to];
            in->texts[to] = in->texts[i];
            in->text_bytes[to] = in->text_bytes[i];
            in->texts[i] = text;
            in->text_bytes[i] = n;
            p->text_index[i] = p->text_index[to];
            p->text_index[to] = to;
        }
    }
    return true;
}

/* ---- what must fit together ---- */

static bool check_rerank(struct input *in, struct input_fault *f)
{
    if (!in->is_rerank) {
        return true;
    }
    if (in->has_image_documents ? in->n_images != in->n_documents || in->n_texts != 1
                                : in->n_texts != in->n_documents || in->n_images != 1) {
        return input_fail(f, FAULT_BAD_REQUEST, "documents",
                          "reranking takes query and documents, no other images or texts");
    }
    if (in->regions || in->explain) {
        return input_fail(f, FAULT_BAD_REQUEST, in->regions ? "regions" : "explain",
                          "reranking has no regions and no explain: leave them out");
    }
    return true;
}

static bool check_collection(struct input *in, struct input_fault *f)
{
    if (!in->collection) {
        return true;
    }
    if (in->n_images > 0 || in->n_texts != 1) {
        return input_fail(f, FAULT_BAD_REQUEST, "collection", "a collection is searched with one text and no image");
    }
    if (in->regions || in->explain || in->occlusion) {
        return input_fail(f, FAULT_BAD_REQUEST, in->regions ? "regions" : "explain",
                          "searching a collection has no regions and no explain: leave them out");
    }
    return true;
}

/* How a picture is sent and a question asked, in the words of whoever asks. */
static const char *way_of_image(enum input_dialect dialect)
{
    return dialect == INPUT_KSERVE
               ? "add an input {\"name\": \"image\", \"datatype\": \"BYTES\", \"shape\": [1], \"data\": [...]}"
           : dialect == INPUT_HUGGINGFACE ? "send its bytes as the body, or as base64 in \"inputs\""
                                          : "send it as the body, as a form part named image, or as \"image\" in JSON";
}

static const char *way_of_question(enum input_dialect dialect)
{
    return dialect == INPUT_KSERVE
               ? "add an input {\"name\": \"question\", \"datatype\": \"BYTES\", \"shape\": [1], \"data\": [...]}"
           : dialect == INPUT_HUGGINGFACE ? "send {\"inputs\": {\"image\": ..., \"question\": ...}}"
                                          : "give question=...";
}

static bool check_needed(struct input *in, struct input_fault *f)
{
    if (in->n_images == 0 && !(in->collection && in->n_texts > 0)) {
        return input_fail(f, FAULT_BAD_REQUEST, "image", "no image: %s", way_of_image(in->dialect));
    }
    if ((in->route == INPUT_VQA || in->route == INPUT_RETRIEVE) && in->n_texts == 0 && !input_raw_check(in, f)) {
        return false;
    }
    if (in->route == INPUT_VQA && in->n_texts == 0) {
        return input_fail(f, FAULT_BAD_REQUEST, "question", "no question: %s", way_of_question(in->dialect));
    }
    if (in->route == INPUT_RETRIEVE && in->n_texts == 0) {
        return input_fail(
            f, FAULT_BAD_REQUEST, "texts", "no texts: %s",
            in->dialect == INPUT_KSERVE
                ? "add an input {\"name\": \"text\", \"datatype\": \"BYTES\", \"shape\": [1], \"data\": [...]}"
                : "give text=... or \"texts\": [...]");
    }
    if ((in->route == INPUT_CHECK || in->route == INPUT_STORE) && in->n_images != 1) {
        return input_fail(f, FAULT_BAD_REQUEST, "image",
                          "one image at a time; send the others in requests of their own");
    }
    if (in->n_images == 1 && in->images[0].fault) { /* with a single picture its fault is the answer */
        *f = *in->images[0].fault;
        return false;
    }
    return true;
}

static bool check_ways(struct input *in, struct input_fault *f)
{
    if (in->occlusion && (in->n_images != 1 || in->is_rerank || in->stream)) {
        return input_fail(f, FAULT_BAD_REQUEST, "explain",
                          "explain=occlusion works with one image, without documents and stream");
    }
    long long pairs = (long long)in->n_images * (in->n_texts > 0 ? in->n_texts : 1);
    if (pairs > in->limits.pairs) {
        return input_fail(f, FAULT_TOO_MANY_INPUTS, "texts",
                          "%d images times %d texts are more than %lld pairs; send them in several requests",
                          in->n_images, in->n_texts, in->limits.pairs);
    }
    if (in->num_captions > 0 && in->num_beams > 0 && in->num_captions > in->num_beams) {
        return input_fail(f, FAULT_BAD_REQUEST, "num_captions", "num_captions is %d, more than num_beams, %d",
                          in->num_captions, in->num_beams);
    }
    if (in->stream && (in->num_beams > 1 || in->num_captions > 1 || in->n_images > 1 || in->has_image_list)) {
        return input_fail(f, FAULT_BAD_REQUEST, "stream", "stream works with one image and num_beams=1");
    }
    return true;
}

static bool check(struct input *in, struct input_fault *f)
{
    in->has_image_list &= in->route != INPUT_CHECK;
    return check_needed(in, f) && check_rerank(in, f) && check_collection(in, f) && check_ways(in, f);
}

static bool check_encoding(const struct input_source *s, struct input_fault *f)
{
    const char *encoding = s->content_encoding ? s->content_encoding : "";
    encoding += strspn(encoding, " \t");
    if (!*encoding || strcasecmp(encoding, "identity") == 0) {
        return true;
    }
    return input_fail(f, FAULT_UNSUPPORTED_ENCODING, "Content-Encoding",
                      "Content-Encoding: %.40s is not supported; send the body uncompressed and without this header",
                      encoding);
}

/* ---- the interface ---- */

static enum input_body body_of(const struct input_source *s)
{
    if (s->dialect == INPUT_HUGGINGFACE) { /* clients send the bytes of a picture as application/json, too */
        return input_body_of("", s->body->bytes, s->body->n);
    }
    if (s->dialect != INPUT_NATIVE) {
        return INPUT_BODY_JSON;
    }
    return input_body_of(s->content_type ? s->content_type : "", s->body->bytes, s->body->n);
}

size_t input_weight(const struct input_source *s)
{
    enum input_body kind = body_of(s);
    return kind == INPUT_BODY_JSON ? s->body->n * JSON_WEIGHT : kind == INPUT_BODY_FORM ? s->body->n : 0;
}

int input_max_values(const struct input_limits *limits)
{
    return 256 + 8 * (limits->images + limits->texts);
}

size_t input_max_echo(const struct input_limits *limits)
{
    return ECHO_BYTES + (size_t)limits->texts * limits->text_bytes;
}

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t input_need_bytes(const struct input_source *s)
{
    const struct input_limits *l = &s->limits;
    size_t images = (size_t)l->images, texts = (size_t)l->texts, n_given = s->body->n;
    for (int i = 0; i < s->n_query; i++) {
        n_given += s->query[i].n_value;
    }
    size_t need = images * (sizeof(struct input_image) + sizeof(int)) +
                  texts * (sizeof(char *) + sizeof(size_t) + sizeof(int)) + 8 * ALLOCATION_BYTES;
    enum input_body kind = body_of(s);
    need += min_of(texts * l->text_bytes, kind == INPUT_BODY_RAW ? n_given - s->body->n : n_given);
    need += min_of(texts, n_given) * ALLOCATION_BYTES; /* a text has a byte at least */
    if (kind == INPUT_BODY_JSON || kind == INPUT_BODY_FORM) {
        need += min_of(images, n_given) * (sizeof(struct input_fault) + ALLOCATION_BYTES);
    }
    if (kind == INPUT_BODY_JSON) {
        size_t values = json_tree_bytes(s->body->n, input_max_values(l));
        need += values;
        need += s->dialect == INPUT_OPENAI   ? 2 * min_of(INPUT_TALK_BYTES, s->body->n)
                : s->dialect == INPUT_KSERVE ? INPUT_ID_BYTES + ALLOCATION_BYTES
                                             : 0;
        if (s->route == INPUT_RETRIEVE) {
            need += values / sizeof(struct json_tree_value) * INPUT_JSON_BYTES + min_of(input_max_echo(l), s->body->n);
        }
    }
    return need;
}

static bool read_query(struct input_parser *p, const struct input_source *s)
{
    for (int i = 0; i < s->n_query; i++) {
        const struct exchange_pair *q = &s->query[i];
        if (!input_param_text(p, q->name, q->value, q->n_value)) {
            return false;
        }
    }
    return true;
}

static bool read_body(struct input_parser *p, const struct input_source *s)
{
    switch (s->dialect) {
    case INPUT_OPENAI:
        return input_openai(p);
    case INPUT_KSERVE:
        return input_kserve(p, s->json_bytes);
    case INPUT_HUGGINGFACE:
        return input_huggingface(p);
    case INPUT_RERANK:
        return input_rerank_body(p);
    default:
        break;
    }
    switch (input_body_of(p->content_type, p->in->body.bytes, p->in->body.n)) {
    case INPUT_BODY_JSON:
        return input_json(p);
    case INPUT_BODY_FORM:
        return input_form(p);
    case INPUT_BODY_RAW:
        return input_raw(p);
    default:
        return true; /* what is missing is said when all was seen */
    }
}

/* Bytes of images are in the body, all other texts were copied: without such an image it can go. */
static void drop_body(struct input *in)
{
    for (int i = 0; i < in->n_images; i++) {
        if (in->images[i].bytes) {
            return;
        }
    }
    buf_release(&in->body);
}

static bool begin(struct input_parser *p)
{
    struct input *in = p->in;
    size_t images = (size_t)in->limits.images, texts = (size_t)in->limits.texts;
    return input_alloc(in, &in->images, images * sizeof(*in->images), p->fault) &&
           input_alloc(in, &in->texts, texts * sizeof(*in->texts), p->fault) &&
           input_alloc(in, &in->text_bytes, texts * sizeof(*in->text_bytes), p->fault) &&
           (!mem_array(&p->image_index, images, sizeof(int)) || input_out_of_memory(p->fault)) &&
           (!mem_array(&p->text_index, texts, sizeof(int)) || input_out_of_memory(p->fault));
}

bool input_parse(struct input *in, const struct input_source *s, struct input_fault *fault)
{
    struct input_parser p = {.in = in, .fault = fault, .content_type = s->content_type ? s->content_type : ""};
    *in = (struct input){.route = s->route,
                         .dialect = s->dialect,
                         .length_penalty = NAN,
                         .wish.threshold = NAN,
                         .truncate = true,
                         .limits = s->limits,
                         .body = *s->body};
    *fault = (struct input_fault){.fault = FAULT_INTERNAL};
    buf_init(s->body, 0);
    bool is_good = check_encoding(s, fault) && begin(&p) && read_query(&p, s) && read_body(&p, s) &&
                   input_param_ends(&p) && sort_lists(&p) && check(in, fault);
    json_tree_release(&p.tree);
    mem_free(p.image_index);
    mem_free(p.text_index);
    drop_body(in);
    return is_good;
}

size_t input_bytes(const struct input *in)
{
    return buf_held(&in->body) + in->_held_bytes;
}

void input_release(struct input *in)
{
    for (int i = 0; i < in->n_images; i++) {
        mem_free(in->images[i].fault);
    }
    for (int i = 0; i < in->n_texts; i++) {
        mem_free((void *)(uintptr_t)in->texts[i]);
    }
    mem_free(in->images);
    mem_free(in->texts);
    mem_free(in->text_bytes);
    mem_free((void *)(uintptr_t)in->collection);
    mem_free(in->wish.id);
    if (in->documents) {
        json_decref(in->documents);
    }
    buf_release(&in->body);
    *in = (struct input){.route = in->route};
}
