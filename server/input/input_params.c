#include "server/input/input.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_INT, KIND_REAL, KIND_BOOL, KIND_TEXT, KIND_COLLECTION, KIND_TIMEOUT, KIND_EXPLAIN };

struct param {
    const char *name;
    enum kind kind;
    int routes;
    size_t at;
    double least, most;
};

enum { ANSWERS = INPUT_CAPTION | INPUT_VQA | INPUT_RETRIEVE, ALL = ANSWERS | INPUT_CHECK | INPUT_STORE };

static const struct param params[] = {
    {"num_beams", KIND_INT, INPUT_CAPTION, offsetof(struct input, num_beams), 1, 10},
    {"num_captions", KIND_INT, INPUT_CAPTION, offsetof(struct input, num_captions), 1, JOB_MAX_CAPTIONS},
    {"max_tokens", KIND_INT, INPUT_CAPTION, offsetof(struct input, max_tokens), 1, JOB_MAX_TOKENS},
    {"length_penalty", KIND_REAL, INPUT_CAPTION, offsetof(struct input, length_penalty), -5, 5},
    {"stream", KIND_BOOL, INPUT_CAPTION, offsetof(struct input, stream), 0, 1},
    {"top_k", KIND_INT, INPUT_VQA, offsetof(struct input, top_k), 1, JOB_MAX_TOP_K},
    {"top_k", KIND_INT, INPUT_RETRIEVE, offsetof(struct input, top_k), 1, INT_MAX},
    {"regions", KIND_BOOL, ANSWERS, offsetof(struct input, regions), 0, 1},
    {"explain", KIND_EXPLAIN, ANSWERS, offsetof(struct input, explain), 0, 1},
    {"tolerate_truncated", KIND_BOOL, ALL, offsetof(struct input, tolerate_truncated), 0, 1},
    {"timeout_ms", KIND_TIMEOUT, ALL, 0, 1, 1e12},
    {"question", KIND_TEXT, INPUT_VQA, 0, 0, 0},
    {"questions", KIND_TEXT, INPUT_VQA, 1, 0, 0},
    {"text", KIND_TEXT, INPUT_RETRIEVE, 0, 0, 0},
    {"texts", KIND_TEXT, INPUT_RETRIEVE, 1, 0, 0},
    {"collection", KIND_COLLECTION, INPUT_RETRIEVE, 0, 0, 0},
};

static const struct param *find(enum input_route route, const char *name)
{
    for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        if ((params[i].routes & (int)route) && strcmp(params[i].name, name) == 0) {
            return &params[i];
        }
    }
    return NULL;
}

static bool out_of_range(const struct param *p, struct input_fault *f)
{
    if (p->most >= INT_MAX) {
        return input_fail(f, FAULT_BAD_REQUEST, p->name, "%s must be a whole number of at least %g", p->name, p->least);
    }
    return input_fail(f, FAULT_BAD_REQUEST, p->name, "%s must be a%s number from %g to %g", p->name,
                      p->kind == KIND_REAL ? "" : " whole", p->least, p->most);
}

static void *place(struct input *in, const struct param *p)
{
    return (char *)in + p->at;
}

static bool set_number(struct input *in, const struct param *p, double value, struct input_fault *f)
{
    if (!(value >= p->least && value <= p->most) || (p->kind != KIND_REAL && value != floor(value))) {
        return out_of_range(p, f);
    }
    if (p->kind == KIND_INT) {
        *(int *)place(in, p) = (int)value;
    } else if (p->kind == KIND_REAL) {
        *(float *)place(in, p) = (float)value;
    } else {
        in->timeout_ms = (uint64_t)value;
    }
    return true;
}

static bool set_bool(struct input *in, const struct param *p, bool value)
{
    *(bool *)place(in, p) = value;
    return true;
}

/* true, false, "attention" (which true means) or "occlusion". */
static bool set_explain(struct input *in, const char *value, struct input_fault *f)
{
    in->occlusion = strcmp(value, "occlusion") == 0;
    in->explain = strcmp(value, "true") == 0 || strcmp(value, "1") == 0 || strcmp(value, "attention") == 0;
    return in->occlusion || in->explain || strcmp(value, "false") == 0 || strcmp(value, "0") == 0 ||
           input_fail(f, FAULT_BAD_REQUEST, "explain", "explain must be true, false, attention or occlusion");
}

static bool set_text(struct input *in, const struct param *p, const char *text, size_t n, struct input_fault *f)
{
    if (p->kind == KIND_COLLECTION) {
        if (n == 0 || strlen(text) != n) {
            return input_fail(f, FAULT_BAD_REQUEST, p->name, "collection must be the name of a collection");
        }
        in->collection = text;
        return true;
    }
    in->has_text_list |= p->at == 1;
    return input_add_text(in, p->name, text, n, f);
}

bool input_param_text(struct input *in, const char *name, const char *value, size_t n, struct input_fault *f)
{
    const struct param *p = find(in->route, name);
    char *end;
    if (!p) {
        return input_fail(f, FAULT_BAD_REQUEST, name, "unknown parameter \"%.64s\"", name);
    }
    if (p->kind == KIND_TEXT || p->kind == KIND_COLLECTION) {
        return set_text(in, p, value, n, f);
    }
    if (strlen(value) != n) {
        return input_fail(f, FAULT_BAD_REQUEST, name, "%s has a NUL byte", name);
    }
    if (p->kind == KIND_EXPLAIN) {
        return set_explain(in, value, f);
    }
    if (p->kind == KIND_BOOL) {
        bool is_true = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
        if (!is_true && strcmp(value, "false") != 0 && strcmp(value, "0") != 0) {
            return input_fail(f, FAULT_BAD_REQUEST, name, "%s must be true or false", name);
        }
        return set_bool(in, p, is_true);
    }
    double number = strtod(value, &end);
    bool is_number = n > 0 && n < 32 && strspn(value, "+-0123456789.eE") == n && !*end;
    return is_number ? set_number(in, p, number, f) : out_of_range(p, f);
}

static bool texts_from_json(struct input *in, const struct param *p, const json_t *value, struct input_fault *f)
{
    char where[96];
    if (json_is_string(value)) {
        return set_text(in, p, json_string_value(value), json_string_length(value), f);
    }
    if (!json_is_array(value) || p->at != 1) {
        return input_fail(f, FAULT_BAD_REQUEST, p->name, "%s must be a string%s", p->name,
                          p->at == 1 ? " or a list of strings" : "");
    }
    in->has_text_list = true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *text = json_array_get(value, i);
        snprintf(where, sizeof(where), "/%s/%zu", p->name, i);
        if (!json_is_string(text)) {
            return input_fail(f, FAULT_BAD_REQUEST, where, "%s must be a string", where);
        }
        if (!input_add_text(in, where, json_string_value(text), json_string_length(text), f)) {
            return false;
        }
    }
    return true;
}

bool input_param_json(struct input *in, const char *name, const json_t *value, bool *is_known, struct input_fault *f)
{
    const struct param *p = find(in->route, name);
    *is_known = p != NULL;
    if (!p) {
        return true;
    }
    switch (p->kind) {
    case KIND_TEXT:
        return texts_from_json(in, p, value, f);
    case KIND_COLLECTION:
        if (!json_is_string(value)) {
            return input_fail(f, FAULT_BAD_REQUEST, name, "%s must be a string", name);
        }
        return set_text(in, p, json_string_value(value), json_string_length(value), f);
    case KIND_EXPLAIN:
        return set_explain(in,
                           json_is_string(value)  ? json_string_value(value)
                           : json_is_true(value)  ? "true"
                           : json_is_false(value) ? "false"
                                                  : "",
                           f);
    case KIND_BOOL:
        return json_is_boolean(value) ? set_bool(in, p, json_is_true(value))
                                      : input_fail(f, FAULT_BAD_REQUEST, name, "%s must be true or false", name);
    default:
        return json_is_number(value) ? set_number(in, p, json_number_value(value), f) : out_of_range(p, f);
    }
}
