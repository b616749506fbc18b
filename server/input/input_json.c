#include "server/input/input.h"

#include "engine/base/base64.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- images ---- */

/* data:image/jpeg;base64,.... -> the part after the comma */
static bool strip_data_uri(const char **text, size_t *n, const char *where, struct input_fault *f)
{
    if (*n < 5 || strncasecmp(*text, "data:", 5) != 0) {
        return true;
    }
    const char *comma = memchr(*text, ',', *n);
    size_t n_head = comma ? (size_t)(comma - *text) : 0;
    if (n_head < 12 || strncasecmp(comma - 7, ";base64", 7) != 0) {
        return input_fail(f, FAULT_BAD_REQUEST, where, "%s: a data URI must look like data:image/jpeg;base64,...",
                          where);
    }
    *text += n_head + 1;
    *n -= n_head + 1;
    return true;
}

static bool add_base64(struct input *in, const json_t *value, const char *where, struct input_fault *f)
{
    const char *text = json_string_value(value);
    size_t n = json_string_length(value), n_bytes;
    struct errbuf e;
    uint8_t *bytes;
    if (!strip_data_uri(&text, &n, where, f)) {
        return false;
    }
    if (strncasecmp(text, "http:", 5) == 0 || strncasecmp(text, "https:", 6) == 0) {
        return input_fail(f, FAULT_BAD_REQUEST, where,
                          "%s: addresses are not fetched; send the image's bytes as base64", where);
    }
    if (in->n_decoded == (int)in->limits->limits.images) {
        return input_fail(f, FAULT_TOO_MANY_INPUTS, where, "more than %d images", in->n_decoded);
    }
    if (mem_alloc(&bytes, base64_decoded_max(n))) {
        return input_fail(f, FAULT_INTERNAL, NULL, "out of memory");
    }
    in->decoded[in->n_decoded++] = bytes;
    errbuf_clear(&e);
    if (base64_decode(text, n, bytes, &n_bytes, &e)) {
        return input_fail(f, FAULT_BAD_REQUEST, where, "%s: %.300s", where, errbuf_text(&e, ERR_BAD_REQUEST));
    }
    return input_add_image(in, &(struct input_image){.bytes = bytes, .n_bytes = n_bytes}, f);
}

static bool add_image(struct input *in, const json_t *value, const char *where, struct input_fault *f)
{
    struct input_image image = {.bytes = NULL};
    if (json_is_string(value)) {
        return add_base64(in, value, where, f);
    }
    const json_t *id = json_object_get(value, "id");
    if (!json_is_string(id) || json_object_size(value) != 1 ||
        !sha256_from_hex(json_string_value(id), image.id.bytes)) {
        return input_fail(f, FAULT_BAD_REQUEST, where,
                          "%s must be base64 text, a data: URI or {\"id\": \"64 hexadecimal digits\"}", where);
    }
    return input_add_image(in, &image, f);
}

static bool add_images(struct input *in, const json_t *list, struct input_fault *f)
{
    char where[48];
    if (!json_is_array(list)) {
        return input_fail(f, FAULT_BAD_REQUEST, "images", "images must be a list");
    }
    in->has_image_list = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(where, sizeof(where), "/images/%zu", i);
        if (!add_image(in, json_array_get(list, i), where, f)) {
            return false;
        }
    }
    return true;
}

/* ---- rerank ---- */

static bool add_query(struct input *in, const json_t *query, struct input_fault *f)
{
    if (json_is_string(query)) {
        return input_add_text(in, "query", json_string_value(query), json_string_length(query), f);
    }
    const json_t *text = json_object_get(query, "text"), *image = json_object_get(query, "image");
    if (json_object_size(query) == 1 && json_is_string(text)) {
        return input_add_text(in, "query", json_string_value(text), json_string_length(text), f);
    }
    if (json_object_size(query) == 1 && image) {
        return add_image(in, image, "/query/image", f);
    }
    return input_fail(f, FAULT_BAD_REQUEST, "query", "query must be a string, {\"text\": ...} or {\"image\": ...}");
}

static bool add_document(struct input *in, size_t i, const json_t *document, struct input_fault *f)
{
    char where[48];
    const json_t *text = json_is_string(document) ? document : json_object_get(document, "text");
    const json_t *image = json_object_get(document, "image");
    snprintf(where, sizeof(where), "/documents/%zu", i);
    if ((!text && !image) || (text && image) || (text && !json_is_string(text))) {
        return input_fail(f, FAULT_BAD_REQUEST, where, "%s must be a string, {\"text\": ...} or {\"image\": ...}",
                          where);
    }
    if (i > 0 && in->has_image_documents != (image != NULL)) {
        return input_fail(f, FAULT_BAD_REQUEST, where, "documents must be all texts or all images");
    }
    in->has_image_documents = image != NULL;
    return image ? add_image(in, image, where, f)
                 : input_add_text(in, where, json_string_value(text), json_string_length(text), f);
}

static bool is_rerank_key(const char *key)
{
    return strcmp(key, "query") == 0 || strcmp(key, "documents") == 0 || strcmp(key, "top_n") == 0 ||
           strcmp(key, "return_documents") == 0 || strcmp(key, "model") == 0;
}

static bool take_rerank(struct input *in, struct input_fault *f)
{
    const json_t *query = json_object_get(in->root, "query"), *top_n = json_object_get(in->root, "top_n");
    const json_t *echo = json_object_get(in->root, "return_documents");
    in->documents = json_object_get(in->root, "documents");
    in->is_rerank = true;
    if (!query || !json_is_array(in->documents) || json_array_size(in->documents) == 0) {
        return input_fail(f, FAULT_BAD_REQUEST, query ? "documents" : "query",
                          "reranking needs query and documents, a list that is not empty");
    }
    if (top_n && (!json_is_integer(top_n) || json_integer_value(top_n) < 1 || json_integer_value(top_n) > 65536)) {
        return input_fail(f, FAULT_BAD_REQUEST, "top_n", "top_n must be a whole number of at least 1");
    }
    if (echo && !json_is_boolean(echo)) {
        return input_fail(f, FAULT_BAD_REQUEST, "return_documents", "return_documents must be true or false");
    }
    in->top_k = top_n ? (int)json_integer_value(top_n) : 0;
    in->return_documents = json_is_true(echo);
    for (size_t i = 0; i < json_array_size(in->documents); i++) {
        if (!add_document(in, i, json_array_get(in->documents, i), f)) {
            return false;
        }
    }
    int n_images = in->n_images, n_texts = in->n_texts;
    if (!add_query(in, query, f)) {
        return false;
    }
    if ((in->has_image_documents && in->n_images > n_images) || (!in->has_image_documents && in->n_texts > n_texts)) {
        return input_fail(f, FAULT_BAD_REQUEST, "query",
                          "a text ranks images and an image ranks texts; query and "
                          "documents are both %s",
                          in->has_image_documents ? "images" : "texts");
    }
    return true;
}

/* ---- the object ---- */

static bool take_key(struct input *in, const char *key, const json_t *value, struct input_fault *f)
{
    bool is_known = true, is_store = in->route == INPUT_STORE || in->route == INPUT_CHECK;
    if (strcmp(key, "image") == 0) {
        return add_image(in, value, "/image", f);
    }
    if (strcmp(key, "images") == 0 && !is_store) {
        return add_images(in, value, f);
    }
    if (!input_param_json(in, key, value, &is_known, f)) {
        return false;
    }
    return is_known || input_fail(f, FAULT_BAD_REQUEST, key, "unknown key \"%.64s\"", key);
}

bool input_json(struct input *in, struct input_fault *f)
{
    json_error_t e;
    const char *key;
    json_t *value;
    in->root = json_loadb(in->body.n ? in->body.bytes : "", in->body.n, JSON_REJECT_DUPLICATES, &e);
    if (!in->root) {
        return input_fail(f, FAULT_BAD_REQUEST, NULL, "the body is not JSON: %.160s (line %d, column %d)", e.text,
                          e.line, e.column);
    }
    if (!json_is_object(in->root)) {
        return input_fail(f, FAULT_BAD_REQUEST, NULL, "the body must be a JSON object");
    }
    bool is_rerank = in->route == INPUT_RETRIEVE && json_object_get(in->root, "documents");
    if (is_rerank && !take_rerank(in, f)) {
        return false;
    }
    json_object_foreach(in->root, key, value)
    {
        if (!(is_rerank && is_rerank_key(key)) && !take_key(in, key, value, f)) {
            return false;
        }
    }
    buf_release(&in->body); /* everything points into root or the decoded images */
    return true;
}
