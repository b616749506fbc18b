/* What config prints: it can be read back, and the files of the repository that were made with it are what it says. */
#include "tests/unit/config/test_config.h"

#include <jansson.h>

static struct buf out;

static const char *print(void (*write_it)(struct buf *))
{
    buf_release(&out);
    buf_init(&out, 1 << 20);
    write_it(&out);
    CHECK_INT(out.err, OK);
    return out.bytes ? out.bytes : "";
}

static const char *print_json(const struct config *c)
{
    buf_release(&out);
    buf_init(&out, 1 << 20);
    config_print_json(c, &out);
    CHECK_INT(out.err, OK);
    return out.bytes ? out.bytes : "";
}

static bool is_file(const char *path, const char *text)
{
    static char bytes[1 << 18];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    if (file) {
        fclose(file);
    }
    return n == strlen(text) && memcmp(bytes, text, n) == 0;
}

/* ---- the configuration ---- */

/* Another value for every key, and the hard characters in the texts. */
static void change_everything(struct config *c)
{
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        if (k->kind == INT) {
            *(long long *)config_place(c, k) = (long long)k->max - i % 2;
        } else if (k->kind == BYTES) {
            *(uint64_t *)config_place(c, k) = (uint64_t)k->max - (uint64_t)i % 2;
        } else if (k->kind == BOOL) {
            *(bool *)config_place(c, k) = k->default_number == 0;
        } else if (k->kind == TEXT) {
            snprintf(config_place(c, k), CONFIG_TEXT_MAX, "\"%d\\/ \t\n\x01\x7f \xc3\xa9 \xf0\x9f\x99\x82 {}", i);
        } else {
            snprintf(config_place(c, k), CONFIG_TEXT_MAX, "%s", strrchr(k->words, '|') + 1);
        }
    }
}

static enum err print_and_read_back(const struct config *c)
{
    const char *text = print_json(c);
    return read_text(text, out.n);
}

static void test_read_back(void)
{
    static struct config changed;
    config_defaults(&changed);
    CHECK_INT(print_and_read_back(&changed), OK);
    CHECK(memcmp(&config, &changed, sizeof(config)) == 0);
    change_everything(&changed);
    CHECK_INT(print_and_read_back(&changed), OK);
    CHECK_STR(fault_text(), "");
    char *first = strdup(out.bytes);
    CHECK_STR(print_json(&config), first);
    CHECK_STR(config.model.dir, changed.model.dir);
    CHECK_INT(config.limits.memory_bytes, changed.limits.memory_bytes);
    free(first);
}

static void test_default_file(void)
{
    config_defaults(&config);
    CHECK(is_file("config/default.json", print_json(&config)));
    CHECK_INT(load(ARGS("--config=config/default.json"), NO_ENV), OK);
}

/* ---- reference, help, schema ---- */

static void test_reference(void)
{
    char row[128];
    const char *text = print(config_print_reference);
    CHECK(is_file("docs/configuration.md", text));
    for (int i = 0; i < config_n_keys; i++) {
        snprintf(row, sizeof(row), "\n| `%s.%s` | ", config_keys[i].section, config_keys[i].name);
        CHECK(strstr(text, row) != NULL);
    }
}

static void test_help(void)
{
    char flag[128];
    const char *text = print(config_print_help);
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        snprintf(flag, sizeof(flag), "\n  --%s.%s ", k->section, k->name);
        const char *line = strstr(text, flag);
        CHECK(line != NULL);
        CHECK(line && (line[strlen(flag)] == '*') == (k->when == RELOAD));
    }
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        CHECK(strcspn(line, "\n") <= 120);
    }
}

static void check_schema_of(const json_t *sections, const struct config_key *k)
{
    const json_t *section = json_object_get(json_object_get(sections, k->section), "properties");
    const json_t *p = json_object_get(section, k->name);
    const json_t *value = json_object_get(p, "default");
    CHECK_STR(json_string_value(json_object_get(p, "description")), k->help);
    CHECK(value != NULL);
    if (k->kind == INT || k->kind == BYTES) {
        CHECK_NEAR(json_number_value(json_object_get(p, "minimum")), k->min, 0);
        CHECK_NEAR(json_number_value(json_object_get(p, "maximum")), k->max, 0);
        CHECK(json_is_integer(value) && json_number_value(value) == k->default_number);
    } else if (k->kind == TEXT) {
        CHECK_NEAR(json_number_value(json_object_get(p, "maxLength")), k->max, 0);
        CHECK_STR(json_string_value(value), k->default_text);
    } else if (k->kind == CHOICE) {
        const json_t *words = json_object_get(p, "enum");
        bool is_there = false;
        for (size_t i = 0; i < json_array_size(words); i++) {
            const char *word = json_string_value(json_array_get(words, i));
            is_there |= strcmp(word, k->default_text) == 0;
            CHECK(config_set_text(&config, k, word, "schema", &faults));
        }
        CHECK(json_array_size(words) >= 2 && is_there);
    } else {
        CHECK_STR(json_string_value(json_object_get(p, "type")), "boolean");
        CHECK(json_is_boolean(value));
    }
}

static void test_schema(void)
{
    json_error_t e;
    const char *name;
    json_t *section;
    size_t n = 0;
    const char *text = print(config_print_schema);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    CHECK(root != NULL);
    CHECK_STR(json_string_value(json_object_get(root, "$schema")), "https://json-schema.org/draft/2020-12/schema");
    CHECK(json_is_false(json_object_get(root, "additionalProperties")));
    json_t *sections = json_object_get(root, "properties");
    json_object_foreach(sections, name, section)
    {
        n += json_object_size(json_object_get(section, "properties"));
        CHECK(name[0] == '$' || json_is_false(json_object_get(section, "additionalProperties")));
    }
    CHECK_INT(n, config_n_keys);
    for (int i = 0; i < config_n_keys; i++) {
        check_schema_of(sections, &config_keys[i]);
    }
    json_decref(root);
}

/* ---- reload ---- */

static bool is_same(const struct config *a, const struct config *b, const struct config_key *k)
{
    if (k->kind == TEXT || k->kind == CHOICE) {
        return strcmp(config_value(a, k), config_value(b, k)) == 0;
    }
    size_t n = k->kind == BOOL ? sizeof(bool) : sizeof(long long);
    return memcmp(config_value(a, k), config_value(b, k), n) == 0;
}

static void test_reload_takes_what_it_may(void)
{
    static struct config now, fresh, start;
    struct buf ignored;
    char expected[2048] = "";
    buf_init(&ignored, 4096);
    config_defaults(&now);
    config_defaults(&start);
    config_defaults(&fresh);
    config_merge_reload(&now, &fresh, &ignored);
    CHECK_INT(ignored.n, 0);
    CHECK(memcmp(&now, &start, sizeof(now)) == 0);
    change_everything(&fresh);
    config_merge_reload(&now, &fresh, &ignored);
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        CHECK(is_same(&now, k->when == RELOAD ? &fresh : &start, k));
        if (!is_same(&fresh, &start, k) && k->when == START) {
            size_t n = strlen(expected);
            snprintf(expected + n, sizeof(expected) - n, "%s%s.%s", n ? " " : "", k->section, k->name);
        }
    }
    CHECK_STR(ignored.bytes, expected);
    CHECK(strstr(expected, "server.port") && !strstr(expected, "log.level"));
    buf_release(&ignored);
}

int main(void)
{
    test_read_back();
    test_default_file();
    test_reference();
    test_help();
    test_schema();
    test_reload_takes_what_it_may();
    buf_release(&out);
    buf_release(&faults);
    return check_result();
}
