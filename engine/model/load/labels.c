#include "engine/model/load/labels.h"

#include "engine/base/fmap.h"
#include "engine/base/mem.h"
#include "engine/model/load/jsonread.h"

#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 8 << 20, MAX_DEPTH = 2, MAX_LABELS = 100000, MAX_LABEL = 200, N_LISTS = 3 };

static const char *const keys[N_LISTS] = {"objects", "attributes", "answers"};

/* The labels, the three arrays of pointers and all strings are one block. */
struct layout {
    size_t n[N_LISTS];
    size_t n_labels, n_chars;
};

static enum err measure_list(const struct jsonread *r, const char *key, const json_t *list, struct layout *l)
{
    enum err rc = jsonread_array(r, key, list, 0, MAX_LABELS);
    for (size_t i = 0; !rc && i < json_array_size(list); i++) {
        char where[32], label[MAX_LABEL + 1];
        snprintf(where, sizeof(where), "%s[%zu]", key, i);
        rc = jsonread_string(r, where, json_array_get(list, i), label, sizeof(label));
        l->n_chars += rc ? 0 : strlen(label) + 1;
    }
    l->n_labels += json_array_size(list);
    return rc;
}

static enum err measure(const struct jsonread *r, const json_t *root, struct layout *l)
{
    enum err rc = jsonread_object(r, "", root, keys, N_LISTS);
    for (int i = 0; !rc && i < N_LISTS; i++) {
        const json_t *list = json_object_get(root, keys[i]);
        rc = measure_list(r, keys[i], list, l);
        l->n[i] = json_array_size(list);
    }
    return rc;
}

static void fill(struct labels *out, const json_t *root, const struct layout *l)
{
    const char **pointers = (const char **)(out + 1);
    char *chars = (char *)(pointers + l->n_labels);
    const char **lists[N_LISTS];
    for (int i = 0; i < N_LISTS; i++) {
        lists[i] = pointers;
        for (size_t j = 0; j < l->n[i]; j++) {
            const char *label = json_string_value(json_array_get(json_object_get(root, keys[i]), j));
            size_t size = strlen(label) + 1;
            *pointers++ = memcpy(chars, label, size);
            chars += size;
        }
    }
    *out = (struct labels){.n_objects = (int)l->n[0],
                           .n_attributes = (int)l->n[1],
                           .n_answers = (int)l->n[2],
                           .objects = lists[0],
                           .attributes = lists[1],
                           .answers = lists[2]};
}

enum err labels_parse(struct labels **out, const char *json, size_t n, const char *name, struct errbuf *e)
{
    const struct jsonread r = {.file = name, .e = e};
    struct layout layout = {.n_labels = 0};
    json_t *root = NULL;
    *out = NULL;
    enum err rc = jsonread_parse(&r, &root, json, n, MAX_BYTES, MAX_DEPTH);
    if (!rc) {
        rc = measure(&r, root, &layout);
    }
    if (!rc) {
        rc = mem_alloc(out, sizeof(**out) + layout.n_labels * sizeof(char *) + layout.n_chars);
        if (rc) {
            err_set(e, rc, "%s: out of memory", name);
        } else {
            fill(*out, root, &layout);
        }
    }
    json_decref(root);
    return rc;
}

enum err labels_open(struct labels **out, const char *path, struct errbuf *e)
{
    struct fmap *map = NULL;
    *out = NULL;
    enum err rc = fmap_open(&map, path, e);
    if (!rc) {
        rc = labels_parse(out, (const char *)fmap_bytes(map), fmap_size(map), path, e);
    }
    fmap_close(map);
    return rc;
}

void labels_close(struct labels *l)
{
    mem_free(l);
}
