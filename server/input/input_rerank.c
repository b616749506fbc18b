/* {"query", "documents", "top_n", "return_documents"}: the shape of rerank APIs, as a body of /retrieve (its parameters
 * are set already) and of /rerank, where it may be TEI's too: {"query", "texts", "return_text"}. There clients have
 * strings only: a data URI is a picture. */
#include "server/input/input_private.h"

#include "engine/base/words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { NUMBER_MAX = 64 };

/* ---- documents that come back ---- */

/* One value of the tree; what is in it is added by the caller. Texts within *left, which counts down. */
static json_t *plain_value(struct input_parser *p, int value, size_t *left)
{
    char number[NUMBER_MAX];
    size_t n = 0;
    const char *text = "";
    enum json_tree_kind kind = json_tree_kind(&p->tree, value);
    if (kind == JSON_TREE_STRING || kind == JSON_TREE_NUMBER) {
        text = json_tree_text(&p->tree, value, &n);
    }
    if (n > *left || (kind == JSON_TREE_NUMBER && n >= sizeof(number))) {
        *left = 0;
        return NULL;
    }
    *left -= n;
    p->in->_held_bytes += n + INPUT_JSON_BYTES;
    switch (kind) {
    case JSON_TREE_OBJECT:
        return json_object();
    case JSON_TREE_ARRAY:
        return json_array();
    case JSON_TREE_STRING:
        return json_stringn_nocheck(text, n);
    case JSON_TREE_NUMBER:
        snprintf(number, sizeof(number), "%.*s", (int)n, text);
        return json_loads(number, JSON_DECODE_ANY, NULL); /* NULL: beyond what a number can be */
    case JSON_TREE_NULL:
        return json_null();
    default:
        return json_boolean(kind == JSON_TREE_TRUE);
    }
}

/* Copies the value and all that is in it, but for the member `without`. NULL: too long, or no memory. */
static json_t *copy_value(struct input_parser *p, int value, int without, size_t *left)
{
    const struct json_tree_value *v = p->tree.values;
    json_t *open[JSON_TREE_DEPTH + 1];
    int ends[JSON_TREE_DEPTH + 1], depth = 0;
    json_t *root = plain_value(p, value, left);
    open[0] = root;
    ends[0] = v[value].next;
    for (int at = value + 1; root && at < v[value].next;) {
        while (at == ends[depth]) {
            depth--;
        }
        bool is_member = json_is_object(open[depth]);
        int child = at + is_member;
        size_t n = 0;
        const char *key = is_member ? json_tree_text(&p->tree, at, &n) : NULL;
        at = child == without ? v[child].next : child + 1;
        if (child == without) {
            continue;
        }
        json_t *copy = n > *left ? NULL : plain_value(p, child, left);
        *left -= n > *left ? *left : n;
        if (!copy || (is_member ? json_object_setn_new_nocheck(open[depth], key, n, copy)
                                : json_array_append_new(open[depth], copy))) {
            json_decref(root);
            return NULL;
        }
        if (json_is_object(copy) || json_is_array(copy)) {
            open[++depth] = copy;
            ends[depth] = v[child].next;
        }
    }
    return root;
}

static bool keep_document(struct input_parser *p, int document, int image, size_t *left)
{
    json_t *copy = image == document ? json_object() : copy_value(p, document, image, left);
    if (copy && json_is_string(copy)) {
        copy = json_pack("{s:o}", "text", copy);
    }
    if (!copy || json_array_append_new(p->in->documents, copy)) {
        return input_fail(p->fault, FAULT_TEXT_TOO_LONG, "return_documents",
                          "the documents cannot be returned: their texts and further keys have more than %zu bytes, "
                          "or a number is out of range; leave return_documents out",
                          input_max_echo(&p->in->limits));
    }
    return true;
}

/* ---- query and documents ---- */

static bool add_text(struct input_parser *p, const char *where, int value)
{
    size_t n;
    const char *text = json_tree_text(&p->tree, value, &n);
    return input_add_indexed_text(p, where, text, n, INPUT_NO_INDEX);
}

static bool is_picture(struct input_parser *p, int value)
{
    size_t n = 0;
    bool is_text = json_tree_kind(&p->tree, value) == JSON_TREE_STRING;
    const char *text = is_text ? json_tree_text(&p->tree, value, &n) : "";
    return p->in->dialect == INPUT_RERANK && n > 11 && strncasecmp(text, "data:image/", 11) == 0;
}

static bool add_query(struct input_parser *p, int query)
{
    const struct json_tree *t = &p->tree;
    int text = json_tree_find(t, query, "text"), image = json_tree_find(t, query, "image");
    if (is_picture(p, query)) {
        return input_json_image(p, query, "/query");
    }
    if (json_tree_kind(t, query) == JSON_TREE_STRING) {
        return add_text(p, "query", query);
    }
    if (text >= 0 && t->values[query].count == 1 && json_tree_kind(t, text) == JSON_TREE_STRING) {
        return add_text(p, "query", text);
    }
    if (image >= 0 && t->values[query].count == 1) {
        return input_json_image(p, image, "/query/image");
    }
    return input_fail(p->fault, FAULT_BAD_REQUEST, "query",
                      "query must be a string, {\"text\": ...} or {\"image\": ...}");
}

static int member(const struct json_tree *t, int object, const char *key)
{
    int value = json_tree_find(t, object, key);
    return value >= 0 && json_tree_kind(t, value) == JSON_TREE_NULL ? -1 : value;
}

static const char *list_name(const struct input *in)
{
    return in->wish.is_bare ? "texts" : "documents";
}

static bool add_document(struct input_parser *p, int i, int document, size_t *left)
{
    char where[48];
    struct input *in = p->in;
    const struct json_tree *t = &p->tree;
    bool is_image = is_picture(p, document), is_text = !is_image && json_tree_kind(t, document) == JSON_TREE_STRING;
    int text = is_text ? document : member(t, document, "text");
    int image = is_image ? document : member(t, document, "image");
    snprintf(where, sizeof(where), "/%s/%d", list_name(in), i);
    if ((text < 0) == (image < 0) || (text >= 0 && json_tree_kind(t, text) != JSON_TREE_STRING)) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                          "%s must be a string, {\"text\": ...} or {\"image\": ...}", where);
    }
    if (i > 0 && in->has_image_documents != (image >= 0)) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "documents must be all texts or all images");
    }
    in->has_image_documents = image >= 0;
    bool is_added = image >= 0 ? input_json_image(p, image, where) : add_text(p, where, text);
    return is_added && (!in->return_documents || keep_document(p, document, image, left));
}

/* A single picture that cannot be read is the answer, but of the documents only one of several fails: the query's
 * picture is needed by all of them. */
static bool check_query(const struct input_parser *p, int n_images)
{
    const struct input *in = p->in;
    if (in->n_images > n_images && in->images[n_images].fault) {
        *p->fault = *in->images[n_images].fault;
        return false;
    }
    return true;
}

/* Somebody takes the address of a picture for the picture. */
static bool has_address(const struct input *in)
{
    for (int i = 0; i < in->n_texts; i++) {
        if (strncasecmp(in->texts[i], "http://", 7) == 0 || strncasecmp(in->texts[i], "https://", 8) == 0) {
            return true;
        }
    }
    return false;
}

bool input_rerank(struct input_parser *p)
{
    struct input *in = p->in;
    const struct json_tree_value *v = p->tree.values;
    int query = member(&p->tree, 0, "query"), documents = json_tree_find(&p->tree, 0, list_name(in));
    size_t left = input_max_echo(&in->limits);
    if (query < 0 || json_tree_kind(&p->tree, documents) != JSON_TREE_ARRAY || v[documents].count == 0) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, query >= 0 ? list_name(in) : "query",
                          "reranking needs query and %s, a list that is not empty", list_name(in));
    }
    if (in->return_documents) {
        in->documents = json_array();
        if (!in->documents) {
            return input_out_of_memory(p->fault);
        }
    }
    in->n_documents = v[documents].count;
    for (int i = 0, at = documents + 1; i < in->n_documents; i++, at = v[at].next) {
        if (!add_document(p, i, at, &left)) {
            return false;
        }
    }
    int n_images = in->n_images, n_texts = in->n_texts;
    if (!add_query(p, query) || !check_query(p, n_images)) {
        return false;
    }
    if (in->has_image_documents ? in->n_images > n_images : in->n_texts > n_texts) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "query",
                          "a text ranks images and an image ranks texts; query and documents are both %s%s",
                          in->has_image_documents ? "images" : "texts",
                          !in->has_image_documents && has_address(in)
                              ? ": addresses are not fetched, send {\"image\": \"data:image/jpeg;base64,...\"}"
                              : "");
    }
    return true;
}

/* ---- POST /rerank ---- */

/* Lengths of texts and places in queues, which other rerankers have. */
static const char ignored[] = "query documents texts model max_tokens_per_doc max_chunks_per_doc priority user";

/* Texts are cut at their end. truncate: true, false (TEI), "END", "NONE" (Cohere); truncation_direction: "Right"
 * (TEI). */
static bool read_truncation(struct input_parser *p, const char *key, int value)
{
    bool is_known, is_text = json_tree_kind(&p->tree, value) == JSON_TREE_STRING;
    if (is_text && (input_json_is(p, value, "START") || input_json_is(p, value, "Left"))) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, key, "%s: texts can be cut at their end only", key);
    }
    if (strcmp(key, "truncate") != 0 || (is_text && input_json_is(p, value, "END"))) {
        return true;
    }
    if (is_text && input_json_is(p, value, "NONE")) {
        p->in->truncate = false;
        return true;
    }
    return input_param_json(p, key, value, &is_known);
}

static bool read_key(struct input_parser *p, const char *key, int value)
{
    bool is_known = false;
    if (words_have(ignored, key) || json_tree_kind(&p->tree, value) == JSON_TREE_NULL) {
        return true;
    }
    if (words_have("raw_scores rank_fields", key)) {
        return input_json_is_off(p, value) ||
               input_fail(p->fault, FAULT_BAD_REQUEST, key, "%s is not served: leave it out", key);
    }
    if (words_have("truncate truncation_direction", key)) {
        return read_truncation(p, key, value);
    }
    bool is_text = strcmp(key, "return_text") == 0;
    if ((is_text || words_have("top_n return_documents timeout_ms tolerate_truncated", key)) &&
        !input_param_json(p, is_text ? "return_documents" : key, value, &is_known)) {
        return false;
    }
    return is_known || input_json_unknown(p, key, "query documents texts top_n return_documents truncate timeout_ms");
}

bool input_rerank_body(struct input_parser *p)
{
    if (!input_json_parse(p, p->in->body.n)) {
        return false;
    }
    int documents = json_tree_find(&p->tree, 0, "documents"), texts = json_tree_find(&p->tree, 0, "texts");
    if (documents >= 0 && texts >= 0) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "texts", "documents and texts are the same thing: send one");
    }
    p->in->is_rerank = true;
    p->in->wish.is_bare = texts >= 0;
    if (!input_json_each(p, 0, read_key)) {
        return false;
    }
    return input_rerank(p);
}
