#include "server/gate/auth_file.h"

#include "engine/base/mem.h"
#include "engine/base/open.h"
#include "engine/base/sha256.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEYS = 10000, MAX_LINE = 512, MAX_WORD = 128 };

static const struct {
    const char *name;
    enum auth_role role;
} roles[] = {{"client", AUTH_CLIENT}, {"metrics", AUTH_METRICS}, {"admin", AUTH_ADMIN}};

void auth_role_names(unsigned set, char out[32])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (set & roles[i].role) {
            n += (size_t)snprintf(out + n, 32 - n, "%s%s", n ? "," : "", roles[i].name);
        }
    }
}

/* ---- options ---- */

static bool parse_roles(const char *text, unsigned *out)
{
    *out = 0;
    for (size_t n; *text; text += n + (text[n] == ',' && text[n + 1])) {
        size_t i = 0;
        n = strcspn(text, ",");
        while (i < sizeof(roles) / sizeof(roles[0]) &&
               (strlen(roles[i].name) != n || strncmp(roles[i].name, text, n) != 0)) {
            i++;
        }
        if (i == sizeof(roles) / sizeof(roles[0]) || (text[n] == ',' && !text[n + 1])) {
            return false;
        }
        *out |= roles[i].role;
    }
    return *out != 0;
}

/* Digits with at most one point; *end is the first byte after them. */
static bool parse_number(const char *text, double *out, const char **end)
{
    size_t n = strspn(text, "0123456789.");
    char *stop;
    *out = strtod(text, &stop);
    *end = text + n;
    return n > 0 && n < 16 && stop == text + n && isdigit((unsigned char)text[0]);
}

static bool parse_rate(const char *text, double *out)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"/s", 1}, {"/min", 60}, {"/h", 3600}};
    const char *unit;
    if (!parse_number(text, out, &unit)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].unit) == 0) {
            *out /= units[i].seconds;
            return *out > 0 && *out <= 1e6;
        }
    }
    return false;
}

static bool parse_share(const char *text, int *out)
{
    double percent;
    const char *end;
    if (!parse_number(text, &percent, &end) || strcmp(end, "%") != 0 || percent < 1 || percent > 100) {
        return false;
    }
    *out = (int)percent;
    return (double)*out == percent;
}

static bool parse_option(struct auth_key *k, const char *word, char *problem, size_t n)
{
    const char *equals = strchr(word, '='), *value = equals ? equals + 1 : "";
    size_t n_name = equals ? (size_t)(equals - word) : strlen(word);
    if (n_name == 4 && strncmp(word, "role", 4) == 0) {
        snprintf(problem, n, "role must be client, metrics or admin, or several with commas between, found \"%.40s\"",
                 value);
        return parse_roles(value, &k->roles);
    }
    if (n_name == 4 && strncmp(word, "rate", 4) == 0) {
        snprintf(problem, n, "rate must be a number and /s, /min or /h, like 5/s or 100/min, found \"%.40s\"", value);
        return parse_rate(value, &k->rate);
    }
    if (n_name == 5 && strncmp(word, "share", 5) == 0) {
        snprintf(problem, n, "share must be a whole number from 1 to 100 and %%, like 25%%, found \"%.40s\"", value);
        return parse_share(value, &k->share);
    }
    snprintf(problem, n, "the hash may be followed by role=, rate= and share=, found \"%.40s\"", word);
    return false;
}

/* ---- lines ---- */

/* The next word of *at; false: there is none. Words that do not fit are cut, and then fit nothing. */
static bool next_word(const char **at, char word[MAX_WORD])
{
    const char *text = *at + strspn(*at, " \t");
    size_t n = strcspn(text, " \t");
    snprintf(word, MAX_WORD, "%.*s", (int)(n < MAX_WORD ? n : MAX_WORD), text);
    *at = text + n;
    return n > 0;
}

static bool is_visible(const char *text)
{
    while (*text > 0x20 && *text < 0x7f) {
        text++;
    }
    return *text == '\0';
}

bool auth_file_line(const char *line, struct auth_key *k, char *problem, size_t n_problem)
{
    char word[MAX_WORD];
    size_t n_name = strcspn(line, " \t");
    const char *at = line + n_name;
    *k = (struct auth_key){.roles = AUTH_CLIENT};
    snprintf(
        problem, n_problem,
        "expected NAME and the key's SHA-256 as 64 hexadecimal digits; minivlm-server --make-key NAME makes such a "
        "line");
    if (n_name == 0 || n_name >= sizeof(k->name) || !next_word(&at, word) || !sha256_from_hex(word, k->digest)) {
        return false;
    }
    memcpy(k->name, line, n_name);
    k->name[n_name] = '\0';
    if (!is_visible(k->name)) {
        snprintf(problem, n_problem, "the name may hold letters, digits and other visible ASCII characters");
        return false;
    }
    if (strcmp(k->name, "_other") == 0) {
        snprintf(problem, n_problem,
                 "_other is what the metrics call the keys that have no line of their own; choose another name");
        return false;
    }
    while (next_word(&at, word)) {
        if (!parse_option(k, word, problem, n_problem)) {
            return false;
        }
    }
    return true;
}

/* Without its end and the space before that. *is_whole: false when it did not fit or has NUL bytes. */
static bool read_line(FILE *file, char line[MAX_LINE], bool *is_whole)
{
    size_t n = 0;
    int c;
    *is_whole = true;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (c != '\0' && n < MAX_LINE - 1) {
            line[n++] = (char)c;
        } else {
            *is_whole = false;
        }
    }
    while (n > 0 && isspace((unsigned char)line[n - 1])) {
        n--;
    }
    line[n] = '\0';
    return c != EOF || n > 0 || !*is_whole;
}

/* Editors of another system put a byte order mark before the first line. */
static const char *behind_mark(const char *line, int n)
{
    return n == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0 ? line + 3 : line;
}

static enum err read_keys(FILE *file, const char *path, struct auth_key *keys, int *n_keys, struct errbuf *e)
{
    char line[MAX_LINE], problem[200];
    bool is_whole;
    for (int n = 1; read_line(file, line, &is_whole); n++) {
        const char *text = behind_mark(line, n);
        if (text[0] == '#' || (!text[0] && is_whole)) {
            continue;
        }
        if (*n_keys == MAX_KEYS) {
            return err_set(e, ERR_BAD_CONFIG, "%s: more than %d keys", path, MAX_KEYS);
        }
        if (!is_whole) {
            return err_set(e, ERR_BAD_CONFIG, "%s:%d: the line is longer than %d characters or has NUL bytes", path, n,
                           MAX_LINE - 1);
        }
        if (!auth_file_line(text, &keys[*n_keys], problem, sizeof(problem))) {
            return err_set(e, ERR_BAD_CONFIG, "%s:%d: %s", path, n, problem);
        }
        ++*n_keys;
    }
    return ferror(file) ? err_set(e, ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

enum err auth_file_read(const char *path, struct auth_key **keys, int *n_keys, struct errbuf *e)
{
    FILE *file;
    *keys = NULL;
    *n_keys = 0;
    enum err rc = open_regular(&file, "auth.keys_file", path, e);
    if (rc) {
        return rc;
    }
    rc = mem_array(keys, MAX_KEYS, sizeof(**keys));
    rc = rc ? err_set(e, rc, "out of memory") : read_keys(file, path, *keys, n_keys, e);
    fclose(file);
    if (rc) {
        mem_free(*keys);
        *keys = NULL;
        *n_keys = 0;
    }
    return rc;
}
