/* How a header from anywhere becomes tensors that can be trusted.
 *
 * 1. The header length is checked against the file, then the JSON is read with limits on size and depth.
 * 2. Every entry is checked alone: type, dimensions, range inside the data, size = product of the shape, alignment.
 * 3. The tensors are sorted by address; each must begin where the one before ended, the first at 0, the last at the end
 *    of the file. That is the rule of the format and excludes overlaps, holes and trailing bytes in one comparison.
 * 4. Names go into one block and a hash table at most half full.
 *
 * Numbers never overflow: offsets are compared with the data size before they are used, and the product of a shape is
 * compared before each multiplication. */
#include "engine/model/load/weights.h"

#include "engine/base/fmap.h"
#include "engine/base/hash.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/model/load/jsonread.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data are little-endian and used in place");

enum { HEADER_AT = 8, HEADER_DEPTH = 3 };

struct weights {
    struct fmap *map; /* NULL after weights_parse */
    const unsigned char *bytes;
    size_t n_bytes;
    char *name; /* of the file, for messages */
    int n;
    struct tensor *tensors; /* [n] in the order of the data */
    bool *kept;             /* [n] */
    char *names;            /* all names, each with its NUL */
    int *table;             /* [table_size] index + 1 of a tensor, 0 = free; linear probing */
    size_t table_size;      /* a power of two, at least 2 n */
};

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [TENSOR_F32] = {"F32", 4}, [TENSOR_BF16] = {"BF16", 2}, [TENSOR_F16] = {"F16", 2}, [TENSOR_I8] = {"I8", 1}};

enum { N_TYPES = sizeof(types) / sizeof(types[0]) };

size_t weights_elements(const struct tensor *t)
{
    return t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
}

/* ---- one entry of the header ---- */

/* Where the data lie, and how to complain about one tensor. */
struct reading {
    struct jsonread json;
    const unsigned char *data;
    size_t n_data;
};

static enum err complain(const struct reading *r, const struct tensor *t, const char *what)
{
    return err_set(r->json.e, ERR_BAD_MODEL, "%s: tensor '%s': %s", r->json.file, jsonread_printable(t->name).text,
                   what);
}

static enum err read_type(const struct reading *r, struct tensor *t, const json_t *value)
{
    const char *text = json_string_value(value);
    for (int i = 0; text && i < N_TYPES; i++) {
        if (strcmp(text, types[i].name) == 0) {
            t->type = (enum tensor_type)i;
            return OK;
        }
    }
    return err_set(r->json.e, ERR_BAD_MODEL, "%s: tensor '%s': dtype '%s' is not F32, BF16, F16 or I8", r->json.file,
                   jsonread_printable(t->name).text, jsonread_printable(text ? text : "").text);
}

/* The length of the tensor in bytes comes from its shape; it is at most the size of the data. */
static enum err read_shape(const struct reading *r, struct tensor *t, const json_t *value)
{
    if (!json_is_array(value)) {
        return complain(r, t, "shape is not an array");
    }
    if (json_array_size(value) > WEIGHTS_MAX_DIMS) {
        return complain(r, t, "shape has more than 4 dimensions");
    }
    size_t size = types[t->type].size, product = 1;
    t->n_dims = (int)json_array_size(value);
    for (int i = 0; i < WEIGHTS_MAX_DIMS; i++) {
        t->shape[i] = 1;
        if (i >= t->n_dims) {
            continue;
        }
        const json_t *length = json_array_get(value, (size_t)i);
        if (!json_is_integer(length) || json_integer_value(length) < 1) {
            return complain(r, t, "a length in the shape is not a whole number above 0");
        }
        t->shape[i] = (size_t)json_integer_value(length);
        if (t->shape[i] > r->n_data / size / product) {
            return complain(r, t, "the shape needs more bytes than the file has");
        }
        product *= t->shape[i];
    }
    t->n_bytes = product * size;
    return OK;
}

static enum err read_range(const struct reading *r, struct tensor *t, const json_t *value)
{
    const json_t *first = json_array_get(value, 0), *last = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first)) {
        return complain(r, t, "data_offsets are not [begin, end] with 0 <= begin <= end");
    }
    size_t begin = (size_t)json_integer_value(first), end = (size_t)json_integer_value(last);
    if (end > r->n_data) {
        return complain(r, t, "data_offsets point outside the file");
    }
    if (end - begin != t->n_bytes) {
        return complain(r, t, "data_offsets do not fit the shape and dtype");
    }
    t->data = r->data + begin;
    if ((uintptr_t)t->data % types[t->type].size != 0) {
        return complain(r, t,
                        "the data are not aligned (F32: 4 bytes, BF16 and F16: 2); sort the tensors by element size");
    }
    return OK;
}

static enum err read_tensor(const struct reading *r, struct tensor *t, const json_t *entry)
{
    for (const char *c = t->name; *c; c++) {
        if (*c <= ' ' || *c > '~') {
            return complain(r, t, "the name has characters that are not printable ASCII");
        }
    }
    size_t length = strlen(t->name);
    if (length == 0 || length > WEIGHTS_MAX_NAME) {
        return complain(r, t, "the name must have 1 to 255 characters");
    }
    if (!json_is_object(entry) || json_object_size(entry) != 3 || !json_object_get(entry, "dtype") ||
        !json_object_get(entry, "shape") || !json_object_get(entry, "data_offsets")) {
        return complain(r, t, "must have exactly the keys dtype, shape and data_offsets");
    }
    enum err rc = read_type(r, t, json_object_get(entry, "dtype"));
    if (!rc) {
        rc = read_shape(r, t, json_object_get(entry, "shape"));
    }
    if (!rc) {
        rc = read_range(r, t, json_object_get(entry, "data_offsets"));
    }
    return rc;
}

/* ---- the header as a whole ---- */

static bool is_metadata(const char *name)
{
    return strcmp(name, "__metadata__") == 0;
}

static enum err check_metadata(const struct reading *r, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata)) {
        return err_set(r->json.e, ERR_BAD_MODEL, "%s: __metadata__ is not an object", r->json.file);
    }
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value)) {
            return err_set(r->json.e, ERR_BAD_MODEL, "%s: __metadata__ '%s' is not a string", r->json.file,
                           jsonread_printable(key).text);
        }
    }
    return OK;
}

static int by_data(const void *left, const void *right)
{
    const struct tensor *a = left, *b = right;
    if (a->data != b->data) {
        return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static enum err check_order(const struct reading *r, const struct weights *w)
{
    const unsigned char *next = r->data;
    for (int i = 0; i < w->n; i++) {
        if ((const unsigned char *)w->tensors[i].data < next) {
            return complain(r, &w->tensors[i], "overlaps the tensor before it");
        }
        if ((const unsigned char *)w->tensors[i].data > next) {
            return complain(r, &w->tensors[i], "does not begin where the tensor before it ends");
        }
        next += w->tensors[i].n_bytes;
    }
    if (next != r->data + r->n_data) {
        return err_set(r->json.e, ERR_BAD_MODEL, "%s: %zu bytes after the last tensor", r->json.file,
                       (size_t)(r->data + r->n_data - next));
    }
    return OK;
}

/* Allocates for `n` tensors whose names take `n_chars` bytes. */
static enum err reserve(struct weights *w, size_t n, size_t n_chars, struct errbuf *e)
{
    w->table_size = 16;
    while (w->table_size < 2 * n) {
        w->table_size *= 2;
    }
    enum err rc = mem_array(&w->tensors, n, sizeof(*w->tensors));
    if (!rc) {
        rc = mem_array(&w->kept, n, sizeof(*w->kept));
    }
    if (!rc) {
        rc = mem_alloc(&w->names, n_chars);
    }
    if (!rc) {
        rc = mem_array(&w->table, w->table_size, sizeof(*w->table));
    }
    return rc ? err_set(e, rc, "%s: out of memory", w->name) : OK;
}

static size_t slot_of(const struct weights *w, const char *name)
{
    uint64_t hash = hash_text(name);
    return (size_t)(hash ^ hash >> 32) & (w->table_size - 1);
}

static void fill_table(struct weights *w)
{
    for (int i = 0; i < w->n; i++) {
        size_t slot = slot_of(w, w->tensors[i].name);
        while (w->table[slot]) {
            slot = (slot + 1) & (w->table_size - 1);
        }
        w->table[slot] = i + 1;
    }
}

static enum err read_tensors(const struct reading *r, struct weights *w, json_t *root)
{
    const char *name;
    json_t *entry;
    size_t n = 0, n_chars = 0;
    json_object_foreach(root, name, entry)
    {
        n += !is_metadata(name);
        n_chars += strlen(name) + 1;
    }
    if (n == 0 || n > WEIGHTS_MAX_TENSORS) {
        return err_set(r->json.e, ERR_BAD_MODEL, "%s: %zu tensors, must be 1 to %d", r->json.file, n,
                       WEIGHTS_MAX_TENSORS);
    }
    enum err rc = reserve(w, n, n_chars, r->json.e);
    char *next = w->names;
    json_object_foreach(root, name, entry)
    {
        if (rc || is_metadata(name)) {
            continue;
        }
        struct tensor *t = &w->tensors[w->n++];
        size_t length = strlen(name) + 1;
        t->name = memcpy(next, name, length);
        next += length;
        rc = read_tensor(r, t, entry);
    }
    if (!rc) {
        qsort(w->tensors, (size_t)w->n, sizeof(*w->tensors), by_data);
        rc = check_order(r, w);
    }
    if (!rc) {
        fill_table(w);
    }
    return rc;
}

/* Everything but the bytes themselves, which are w->bytes. */
static enum err read_header(struct weights *w, struct errbuf *e)
{
    struct reading r = {.json = {.file = w->name, .e = e}};
    uint64_t length = 0;
    if (w->n_bytes < HEADER_AT) {
        return err_set(e, ERR_BAD_MODEL, "%s: %zu bytes, too short for a safetensors file", w->name, w->n_bytes);
    }
    memcpy(&length, w->bytes, sizeof(length));
    if (length > WEIGHTS_MAX_HEADER || length > w->n_bytes - HEADER_AT) {
        return err_set(e, ERR_BAD_MODEL, "%s: header of %llu bytes in a file of %zu (at most %d are allowed)", w->name,
                       (unsigned long long)length, w->n_bytes, WEIGHTS_MAX_HEADER);
    }
    r.data = w->bytes + HEADER_AT + length;
    r.n_data = w->n_bytes - HEADER_AT - length;
    json_t *root = NULL;
    enum err rc =
        jsonread_parse(&r.json, &root, (const char *)w->bytes + HEADER_AT, length, WEIGHTS_MAX_HEADER, HEADER_DEPTH);
    if (!rc) {
        rc = check_metadata(&r, json_object_get(root, "__metadata__"));
    }
    if (!rc) {
        rc = read_tensors(&r, w, root);
    }
    json_decref(root);
    return rc;
}

/* ---- life cycle ---- */

static enum err create(struct weights **out, const char *name, struct errbuf *e)
{
    struct weights *w = NULL;
    enum err rc = mem_alloc(&w, sizeof(*w));
    if (!rc) {
        rc = mem_alloc(&w->name, strlen(name) + 1);
    }
    if (rc) {
        weights_close(w);
        return err_set(e, rc, "%s: out of memory", name);
    }
    memcpy(w->name, name, strlen(name) + 1);
    *out = w;
    return OK;
}

enum err weights_parse(struct weights **out, const void *bytes, size_t n_bytes, const char *name, struct errbuf *e)
{
    struct weights *w = NULL;
    *out = NULL;
    enum err rc = create(&w, name, e);
    if (rc) {
        return rc;
    }
    w->bytes = bytes;
    w->n_bytes = n_bytes;
    rc = read_header(w, e);
    if (rc) {
        weights_close(w);
        return rc;
    }
    *out = w;
    return OK;
}

enum err weights_open(struct weights **out, const char *path, struct errbuf *e)
{
    struct fmap *map = NULL;
    *out = NULL;
    enum err rc = fmap_open(&map, path, e);
    if (!rc) {
        rc = weights_parse(out, fmap_bytes(map), fmap_size(map), path, e);
    }
    if (rc) {
        fmap_close(map);
        return rc;
    }
    (*out)->map = map;
    return OK;
}

void weights_keep(const struct weights *w, const struct tensor *t)
{
    w->kept[t - w->tensors] = true;
}

static bool is_forgotten(const struct weights *w, int i)
{
    return w->map && w->tensors[i].n_dims >= 2 && !w->kept[i];
}

void weights_forget(const struct weights *w)
{
    for (int i = 0; i < w->n; i++) {
        if (is_forgotten(w, i)) {
            const struct tensor *t = &w->tensors[i];
            fmap_forget(w->map, (size_t)((const unsigned char *)t->data - w->bytes), t->n_bytes);
        }
    }
}

size_t weights_memory_bytes(const struct weights *w)
{
    size_t n = w->n_bytes;
    for (int i = 0; i < w->n; i++) {
        n -= is_forgotten(w, i) ? w->tensors[i].n_bytes : 0;
    }
    return n;
}

void weights_close(struct weights *w)
{
    if (!w) {
        return;
    }
    mem_free(w->table);
    mem_free(w->names);
    mem_free(w->kept);
    mem_free(w->tensors);
    mem_free(w->name);
    fmap_close(w->map);
    mem_free(w);
}

/* ---- queries ---- */

const struct tensor *weights_find(const struct weights *w, const char *name)
{
    for (size_t slot = slot_of(w, name); w->table[slot]; slot = (slot + 1) & (w->table_size - 1)) {
        const struct tensor *t = &w->tensors[w->table[slot] - 1];
        if (strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

int weights_count(const struct weights *w)
{
    return w->n;
}

const struct tensor *weights_at(const struct weights *w, int i)
{
    BUG_ON(i < 0 || i >= w->n);
    return &w->tensors[i];
}

/* A float is infinite or NaN when all bits of its exponent are set; without branches, so that it vectorises. */
static bool is_finite(const struct tensor *t)
{
    size_t n = weights_elements(t);
    unsigned found = 0;
    if (t->type == TENSOR_F32) {
        const uint32_t *bits = t->data;
        for (size_t i = 0; i < n; i++) {
            found |= (bits[i] & 0x7f800000u) == 0x7f800000u;
        }
    } else if (t->type != TENSOR_I8) {
        const uint16_t *bits = t->data, exponent = t->type == TENSOR_BF16 ? 0x7f80 : 0x7c00;
        for (size_t i = 0; i < n; i++) {
            found |= (bits[i] & exponent) == exponent;
        }
    }
    return !found;
}

enum err weights_check_finite(const struct weights *w, struct errbuf *e)
{
    const struct reading r = {.json = {.file = w->name, .e = e}};
    for (int i = 0; i < w->n; i++) {
        if (!is_finite(&w->tensors[i])) {
            return complain(&r, &w->tensors[i], "has an element that is infinite or not a number");
        }
    }
    return OK;
}

void weights_sha256(const struct weights *w, char hex[65])
{
    uint8_t digest[SHA256_BYTES];
    sha256(w->bytes, w->n_bytes, digest);
    sha256_hex(digest, hex);
}
