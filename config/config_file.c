#include "config/config_private.h"

#include "engine/base/mem.h"
#include "engine/base/open.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

static void set_json(struct config *c, const struct config_key *k, const json_t *value, const char *where,
                     struct buf *faults)
{
    if (json_is_string(value) && k->kind != BOOL && k->kind != INT) {
        config_set_text(c, k, json_string_value(value), where, faults);
    } else if (json_is_boolean(value) && k->kind == BOOL) {
        *(bool *)config_place(c, k) = json_is_true(value);
    } else if (json_is_number(value) && (k->kind == INT || k->kind == BYTES)) {
        config_set_number(c, k, json_number_value(value), where, faults);
    } else {
        static const char *const types[] = {"an object", "a list", "a string", "a number",
                                            "a number",  "true",   "false",    "null"};
        buf_printf(faults, "%s: %s.%s: expected ", where, k->section, k->name);
        config_expected(k, faults);
        buf_printf(faults, ", found %s\n", types[json_typeof(value)]);
    }
}

static bool is_section(const char *name)
{
    bool is_found = false;
    for (int i = 0; i < config_n_keys; i++) {
        is_found |= strcmp(config_keys[i].section, name) == 0;
    }
    return is_found;
}

static void read_section(struct config *c, const char *section, const json_t *object, const char *where,
                         struct buf *faults)
{
    const char *name;
    json_t *value;
    char full[160];
    if (!json_is_object(object)) {
        buf_printf(faults, "%s: %.60s: expected an object of keys\n", where, section);
        return;
    }
    if (json_object_size(object) == 0 && !is_section(section)) {
        buf_printf(faults, "%s: %.60s: no such section\n", where, section);
    }
    json_object_foreach((json_t *)object, name, value)
    {
        const struct config_key *k = config_find(section, name);
        snprintf(full, sizeof(full), "%.60s.%.60s", section, name);
        if (k) {
            set_json(c, k, value, where, faults);
        } else {
            config_fault_unknown(full, where, faults);
        }
    }
}

static void read_root(struct config *c, const json_t *root, const char *where, struct buf *faults)
{
    const char *section;
    json_t *object;
    if (!json_is_object(root)) {
        buf_printf(faults, "%s: expected a JSON object of sections\n", where);
        return;
    }
    json_object_foreach((json_t *)root, section, object)
    {
        if (strcmp(section, "$schema") != 0) {
            read_section(c, section, object, where, faults);
        }
    }
}

void config_read_text(struct config *c, const char *text, size_t n, const char *where, struct buf *faults)
{
    json_error_t e;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (root) {
        read_root(c, root, where, faults);
        json_decref(root);
    } else {
        buf_printf(faults, "%s:%d:%d: not JSON: %s\n", where, e.line, e.column, e.text);
    }
}

void config_read_file(struct config *c, const char *path, struct buf *faults)
{
    FILE *file;
    char *text = NULL;
    struct errbuf e;
    errbuf_clear(&e);
    enum err rc = open_regular(&file, "configuration", path, &e);
    rc = rc ? rc : mem_alloc(&text, FILE_MAX + 1);
    if (rc) {
        buf_printf(faults, "%s\n", errbuf_text(&e, rc));
    } else {
        size_t n = fread(text, 1, FILE_MAX + 1, file);
        if (n > FILE_MAX || ferror(file)) {
            buf_printf(faults, "%s: %s\n", path, n > FILE_MAX ? "larger than a configuration can be" : strerror(errno));
        } else {
            config_read_text(c, text, n, path, faults);
        }
    }
    mem_free(text);
    if (file) {
        fclose(file);
    }
}
