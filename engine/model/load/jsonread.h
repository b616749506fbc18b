/* jsonread - strict reading of the JSON in a model directory, on jansson.
 *
 * Stricter than jansson alone: size and depth are limited before the parser runs (it recurses), duplicate keys and NUL
 * are refused, every number is range-checked, every key must be known. Used by the three JSON readers in this folder;
 * no other code here uses jansson.
 *
 * Errors: ERR_BAD_MODEL, as "FILE: key 'image.size' must be ...". A value argument may be NULL (the key is missing). */
#ifndef ENGINE_MODEL_JSONREAD_H
#define ENGINE_MODEL_JSONREAD_H

#include "engine/base/err.h"

#include <jansson.h>

/* The file being read, and where the message goes. */
struct jsonread {
    const char *file;
    struct errbuf *e;
};

/* Parses a document whose root is an object, at most `max_bytes` long and `max_depth` deep (1: no nesting). Gives *out
 * (json_decref). */
MUST_USE enum err jsonread_parse(const struct jsonread *r, json_t **out, const char *text, size_t n, size_t max_bytes,
                                 int max_depth);

/* Text from the file made safe for messages: printable ASCII, cut to 100 characters. */
struct jsonread_text {
    char text[104];
};
struct jsonread_text jsonread_printable(const char *text);

/* ---- values: `key` is the full name for messages ---- */

MUST_USE enum err jsonread_int(const struct jsonread *r, const char *key, const json_t *value, int min, int max,
                               int *out);
/* An integer is fine too. */
MUST_USE enum err jsonread_float(const struct jsonread *r, const char *key, const json_t *value, double min, double max,
                                 float *out);
MUST_USE enum err jsonread_bool(const struct jsonread *r, const char *key, const json_t *value, bool *out);
/* 1..size-1 bytes without control characters. */
MUST_USE enum err jsonread_string(const struct jsonread *r, const char *key, const json_t *value, char *out,
                                  size_t size);
/* One of the `n` words; *out is its index. */
MUST_USE enum err jsonread_choice(const struct jsonread *r, const char *key, const json_t *value,
                                  const char *const *words, int n, int *out);
MUST_USE enum err jsonread_array(const struct jsonread *r, const char *key, const json_t *value, size_t min_length,
                                 size_t max_length);
/* An object whose keys are all among the `n` known ones. Missing keys are reported when they are read. `key` is "" for
 * the root. */
MUST_USE enum err jsonread_object(const struct jsonread *r, const char *key, const json_t *value,
                                  const char *const *known, int n);

#endif
