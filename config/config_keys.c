#include "config/config_private.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define DEFAULT_INT(value)    .default_number = (double)(value)
#define DEFAULT_BYTES(value)  .default_number = (double)(value)
#define DEFAULT_BOOL(value)   .default_number = (value)
#define DEFAULT_TEXT(value)   .default_text = (value)
#define DEFAULT_CHOICE(value) .default_text = (value)
#define KEY(section_, name_, kind_, default_, min_, max_, words_, when_, help_)                                     \
    {.section = #section_, .name = #name_, .kind = kind_, .at = offsetof(struct config, section_.name_),               \
     DEFAULT_##kind_(default_), .min = (double)(min_), .max = (double)(max_), .words = words_, .when = when_,    \
     .help = help_},
#define SECTION_KEYS(section, help) CONFIG_KEYS_##section(KEY)
/* clang-format on */

const struct config_key config_keys[] = {CONFIG_SECTIONS(SECTION_KEYS)};
const int config_n_keys = sizeof(config_keys) / sizeof(config_keys[0]);

/* ---- finding ---- */

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (*a != *b && !(*a == '-' && *b == '_')) {
            return false;
        }
    }
    return *a == *b;
}

const struct config_key *config_find(const char *section, const char *name)
{
    for (int i = 0; i < config_n_keys; i++) {
        if (same_name(section, config_keys[i].section) && same_name(name, config_keys[i].name)) {
            return &config_keys[i];
        }
    }
    return NULL;
}

enum { LONGEST = 64 };

/* Levenshtein. */
static int distance(const char *a, const char *b)
{
    int row[LONGEST + 1], n = (int)strlen(b);
    for (int j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (int i = 1; *a; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            int min = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < min ? change : min;
        }
    }
    return row[n];
}

/* The known key nearest to "section.name", for a hint; NULL when none is near. */
static const struct config_key *find_nearest(const char *full_name)
{
    const struct config_key *best = NULL;
    int nearest = 5;
    char name[LONGEST + 1];
    if (strlen(full_name) > LONGEST) {
        return NULL;
    }
    for (int i = 0; i < config_n_keys; i++) {
        snprintf(name, sizeof(name), "%s.%s", config_keys[i].section, config_keys[i].name);
        int d = distance(full_name, name);
        if (d < nearest) {
            nearest = d;
            best = &config_keys[i];
        }
    }
    return best;
}

void config_fault_unknown(const char *full_name, const char *where, struct buf *faults)
{
    const struct config_key *near = find_nearest(full_name);
    buf_printf(faults, "%s: %.80s: no such key", where, full_name);
    if (near) {
        buf_printf(faults, "; did you mean %s.%s?", near->section, near->name);
    }
    buf_text(faults, "\n");
}

/* ---- values ---- */

void config_expected(const struct config_key *k, struct buf *out)
{
    switch (k->kind) {
    case BOOL:
        buf_text(out, "true or false");
        break;
    case CHOICE:
        buf_printf(out, "one of %s", k->words);
        break;
    case TEXT:
        buf_printf(out, "text of %.0f to %.0f characters", k->min, k->max);
        break;
    case BYTES:
        buf_printf(out, "bytes from %.0f to %.0f, as a number or like 64MiB", k->min, k->max);
        break;
    default:
        buf_printf(out, "a whole number from %.0f to %.0f", k->min, k->max);
    }
}

static bool fail(const struct config_key *k, const char *found, const char *where, struct buf *faults)
{
    buf_printf(faults, "%s: %s.%s: expected ", where, k->section, k->name);
    config_expected(k, faults);
    buf_printf(faults, ", found \"%.80s\"\n", found);
    return false;
}

bool config_set_number(struct config *c, const struct config_key *k, double value, const char *where,
                       struct buf *faults)
{
    char found[40];
    if ((k->kind != INT && k->kind != BYTES) || !(value >= k->min && value <= k->max) || value != floor(value)) {
        snprintf(found, sizeof(found), "%.17g", value);
        return fail(k, found, where, faults);
    }
    if (k->kind == INT) {
        *(long long *)config_place(c, k) = (long long)value;
    } else {
        *(uint64_t *)config_place(c, k) = (uint64_t)value;
    }
    return true;
}

/* 1.5GB, 64MiB, 100 */
static bool parse_number(const char *text, bool has_unit, double *out)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1},      {"B", 1},       {"KB", 1e3},        {"MB", 1e6},           {"GB", 1e9},
                 {"TB", 1e12}, {"KiB", 1024},  {"MiB", 1048576},   {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
                 {"K", 1024},  {"M", 1048576}, {"G", 1073741824.0}};
    char *end;
    if (!isdigit((unsigned char)text[text[0] == '-'])) {
        return false;
    }
    if (strpbrk(text, "xX")) {
        return false; /* strtod takes hexadecimal digits */
    }
    double value = strtod(text, &end);
    end += strspn(end, " ");
    for (size_t i = 0; i < (has_unit ? sizeof(units) / sizeof(units[0]) : 1); i++) {
        if (strcmp(end, units[i].name) == 0) {
            *out = units[i].factor > 1 ? floor(value * units[i].factor) : value;
            return true;
        }
    }
    return false;
}

static bool is_choice(const char *words, const char *text)
{
    size_t n = strlen(text);
    for (const char *w = words; n > 0 && !strchr(text, '|') && w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL) {
        if (strncmp(w, text, n) == 0 && (w[n] == '|' || w[n] == '\0')) {
            return true;
        }
    }
    return false;
}

bool config_set_text(struct config *c, const struct config_key *k, const char *text, const char *where,
                     struct buf *faults)
{
    double value;
    size_t n = strlen(text);
    switch (k->kind) {
    case BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "1") != 0 && strcmp(text, "false") != 0 &&
            strcmp(text, "0") != 0) {
            return fail(k, text, where, faults);
        }
        *(bool *)config_place(c, k) = text[0] == 't' || text[0] == '1';
        return true;
    case TEXT:
    case CHOICE:
        if (n >= CONFIG_TEXT_MAX || (k->kind == CHOICE && !is_choice(k->words, text)) ||
            (k->kind == TEXT && ((double)n < k->min || (double)n > k->max))) {
            return fail(k, text, where, faults);
        }
        memcpy(config_place(c, k), text, n + 1);
        return true;
    default:
        if (!parse_number(text, k->kind == BYTES, &value)) {
            return fail(k, text, where, faults);
        }
        return config_set_number(c, k, value, where, faults);
    }
}
