/* Who owns the file, and what happens when it changes underneath. */
#include "tests/unit/server/collections/test_collection.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *beside(const char *end)
{
    static char names[4][160];
    static int at;
    char *name = names[at++ % 4];
    snprintf(name, sizeof(names[0]), "%s%s", path, end);
    return name;
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    ssize_t n;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof(bytes))) > 0) {
        CHECK(write(out, bytes, (size_t)n) == n);
    }
    close(in);
    close(out);
}

/* What is on disk would be read after a crash: the file and its log are copied and opened elsewhere. */
static const char *after_crash(void)
{
    static char keys[512];
    copy_file(path, beside(".crash"));
    unlink(beside(".crash-wal"));
    if (access(beside("-wal"), F_OK) == 0) {
        copy_file(beside("-wal"), beside(".crash-wal"));
    }
    struct collections *cs = open_at(beside(".crash"));
    snprintf(keys, sizeof(keys), "%s", search(cs, "a", "dog", 50));
    check_sound(cs);
    collections_close(cs);
    return keys;
}

static bool has(const char *keys, const char *key)
{
    const char *at = strstr(keys, key);
    return at && (at == keys || at[-1] == ' ') && (at[strlen(key)] == 0 || at[strlen(key)] == ' ');
}

static enum err look(struct collections *cs)
{
    struct collection_count count;
    errbuf_clear(&e);
    return count_images(cs, "a", &count);
}

static struct collections *reader;

static struct collections *open_both(void)
{
    struct collections *cs = open_new();
    CHECK_INT(put_words(cs, "a", "k1", 1, "dog"), OK);
    CHECK_INT(collections_open_reader(&reader, cs, &e), OK);
    CHECK_STR(search(reader, "a", "dog", 5), "k1");
    return cs;
}

static void close_both(struct collections *cs)
{
    collections_close(reader);
    collections_close(cs);
}

/* ---- one owner ---- */

/* In a child: what opening this name says. */
static enum err open_elsewhere(const char *name)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct collections *cs;
        errbuf_clear(&e);
        enum err rc = collections_open(&cs, name, NULL, &e);
        _exit(rc == ERR_BAD_CONFIG && !strstr(e.text, "another process is using this file") ? ERR_COUNT : (int)rc);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return (enum err)WEXITSTATUS(status);
}

static void test_one_owner(void)
{
    struct collections *cs = open_both();
    CHECK(symlink(path, beside(".link")) == 0 && link(path, beside(".hard")) == 0);
    CHECK_INT(open_elsewhere(path), ERR_BAD_CONFIG);
    CHECK_INT(open_elsewhere(beside(".link")), ERR_BAD_CONFIG);
    CHECK_INT(open_elsewhere(beside(".hard")), ERR_BAD_CONFIG);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK); /* and the owner was not disturbed */
    sqlite3 *other; /* SQLite's own locks are still held: nobody can take the file over from under them */
    CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
    CHECK(sqlite3_exec(other, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) != SQLITE_OK);
    sqlite3_close(other);
    close_both(cs);
    CHECK_INT(open_elsewhere(path), OK);
    unlink(beside(".link"));
    unlink(beside(".hard"));
}

static pid_t start_owner(void)
{
    int ends[2];
    char ready = 0;
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct collections *cs = open_at(path);
        ready = put_words(cs, "a", "child", 7, "dog") == OK;
        CHECK(write(ends[1], &ready, 1) == 1);
        pause();
        _exit(1);
    }
    close(ends[1]);
    CHECK(read(ends[0], &ready, 1) == 1 && ready);
    close(ends[0]);
    return pid;
}

static void end_owner(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

static void test_owner_killed(void)
{
    folder_empty(folder);
    pid_t pid = start_owner();
    struct collections *cs = NULL;
    errbuf_clear(&e);
    CHECK_INT(collections_open(&cs, path, NULL, &e), ERR_BAD_CONFIG);
    CHECK(!cs && strstr(e.text, path) && strstr(e.text, "another process is using this file"));
    end_owner(pid);
    cs = open_at(path);
    CHECK_STR(search(cs, "a", "dog", 5), "child");
    collections_close(cs);
}

/* ---- gone ---- */

static void test_moved_away_and_back(void)
{
    struct collections *cs = open_both();
    CHECK(rename(path, beside(".away")) == 0);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
    CHECK(strstr(e.text, path) && strstr(e.text, "put it back"));
    CHECK_INT(look(reader), ERR_UNAVAILABLE);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
    CHECK(access(path, F_OK) != 0); /* nothing is made in its place */
    CHECK(rename(beside(".away"), path) == 0);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
    CHECK(has(search(reader, "a", "dog", 5), "k1") && has(search(reader, "a", "dog", 5), "k2"));
    CHECK(has(after_crash(), "k2"));
    close_both(cs);
}

static void test_deleted(void)
{
    struct collections *cs = open_both();
    bool flag;
    CHECK(unlink(path) == 0);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
    CHECK_INT(collections_remove(cs, T("a"), T("k1"), &flag, &e), ERR_UNAVAILABLE);
    CHECK_INT(collections_drop(cs, T("a"), &flag, &e), ERR_UNAVAILABLE);
    CHECK_INT(look(cs), ERR_UNAVAILABLE);
    close_both(cs);
    cs = open_at(path); /* a restart begins a new one */
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 0);
    collections_close(cs);
}

/* Between the begin and the end of a put: it must not be acknowledged. */
static int on_commit(void *user)
{
    CHECK(unlink(user) == 0);
    return 0;
}

static void test_deleted_meanwhile(void)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        struct collections *cs = open_both();
        sqlite3_commit_hook(cs->db, on_commit, (void *)(uintptr_t)beside(ends[i]));
        CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
        CHECK(e.text[0]);
        sqlite3_commit_hook(cs->db, NULL, NULL);
        if (i > 0) { /* the next one finds everything in order again */
            CHECK_INT(put_words(cs, "a", "k3", 3, "dog"), OK);
            CHECK(has(after_crash(), "k1") && has(after_crash(), "k3"));
        }
        close_both(cs);
    }
}

/* ---- replaced ---- */

static void make_other(const char *name, const char *key)
{
    struct collections *cs = open_at(name);
    CHECK_INT(put_words(cs, "a", key, 9, "dog"), OK);
    collections_close(cs);
}

static void test_replaced(void)
{
    for (int i = 0; i < 2; i++) {
        struct collections *cs = open_both();
        make_other(beside(".new"), "restored");
        CHECK(link(path, beside(".old")) == 0);
        CHECK(rename(beside(".new"), path) == 0);
        if (i == 0) { /* who notices first: the writer, or the reader */
            CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
            CHECK(has(search(reader, "a", "dog", 5), "restored") && !has(search(reader, "a", "dog", 5), "k1"));
        } else {
            CHECK_STR(search(reader, "a", "dog", 5), "restored");
            CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
        }
        CHECK(has(after_crash(), "k2") && has(after_crash(), "restored") && !has(after_crash(), "k1"));
        CHECK_INT(open_elsewhere(path), ERR_BAD_CONFIG); /* the new one is owned, too */
        close_both(cs);
        cs = open_at(beside(".old")); /* what was acknowledged in the old one is in it, without its log */
        CHECK_STR(search(cs, "a", "dog", 5), "k1");
        collections_close(cs);
    }
}

static void test_replaced_by_others(void)
{
    struct collections *cs = open_both();
    sqlite3 *other;
    copy_file(path, beside(".keep"));
    CHECK_INT(sqlite3_open(beside(".new"), &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "CREATE TABLE notes(text)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    CHECK(rename(beside(".new"), path) == 0);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
    CHECK(strstr(e.text, "another application"));
    CHECK_INT(look(reader), ERR_UNAVAILABLE);
    CHECK(close(open(beside(".new"), O_WRONLY | O_CREAT, 0600)) == 0); /* an empty file */
    CHECK(rename(beside(".new"), path) == 0);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size == 0); /* nor is that made a new one */
    CHECK(mkdir(beside(".dir"), 0700) == 0 && unlink(path) == 0 && rename(beside(".dir"), path) == 0);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
    CHECK(rmdir(path) == 0);
    pid_t pid = start_owner();
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), ERR_UNAVAILABLE);
    CHECK(strstr(e.text, "another process is using"));
    end_owner(pid);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK); /* it is free now */
    CHECK(has(search(reader, "a", "dog", 5), "child") && has(search(reader, "a", "dog", 5), "k2"));
    close_both(cs);
}

static void test_link_turned(void)
{
    struct collections *cs;
    folder_empty(folder);
    make_other(beside(".1"), "one");
    make_other(beside(".2"), "two");
    CHECK(symlink(beside(".1"), path) == 0);
    cs = open_at(path);
    CHECK_STR(search(cs, "a", "dog", 5), "one");
    CHECK(symlink(beside(".2"), beside(".new")) == 0 && rename(beside(".new"), path) == 0);
    CHECK_STR(search(cs, "a", "dog", 5), "two");
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
    collections_close(cs);
    cs = open_at(beside(".2"));
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 2);
    collections_close(cs);
}

/* ---- cut short, overwritten ---- */

static void test_cut(void)
{
    static const off_t sizes[] = {0, 50, 100, 4096, 9000};
    for (int i = 0; i < 5; i++) {
        struct collections *cs = open_both();
        for (uint32_t n = 2; n < 20; n++) {
            char key[16];
            snprintf(key, sizeof(key), "k%u", n);
            CHECK_INT(put_words(cs, "a", key, n, "dog"), OK);
        }
        CHECK_INT(sqlite3_wal_checkpoint_v2(cs->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), SQLITE_OK);
        CHECK_INT(put_words(cs, "a", "k20", 20, "dog"), OK);
        copy_file(path, beside(".keep"));
        CHECK(truncate(path, sizes[i]) == 0);
        CHECK_INT(put_words(cs, "a", "k21", 21, "dog"), ERR_UNAVAILABLE);
        CHECK(strstr(e.text, "cut short"));
        CHECK_INT(look(reader), ERR_UNAVAILABLE);
        CHECK(rename(beside(".keep"), path) == 0);
        CHECK_INT(put_words(cs, "a", "k21", 21, "dog"), OK);
        close_both(cs);
    }
    struct collections *cs = open_both();
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, "This is a letter, not a database", 32, 0) == 32);
    close(fd);
    CHECK_INT(put_words(cs, "a", "k21", 21, "dog"), ERR_UNAVAILABLE);
    close_both(cs);
}

/* Another process may make the file shorter in good order. */
static void test_vacuumed(void)
{
    struct collections *cs = open_both();
    bool flag;
    sqlite3 *other;
    for (uint32_t n = 2; n < 40; n++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", n);
        CHECK_INT(put_words(cs, "a", key, n, "dog"), OK);
        CHECK_INT(collections_remove(cs, T("a"), T(key), &flag, &e), OK);
        CHECK_INT(put_words(cs, "b", key, n, "dog"), OK);
    }
    CHECK_INT(collections_drop(cs, T("b"), &flag, &e), OK);
    purge(cs);
    CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
    CHECK(has(search(reader, "a", "dog", 5), "k2") && has(after_crash(), "k2"));
    close_both(cs);
}

/* ---- the log ---- */

/* What was acknowledged and stands only in the log is saved when the log is deleted. */
static void test_log_deleted(void)
{
    static const char *const ends[] = {"-wal", "-shm"};
    for (int i = 0; i < 2; i++) {
        struct collections *cs = open_both();
        CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
        CHECK(unlink(beside(ends[i])) == 0);
        CHECK_INT(put_words(cs, "a", "k3", 3, "dog"), OK);
        CHECK(has(after_crash(), "k1") && has(after_crash(), "k2") && has(after_crash(), "k3"));
        CHECK_INT(strlen(search(reader, "a", "dog", 5)), 8);
        close_both(cs);
    }
    struct collections *cs = open_both();
    CHECK(unlink(beside("-wal")) == 0);
    CHECK_STR(search(reader, "a", "dog", 5), "k1"); /* the reader notices, too */
    CHECK(has(after_crash(), "k1"));
    close_both(cs);
}

/* What was cut off is lost, but what is acknowledged from then on is not. */
static void test_log_cut(void)
{
    static const off_t sizes[] = {0, 20, 9000};
    for (int i = 0; i < 3; i++) {
        struct collections *cs = open_both();
        CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
        CHECK(truncate(beside("-wal"), sizes[i]) == 0);
        enum err rc = put_words(cs, "a", "k3", 3, "dog");
        CHECK(rc == OK || rc == ERR_UNAVAILABLE);
        if (rc == OK) {
            CHECK(has(after_crash(), "k3"));
        }
        close_both(cs);
    }
}

/* ---- no room ---- */

/* In a child, since the limit holds for a process. */
static int in_small_world(void)
{
    struct collections *cs = open_new();
    struct rlimit limit = {300000, 300000};
    int n = 0;
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(put_words(cs, "a", "k0", 0, "dog"), OK);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit.rlim_max = before.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    enum err rc = OK;
    for (; rc == OK && n < 1000; n++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", n);
        rc = put_words(cs, "a", key, (uint32_t)n, "dog");
    }
    CHECK_INT(rc, ERR_UNAVAILABLE);
    CHECK(e.text[0]);
    CHECK_INT(look(cs), OK); /* reading goes on */
    CHECK(has(search(cs, "a", "dog", 1000), "k0"));
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK_INT(put_words(cs, "a", "room", 1, "dog"), OK); /* without a restart */
    check_sound(cs);
    collections_close(cs);
    return check_result();
}

static void test_no_room(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(in_small_world());
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    folder_make();
    test_one_owner();
    test_owner_killed();
    test_moved_away_and_back();
    test_deleted();
    test_deleted_meanwhile();
    test_replaced();
    test_replaced_by_others();
    test_link_turned();
    test_cut();
    test_vacuumed();
    test_log_deleted();
    test_log_cut();
    test_no_room();
    folder_remove();
    return check_result();
}
