#include "server/gate/auth.h"

#include "engine/base/mem.h"
#include "engine/base/open.h"
#include "engine/base/sha256.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_KEYS = 10000, MAX_LINE = 256 };

static bool parse_line(const char *line, struct auth_key *k)
{
    size_t n_name = strcspn(line, " \t");
    const char *hex = line + n_name + strspn(line + n_name, " \t");
    if (n_name == 0 || n_name >= sizeof(k->name) || !sha256_from_hex(hex, k->digest)) {
        return false;
    }
    memcpy(k->name, line, n_name);
    k->name[n_name] = '\0';
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

static enum err read_keys(struct auth *a, FILE *file, const char *path, struct errbuf *e)
{
    char line[MAX_LINE];
    bool is_whole;
    for (int n = 1; read_line(file, line, &is_whole); n++) {
        if (line[0] == '#' || (!line[0] && is_whole)) {
            continue;
        }
        if (a->n_keys == MAX_KEYS) {
            return err_set(e, ERR_BAD_CONFIG, "%s: more than %d keys", path, MAX_KEYS);
        }
        if (!is_whole || !parse_line(line, &a->keys[a->n_keys])) {
            return err_set(e, ERR_BAD_CONFIG, "%s:%d: expected NAME and the key's SHA-256 as 64 hexadecimal digits",
                           path, n);
        }
        a->n_keys++;
    }
    return ferror(file) ? err_set(e, ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

enum err auth_load(struct auth *a, const char *path, struct errbuf *e)
{
    *a = (struct auth){.n_keys = 0};
    if (!path[0]) {
        return OK;
    }
    FILE *file;
    enum err rc = open_regular(&file, "auth.keys_file", path, e);
    if (rc) {
        return rc;
    }
    rc = mem_array(&a->keys, MAX_KEYS, sizeof(*a->keys));
    rc = rc ? rc : read_keys(a, file, path, e);
    fclose(file);
    if (rc) {
        auth_release(a);
    }
    return rc;
}

void auth_release(struct auth *a)
{
    mem_free(a->keys);
    *a = (struct auth){.n_keys = 0};
}

const struct auth_key *auth_check(const struct auth *a, const char *authorization)
{
    uint8_t digest[SHA256_BYTES];
    const struct auth_key *found = NULL;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) {
        return NULL;
    }
    const char *key = authorization + 7 + strspn(authorization + 7, " ");
    sha256(key, strlen(key), digest);
    for (int i = 0; i < a->n_keys; i++) {
        if (sha256_equal(digest, a->keys[i].digest)) {
            found = &a->keys[i];
        }
    }
    return found;
}
