/* Folders become the pictures in them: which, in which order, and how each is named. */
#include "cli/cli_folder.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/scratch_folder.h"

#include <ftw.h>
#include <sys/stat.h>

static char folder[SCRATCH_FOLDER_MAX];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void make_tree(void)
{
    static const char *const folders[] = {"p", "p/b", "p/.thumbs", "empty", "notes"};
    static const char *const files[] = {"p/c.jpg",         "p/A.PNG",    "p/b/d.webp", "p/b/e.txt",   "p/.hidden.jpg",
                                        "p/.thumbs/t.jpg", "p/noending", "p/.jpg",     "notes/n.txt", "alone.xyz"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        CHECK_INT(mkdir(folders[i], 0777), 0);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        FILE *file = fopen(files[i], "wb");
        CHECK(file != NULL);
        fclose(file);
    }
    CHECK_INT(symlink(".", "p/loop"), 0);
    CHECK_INT(symlink("b", "p/folder.jpg"), 0);
    CHECK_INT(symlink("c.jpg", "p/link.jpg"), 0);
    CHECK_INT(symlink("nowhere", "p/lost.jpg"), 0);
    CHECK_INT(mkfifo("p/pipe", 0600), 0);
    CHECK_INT(symlink("pipe", "p/pipe.jpg"), 0);
}

/* The names, and behind each ":" its key, separated by spaces. */
static enum err expand(const char **names, int n, const char *output, char *told, size_t size, int *n_missing)
{
    struct cli_args a = {.n_files = n, .output = output};
    struct errbuf e = {""};
    size_t at = 0;
    CHECK_INT(mem_array(&a.files, (size_t)n, sizeof(*a.files)), OK);
    memcpy(a.files, names, (size_t)n * sizeof(*names));
    enum err rc = cli_folder_expand(&a, &e);
    told[0] = '\0';
    for (int i = 0; i < a.n_files; i++) {
        at += (size_t)snprintf(told + at, size - at, "%s%s:%s", i ? " " : "", a.files[i], a.files[i] + a.key_at[i]);
    }
    if (rc) {
        snprintf(told, size, "%s", e.text);
    }
    *n_missing = a.n_missing;
    cli_args_release(&a);
    return rc;
}

static void check_expanded(const char *name, const char *expected)
{
    char told[1024];
    int n_missing;
    CHECK_INT(expand(&name, 1, NULL, told, sizeof(told), &n_missing), OK);
    CHECK_STR(told, expected);
}

static void test_pictures(void)
{
    check_expanded("p", "p/A.PNG:A.PNG p/b/d.webp:b/d.webp p/c.jpg:c.jpg p/link.jpg:link.jpg p/lost.jpg:lost.jpg");
    check_expanded("p/b", "p/b/d.webp:d.webp");
    check_expanded("p/b//", "p/b//d.webp:d.webp");
    check_expanded("alone.xyz", "alone.xyz:alone.xyz"); /* named: whatever its ending */
    check_expanded("p/b/e.txt", "p/b/e.txt:e.txt");
    check_expanded("-", "-:-");
    check_expanded("none.jpg", "none.jpg:none.jpg"); /* its error comes with the others' answers */
}

static void test_faults(void)
{
    char told[1024];
    int n_missing;
    const char *empty[] = {"empty"}, *notes[] = {"p/c.jpg", "notes"};
    CHECK_INT(expand(empty, 1, NULL, told, sizeof(told), &n_missing), ERR_IO);
    CHECK_STR(told, "empty: this folder contains no images");
    CHECK_INT(expand(notes, 2, NULL, told, sizeof(told), &n_missing), ERR_IO);
    CHECK_STR(told, "notes: this folder contains no images");
}

/* A file of results has no row for a name that does not exist. */
static void test_missing(void)
{
    char told[1024];
    int n_missing;
    const char *some[] = {"p/c.jpg", "none.jpg", "p/lost.jpg"}, *none[] = {"none.jpg"};
    CHECK_INT(expand(some, 3, "o.csv", told, sizeof(told), &n_missing), OK);
    CHECK_STR(told, "p/c.jpg:c.jpg p/lost.jpg:lost.jpg");
    CHECK_INT(n_missing, 1);
    CHECK_INT(expand(none, 1, "o.csv", told, sizeof(told), &n_missing), ERR_IO);
    CHECK_STR(told, "no image is left: nothing was written to o.csv");
}

int main(void)
{
    scratch_folder(folder, "folder");
    CHECK_INT(chdir(folder), 0);
    make_tree();
    test_pictures();
    test_faults();
    test_missing();
    CHECK_INT(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    return check_result();
}
