#include "engine/base/fmap.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_fmap_XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text, size_t n)
{
    FILE *f = fopen(path_of(name), "wb");
    CHECK(f && fwrite(text, 1, n, f) == n);
    if (f) {
        fclose(f);
    }
}

static void test_bytes(void)
{
    struct fmap *m = NULL;
    struct errbuf e = {""};
    write_file("file", "some\0bytes", 10);
    CHECK_INT(fmap_open(&m, path_of("file"), &e), OK);
    CHECK_INT(fmap_size(m), 10);
    CHECK(memcmp(fmap_bytes(m), "some\0bytes", 10) == 0);
    write_file("other", "replaced", 8);
    char from[128];
    snprintf(from, sizeof(from), "%s", path_of("other"));
    CHECK_INT(rename(from, path_of("file")), 0); /* the old file stays mapped */
    CHECK(memcmp(fmap_bytes(m), "some\0bytes", 10) == 0);
    fmap_close(m);
    fmap_close(NULL);
    unlink(path_of("file"));
}

/* Pages of this process's memory, from /proc/self/statm. */
static long resident_pages(void)
{
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%ld %ld", &total, &resident) == 2);
    if (f) {
        fclose(f);
    }
    return resident;
}

static void test_forget(void)
{
    enum { SIZE = 4 << 20 };
    static char bytes[SIZE];
    struct fmap *m = NULL;
    memset(bytes, 7, sizeof(bytes));
    write_file("large", bytes, sizeof(bytes));
    CHECK_INT(fmap_open(&m, path_of("large"), NULL), OK);
    long before = resident_pages();
    fmap_forget(m, 100, SIZE - 5000); /* whole pages within it: 4096 to SIZE - 8192 */
    CHECK(before - resident_pages() > SIZE / 4096 / 2);
    CHECK(fmap_bytes(m)[4095] == 7 && fmap_bytes(m)[SIZE - 8192] == 7);
    fmap_forget(m, 10, 20); /* less than a page */
    CHECK(fmap_bytes(m)[10] == 7);
    fmap_close(m);
    unlink(path_of("large"));
}

/* What was read does not change with the file. */
static void test_overwritten_in_place(void)
{
    struct fmap *m = NULL;
    write_file("file", "first", 5);
    CHECK_INT(fmap_open(&m, path_of("file"), NULL), OK);
    CHECK_INT(truncate(path_of("file"), 0), 0);
    CHECK(memcmp(fmap_bytes(m), "first", 5) == 0);
    write_file("file", "other", 5);
    CHECK(memcmp(fmap_bytes(m), "first", 5) == 0);
    fmap_close(m);
    unlink(path_of("file"));
}

static void test_empty(void)
{
    struct fmap *m = NULL;
    write_file("empty", "", 0);
    CHECK_INT(fmap_open(&m, path_of("empty"), NULL), OK);
    CHECK_INT(fmap_size(m), 0);
    CHECK(fmap_bytes(m) != NULL);
    fmap_forget(m, 0, 0);
    fmap_close(m);
    unlink(path_of("empty"));
}

static void test_refusals(void)
{
    struct fmap *m = (struct fmap *)(void *)folder;
    struct errbuf e = {""};
    CHECK_INT(fmap_open(&m, path_of("missing"), &e), ERR_IO);
    CHECK(m == NULL);
    CHECK(strstr(e.text, "missing: cannot open: No such file") != NULL);
    CHECK_INT(fmap_open(&m, folder, &e), ERR_IO);
    CHECK(strstr(e.text, "not a regular file") != NULL);
    CHECK_INT(mkfifo(path_of("pipe"), 0600), 0);
    CHECK_INT(fmap_open(&m, path_of("pipe"), &e), ERR_IO); /* and does not hang */
    CHECK(strstr(e.text, "not a regular file") != NULL);
    unlink(path_of("pipe"));
    CHECK_INT(fmap_open(&m, "/dev/zero", &e), ERR_IO);
}

static int open_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 64; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void test_torture(void)
{
    struct fmap *m = NULL;
    size_t live = mem_live_bytes();
    int before = open_descriptors();
    write_file("file", "x", 1);
    mem_fail_after(1);
    CHECK_INT(fmap_open(&m, path_of("file"), NULL), ERR_NOMEM);
    mem_fail_after(0);
    CHECK_INT(fmap_open(&m, path_of("file"), NULL), OK);
    CHECK_INT(open_descriptors(), before); /* the mapping needs none */
    fmap_close(m);
    CHECK_INT(fmap_open(&m, folder, NULL), ERR_IO);
    CHECK_INT(open_descriptors(), before);
    CHECK_INT(mem_live_bytes(), live);
    unlink(path_of("file"));
}

int main(void)
{
    if (!mkdtemp(folder)) {
        return 1;
    }
    test_bytes();
    test_forget();
    test_overwritten_in_place();
    test_empty();
    test_refusals();
    test_torture();
    rmdir(folder);
    return check_result();
}
