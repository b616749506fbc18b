/* What was acknowledged is there after the process is killed, after the power is cut, and when writing fails.
 *
 * Operation i is a function of i alone, so the content after n operations is known: what is found after a crash must be
 * the content after all acknowledged operations, or after one more (it was under way). */
#include "engine/base/clock.h"
#include "tests/unit/server/collections/test_collection.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { KEYS = 24, MAX_OPERATIONS = 100000 };

static uint32_t random_state = 20240611;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

/* ---- operations and what they leave ---- */

struct world {
    uint32_t n;             /* operations done */
    uint32_t version[KEYS]; /* seed of the image; 0: none */
};

enum kind { PUT, REMOVE, DROP };

static enum kind operation(uint32_t i, uint32_t *key)
{
    uint32_t x = (i + 1) * 2654435761u;
    x ^= x >> 15;
    *key = x % KEYS;
    return i % 41 == 40 ? DROP : (x >> 8) % 5 == 0 ? REMOVE : PUT;
}

static void advance(struct world *w)
{
    uint32_t key;
    enum kind kind = operation(w->n++, &key);
    if (kind == DROP) {
        memset(w->version, 0, sizeof(w->version));
    } else {
        w->version[key] = kind == PUT ? w->n : 0;
    }
}

static enum err operate(struct collections *cs, uint32_t i)
{
    uint32_t k;
    enum kind kind = operation(i, &k);
    char key[16], words[64];
    bool flag;
    snprintf(key, sizeof(key), "key%02u", k);
    snprintf(words, sizeof(words), "dog v%ux on the beach", i + 1);
    errbuf_clear(&e);
    switch (kind) {
    case PUT:
        return put_words(cs, "a", key, i + 1, words);
    case REMOVE:
        return collections_remove(cs, T("a"), T(key), &flag, &e);
    default:
        return collections_drop(cs, T("a"), &flag, &e);
    }
}

/* Exactly these images with exactly these bytes, each found by its own word. */
static bool is_world(struct collections *cs, const struct world *w)
{
    struct collection_hits hits;
    int n = 0, same = 0;
    CHECK_INT(collections_candidates(cs, model, T("a"), T("dog"), MANY, &hits, &e), OK);
    CHECK_INT(hits.n_damaged, 0);
    CHECK_INT(hits.n_scanned, hits.n);
    for (uint32_t k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof(key), "key%02u", k);
        n += w->version[k] != 0;
        for (int i = 0; i < hits.n; i++) {
            same += w->version[k] && strcmp(hits.hits[i].key, key) == 0 && is_image(&hits.hits[i], w->version[k]);
        }
    }
    bool yes = same == n && hits.n == n;
    collection_hits_release(&hits);
    return yes;
}

static void check_words(struct collections *cs, const struct world *w)
{
    for (uint32_t k = 0; k < KEYS; k++) {
        char key[16], word[32];
        snprintf(key, sizeof(key), "key%02u", k);
        snprintf(word, sizeof(word), "v%ux", w->version[k]);
        if (w->version[k]) {
            CHECK_STR(search(cs, "a", word, 1), key);
        }
    }
}

/* The content after w->n operations; or, with one under way, after one more: then *w advances. */
static void check_file(const char *file, struct world *w, bool under_way)
{
    struct collections *cs = open_at(file);
    bool is_same = is_world(cs, w);
    if (!is_same && under_way) {
        advance(w);
        is_same = is_world(cs, w);
    }
    CHECK(is_same);
    if (is_same) {
        check_words(cs, w);
    } else {
        fprintf(stderr, "after %u operations (one more under way: %d): not what was acknowledged\n", w->n, under_way);
    }
    check_sound(cs);
    collections_close(cs);
}

/* ---- killed ---- */

static void child(int out, uint32_t from)
{
    struct collections *cs = open_at(path);
    sqlite3_exec(cs->db, "PRAGMA wal_autocheckpoint = 40", NULL, NULL, NULL);
    for (uint32_t i = from; i < from + MAX_OPERATIONS; i++) {
        if (operate(cs, i) != OK || write(out, &i, sizeof(i)) != sizeof(i)) {
            break;
        }
    }
    _exit(1); /* only a signal ends it in time */
}

/* Lets it acknowledge some operations, kills it at a random moment soon after. Returns operations acknowledged. */
static uint32_t run_and_kill(uint32_t from)
{
    int ends[2], status = 0;
    uint32_t acknowledged = from, i, wanted = random_below(14);
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        child(ends[1], from);
    }
    close(ends[1]);
    while (acknowledged < from + wanted && read(ends[0], &i, sizeof(i)) == sizeof(i)) {
        CHECK_INT(i, acknowledged);
        acknowledged = i + 1;
    }
    for (uint64_t until = clock_us() + random_below(2500); clock_us() < until;) { /* some moment later */
        sched_yield();
    }
    kill(pid, SIGKILL);
    while (read(ends[0], &i, sizeof(i)) == sizeof(i)) {
        CHECK_INT(i, acknowledged);
        acknowledged = i + 1;
    }
    close(ends[0]);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return acknowledged;
}

static void test_killed(void)
{
    struct world w = {0};
    uint32_t total = 0;
    folder_empty(folder);
    for (int round = 0; round < 30; round++) {
        uint32_t acknowledged = run_and_kill(w.n);
        total += acknowledged - w.n;
        while (w.n < acknowledged) {
            advance(&w);
        }
        check_file(path, &w, true);
    }
    CHECK(total > 100);
}

/* ---- a disk that fails: SQLite's own, and between ----
 *
 * What was not synced may or may not reach the disk when the power is cut. The copy in "synced/" of each file is as of
 * its last sync; cut_power() makes "cut/" from either the copy or the file as it is. */

static struct open_file {
    sqlite3_file *file;
    const sqlite3_io_methods *real;
    sqlite3_io_methods mine;
    char name[160]; /* "c.db", "c.db-wal"; empty: not watched */
} files[16];
static sqlite3_vfs disk;
static sqlite3_vfs *real_disk;
static uint32_t n_calls, fail_at, cut_at; /* writes and syncs; 0: never */
static bool has_failed, is_full;          /* a disk that is full stays full until the end of the operation */

static void copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char from[256], to[256], bytes[65536];
    ssize_t n;
    snprintf(from, sizeof(from), "%s%s/%s", folder, from_folder, name);
    snprintf(to, sizeof(to), "%s%s/%s", folder, to_folder, name);
    int in = open(from, O_RDONLY), out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    while (out >= 0 && (n = read(in, bytes, sizeof(bytes))) > 0) {
        CHECK(write(out, bytes, (size_t)n) == n);
    }
    if (in >= 0) {
        close(in);
        close(out);
    }
}

static void cut_power(void)
{
    char name[96];
    snprintf(name, sizeof(name), "%s/cut", folder);
    folder_empty(name);
    copy_file(random_below(2) ? "" : "/synced", "/cut", "c.db");
    copy_file(random_below(2) ? "" : "/synced", "/cut", "c.db-wal");
}

static struct open_file *file_of(sqlite3_file *file)
{
    for (int i = 0; i < 16; i++) {
        if (files[i].file == file) {
            return &files[i];
        }
    }
    BUG_ON(true);
}

static bool must_fail(const struct open_file *f)
{
    if (!f->name[0]) {
        return false;
    }
    n_calls++;
    if (n_calls == cut_at) {
        cut_power();
    }
    if (n_calls != fail_at) {
        return false;
    }
    has_failed = true;
    return true;
}

static int on_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    struct open_file *f = file_of(file);
    if (must_fail(f)) {
        if (n > 1) { /* half of it */
            (void)f->real->xWrite(file, bytes, n / 2, at);
        }
        is_full = true;
    }
    if (is_full && f->name[0]) {
        return SQLITE_FULL;
    }
    return f->real->xWrite(file, bytes, n, at);
}

static int on_sync(sqlite3_file *file, int flags)
{
    struct open_file *f = file_of(file);
    if (must_fail(f)) {
        return SQLITE_IOERR_FSYNC;
    }
    if (f->name[0]) {
        copy_file("", "/synced", f->name);
    }
    return f->real->xSync(file, flags);
}

static int on_close(sqlite3_file *file)
{
    struct open_file *f = file_of(file);
    f->file = NULL;
    return f->real->xClose(file);
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    int code = real_disk->xOpen(real_disk, name, file, flags, out_flags);
    if (code == SQLITE_OK) {
        struct open_file *f = file_of(NULL);
        f->file = file;
        f->real = file->pMethods;
        f->mine = *file->pMethods;
        f->mine.xWrite = on_write;
        f->mine.xSync = on_sync;
        f->mine.xClose = on_close;
        bool is_watched = name && strncmp(name, path, strlen(path)) == 0;
        snprintf(f->name, sizeof(f->name), "%s", is_watched ? name + strlen(folder) + 1 : "");
        file->pMethods = &f->mine;
    }
    return code;
}

static void disk_begin(void)
{
    char name[96];
    static const char *const parts[] = {"synced", "cut"};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s/%s", folder, parts[i]);
        CHECK(mkdir(name, 0700) == 0);
    }
    real_disk = sqlite3_vfs_find(NULL);
    disk = *real_disk;
    disk.zName = "failing";
    disk.xOpen = on_open;
    disk.pNext = NULL;
    CHECK_INT(sqlite3_vfs_register(&disk, 1), SQLITE_OK);
    folder_empty(folder);
}

static void disk_end(void)
{
    char name[96];
    static const char *const parts[] = {"synced", "cut"};
    sqlite3_vfs_unregister(&disk);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s/%s", folder, parts[i]);
        folder_empty(name);
        rmdir(name);
    }
}

static void test_power_cut(void)
{
    struct world w = {0};
    char cut[128];
    disk_begin();
    snprintf(cut, sizeof(cut), "%s/cut/c.db", folder);
    struct collections *cs = open_at(path);
    sqlite3_exec(cs->db, "PRAGMA wal_autocheckpoint = 40", NULL, NULL, NULL);
    for (int i = 0; i < 100; i++) {
        struct world after = w;
        cut_at = i % 2 ? n_calls + 1 + random_below(25) : 0;
        uint32_t before = n_calls;
        CHECK_INT(operate(cs, w.n), OK);
        advance(&after);
        bool was_cut = cut_at > before && cut_at <= n_calls; /* in the middle */
        if (was_cut) {
            struct world either = w;
            check_file(cut, &either, true);
        } else {
            cut_power(); /* acknowledged */
            check_file(cut, &after, false);
        }
        w = after;
    }
    collections_close(cs);
    cut_at = 0;
    check_file(path, &w, false);
    disk_end();
}

/* Each write and each sync of each operation fails once: an error, and nothing changed; or it did not matter. */
static void test_failing_writes(void)
{
    struct world w = {0};
    int failures = 0, in_vain = 0;
    disk_begin();
    struct collections *cs = open_at(path);
    sqlite3_exec(cs->db, "PRAGMA wal_autocheckpoint = 40", NULL, NULL, NULL);
    while (w.n < 45) {
        for (uint32_t k = 1; k < 1000; k++) {
            has_failed = false;
            fail_at = n_calls + k;
            enum err rc = operate(cs, w.n);
            fail_at = 0;
            is_full = false;
            if (rc == OK) { /* failed while it moved the log into the file: later will do */
                in_vain += has_failed;
                break;
            }
            failures++;
            CHECK(rc == ERR_IO || rc == ERR_UNAVAILABLE || rc == ERR_DISK_FULL);
            CHECK(has_failed && strstr(e.text, path));
            CHECK(is_world(cs, &w));
        }
        advance(&w);
        CHECK(is_world(cs, &w));
    }
    check_sound(cs);
    collections_close(cs);
    CHECK(failures > 100 && in_vain > 3);
    check_file(path, &w, false);
    disk_end();
}

/* ---- no room, no right ---- */

static void test_disk_full(void)
{
    struct collections *cs = open_new();
    struct world w = {0};
    while (w.n < 10) {
        CHECK_INT(operate(cs, w.n), OK);
        advance(&w);
    }
    char full[64];
    snprintf(full, sizeof(full), "PRAGMA max_page_count = %d", (int)number(cs, "PRAGMA page_count"));
    CHECK(number(cs, full) > 0);
    for (int i = 0; i < 3; i++) {
        char key[] = {'n', (char)('0' + i), 0};
        CHECK_INT(put_words(cs, "a", key, 1, "new"), ERR_DISK_FULL);
        CHECK(strstr(e.text, "the disk is full") && strstr(e.text, path));
        CHECK_INT(put_words(cs, "b", key, 1, "new"), ERR_DISK_FULL); /* nor is there a collection without an image */
        CHECK(is_world(cs, &w));
    }
    check_sound(cs);
    CHECK(number(cs, "PRAGMA max_page_count = 1000000") > 0);
    CHECK_INT(put_words(cs, "b", "new", 1, "new"), OK);
    CHECK_INT(number(cs, "SELECT count(*) FROM collection"), 2);
    collections_close(cs);
    check_file(path, &w, false);
}

/* In a child that is not root, since root may write everything. */
static int in_read_only(void)
{
    struct collections *cs = NULL;
    if (geteuid() == 0 && (chown(folder, 65534, 65534) != 0 || chown(path, 65534, 65534) != 0 || setuid(65534) != 0)) {
        return 2;
    }
    CHECK(chmod(path, 0400) == 0);
    errbuf_clear(&e);
    CHECK_INT(collections_open(&cs, path, NULL, &e), ERR_UNAVAILABLE);
    CHECK(!cs && strstr(e.text, path) && strstr(e.text, "read-only"));
    CHECK(chmod(path, 0600) == 0 && chmod(folder, 0500) == 0); /* no room for the log beside it */
    errbuf_clear(&e);
    CHECK(collections_open(&cs, path, NULL, &e) != OK);
    CHECK(!cs && strstr(e.text, path));
    CHECK(unlink(path) != 0);
    CHECK(chmod(path, 0000) == 0 && chmod(folder, 0700) == 0);
    errbuf_clear(&e);
    CHECK_INT(collections_open(&cs, path, NULL, &e), ERR_IO);
    CHECK(!cs && strstr(e.text, "Permission denied"));
    return check_result();
}

static void test_read_only(void)
{
    struct collections *cs = open_new();
    int status = 0;
    CHECK_INT(put_words(cs, "a", "1", 1, "dog"), OK);
    collections_close(cs);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(in_read_only());
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Without these the tests above would pass on most days only. */
static void test_settings(void)
{
    struct collections *cs = open_new();
    CHECK_INT(number(cs, "PRAGMA synchronous"), 2);
    CHECK_INT(number(cs, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    collections_close(cs);
}

int main(void)
{
    folder_make();
    test_settings();
    test_killed();
    test_power_cut();
    test_failing_writes();
    test_disk_full();
    test_read_only();
    folder_remove();
    return check_result();
}
