#include "server/input/input.h"

#include "engine/base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

/* RFC 3629: no surrogates, nothing beyond U+10FFFF, no overlong forms. */
bool input_is_utf8(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < n;) {
        unsigned c = s[i++];
        int more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : -1;
        if (more < 0 || i + (size_t)more > n) {
            return false;
        }
        unsigned least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        unsigned most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        for (int k = 0; k < more; k++, i++) {
            if (s[i] < least || s[i] > most) {
                return false;
            }
            least = 0x80;
            most = 0xbf;
        }
    }
    return true;
}

bool input_add_image(struct input *in, const struct input_image *image, struct input_fault *f)
{
    if (in->n_images == (int)in->limits->limits.images) {
        return input_fail(f, FAULT_TOO_MANY_INPUTS, "images", "more than %d images", in->n_images);
    }
    in->images[in->n_images++] = *image;
    return true;
}

bool input_add_text(struct input *in, const char *param, const char *text, size_t n, struct input_fault *f)
{
    if (in->n_texts == (int)in->limits->limits.texts) {
        return input_fail(f, FAULT_TOO_MANY_INPUTS, param, "more than %d texts", in->n_texts);
    }
    if (n > in->limits->limits.text_bytes) {
        return input_fail(f, FAULT_TEXT_TOO_LONG, param, "%s has %zu bytes; allowed are %llu", param, n,
                          (unsigned long long)in->limits->limits.text_bytes);
    }
    if (!input_is_utf8(text, n)) {
        return input_fail(f, FAULT_BAD_REQUEST, param, "%s is not valid UTF-8", param);
    }
    bool is_blank = true;
    for (size_t i = 0; i < n && is_blank; i++) {
        is_blank = (unsigned char)text[i] <= ' ';
    }
    if (is_blank) {
        return input_fail(f, FAULT_BAD_REQUEST, param, "%s is empty", param);
    }
    in->texts[in->n_texts] = text;
    in->text_bytes[in->n_texts++] = n;
    return true;
}

static bool take_query(struct input *in, const struct exchange *x, struct input_fault *f)
{
    for (int i = 0; i < x->n_query; i++) {
        const struct exchange_pair *q = &x->query[i];
        if (!input_param_text(in, q->name, q->value ? q->value : "", q->n_value, f)) {
            return false;
        }
    }
    return true;
}

static bool is_type(const char *content_type, const char *type)
{
    size_t n = strlen(type);
    return strncasecmp(content_type, type, n) == 0 && (!content_type[n] || strchr("; \t", content_type[n]));
}

static bool take_body(struct input *in, const char *content_type, struct input_fault *f)
{
    if (is_type(content_type, "application/json")) {
        return input_json(in, f);
    }
    if (is_type(content_type, "multipart/form-data")) {
        return input_form(in, content_type, f);
    }
    if (in->body.n == 0) {
        return true; /* what is missing is said below */
    }
    /* Whatever the header says (curl --data-binary says form-urlencoded): the bytes decide what they are. */
    return input_add_image(in, &(struct input_image){.bytes = (const uint8_t *)in->body.bytes, .n_bytes = in->body.n},
                           f);
}

static bool check_counts(struct input *in, struct input_fault *f)
{
    if (in->n_images == 0 && !(in->collection && in->n_texts > 0)) {
        return input_fail(f, FAULT_BAD_REQUEST, "image",
                          "no image: send it as the body, as a form part named image, or as \"image\" in JSON");
    }
    if (in->route == INPUT_VQA && in->n_texts == 0) {
        return input_fail(f, FAULT_BAD_REQUEST, "question", "no question: give question=...");
    }
    if (in->route == INPUT_RETRIEVE && in->n_texts == 0) {
        return input_fail(f, FAULT_BAD_REQUEST, "texts", "no texts: give text=... or \"texts\": [...]");
    }
    int n_documents = in->is_rerank ? (int)json_array_size(in->documents) : 0;
    if (in->is_rerank && (in->has_image_documents ? in->n_images != n_documents || in->n_texts != 1
                                                  : in->n_texts != n_documents || in->n_images != 1)) {
        return input_fail(f, FAULT_BAD_REQUEST, "documents",
                          "reranking takes query and documents, no other images or texts");
    }
    if (in->collection && (in->n_images > 0 || in->n_texts != 1)) {
        return input_fail(f, FAULT_BAD_REQUEST, "collection", "a collection is searched with one text and no image");
    }
    if ((in->is_rerank && (in->regions || in->explain)) ||
        (in->collection && (in->regions || in->explain || in->occlusion))) {
        return input_fail(f, FAULT_BAD_REQUEST, in->regions ? "regions" : "explain",
                          "documents and collections are ranked without regions and explain");
    }
    in->has_image_list &= in->route != INPUT_CHECK;
    if ((in->route == INPUT_CHECK || in->route == INPUT_STORE) && in->n_images != 1) {
        return input_fail(f, FAULT_BAD_REQUEST, "image", "one image at a time");
    }
    if (in->occlusion && (in->n_images != 1 || in->is_rerank || in->stream)) {
        return input_fail(f, FAULT_BAD_REQUEST, "explain",
                          "explain=occlusion works with one image, without documents and stream");
    }
    long long pairs = (long long)in->n_images * (in->n_texts > 0 ? in->n_texts : 1);
    if (pairs > in->limits->limits.pairs) {
        return input_fail(f, FAULT_TOO_MANY_INPUTS, "texts", "%d images times %d texts are more than %lld pairs",
                          in->n_images, in->n_texts, in->limits->limits.pairs);
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

bool input_take(struct input *in, enum input_route route, struct exchange *x, const struct config *limits,
                struct input_fault *fault)
{
    *in = (struct input){.route = route, .length_penalty = NAN, .limits = limits};
    *fault = (struct input_fault){.fault = FAULT_INTERNAL};
    in->body = x->body;
    buf_init(&x->body, 0);
    if (mem_array(&in->images, (size_t)limits->limits.images, sizeof(*in->images)) ||
        mem_array(&in->decoded, (size_t)limits->limits.images, sizeof(*in->decoded)) ||
        mem_array(&in->texts, (size_t)limits->limits.texts, sizeof(*in->texts)) ||
        mem_array(&in->text_bytes, (size_t)limits->limits.texts, sizeof(*in->text_bytes))) {
        return input_fail(fault, FAULT_INTERNAL, NULL, "out of memory");
    }
    const char *type = x->headers[HEADER_CONTENT_TYPE] ? x->headers[HEADER_CONTENT_TYPE] : "";
    return take_query(in, x, fault) && take_body(in, type, fault) && check_counts(in, fault);
}

void input_release(struct input *in)
{
    for (int i = 0; i < in->n_decoded; i++) {
        mem_free(in->decoded[i]);
    }
    mem_free(in->decoded);
    mem_free(in->images);
    mem_free(in->texts);
    mem_free(in->text_bytes);
    if (in->root) {
        json_decref(in->root);
    }
    buf_release(&in->body);
    *in = (struct input){.route = in->route};
}
