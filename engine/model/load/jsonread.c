#include "engine/model/load/jsonread.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Deepest nesting of brackets outside strings. The text need not be valid JSON: the parser judges that afterwards. */
static int depth_of(const char *text, size_t n)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

struct jsonread_text jsonread_printable(const char *text)
{
    struct jsonread_text safe;
    size_t i = 0;
    for (; i < 100 && text[i]; i++) {
        safe.text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    }
    memcpy(safe.text + i, text[i] ? "..." : "", text[i] ? 4 : 1);
    return safe;
}

enum err jsonread_parse(const struct jsonread *r, json_t **out, const char *text, size_t n, size_t max_bytes,
                        int max_depth)
{
    *out = NULL;
    if (n > max_bytes) {
        return err_set(r->e, ERR_BAD_MODEL, "%s: JSON of %zu bytes, at most %zu are allowed", r->file, n, max_bytes);
    }
    if (depth_of(text, n) > max_depth) {
        return err_set(r->e, ERR_BAD_MODEL, "%s: JSON nested deeper than %d levels", r->file, max_depth);
    }
    json_error_t error;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        /* jansson gives no text where an allocation failed, except within a string: there it blames the string. */
        if (!error.text[0]) {
            return err_set(r->e, ERR_NOMEM, "%s: out of memory", r->file);
        }
        return err_set(r->e, ERR_BAD_MODEL, "%s: line %d: %s", r->file, error.line,
                       jsonread_printable(error.text).text);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return err_set(r->e, ERR_BAD_MODEL, "%s: must be a JSON object", r->file);
    }
    *out = root;
    return OK;
}

static enum err missing(const struct jsonread *r, const char *key)
{
    return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' is missing", r->file, key);
}

enum err jsonread_int(const struct jsonread *r, const char *key, const json_t *value, int min, int max, int *out)
{
    if (!value) {
        return missing(r, key);
    }
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) {
        return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' must be a whole number from %d to %d", r->file, key, min,
                       max);
    }
    *out = (int)json_integer_value(value);
    return OK;
}

enum err jsonread_float(const struct jsonread *r, const char *key, const json_t *value, double min, double max,
                        float *out)
{
    if (!value) {
        return missing(r, key);
    }
    double number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    if (!(number >= min && number <= max)) {
        return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' must be a number from %g to %g", r->file, key, min, max);
    }
    *out = (float)number;
    return OK;
}

enum err jsonread_bool(const struct jsonread *r, const char *key, const json_t *value, bool *out)
{
    if (!value) {
        return missing(r, key);
    }
    if (!json_is_boolean(value)) {
        return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' must be true or false", r->file, key);
    }
    *out = json_is_true(value);
    return OK;
}

enum err jsonread_string(const struct jsonread *r, const char *key, const json_t *value, char *out, size_t size)
{
    if (!value) {
        return missing(r, key);
    }
    size_t n = json_is_string(value) ? json_string_length(value) : 0;
    bool is_fine = n >= 1 && n < size;
    for (size_t i = 0; is_fine && i < n; i++) {
        unsigned char c = (unsigned char)json_string_value(value)[i];
        is_fine = c >= ' ' && c != 0x7f;
    }
    if (!is_fine) {
        return err_set(r->e, ERR_BAD_MODEL,
                       "%s: key '%s' must be a string of 1 to %zu bytes without control characters", r->file, key,
                       size - 1);
    }
    memcpy(out, json_string_value(value), n + 1);
    return OK;
}

enum err jsonread_choice(const struct jsonread *r, const char *key, const json_t *value, const char *const *words,
                         int n, int *out)
{
    if (!value) {
        return missing(r, key);
    }
    const char *text = json_string_value(value);
    char list[128] = "";
    size_t length = 0;
    for (int i = 0; i < n; i++) {
        if (text && strcmp(text, words[i]) == 0) {
            *out = i;
            return OK;
        }
        int more = snprintf(list + length, sizeof(list) - length, "%s'%s'", i ? " or " : "", words[i]);
        BUG_ON(more < 0 || (size_t)more >= sizeof(list) - length);
        length += (size_t)more;
    }
    return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' must be %s", r->file, key, list);
}

enum err jsonread_array(const struct jsonread *r, const char *key, const json_t *value, size_t min_length,
                        size_t max_length)
{
    if (!value) {
        return missing(r, key);
    }
    if (!json_is_array(value) || json_array_size(value) < min_length || json_array_size(value) > max_length) {
        if (min_length == max_length) {
            return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' must be an array of %zu", r->file, key, min_length);
        }
        return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' must be an array of %zu to %zu", r->file, key, min_length,
                       max_length);
    }
    return OK;
}

enum err jsonread_object(const struct jsonread *r, const char *key, const json_t *value, const char *const *known,
                         int n)
{
    if (!value) {
        return missing(r, key);
    }
    if (!json_is_object(value)) {
        return err_set(r->e, ERR_BAD_MODEL, "%s: key '%s' must be an object", r->file, key);
    }
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)value, name, member) /* only read */
    {
        int i = 0;
        while (i < n && strcmp(name, known[i]) != 0) {
            i++;
        }
        if (i == n) {
            return err_set(r->e, ERR_BAD_MODEL, "%s: unknown key '%s%s%s'", r->file, key, key[0] ? "." : "",
                           jsonread_printable(name).text);
        }
    }
    return OK;
}
