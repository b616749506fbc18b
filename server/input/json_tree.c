#include "server/input/json_tree.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "server/input/json_tree_explain.h"

#include <stdio.h>
#include <string.h>

/* What may come next. */
enum expect { EXPECT_VALUE, EXPECT_VALUE_OR_END, EXPECT_KEY, EXPECT_KEY_OR_END, EXPECT_COMMA_OR_END, EXPECT_NOTHING };

struct reader {
    struct json_tree *t;
    const char *text;
    size_t at, n;
    int max_values;
    int open[JSON_TREE_DEPTH]; /* containers that are not closed */
    int depth;
    enum expect expect;
    struct errbuf *e;
};

/* ---- errors ---- */

static enum err fail_at(struct reader *r, size_t at, const char *what)
{
    size_t line = 1;
    for (size_t i = 0; i < at; i++) {
        line += r->text[i] == '\n';
    }
    const char *newline = memrchr(r->text, '\n', at);
    size_t line_start = newline ? (size_t)(newline - r->text) + 1 : 0;
    return err_set(r->e, ERR_BAD_REQUEST, "%s (line %zu, column %zu)", what, line,
                   utf8_count(r->text + line_start, at - line_start) + 1);
}

static bool begins_with(const struct reader *r, const char *word)
{
    size_t n = strlen(word);
    return r->n - r->at >= n && memcmp(r->text + r->at, word, n) == 0;
}

/* What stands at r->at is not what was wanted. */
static enum err fail(struct reader *r, enum json_tree_wanted wanted)
{
    return fail_at(r, r->at, json_tree_explain(wanted, r->text, r->at, r->n));
}

static enum err fail_value(struct reader *r)
{
    return fail(r, r->t->n_values ? JSON_TREE_WANTED_VALUE : JSON_TREE_WANTED_FIRST);
}

/* ---- values ---- */

static enum err add(struct reader *r, enum json_tree_kind kind, size_t from, size_t n, int *out)
{
    struct json_tree *t = r->t;
    if (t->n_values == r->max_values) {
        return err_set(r->e, ERR_TOO_MANY_INPUTS, "the JSON text has more than %d values", r->max_values);
    }
    *out = t->n_values++;
    t->values[*out] =
        (struct json_tree_value){.from = (uint32_t)from, .n = (uint32_t)n, .next = t->n_values, .kind = (uint8_t)kind};
    return OK;
}

/* The eight bytes hold a quote, a backslash or a control character: the zero byte trick of the classic bit hacks, which
 * may find one too many but never one too few. */
static bool has_mark(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = eight ^ (ones * '"'), slash = eight ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((eight - ones * 0x20) & ~eight)) & highs;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* XXXX of \uXXXX at text[at..); -1: it is none. */
static int32_t read_hex(const char *text, size_t at, size_t n)
{
    int32_t code = 0;
    for (size_t i = at; i < at + 4; i++) {
        int value = i < n ? hex_value(text[i]) : -1;
        if (value < 0) {
            return -1;
        }
        code = code << 4 | value;
    }
    return code;
}

/* The escape at text[*at], a backslash: checks it and goes past it. */
static enum err check_escape(struct reader *r, size_t *at)
{
    char kind = *at + 1 < r->n ? r->text[*at + 1] : '\0';
    if (kind != 'u') {
        if (!kind || !strchr("\"\\/bfnrt", kind)) {
            return fail_at(r, *at, "a backslash that begins none of JSON's escapes; write \\\\ for a backslash");
        }
        *at += 2;
        return OK;
    }
    int32_t code = read_hex(r->text, *at + 2, r->n);
    if (code < 0) {
        return fail_at(r, *at, "\\u without four hexadecimal digits");
    }
    if (code == 0) {
        return fail_at(r, *at, "\\u0000 is not accepted; binary data is sent as base64");
    }
    if (code < 0xd800 || code > 0xdfff) {
        *at += 6;
        return OK;
    }
    bool has_second = *at + 7 < r->n && r->text[*at + 6] == '\\' && r->text[*at + 7] == 'u';
    int32_t second = has_second ? read_hex(r->text, *at + 8, r->n) : -1;
    if (code > 0xdbff || second < 0xdc00 || second > 0xdfff) {
        return fail_at(r, *at, "half of a surrogate pair alone: an emoji or the like was cut in two");
    }
    *at += 12;
    return OK;
}

/* The string whose opening quote is at r->at; goes past the closing one. */
static enum err read_string(struct reader *r, int *out)
{
    size_t from = r->at + 1, at = from;
    bool has_escapes = false;
    for (;;) {
        uint64_t eight;
        if (r->n - at >= sizeof(eight)) {
            memcpy(&eight, r->text + at, sizeof(eight));
            if (!has_mark(eight)) {
                at += sizeof(eight);
                continue;
            }
        }
        if (at == r->n) {
            return fail_at(r, r->at, "a string has no closing quote, or the end is missing");
        }
        unsigned char c = (unsigned char)r->text[at];
        if (c == '"') {
            break;
        }
        if (c < 0x20) {
            return fail_at(r, at,
                           "a line end, tab or other control character in a string; write it as an escape (\\n, \\t)");
        }
        if (c == '\\') {
            enum err rc = check_escape(r, &at);
            if (rc) {
                return rc;
            }
            has_escapes = true;
        } else {
            at++;
        }
    }
    enum err rc = add(r, JSON_TREE_STRING, from, at - from, out);
    if (!rc) {
        r->t->values[*out]._has_escapes = has_escapes;
        r->at = at + 1;
    }
    return rc;
}

static size_t skip_digits(const struct reader *r, size_t at)
{
    while (at < r->n && r->text[at] >= '0' && r->text[at] <= '9') {
        at++;
    }
    return at;
}

static enum err read_number(struct reader *r, int *out)
{
    size_t at = r->at + (r->text[r->at] == '-'), digits = at;
    at = skip_digits(r, at);
    if (at == digits) {
        return fail_value(r);
    }
    if (r->text[digits] == '0' && at > digits + 1) {
        return fail_at(r, digits, "a number with a leading zero");
    }
    if (at < r->n && r->text[at] == '.') {
        digits = at + 1;
        at = skip_digits(r, digits);
        if (at == digits) {
            return fail_at(r, at, "a digit is missing after the point");
        }
    }
    if (at < r->n && (r->text[at] == 'e' || r->text[at] == 'E')) {
        at++;
        at += at < r->n && (r->text[at] == '+' || r->text[at] == '-');
        digits = at;
        at = skip_digits(r, digits);
        if (at == digits) {
            return fail_at(r, at, "a digit is missing in the exponent");
        }
    }
    enum err rc = add(r, JSON_TREE_NUMBER, r->at, at - r->at, out);
    r->at = at;
    return rc;
}

static enum err read_word(struct reader *r, int *out)
{
    static const struct {
        const char *word;
        enum json_tree_kind kind;
    } words[] = {{"null", JSON_TREE_NULL}, {"true", JSON_TREE_TRUE}, {"false", JSON_TREE_FALSE}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (begins_with(r, words[i].word)) {
            size_t n = strlen(words[i].word);
            enum err rc = add(r, words[i].kind, r->at, n, out);
            r->at += n;
            return rc;
        }
    }
    return fail_value(r);
}

/* ---- containers ---- */

static enum err open_container(struct reader *r, enum json_tree_kind kind)
{
    int i = 0;
    if (r->depth == JSON_TREE_DEPTH) {
        return fail_at(r, r->at, "lists and objects are nested too deeply; no request needs that");
    }
    enum err rc = add(r, kind, r->at, 0, &i);
    if (!rc) {
        r->open[r->depth++] = i;
        r->at++;
        r->expect = kind == JSON_TREE_OBJECT ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    }
    return rc;
}

static void value_is_done(struct reader *r)
{
    r->expect = r->depth ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
}

static enum err close_container(struct reader *r)
{
    struct json_tree_value *v = &r->t->values[r->open[r->depth - 1]];
    if (r->text[r->at] != (v->kind == JSON_TREE_OBJECT ? '}' : ']')) {
        return fail(r, v->kind == JSON_TREE_OBJECT ? JSON_TREE_WANTED_BRACE : JSON_TREE_WANTED_BRACKET);
    }
    v->next = r->t->n_values;
    r->depth--;
    r->at++;
    value_is_done(r);
    return OK;
}

static enum err fail_twice(struct reader *r, size_t at, const char *key, size_t n)
{
    enum { SHOWN = 40 };
    char what[SHOWN + 32];
    size_t shown = n <= SHOWN ? n : SHOWN;
    shown = utf8_valid(key, shown); /* whole characters */
    snprintf(what, sizeof(what), "the key \"%.*s\" is there twice", (int)shown, key);
    return fail_at(r, at, what);
}

/* Keys are compared as they are meant, so their escapes go at once. */
static enum err read_key(struct reader *r)
{
    struct json_tree *t = r->t;
    int object = r->open[r->depth - 1], key;
    size_t at = r->at, n;
    if (r->text[at] != '"') {
        return fail(r, JSON_TREE_WANTED_KEY);
    }
    enum err rc = read_string(r, &key);
    if (rc) {
        return rc;
    }
    const char *name = json_tree_text(t, key, &n);
    int i = object + 1;
    for (int k = 0; k < t->values[object].count; k++, i = t->values[i + 1].next) {
        if (t->values[i].n == n && memcmp(t->text + t->values[i].from, name, n) == 0) {
            return fail_twice(r, at, name, n);
        }
    }
    if (t->values[object].count == JSON_TREE_KEYS) {
        return err_set(r->e, ERR_TOO_MANY_INPUTS, "an object of the JSON text has more than %d keys", JSON_TREE_KEYS);
    }
    t->values[object].count++;
    r->expect = EXPECT_VALUE;
    return OK;
}

static enum err read_value(struct reader *r)
{
    int value;
    char c = r->text[r->at];
    if (r->depth && r->t->values[r->open[r->depth - 1]].kind == JSON_TREE_ARRAY) {
        r->t->values[r->open[r->depth - 1]].count++;
    }
    if (c == '{' || c == '[') {
        return open_container(r, c == '{' ? JSON_TREE_OBJECT : JSON_TREE_ARRAY);
    }
    enum err rc = c == '"'                             ? read_string(r, &value)
                  : c == '-' || (c >= '0' && c <= '9') ? read_number(r, &value)
                                                       : read_word(r, &value);
    if (!rc) {
        value_is_done(r);
    }
    return rc;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->n &&
           (r->text[r->at] == ' ' || r->text[r->at] == '\n' || r->text[r->at] == '\r' || r->text[r->at] == '\t')) {
        r->at++;
    }
}

/* A comma, and what must follow it. */
static enum err read_comma(struct reader *r)
{
    if (r->text[r->at] != ',') {
        return close_container(r);
    }
    bool is_object = r->t->values[r->open[r->depth - 1]].kind == JSON_TREE_OBJECT;
    r->at++;
    r->expect = is_object ? EXPECT_KEY : EXPECT_VALUE;
    return OK;
}

static enum err read_colon(struct reader *r)
{
    skip_space(r);
    if (r->at == r->n || r->text[r->at] != ':') {
        return fail(r, JSON_TREE_WANTED_COLON);
    }
    r->at++;
    return OK;
}

static enum err step(struct reader *r)
{
    enum err rc;
    char c = r->text[r->at];
    switch (r->expect) {
    case EXPECT_VALUE_OR_END:
    case EXPECT_VALUE:
        return c == ']' && r->expect == EXPECT_VALUE_OR_END ? close_container(r) : read_value(r);
    case EXPECT_KEY_OR_END:
    case EXPECT_KEY:
        if (c == '}' && r->expect == EXPECT_KEY_OR_END) {
            return close_container(r);
        }
        rc = read_key(r);
        return rc ? rc : read_colon(r);
    case EXPECT_COMMA_OR_END:
        return read_comma(r);
    default:
        return fail(r, JSON_TREE_WANTED_END);
    }
}

/* ---- the interface ---- */

static int values_of(size_t n, int max_values)
{
    size_t max = n / 2 + 2; /* a value takes a character and a mark beside it */
    return max < (size_t)max_values ? (int)max : max_values;
}

size_t json_tree_bytes(size_t n, int max_values)
{
    return (size_t)values_of(n, max_values) * sizeof(struct json_tree_value);
}

enum err json_tree_parse(struct json_tree *t, char *text, size_t n, int max_values, struct errbuf *e)
{
    static char nothing[1];
    BUG_ON(n > UINT32_MAX || max_values < 1);
    text = n ? text : nothing; /* the bytes of an empty body are NULL, which memchr and its like may not be given */
    *t = (struct json_tree){.text = text};
    struct reader r = {.t = t, .text = text, .n = n, .max_values = values_of(n, max_values), .e = e};
    size_t valid = utf8_valid(text, n);
    const char *encoding = json_tree_explain_encoding(text, n);
    if (encoding) {
        return err_set(e, ERR_BAD_REQUEST, "the text is %s; JSON is sent in UTF-8", encoding);
    }
    if (valid < n) {
        return fail_at(&r, valid, "JSON is sent in UTF-8, and these bytes are not UTF-8");
    }
    if (mem_alloc(&t->values, json_tree_bytes(n, max_values))) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    r.at = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (skip_space(&r); r.at < n; skip_space(&r)) {
        enum err rc = step(&r);
        if (rc) {
            return rc;
        }
    }
    return r.expect == EXPECT_NOTHING ? OK : fail_value(&r);
}

void json_tree_release(struct json_tree *t)
{
    mem_free(t->values);
    t->values = NULL;
    t->n_values = 0;
}

enum json_tree_kind json_tree_kind(const struct json_tree *t, int value)
{
    return value < 0 ? JSON_TREE_NULL : (enum json_tree_kind)t->values[value].kind;
}

int json_tree_find(const struct json_tree *t, int object, const char *key)
{
    size_t n = strlen(key);
    const struct json_tree_value *v = t->values;
    if (object < 0 || v[object].kind != JSON_TREE_OBJECT) {
        return -1;
    }
    for (int k = 0, i = object + 1; k < v[object].count; k++, i = v[i + 1].next) {
        if (v[i].n == n && memcmp(t->text + v[i].from, key, n) == 0) {
            return i + 1;
        }
    }
    return -1;
}

/* Never longer than it was: an escape of six bytes is at most three, a pair of twelve is four. */
static size_t unescape(char *text, size_t n)
{
    static const char marks[] = "bfnrt", meant[] = "\b\f\n\r\t";
    size_t to = 0;
    for (size_t i = 0; i < n;) {
        if (text[i] != '\\') {
            text[to++] = text[i++];
            continue;
        }
        char kind = text[i + 1];
        if (kind != 'u') {
            const char *at = strchr(marks, kind);
            text[to++] = at ? meant[at - marks] : kind;
            i += 2;
            continue;
        }
        uint32_t code = (uint32_t)read_hex(text, i + 2, n);
        i += 6;
        if (code >= 0xd800 && code < 0xdc00) {
            code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)read_hex(text, i + 2, n) - 0xdc00);
            i += 6;
        }
        to += utf8_write(code, text + to);
    }
    return to;
}

char *json_tree_bytes_of(struct json_tree *t, int value, size_t *n)
{
    struct json_tree_value *v = &t->values[value];
    if (v->_has_escapes) {
        v->n = (uint32_t)unescape(t->text + v->from, v->n);
        v->_has_escapes = false;
    }
    *n = v->n;
    return t->text + v->from;
}

const char *json_tree_text(struct json_tree *t, int value, size_t *n)
{
    return json_tree_bytes_of(t, value, n);
}
