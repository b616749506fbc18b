/* json_tree - strict JSON (RFC 8259) as a flat list of values over the text itself, for bodies of any size.
 *
 *     {"image": "....", "texts": ["a", "b"]}   ->   object, key image, string, key texts, array, string, string
 *
 * Read in one pass without recursion. Depth and the number of values are bounded, so that memory is known before: one
 * small record for each value, strings stay in the text. Duplicate names in an object are refused, as are "\u0000",
 * lone surrogates and text that is not UTF-8. A byte order mark at the beginning is skipped.
 *
 * Ownership: borrows the text, which must live as long, and writes to it: json_tree_text decodes escapes in place.
 * Threads:   one at a time.
 * Errors:    text with line and column; ERR_BAD_REQUEST, ERR_TOO_MANY_INPUTS (values), ERR_NOMEM. */
#ifndef SERVER_JSON_TREE_H
#define SERVER_JSON_TREE_H

#include "engine/base/err.h"

#include <stdint.h>

enum { JSON_TREE_DEPTH = 16, JSON_TREE_KEYS = 64 }; /* nested containers; keys of one object */
/* Keys are strings too. */
enum json_tree_kind {
    JSON_TREE_NULL,
    JSON_TREE_FALSE,
    JSON_TREE_TRUE,
    JSON_TREE_NUMBER,
    JSON_TREE_STRING,
    JSON_TREE_ARRAY,
    JSON_TREE_OBJECT
};

struct json_tree_value {
    uint32_t from, n; /* range in the text; a string: without its quotes; containers: n is 0 */
    int32_t next;     /* the value after this one and everything in it */
    int32_t count;    /* elements, or keys */
    uint8_t kind;
    bool _has_escapes;
};

struct json_tree {
    char *text;
    struct json_tree_value *values; /* [0] is the root */
    int n_values;
};

/* Upper bound of the bytes for the values of a text of n bytes. */
size_t json_tree_bytes(size_t n, int max_values);
/* n is at most UINT32_MAX. *t can be released either way. */
MUST_USE enum err json_tree_parse(struct json_tree *t, char *text, size_t n, int max_values, struct errbuf *e);
void json_tree_release(struct json_tree *t);

/* True also for -1, a missing value. */
enum json_tree_kind json_tree_kind(const struct json_tree *t, int value);
/* The value of a key; -1 if the object does not have it, or `object` is not an object. */
int json_tree_find(const struct json_tree *t, int object, const char *key);
/* Text of a string or number; not followed by a NUL. */
const char *json_tree_text(struct json_tree *t, int value, size_t *n);
/* The same, writable: for decoding in place. */
char *json_tree_bytes_of(struct json_tree *t, int value, size_t *n);

#endif
