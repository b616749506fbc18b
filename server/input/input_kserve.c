/* The Open Inference Protocol, version 2: {"id", "inputs", "outputs", "parameters"}, and the tensors as bytes behind
 * the JSON that tritonclient sends. The route says which model it is and so which tensors there are: `image` of all,
 * and `question` (vqa) or `text` (retrieve), each BYTES. An image is base64 in JSON, or bytes after it. */
#include "server/input/input_private.h"

#include "engine/base/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_US 1000000000000000LL

enum { WHERE_MAX = 64, DIGITS_MAX = 15 };

/* What follows the JSON and has not been read. */
struct rest {
    const uint8_t *bytes;
    size_t n;
};

struct tensor {
    const char *where; /* "/inputs/0" */
    bool is_image;
    long long n_elements; /* as the shape says */
};

static bool read_count(struct input_parser *p, int value, long long *out)
{
    char number[DIGITS_MAX + 1];
    size_t n = 0;
    const char *text = json_tree_kind(&p->tree, value) == JSON_TREE_NUMBER ? json_tree_text(&p->tree, value, &n) : "";
    if (n < 1 || n > DIGITS_MAX) {
        return false;
    }
    snprintf(number, sizeof(number), "%.*s", (int)n, text);
    *out = strtoll(number, NULL, 10);
    return strspn(number, "0123456789") == n;
}

static int find(struct input_parser *p, int object, const char *key)
{
    return json_tree_find(&p->tree, object, key);
}

static bool check_keys(struct input_parser *p, int object, const char *where, const char *known)
{
    if (json_tree_kind(&p->tree, object) != JSON_TREE_OBJECT) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s must be an object", where);
    }
    char name[INPUT_KEY_MAX];
    for (int at = -1; (at = input_json_next(p, object, at, name)) >= 0;) {
        if (!words_have(known, name)) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s: unknown key \"%.64s\"; there are: %s", where,
                              name, known);
        }
    }
    return true;
}

/* ---- tensors ---- */

static bool check_shape(struct input_parser *p, struct tensor *t, int shape)
{
    const struct json_tree_value *v = p->tree.values;
    t->n_elements = 1;
    bool is_good = shape >= 0 && json_tree_kind(&p->tree, shape) == JSON_TREE_ARRAY && v[shape].count > 0;
    for (int i = 0, at = shape + 1; is_good && i < v[shape].count; i++, at++) {
        long long n;
        is_good = read_count(p, at, &n) && n <= 1000000 && t->n_elements * n <= 1000000;
        t->n_elements *= is_good ? n : 0;
    }
    return is_good ||
           input_fail(p->fault, FAULT_BAD_REQUEST, t->where,
                      "%s/shape must be a list of whole numbers from 0 to 1000000, for one element [1]", t->where);
}

static bool read_bytes(struct input_parser *p, const struct tensor *t, struct rest *rest, int size)
{
    long long n_all;
    if (!read_count(p, size, &n_all) || (size_t)n_all > rest->n) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, t->where,
                          "%s/parameters/binary_data_size must be a whole number, at most the %zu bytes after the JSON",
                          t->where, rest->n);
    }
    const uint8_t *at = rest->bytes;
    size_t left = (size_t)n_all;
    for (long long i = 0; i < t->n_elements; i++) {
        size_t n = left < 4 ? SIZE_MAX : at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
        if (n == SIZE_MAX || n > left - 4) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, t->where,
                              "%s: element %lld of %lld is longer than its tensor: each must be prefixed by its "
                              "4-byte little-endian length",
                              t->where, i, t->n_elements);
        }
        const struct input_image image = {.bytes = at + 4, .n_bytes = n};
        if (t->is_image && n == 0) {
            return input_fail(p->fault, FAULT_UNSUPPORTED_IMAGE, t->where, "%s is empty: 0 bytes are no image",
                              t->where);
        }
        if (!(t->is_image ? input_add_image(p, t->where, &image, INPUT_NO_INDEX)
                          : input_add_indexed_text(p, t->where, (const char *)at + 4, n, INPUT_NO_INDEX))) {
            return false;
        }
        at += 4 + n;
        left -= 4 + n;
    }
    rest->bytes = at;
    rest->n -= (size_t)n_all;
    return left == 0 || input_fail(p->fault, FAULT_BAD_REQUEST, t->where,
                                   "%s: %zu bytes are left over after the %lld elements of its shape", t->where, left,
                                   t->n_elements);
}

static bool read_element(struct input_parser *p, const struct tensor *t, const char *where, int value)
{
    size_t n;
    if (json_tree_kind(&p->tree, value) != JSON_TREE_STRING) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s must be a string%s", where,
                          t->is_image ? ": the image as base64" : "");
    }
    if (t->is_image) {
        return input_json_image(p, value, where);
    }
    const char *text = json_tree_text(&p->tree, value, &n);
    return input_add_indexed_text(p, where, text, n, INPUT_NO_INDEX);
}

/* Elements in lists in lists, as the shape may have it. */
static bool read_data(struct input_parser *p, const struct tensor *t, int data)
{
    char where[WHERE_MAX];
    const struct json_tree_value *v = p->tree.values;
    long long n = 0;
    if (data < 0 || json_tree_kind(&p->tree, data) != JSON_TREE_ARRAY) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, t->where, "%s/data must be a list", t->where);
    }
    for (int at = data + 1; at < v[data].next; at++) {
        if (json_tree_kind(&p->tree, at) == JSON_TREE_ARRAY) {
            continue;
        }
        snprintf(where, sizeof(where), "%.32s/data/%lld", t->where, n++);
        if (!read_element(p, t, where, at)) {
            return false;
        }
    }
    return n == t->n_elements ||
           input_fail(p->fault, FAULT_BAD_REQUEST, t->where, "%s: data has %lld elements, and shape says %lld",
                      t->where, n, t->n_elements);
}

static const char *text_name(const struct input_parser *p)
{
    return p->in->route == INPUT_VQA ? "question" : p->in->route == INPUT_RETRIEVE ? "text" : NULL;
}

static bool read_input(struct input_parser *p, struct rest *rest, int i, int input)
{
    char where[WHERE_MAX];
    const char *text = text_name(p);
    snprintf(where, sizeof(where), "/inputs/%d", i);
    struct tensor t = {.where = where};
    if (!check_keys(p, input, where, "name shape datatype parameters data")) {
        return false;
    }
    int name = find(p, input, "name"), datatype = find(p, input, "datatype"), parameters = find(p, input, "parameters");
    int data = find(p, input, "data"), size = find(p, parameters, "binary_data_size");
    bool has_name = name >= 0 && json_tree_kind(&p->tree, name) == JSON_TREE_STRING;
    t.is_image = has_name && input_json_is(p, name, "image");
    if (!t.is_image && !(has_name && text && input_json_is(p, name, text))) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s/name must be \"image\"%s%s%s", where,
                          text ? " or \"" : "", text ? text : "", text ? "\"" : "");
    }
    if (t.is_image ? p->in->n_images > 0 : p->in->n_texts > 0) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s: this input name is used twice", where);
    }
    if (datatype < 0 || json_tree_kind(&p->tree, datatype) != JSON_TREE_STRING ||
        !input_json_is(p, datatype, "BYTES")) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s/datatype must be \"BYTES\"", where);
    }
    if ((parameters >= 0 && !check_keys(p, parameters, where, "binary_data_size")) ||
        !check_shape(p, &t, find(p, input, "shape"))) {
        return false;
    }
    if ((size >= 0) == (data >= 0)) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                          "%s needs data, or parameters/binary_data_size with the bytes after the JSON, not both",
                          where);
    }
    return size >= 0 ? read_bytes(p, &t, rest, size) : read_data(p, &t, data);
}

static bool read_inputs(struct input_parser *p, struct rest *rest)
{
    const struct json_tree_value *v = p->tree.values;
    int inputs = find(p, 0, "inputs");
    if (inputs < 0 || json_tree_kind(&p->tree, inputs) != JSON_TREE_ARRAY || v[inputs].count == 0) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "inputs", "inputs must be a list that is not empty");
    }
    for (int i = 0, at = inputs + 1; i < v[inputs].count; i++, at = v[at].next) {
        if (!read_input(p, rest, i, at)) {
            return false;
        }
    }
    return rest->n == 0 ||
           input_fail(p->fault, FAULT_BAD_REQUEST, "inputs", "%zu bytes after the JSON belong to no input", rest->n);
}

/* ---- outputs and parameters ---- */

static bool read_output(struct input_parser *p, int i, int output)
{
    char where[WHERE_MAX];
    struct input_wish *wish = &p->in->wish;
    const char *text = p->in->route == INPUT_CAPTION ? "caption" : p->in->route == INPUT_VQA ? "answer" : NULL;
    snprintf(where, sizeof(where), "/outputs/%d", i);
    if (!check_keys(p, output, where, "name parameters")) {
        return false;
    }
    int name = find(p, output, "name"), parameters = find(p, output, "parameters");
    int ranks = find(p, parameters, "classification");
    bool has_name = name >= 0 && json_tree_kind(&p->tree, name) == JSON_TREE_STRING;
    unsigned bit = has_name && input_json_is(p, name, "score")        ? INPUT_OUTPUT_SCORE
                   : has_name && text && input_json_is(p, name, text) ? INPUT_OUTPUT_TEXT
                                                                      : 0;
    if (!bit) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s/name must be %s%s%s\"score\"", where,
                          text ? "\"" : "", text ? text : "", text ? "\" or " : "");
    }
    if (ranks >= 0 && !input_json_is_off(p, ranks)) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                          "%s/parameters/classification is not served: leave it out", where);
    }
    wish->outputs |= bit;
    bool is_binary = wish->binary & bit;
    int binary = find(p, parameters, "binary_data");
    if (binary >= 0 && !input_json_bool(p, "binary_data", binary, &is_binary)) {
        return false;
    }
    wish->binary = is_binary ? wish->binary | bit : wish->binary & ~bit;
    return parameters < 0 || check_keys(p, parameters, where, "binary_data classification");
}

static bool read_outputs(struct input_parser *p)
{
    const struct json_tree_value *v = p->tree.values;
    int outputs = find(p, 0, "outputs");
    if (outputs < 0 || (json_tree_kind(&p->tree, outputs) == JSON_TREE_ARRAY && v[outputs].count == 0)) {
        p->in->wish.outputs = INPUT_OUTPUT_TEXT | INPUT_OUTPUT_SCORE;
        return true;
    }
    if (json_tree_kind(&p->tree, outputs) != JSON_TREE_ARRAY) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "outputs", "outputs must be a list");
    }
    for (int i = 0, at = outputs + 1; i < v[outputs].count; i++, at = v[at].next) {
        if (!read_output(p, i, at)) {
            return false;
        }
    }
    return true;
}

/* Triton's own (binary_data_output, priority, timeout in microseconds) and ours. */
static bool read_parameter(struct input_parser *p, const char *key, int value)
{
    bool is_known = false, is_binary;
    long long us;
    if (strcmp(key, "binary_data_output") == 0) {
        bool is_good = input_json_bool(p, key, value, &is_binary);
        p->in->wish.binary = is_binary ? INPUT_OUTPUT_TEXT | INPUT_OUTPUT_SCORE : 0;
        return is_good;
    }
    if (strcmp(key, "timeout") == 0) {
        if (!read_count(p, value, &us) || us == 0 || us > MAX_US) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, key, "timeout must be a whole number of microseconds");
        }
        p->in->timeout_ms = (uint64_t)(us + 999) / 1000;
        return true;
    }
    if (strcmp(key, "priority") == 0) {
        return true;
    }
    if (words_have("num_beams max_tokens length_penalty tolerate_truncated timeout_ms truncate", key) &&
        !input_param_json(p, key, value, &is_known)) {
        return false;
    }
    return is_known ||
           input_fail(p->fault, FAULT_BAD_REQUEST, key,
                      "unknown parameter \"%.64s\" of this model; there are: %s timeout_ms timeout priority "
                      "binary_data_output",
                      key,
                      p->in->route == INPUT_CAPTION ? "num_beams max_tokens length_penalty tolerate_truncated"
                                                    : "tolerate_truncated truncate");
}

static bool read_parameters(struct input_parser *p)
{
    int parameters = find(p, 0, "parameters");
    if (parameters < 0) {
        return true;
    }
    if (json_tree_kind(&p->tree, parameters) != JSON_TREE_OBJECT) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "parameters", "parameters must be an object");
    }
    return input_json_each(p, parameters, read_parameter);
}

static bool read_id(struct input_parser *p)
{
    size_t n;
    int id = find(p, 0, "id");
    if (id < 0) {
        return true;
    }
    const char *text = json_tree_kind(&p->tree, id) == JSON_TREE_STRING ? json_tree_text(&p->tree, id, &n) : NULL;
    if (!text || n >= INPUT_ID_BYTES) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "id", "id must be a string of at most %d bytes",
                          INPUT_ID_BYTES - 1);
    }
    if (!input_alloc(p->in, &p->in->wish.id, n + 1, p->fault)) {
        return false;
    }
    memcpy(p->in->wish.id, text, n);
    return true;
}

bool input_kserve(struct input_parser *p, const char *json_bytes)
{
    struct buf *b = &p->in->body;
    size_t n = b->n;
    if (json_bytes) {
        size_t digits = strspn(json_bytes, "0123456789");
        n = digits > 0 && digits <= DIGITS_MAX && !json_bytes[digits] ? (size_t)strtoull(json_bytes, NULL, 10)
                                                                      : SIZE_MAX;
        if (n > b->n) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, "Inference-Header-Content-Length",
                              "Inference-Header-Content-Length must be a number of bytes, at most the body's %zu",
                              b->n);
        }
    }
    struct rest rest = {(const uint8_t *)b->bytes + n, b->n - n};
    return input_json_parse(p, n) && check_keys(p, 0, "the request", "id inputs outputs parameters") && read_id(p) &&
           read_parameters(p) && read_inputs(p, &rest) && read_outputs(p);
}
