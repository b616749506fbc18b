#include "server/input/input_private.h"

#include "engine/base/base64.h"
#include "engine/base/sha256.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SCHEME_MAX = 16, HEAD_MAX = 64 /* bytes before the comma of a data URI that lost its beginning */ };

/* ---- images ---- */

/* %2B, %2F, %3D and their like, as URIs may have them; where it stands. */
static void undo_percent(char *text, size_t *n)
{
    char *first = *n ? memchr(text, '%', *n) : NULL, *to = first;
    for (const char *from = first; from && from < text + *n;) {
        int high = from[0] == '%' && text + *n - from > 2 ? input_hex(from[1]) : -1;
        int low = high >= 0 ? input_hex(from[2]) : -1;
        *to++ = low >= 0 ? (char)(high << 4 | low) : *from;
        from += low >= 0 ? 3 : 1;
    }
    *n = first ? (size_t)(to - text) : *n;
}

/* data:image/jpeg;base64,.... -> the part after the comma */
static bool strip_data_uri(char **text, size_t *n, const char *where, struct input_fault *f)
{
    for (; *n > 0 && memchr(" \t\r\n", **text, 4); (*n)--) {
        ++*text;
    }
    bool is_uri = *n >= 5 && strncasecmp(*text, "data:", 5) == 0;
    const char *comma = *n ? memchr(*text, ',', is_uri || *n < HEAD_MAX ? *n : HEAD_MAX) : NULL;
    if (!is_uri && !comma) {
        return true;
    }
    size_t n_head = comma ? (size_t)(comma - *text) : 0;
    if (!is_uri || n_head < 12 || strncasecmp(comma - 7, ";base64", 7) != 0) {
        return input_fail(f, FAULT_BAD_REQUEST, where, "%s: a data URI must look like data:image/jpeg;base64,...",
                          where);
    }
    *text += n_head + 1;
    *n -= n_head + 1;
    undo_percent(*text, n);
    return true;
}

/* http:, file:, s3: and their like; one letter is a drive of Windows. */
static bool is_address(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && i < SCHEME_MAX && isalnum((unsigned char)text[i])) {
        i++;
    }
    return i > 1 && i < n && text[i] == ':';
}

static bool is_hex(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && input_hex(text[i]) >= 0) {
        i++;
    }
    return i == n;
}

/* cat.jpg, /home/me/cat.jpeg: base64 has no dots. A dot at the very end is a sentence's. */
static bool is_file_name(const char *text, size_t n)
{
    enum { LONGEST = 1024, ENDING = 6 };
    return n <= LONGEST && text[n - 1] != '.' &&
           memrchr(text + (n > ENDING ? n - ENDING : 0), '.', n > ENDING ? ENDING : n);
}

/* Words with blanks between them, as of people who ask the wrong route: base64 has longer runs. */
static bool is_sentence(const char *text, size_t n)
{
    enum { LONGEST_WORD = 30, LONGEST = 4096 };
    size_t run = 0, longest = 0;
    if (n > LONGEST || !memchr(text, ' ', n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        run = text[i] == ' ' ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest <= LONGEST_WORD;
}

/* What programs print, or leave standing, in place of an image's bytes. */
static const char *unfilled_text(const char *text, size_t n)
{
    static const char printed[] = "how a program prints an object, not the image's bytes; send them as base64";
    static const char nothing[] =
        "a word for nothing, in quotes; leave the key out, or send the image's bytes as base64";
    static const char unfilled[] = "a placeholder that nothing was put in for; put the image's bytes there, as base64";
    static const char shell[] =
        "the shell has not replaced this variable: it does so in double quotes only; put base64 there";
    static const struct {
        const char *begin, *what;
        bool is_all;
    } rows[] = {{"$", shell, false},
                {"{", unfilled, false},
                {"%s", unfilled, true},
                {"...", unfilled, false},
                {"\xe2\x80\xa6", unfilled, false},
                {"[object", printed, false},
                {"<", printed, false},
                {"System.Byte[]", printed, false},
                {"[B@", printed, false},
                {"tensor(", printed, false},
                {"array(", printed, false},
                {"bytearray(", printed, false},
                {"memoryview(", printed, false},
                {"null", nothing, true},
                {"undefined", nothing, true},
                {"None", nothing, true},
                {"nan", nothing, true},
                {"NaN", nothing, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t length = strlen(rows[i].begin);
        if (n >= length && memcmp(text, rows[i].begin, length) == 0 && (!rows[i].is_all || n == length)) {
            return rows[i].what;
        }
    }
    return NULL;
}

/* What is often sent in place of base64; NULL: nothing that is known. */
static const char *other_text(const char *text, size_t n)
{
    if (n > 1 && text[0] == 'b' && (text[1] == '\'' || text[1] == '"')) {
        return "Python's b'...' around base64: turn bytes into text with .decode()";
    }
    if (n == SHA256_HEX - 1 && is_hex(text, n)) {
        return "put an image id into {\"id\": \"...\"}";
    }
    if (n >= 8 && (strncasecmp(text, "ffd8ff", 6) == 0 || strncasecmp(text, "89504e47", 8) == 0) && is_hex(text, n)) {
        return "the image is written in hexadecimal digits; send base64";
    }
    const char *what = unfilled_text(text, n);
    if (!what && n > 0 && is_file_name(text, n)) {
        return "this seems to be the name of a file, which is not read here; send its bytes as base64";
    }
    return what;
}

/* Decodes a string in place, in the body: the bytes never exist twice. */
static bool decode(struct input_parser *p, int value, const char *where, struct input_image *image)
{
    struct errbuf e;
    size_t n, n_bytes;
    char *text = json_tree_bytes_of(&p->tree, value, &n);
    if (!strip_data_uri(&text, &n, where, p->fault)) {
        return false;
    }
    if (is_address(text, n)) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                          "%s: addresses are not fetched; send the image's bytes as data:image/jpeg;base64,...", where);
    }
    const char *other = other_text(text, n);
    if (other) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s: %s", where, other);
    }
    errbuf_clear(&e);
    bool is_words = is_sentence(text, n); /* before it is overwritten */
    if (base64_decode(text, n, text, &n_bytes, &e)) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s: %.300s", where,
                          is_words ? "this is text, not an image; send the image's bytes as base64"
                                   : errbuf_text(&e, ERR_BAD_REQUEST));
    }
    if (n_bytes == 0) {
        return input_fail(p->fault, FAULT_UNSUPPORTED_IMAGE, where, "%s is empty: 0 bytes are no image", where);
    }
    *image = (struct input_image){.bytes = (const uint8_t *)text, .n_bytes = n_bytes};
    return true;
}

static bool read_id(struct input_parser *p, int value, const char *where, struct input_image *image)
{
    char hex[SHA256_HEX];
    size_t n;
    const char *text = json_tree_text(&p->tree, value, &n);
    snprintf(hex, sizeof(hex), "%.*s", (int)(n < sizeof(hex) ? n : 0), text);
    return (n == SHA256_HEX - 1 && sha256_from_hex(hex, image->id.bytes)) ||
           input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s: an image id has 64 hexadecimal digits", where);
}

/* [255, 216, ...], or what JavaScript makes of such: {"type": "Buffer", "data": [...]}, {"0": 255, ...}. */
static bool is_numbers(const struct json_tree *t, int value)
{
    int data = json_tree_find(t, value, "data"), list = data < 0 ? value : data;
    bool is_list = json_tree_kind(t, list) == JSON_TREE_ARRAY && t->values[list].count > 0;
    return json_tree_kind(t, is_list ? list + 1 : json_tree_find(t, value, "0")) == JSON_TREE_NUMBER;
}

bool input_json_image(struct input_parser *p, int value, const char *where)
{
    struct input_image image = {.bytes = NULL};
    const struct json_tree *t = &p->tree;
    int id = json_tree_find(t, value, "id");
    bool is_text = json_tree_kind(t, value) == JSON_TREE_STRING;
    bool is_id = id >= 0 && t->values[value].count == 1 && json_tree_kind(t, id) == JSON_TREE_STRING;
    if (!is_text && !is_id) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                          "%s must be base64 text, a data: URI or {\"id\": \"64 hexadecimal digits\"}%s", where,
                          is_numbers(t, value)                          ? ", not a list of numbers"
                          : json_tree_kind(t, value) == JSON_TREE_ARRAY ? "; put a list into images"
                                                                        : "");
    }
    bool is_good = is_text ? decode(p, value, where, &image) : read_id(p, id, where, &image);
    return is_good ? input_add_image(p, where, &image, INPUT_NO_INDEX) : input_add_bad_image(p, where, INPUT_NO_INDEX);
}

static bool add_images(struct input_parser *p, int list)
{
    char where[48];
    const struct json_tree_value *v = p->tree.values;
    if (json_tree_kind(&p->tree, list) != JSON_TREE_ARRAY) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "images",
                          "images must be a list; put a single image into image");
    }
    p->in->has_image_list = true;
    for (int i = 0, at = list + 1; i < v[list].count; i++, at = v[at].next) {
        snprintf(where, sizeof(where), "/images/%d", i);
        if (!input_json_image(p, at, where)) {
            return false;
        }
    }
    return true;
}

/* ---- for all readers of objects ---- */

void input_json_key(struct input_parser *p, int key, char name[INPUT_KEY_MAX])
{
    size_t n;
    const char *text = json_tree_text(&p->tree, key, &n);
    snprintf(name, INPUT_KEY_MAX, "%.*s", (int)(n < INPUT_KEY_MAX ? n : INPUT_KEY_MAX - 1), text);
}

bool input_json_is(struct input_parser *p, int value, const char *text)
{
    size_t n;
    const char *given = json_tree_text(&p->tree, value, &n);
    return n == strlen(text) && memcmp(given, text, n) == 0;
}

bool input_json_bool(struct input_parser *p, const char *key, int value, bool *out)
{
    enum json_tree_kind kind = json_tree_kind(&p->tree, value);
    *out = kind == JSON_TREE_TRUE;
    return *out || kind == JSON_TREE_FALSE ||
           input_fail(p->fault, FAULT_BAD_REQUEST, key, "%s must be true or false", key);
}

bool input_json_is_off(struct input_parser *p, int value)
{
    size_t n = 0;
    switch (json_tree_kind(&p->tree, value)) {
    case JSON_TREE_NULL:
    case JSON_TREE_FALSE:
        return true;
    case JSON_TREE_STRING:
        json_tree_text(&p->tree, value, &n);
        return n == 0;
    case JSON_TREE_NUMBER:
        return input_json_is(p, value, "0");
    case JSON_TREE_ARRAY:
    case JSON_TREE_OBJECT:
        return p->tree.values[value].count == 0;
    default:
        return false;
    }
}

int input_json_next(struct input_parser *p, int object, int value, char name[INPUT_KEY_MAX])
{
    const struct json_tree_value *v = p->tree.values;
    int key = value < 0 ? object + 1 : v[value].next;
    if (json_tree_kind(&p->tree, object) != JSON_TREE_OBJECT || key >= v[object].next) {
        return -1;
    }
    input_json_key(p, key, name);
    return key + 1;
}

bool input_json_unknown(struct input_parser *p, const char *key, const char *known)
{
    return input_fail(p->fault, FAULT_BAD_REQUEST, key, "unknown key \"%.64s\"; there are: %s", key, known);
}

/* ---- the object ---- */

static bool is_rerank_key(const char *key)
{
    return strcmp(key, "query") == 0 || strcmp(key, "documents") == 0 || strcmp(key, "model") == 0;
}

bool input_json_each(struct input_parser *p, int object, input_read_key *read)
{
    char name[INPUT_KEY_MAX];
    for (int at = -1; (at = input_json_next(p, object, at, name)) >= 0;) {
        if (!read(p, name, at)) {
            return false;
        }
    }
    return true;
}

static bool read_key(struct input_parser *p, const char *key, int value)
{
    bool is_known = true, is_null = json_tree_kind(&p->tree, value) == JSON_TREE_NULL;
    if (strcmp(key, "image") == 0) {
        return is_null || input_json_image(p, value, "/image");
    }
    if (strcmp(key, "images") == 0) {
        return is_null || add_images(p, value);
    }
    if (p->in->is_rerank && is_rerank_key(key)) {
        return true;
    }
    if (!input_param_json(p, key, value, &is_known)) {
        return false;
    }
    if (!is_known && is_null && p->in->route == INPUT_RETRIEVE &&
        (is_rerank_key(key) || strcmp(key, "top_n") == 0 || strcmp(key, "return_documents") == 0)) {
        return true; /* reranking that was not asked for */
    }
    if (!is_known && p->in->route == INPUT_RETRIEVE && strcmp(key, "query") == 0) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, key,
                          "query ranks documents: add documents, a list of texts or images");
    }
    return is_known || input_unknown(p, key);
}

bool input_json_parse(struct input_parser *p, size_t n)
{
    struct errbuf e;
    errbuf_clear(&e);
    switch (json_tree_parse(&p->tree, p->in->body.bytes, n, input_max_values(&p->in->limits), &e)) {
    case OK:
        break;
    case ERR_NOMEM:
        return input_out_of_memory(p->fault);
    case ERR_TOO_MANY_INPUTS:
        return input_fail(
            p->fault, FAULT_TOO_MANY_INPUTS, NULL,
            "%.200s; a request has %d images and %d texts at most, images as base64 text, not as lists of numbers",
            e.text, p->in->limits.images, p->in->limits.texts);
    default:
        return !input_explain(p, true) &&
               input_fail(p->fault, FAULT_BAD_REQUEST, NULL, "the body is not JSON: %.200s", e.text);
    }
    enum json_tree_kind kind = json_tree_kind(&p->tree, 0);
    return kind == JSON_TREE_OBJECT ||
           input_fail(p->fault, FAULT_BAD_REQUEST, NULL, "the body must be a JSON object, {...}%s",
                      kind == JSON_TREE_STRING  ? "; it is a string: JSON was encoded twice"
                      : kind == JSON_TREE_ARRAY ? ", not a list"
                                                : "");
}

bool input_json(struct input_parser *p)
{
    if (!input_json_parse(p, p->in->body.n)) {
        return false;
    }
    int documents = json_tree_find(&p->tree, 0, "documents");
    bool is_null = documents < 0 || json_tree_kind(&p->tree, documents) == JSON_TREE_NULL;
    p->in->is_rerank = p->in->route == INPUT_RETRIEVE && !is_null;
    if (!input_json_each(p, 0, read_key)) {
        return false;
    }
    return !p->in->is_rerank || input_rerank(p);
}
