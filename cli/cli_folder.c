#include "cli/cli_folder.h"

#include "cli/cli_input.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char *const endings[] = {"jpg", "jpeg", "jpe",  "jfif", "png", "webp",
                                      "gif", "heic", "heif", "avif", "tif", "tiff"};

struct names {
    const char **all; /* [n]: those of argv and those of own */
    int *key_at;      /* [n] */
    char **own;       /* [n_own] */
    size_t n, n_own, all_room, key_room, own_room;
};

/* Room for one more of `size` bytes each. */
static enum err grow(void *array_of_any, size_t size, size_t *room, size_t n)
{
    void **array = array_of_any;
    if (n < *room) {
        return OK;
    }
    void *larger = NULL;
    size_t count = *room ? 2 * *room : 256;
    enum err rc = mem_array(&larger, count, size);
    if (rc) {
        return rc;
    }
    if (n > 0) {
        memcpy(larger, *array, n * size);
    }
    mem_free(*array);
    *array = larger;
    *room = count;
    return OK;
}

static enum err add(struct names *s, const char *name, size_t key_at)
{
    enum err rc = grow(&s->all, sizeof(*s->all), &s->all_room, s->n);
    rc = rc ? rc : grow(&s->key_at, sizeof(*s->key_at), &s->key_room, s->n);
    if (!rc) {
        s->key_at[s->n] = (int)key_at;
        s->all[s->n++] = name;
    }
    return rc;
}

static enum err add_copy(struct names *s, const char *name, size_t key_at)
{
    char *copy = NULL;
    size_t bytes = strlen(name) + 1;
    enum err rc = grow(&s->own, sizeof(*s->own), &s->own_room, s->n_own);
    rc = rc ? rc : mem_alloc(&copy, bytes);
    if (rc) {
        return rc;
    }
    memcpy(copy, name, bytes);
    s->own[s->n_own++] = copy;
    return add(s, copy, key_at);
}

static bool is_picture(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (strcasecmp(dot + 1, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static size_t name_at(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* A link that leads nowhere counts: its error is worth a row. A folder, a pipe or a device behind one does not. */
static bool is_link_to_file(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

/* root_bytes: of the folder's own name in every path below it */
static enum err visit(struct names *s, FTS *walk, FTSENT *at, size_t root_bytes, struct errbuf *e)
{
    size_t key_at = root_bytes + strspn(at->fts_path + root_bytes, "/");
    if (at->fts_level > FTS_ROOTLEVEL && at->fts_name[0] == '.') {
        fts_set(walk, at, FTS_SKIP);
        return OK;
    }
    switch (at->fts_info) {
    case FTS_SL:
        return is_picture(at->fts_name) && is_link_to_file(at->fts_accpath) ? add_copy(s, at->fts_path, key_at) : OK;
    case FTS_F:
        return is_picture(at->fts_name) ? add_copy(s, at->fts_path, key_at) : OK;
    case FTS_DNR:
    case FTS_ERR:
        if (at->fts_level > FTS_ROOTLEVEL) { /* stands for its pictures: reading it will fail with the same reason */
            return add_copy(s, at->fts_path, key_at);
        }
        return err_set(e, ERR_IO, "%s: %s", at->fts_path, strerror(at->fts_errno));
    default:
        return OK;
    }
}

static enum err walk_folder(struct names *s, const char *folder, struct errbuf *e)
{
    char *root = (char *)(uintptr_t)folder; /* fts does not write there */
    char *roots[] = {root, NULL};
    size_t before = s->n;
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    FTSENT *at;
    enum err rc = OK;
    if (!walk) {
        return err_set(e, ERR_IO, "%s: %s", folder, strerror(errno));
    }
    while (!rc && (at = fts_read(walk))) {
        rc = visit(s, walk, at, strlen(folder), e);
    }
    fts_close(walk);
    return rc || s->n > before ? rc : err_set(e, ERR_IO, "%s: this folder contains no images", folder);
}

/* A file of results has no row for what is no file at all, most likely a slip of the pen: a sentence says it. */
static bool is_slip(struct cli_args *a, const char *name)
{
    struct stat st;
    if (!a->output || strcmp(name, "-") == 0 || lstat(name, &st) == 0 || (errno != ENOENT && errno != ENOTDIR)) {
        return false;
    }
    fprintf(stderr, "minivlm: %s: %s\n", name, cli_input_why(name));
    a->n_missing++;
    return true;
}

enum err cli_folder_expand(struct cli_args *a, struct errbuf *e)
{
    struct names s = {0};
    struct stat st;
    enum err rc = OK;
    for (int i = 0; !rc && i < a->n_files; i++) {
        if (is_slip(a, a->files[i])) {
            continue;
        }
        bool is_folder = strcmp(a->files[i], "-") != 0 && stat(a->files[i], &st) == 0 && S_ISDIR(st.st_mode);
        rc = is_folder ? walk_folder(&s, a->files[i], e) : add(&s, a->files[i], name_at(a->files[i]));
    }
    if (!rc && s.n == 0 && a->n_missing > 0) {
        rc = err_set(e, ERR_IO, "no image is left: nothing was written to %s", a->output);
    }
    if (!rc && s.n > INT32_MAX / 2) {
        rc = err_set(e, ERR_IO, "there are more than %d images; name fewer folders at a time", INT32_MAX / 2);
    }
    mem_free(a->files);
    a->files = s.all;
    a->n_files = rc ? 0 : (int)s.n;
    a->key_at = s.key_at;
    a->own_files = s.own;
    a->n_own_files = s.n_own;
    return rc;
}
