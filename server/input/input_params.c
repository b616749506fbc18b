#include "server/input/input_private.h"

#include "engine/base/mem.h"
#include "server/http/value.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind { KIND_INT, KIND_REAL, KIND_BOOL, KIND_TEXT, KIND_COLLECTION, KIND_TIMEOUT, KIND_EXPLAIN };
enum { NUMBER_MAX = 32, QUOTED_MAX = 32, COLLECTION_MAX = 1024, INDEX_DIGITS = 5 };

struct param {
    const char *name;
    enum kind kind;
    int routes;
    size_t at; /* texts: 1 for the name of a list */
    double min, max;
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
    {"truncate", KIND_BOOL, INPUT_VQA | INPUT_RETRIEVE, offsetof(struct input, truncate), 0, 1},
    {"timeout_ms", KIND_TIMEOUT, ALL, 0, 1, EXCHANGE_MAX_TIMEOUT_MS},
    {"question", KIND_TEXT, INPUT_VQA, 0, 0, 0},
    {"questions", KIND_TEXT, INPUT_VQA, 1, 0, 0},
    {"text", KIND_TEXT, INPUT_RETRIEVE, 0, 0, 0},
    {"texts", KIND_TEXT, INPUT_RETRIEVE, 1, 0, 0},
    {"collection", KIND_COLLECTION, INPUT_RETRIEVE, 0, 0, 0},
};
_Static_assert(sizeof(params) / sizeof(params[0]) == INPUT_N_PARAMS, "INPUT_N_PARAMS is the number of rows");

/* Of reranking alone, where they are keys of the JSON object. */
static const struct param top_n = {"top_n", KIND_INT, INPUT_RETRIEVE, offsetof(struct input, top_k), 1, 65536};
static const struct param return_documents = {
    "return_documents", KIND_BOOL, INPUT_RETRIEVE, offsetof(struct input, return_documents), 0, 1};
/* Of Hugging Face's object-detection. */
static const struct param threshold = {"threshold", KIND_REAL, INPUT_CAPTION, offsetof(struct input, wish.threshold),
                                       0,           1};

static const struct param *find(enum input_route route, const char *name, size_t n)
{
    for (size_t i = 0; i < INPUT_N_PARAMS; i++) {
        if ((params[i].routes & (int)route) && strlen(params[i].name) == n && memcmp(params[i].name, name, n) == 0) {
            return &params[i];
        }
    }
    return NULL;
}

/* ---- values ---- */

struct quoted {
    char text[QUOTED_MAX + 8];
};

/* `, not "yes"`: what stood there, cut; nothing when it was not a text. */
static struct quoted quote(const char *value, size_t n)
{
    struct quoted q = {""};
    if (value && n > 0 && !memchr(value, '\0', n)) {
        int shown = n > QUOTED_MAX - 8 ? QUOTED_MAX - 8 : (int)n;
        snprintf(q.text, sizeof(q.text), ", not \"%.*s%s\"", shown, value, (size_t)shown < n ? "..." : "");
    }
    return q;
}

static bool out_of_range(const struct param *p, const char *value, size_t n, struct input_fault *f)
{
    struct quoted given = quote(value, n);
    if (p->max >= INT_MAX && p->kind == KIND_INT) {
        return input_fail(f, FAULT_BAD_REQUEST, p->name, "%s must be a whole number of at least %.15g%s", p->name,
                          p->min, given.text);
    }
    return input_fail(f, FAULT_BAD_REQUEST, p->name, "%s must be a%s number from %.15g to %.15g%s", p->name,
                      p->kind == KIND_REAL ? "" : " whole", p->min, p->max, given.text);
}

static void *place(struct input *in, const struct param *p)
{
    return (char *)in + p->at;
}

static bool set_number(struct input_parser *ip, const struct param *p, const char *value, size_t n)
{
    double number;
    if (!value_number(value, n, &number) || !(number >= p->min && number <= p->max) ||
        (p->kind != KIND_REAL && number != floor(number))) {
        return out_of_range(p, value, n, ip->fault);
    }
    if (p->kind == KIND_INT) {
        *(int *)place(ip->in, p) = (int)number;
    } else if (p->kind == KIND_REAL) {
        *(float *)place(ip->in, p) = (float)number;
    } else {
        ip->in->timeout_ms = (uint64_t)number;
    }
    return true;
}

static bool is_word(const char *value, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp(value, word, n) == 0;
}

static bool set_bool(struct input_parser *ip, const struct param *p, const char *value, size_t n)
{
    bool is_true;
    if (!value_bool(value, n, &is_true)) {
        return input_fail(ip->fault, FAULT_BAD_REQUEST, p->name, "%s must be true or false%s", p->name,
                          quote(value, n).text);
    }
    *(bool *)place(ip->in, p) = is_true;
    return true;
}

/* true, false, "attention" (which true means) or "occlusion". */
static bool set_explain(struct input_parser *ip, const char *value, size_t n)
{
    bool is_true = false;
    if (!is_word(value, n, "occlusion") && !is_word(value, n, "attention") && !value_bool(value, n, &is_true)) {
        return input_fail(ip->fault, FAULT_BAD_REQUEST, "explain",
                          "explain must be true, false, attention or occlusion%s", quote(value, n).text);
    }
    ip->in->occlusion = is_word(value, n, "occlusion");
    ip->in->explain = is_true || is_word(value, n, "attention");
    return true;
}

static bool set_collection(struct input_parser *ip, const char *text, size_t n)
{
    struct input *in = ip->in;
    char *copy;
    if (n == 0 || n > COLLECTION_MAX || memchr(text, '\0', n)) {
        return input_fail(ip->fault, FAULT_BAD_REQUEST, "collection", "collection must be the name of a collection");
    }
    if (!input_alloc(in, &copy, n + 1, ip->fault)) {
        return false;
    }
    memcpy(copy, text, n);
    mem_free((void *)(uintptr_t)in->collection); /* the last one counts */
    in->collection = copy;
    return true;
}

static bool set_scalar(struct input_parser *ip, const struct param *p, const char *value, size_t n)
{
    value = value_trim(value, &n);
    switch (p->kind) {
    case KIND_COLLECTION:
        return set_collection(ip, value, n);
    case KIND_EXPLAIN:
        return set_explain(ip, value, n);
    case KIND_BOOL:
        return set_bool(ip, p, value, n);
    default:
        return set_number(ip, p, value, n);
    }
}

/* ---- query strings and forms ---- */

bool input_param_place(const char *name, size_t *n_name, int *index)
{
    size_t n = strlen(name), at = strcspn(name, "[."), n_end = name[at] == '[';
    *n_name = n;
    *index = INPUT_NO_INDEX;
    if (at == 0 || n < at + 2 || (n_end && name[n - 1] != ']')) {
        return false;
    }
    size_t n_digits = n - at - 1 - n_end;
    if (strspn(name + at + 1, "0123456789") != n_digits || n_digits > INDEX_DIGITS) {
        return false;
    }
    *n_name = at;
    *index = n_digits ? (int)strtol(name + at + 1, NULL, 10) : INPUT_NO_INDEX;
    return true;
}

/* A list that was written as one text, as JSON or as Python prints it: ["a", "b"]. No sentence looks so. */
static bool is_written_list(const char *text, size_t n)
{
    while (n > 0 && memchr(" \t\r\n", text[n - 1], 4)) {
        n--;
    }
    size_t first = n ? 1 + strspn(text + 1, " \t\r\n") : 0;
    return n > 1 && text[0] == '[' && text[n - 1] == ']' &&
           (first + 1 == n || text[first] == '"' || text[first] == '\'');
}

static bool add_text(struct input_parser *ip, const struct param *p, const char *where, const char *text, size_t n,
                     int index)
{
    return is_written_list(text, n)
               ? input_fail(ip->fault, FAULT_BAD_REQUEST, where,
                            "%s is a list written as one text: give each text as %s=... of its own, or a list in JSON",
                            where, p->name)
               : input_add_indexed_text(ip, where, text, n, index);
}

bool input_unknown(struct input_parser *ip, const char *name)
{
    char known[256] = "image, images";
    size_t n = strcspn(name, "[."), at = strlen(known);
    const struct param *p = find(ip->in->route, name, n);
    bool is_image = (n == 5 || n == 6) && strncmp(name, "images", n) == 0;
    if (name[n] && (is_image || (p && p->kind == KIND_TEXT))) {
        return input_fail(
            ip->fault, FAULT_BAD_REQUEST, name,
            "unknown parameter \"%.64s\": write a list as %.*s, %.*s[] or %.*s[0], %.*s[1], in JSON as [...]", name,
            (int)n, name, (int)n, name, (int)n, name, (int)n, name);
    }
    for (size_t i = 0; i < INPUT_N_PARAMS && at < sizeof(known); i++) {
        if (params[i].routes & (int)ip->in->route) {
            at += (size_t)snprintf(known + at, sizeof(known) - at, ", %s", params[i].name);
        }
    }
    return input_fail(ip->fault, FAULT_BAD_REQUEST, name, "unknown parameter \"%.64s\"; there are %s", name, known);
}

bool input_param_text(struct input_parser *ip, const char *name, const char *value, size_t n)
{
    size_t n_name;
    int index;
    bool has_place = input_param_place(name, &n_name, &index);
    const struct param *p = find(ip->in->route, name, n_name);
    if (!p || (has_place && p->kind != KIND_TEXT)) {
        return input_unknown(ip, name);
    }
    int row = (int)(p - params);
    if (!value) {
        return input_fail(ip->fault, FAULT_BAD_REQUEST, name, "%s has no value; write %s=...", name, name);
    }
    ip->n_given[row]++;
    if (n == 0) { /* an empty field of a form: not given; input_param_ends sees whether that can be meant */
        ip->n_empty[row]++;
        return true;
    }
    if (p->kind == KIND_TEXT) {
        ip->in->has_text_list |= p->at == 1 || has_place;
        return add_text(ip, p, name, value, n, index);
    }
    return set_scalar(ip, p, value, n);
}

/* One empty field alone is a field that nobody filled in. Among other texts it would move them to other places. */
bool input_param_ends(struct input_parser *ip)
{
    for (int i = 0; i < INPUT_N_PARAMS; i++) {
        if (params[i].kind == KIND_TEXT && ip->n_empty[i] > 0 && ip->n_given[i] > 1) {
            return input_fail(ip->fault, FAULT_BAD_REQUEST, params[i].name,
                              "%s is given %d times and empty once or more: fill it in or leave it out", params[i].name,
                              ip->n_given[i]);
        }
    }
    return true;
}

/* ---- JSON ---- */

static bool texts_from_json(struct input_parser *ip, const struct param *p, int value)
{
    char where[96];
    size_t n;
    const struct json_tree *t = &ip->tree;
    if (json_tree_kind(t, value) == JSON_TREE_STRING) {
        const char *text = json_tree_text(&ip->tree, value, &n);
        ip->in->has_text_list |= p->at == 1;
        return add_text(ip, p, p->name, text, n, INPUT_NO_INDEX);
    }
    if (json_tree_kind(t, value) != JSON_TREE_ARRAY || p->at != 1) {
        return input_fail(ip->fault, FAULT_BAD_REQUEST, p->name, "%s must be a string%s", p->name,
                          p->at == 1                             ? " or a list of strings"
                          : ip->in->dialect == INPUT_HUGGINGFACE ? ": ask each in a request of its own"
                                                                 : "; put a list into the plural");
    }
    ip->in->has_text_list = true;
    for (int i = 0, at = value + 1; i < t->values[value].count; i++, at = t->values[at].next) {
        snprintf(where, sizeof(where), "/%s/%d", p->name, i);
        if (json_tree_kind(t, at) != JSON_TREE_STRING) {
            return input_fail(ip->fault, FAULT_BAD_REQUEST, where, "%s must be a string", where);
        }
        const char *text = json_tree_text(&ip->tree, at, &n);
        if (!input_add_indexed_text(ip, where, text, n, INPUT_NO_INDEX)) {
            return false;
        }
    }
    return true;
}

/* Numbers and true, false may stand in quotes, and an empty text for nothing, as programs that build JSON from forms
 * send them; 1 and 0 are truth values as there. */
static bool scalar_from_json(struct input_parser *ip, const struct param *p, int value)
{
    size_t n = 0;
    enum json_tree_kind kind = json_tree_kind(&ip->tree, value);
    bool is_text = kind == JSON_TREE_STRING, is_number = kind == JSON_TREE_NUMBER;
    bool is_flag = kind == JSON_TREE_TRUE || kind == JSON_TREE_FALSE;
    bool fits = p->kind == KIND_COLLECTION                        ? is_text
                : p->kind == KIND_BOOL || p->kind == KIND_EXPLAIN ? is_text || is_flag || is_number
                                                                  : is_text || is_number;
    if (fits) {
        const char *text = is_flag ? (kind == JSON_TREE_TRUE ? "true" : "false") : json_tree_text(&ip->tree, value, &n);
        n = is_flag ? strlen(text) : n;
        return n == 0 || set_scalar(ip, p, text, n);
    }
    return p->kind == KIND_COLLECTION
               ? input_fail(ip->fault, FAULT_BAD_REQUEST, p->name, "%s must be a string", p->name)
               : set_scalar(ip, p, "", 0); /* says what it must be */
}

bool input_param_json(struct input_parser *ip, const char *name, int value, bool *is_known)
{
    const struct param *p = find(ip->in->route, name, strlen(name));
    if (ip->in->is_rerank && strcmp(name, top_n.name) == 0) {
        p = &top_n;
    } else if (ip->in->is_rerank && strcmp(name, return_documents.name) == 0) {
        p = &return_documents;
    } else if (ip->in->dialect == INPUT_HUGGINGFACE && ip->in->route == INPUT_CAPTION &&
               strcmp(name, threshold.name) == 0) {
        p = &threshold;
    }
    *is_known = p != NULL;
    if (!p || json_tree_kind(&ip->tree, value) == JSON_TREE_NULL) { /* null: not given */
        return true;
    }
    return p->kind == KIND_TEXT ? texts_from_json(ip, p, value) : scalar_from_json(ip, p, value);
}

bool input_param_max_tokens(struct input_parser *ip, const char *name, int value)
{
    char number[NUMBER_MAX], *end = number;
    size_t n = 0;
    const char *text = json_tree_kind(&ip->tree, value) == JSON_TREE_NUMBER ? json_tree_text(&ip->tree, value, &n) : "";
    snprintf(number, sizeof(number), "%.*s", (int)n, text);
    double max = strtod(number, &end);
    if (n == 0 || n >= sizeof(number) || *end || !(max >= 1 && max == floor(max))) {
        return input_fail(ip->fault, FAULT_BAD_REQUEST, name, "%s must be a whole number of at least 1", name);
    }
    ip->in->max_tokens = max < JOB_MAX_TOKENS ? (int)max : JOB_MAX_TOKENS;
    return true;
}
