/* A disk that is full: nothing more is put, and deleting goes on, which makes room for what is put then. */
#include "tests/unit/server/collections/test_collection.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

enum { IMAGES = 40 };

/* ---- a disk without room: files don't grow ---- */

static bool is_full;
static int n_refused;

static bool must_refuse(int fd, off_t end)
{
    struct stat st;
    bool is_refused = is_full && fstat(fd, &st) == 0 && end > st.st_size;
    n_refused += is_refused;
    errno = is_refused ? ENOSPC : errno;
    return is_refused;
}

static ssize_t on_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return must_refuse(fd, at + (off_t)n) ? -1 : pwrite(fd, bytes, n, at);
}

static ssize_t on_write(int fd, const void *bytes, size_t n)
{
    return must_refuse(fd, lseek(fd, 0, SEEK_CUR) + (off_t)n) ? -1 : write(fd, bytes, n);
}

static void disk_begin(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)on_pwrite);
    vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)on_pwrite);
    vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)on_write);
}

/* Takes the place of the C library's. */
static uint64_t free_bytes = UINT64_MAX;

int fstatvfs(int fd, struct statvfs *out)
{
    (void)fd;
    *out = (struct statvfs){.f_frsize = 4096, .f_blocks = 1000000, .f_bavail = free_bytes / 4096};
    return 0;
}

/* ---- tests ---- */

/* All of it is in the file, and the log is short. */
static struct collections *open_filled(void)
{
    struct collections *cs = open_at(path);
    for (int i = 0; i < IMAGES; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%02d", i);
        CHECK_INT(put_words(cs, "a", key, 1, "dog"), OK);
        CHECK(collection_db_checkpoint(cs));
    }
    return cs;
}

static enum err remove_image(struct collections *cs, int i)
{
    char key[16];
    bool was_there = false;
    snprintf(key, sizeof(key), "key%02d", i);
    errbuf_clear(&e);
    enum err rc = collections_remove(cs, T("a"), T(key), &was_there, &e);
    CHECK(rc || was_there);
    return rc;
}

static void test_reserve(void)
{
    struct collections *cs = open_filled();
    free_bytes = COLLECTION_RESERVE_BYTES - 4096;
    CHECK_INT(put_words(cs, "a", "new", 1, "dog"), ERR_DISK_FULL);
    CHECK(strstr(e.text, "the last 8 MB of the disk are kept for deleting") && strstr(e.text, path));
    CHECK_INT(put_words(cs, "b", "new", 1, "dog"), ERR_DISK_FULL);
    CHECK_INT(number(cs, "SELECT count(*) FROM collection"), 1);
    CHECK_INT(remove_image(cs, 0), OK);
    CHECK_INT(put_words(cs, "a", "new", 1, "dog"), OK); /* in the room of the deleted one */
    CHECK_INT(put_words(cs, "a", "newer", 1, "dog"), ERR_DISK_FULL);
    free_bytes = COLLECTION_RESERVE_BYTES;
    CHECK_INT(put_words(cs, "a", "new", 1, "dog"), OK);
    free_bytes = UINT64_MAX;
    check_sound(cs);
    collections_close(cs);
    folder_empty(folder);
}

/* Not a byte more than the files have: what lies in the log goes into the file, and the log begins anew. */
static void test_deleting(void)
{
    struct collection_count count;
    bool found, more = true;
    struct collections *cs = open_filled();
    is_full = true;
    n_refused = 0;
    for (int i = 0; i < IMAGES / 2; i++) {
        CHECK_INT(remove_image(cs, i), OK);
    }
    CHECK(n_refused > 0);
    CHECK_INT(count_images(cs, "a", &count), OK);
    CHECK_INT(count.n_images, IMAGES / 2);
    for (int i = 0; i < IMAGES / 4; i++) { /* there is room in the file for some */
        char key[] = {'n', (char)('a' + i), 0};
        CHECK_INT(put_words(cs, "a", key, 1, "dog"), OK);
    }
    CHECK_INT(collections_drop(cs, T("a"), &found, &e), OK);
    CHECK(found);
    while (more) {
        CHECK_INT(collections_purge(cs, &more, &e), OK);
    }
    is_full = false;
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 0);
    check_sound(cs);
    collections_close(cs);
    folder_empty(folder);
}

/* Where the file has to grow for what is in the log, nothing can be deleted; nothing is lost, and it goes on later. */
static void test_no_room_at_all(void)
{
    struct collections *cs = open_filled();
    for (int i = 0; i < IMAGES; i++) {
        char key[16];
        snprintf(key, sizeof(key), "new%02d", i);
        CHECK_INT(put_words(cs, "a", key, 1, "dog"), OK);
    }
    is_full = true;
    CHECK_INT(remove_image(cs, 0), ERR_DISK_FULL);
    CHECK(strstr(e.text, "the disk is full"));
    check_sound(cs);
    is_full = false;
    CHECK_INT(remove_image(cs, 0), OK);
    collections_close(cs);
    folder_empty(folder);
}

int main(void)
{
    folder_make();
    disk_begin();
    test_reserve();
    test_deleting();
    test_no_room_at_all();
    folder_remove();
    return check_result();
}
