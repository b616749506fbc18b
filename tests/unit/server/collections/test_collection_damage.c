#include "tests/unit/server/collections/test_collection.h"

#include <fcntl.h>
#include <sys/stat.h>

static void sql(struct collections *cs, const char *text)
{
    char *why = NULL;
    int code = sqlite3_exec(cs->db, text, NULL, NULL, &why);
    CHECK_INT(code, SQLITE_OK);
    if (code != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", text, why);
    }
    sqlite3_free(why);
}

/* ---- another model ---- */

static void on_entry(const struct collection_entry *entry, void *user)
{
    char *text = user;
    size_t n = strlen(text);
    snprintf(text + n, 64 - n, "%.*s%s ", (int)entry->key.n, entry->key.text, entry->is_stale ? "!" : "");
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The keys of a list in alphabetical order. */
static const char *sorted(const char *keys)
{
    static char out[512];
    char copy[512], *words[64], *rest = copy;
    size_t n = 0, at = 0;
    snprintf(copy, sizeof(copy), "%s", keys);
    for (char *word; (word = strsep(&rest, " "));) {
        words[n++] = word;
    }
    qsort(words, n, sizeof(*words), by_text);
    out[0] = 0;
    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%s", i ? " " : "", words[i]);
    }
    return out;
}

static void check_stale(struct collections *cs, unsigned images, unsigned stale, const char *listed, const char *found)
{
    struct collection_count count;
    struct collection_hits hits;
    char text[64] = "";
    CHECK_INT(collections_list(cs, model, T("a"), T(""), MANY, on_entry, text, &count, &e), OK);
    CHECK(count.n_images == images && count.n_stale == stale);
    CHECK_STR(text, listed);
    CHECK_STR(sorted(search(cs, "a", "dog", 10)), found);
    CHECK_STR(sorted(search(cs, "a", "zebra", 10)), found);
    CHECK_INT(collections_candidates(cs, model, T("a"), T("dog"), 10, &hits, &e), OK);
    CHECK(hits.n_images == images && hits.n_scanned == images - stale && hits.n_stale == stale && hits.n_damaged == 0);
    collection_hits_release(&hits);
    check_sound(cs);
}

static void test_other_model(void)
{
    static const struct collection_model other_size = {
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", BLOCK + 4};
    struct collections *cs = open_new();
    bool flag;
    for (uint32_t i = 1; i <= 3; i++) {
        char key[] = {(char)('0' + i), 0};
        CHECK_INT(put_words(cs, "a", key, i, "dog"), OK);
    }
    check_stale(cs, 3, 0, "1 2 3 ", "1 2 3");
    model = &model_b;
    check_stale(cs, 3, 3, "1! 2! 3! ", "");
    CHECK_INT(number(cs, "SELECT count(*) FROM model"), 1); /* looking adds nothing */
    struct collection_image image = image_of(9, "dog");
    CHECK_INT(collections_put(cs, model, T("a"), T("4"), &image, 3, &flag, &e), ERR_TOO_MANY_INPUTS); /* stale count */
    CHECK_INT(collections_put(cs, model, T("a"), T("2"), &image, 3, &flag, &e), OK);
    CHECK(flag);
    CHECK_INT(collections_put(cs, model, T("a"), T("4"), &image, 4, &flag, &e), OK);
    check_stale(cs, 4, 2, "1! 2 3! 4 ", "2 4");
    CHECK_INT(collections_remove(cs, T("a"), T("1"), &flag, &e), OK);
    CHECK(flag);
    check_stale(cs, 3, 1, "2 3! 4 ", "2 4");
    model = &model_a; /* back: what was kept is good again */
    check_stale(cs, 3, 2, "2! 3 4! ", "3");
    /* the same weights with blocks of another size are another model, too */
    model = &other_size;
    check_stale(cs, 3, 3, "2! 3! 4! ", "");
    /* a block that is none of its model's is refused, whatever it is called */
    CHECK_INT(collections_put(cs, model, T("a"), T("2"), &image, 9, &flag, &e), ERR_INTERNAL);
    model = &(struct collection_model){"not a sum", BLOCK};
    CHECK_INT(collections_put(cs, model, T("a"), T("2"), &image, 9, &flag, &e), ERR_INTERNAL);
    model = &model_a;
    check_stale(cs, 3, 2, "2! 3 4! ", "3");
    CHECK_INT(collections_drop(cs, T("a"), &flag, &e), OK);
    purge(cs);
    CHECK_INT(number(cs, "SELECT count(*) FROM features"), 0);
    CHECK_INT(number(cs, "SELECT count(*) FROM spread"), 0);
    collections_close(cs);
}

/* ---- damaged rows ---- */

/* Lines of the log while it is on. */
static int log_lines(void (*work)(struct collections *cs), struct collections *cs)
{
    char name[128], text[8192];
    snprintf(name, sizeof(name), "%s/log", folder);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), lines = 0;
    log_setup(LOG_INFO, LOG_TEXT, fd);
    work(cs);
    log_setup(LOG_OFF, LOG_TEXT, STDERR_FILENO);
    ssize_t n = pread(fd, text, sizeof(text), 0);
    for (ssize_t i = 0; i < n; i++) {
        lines += text[i] == '\n';
    }
    close(fd);
    return lines;
}

static void search_damaged(struct collections *cs)
{
    struct collection_hits hits;
    CHECK_INT(collections_candidates(cs, model, T("a"), T("dog"), 3, &hits, &e), OK);
    CHECK_INT(hits.n, 3); /* filled up behind the damaged ones */
    CHECK(hits.n_scanned == 13 && hits.n_damaged == 9 && hits.n_matching == 11);
    CHECK(hits.n_by_words == 2 && hits.n_by_sample == 1);
    bool in_order = hits.n == 3 && strcmp(hits.hits[0].key, "k3") == 0;
    CHECK(hits.n == 3 && is_image(&hits.hits[in_order ? 0 : 1], 3) && is_image(&hits.hits[in_order ? 1 : 0], 7));
    CHECK(hits.n == 3 && hits.hits[2].key[0] == 'x');
    collection_hits_release(&hits);
}

static void test_damaged_rows(void)
{
    struct collections *cs = open_new();
    for (uint32_t i = 0; i < 10; i++) {
        char key[] = {'k', (char)('0' + i), 0};
        CHECK_INT(put_words(cs, "a", key, i, "dog"), OK);
    }
    CHECK_INT(put_words(cs, "a", "x1", 101, "cat"), OK);
    CHECK_INT(put_words(cs, "a", "x2", 102, "cat"), OK);
    CHECK_INT(put_words(cs, "a", "k", 103, "dog"), OK);
    sql(cs, "UPDATE image SET key = 'kk' WHERE key = 'k'");
#define ROW(n) "(SELECT id FROM image WHERE key = 'k" #n "')"
    sql(cs, "UPDATE features SET block = substr(block, 1, 2499) || x'00' || substr(block, 2501) WHERE id = " ROW(0));
    sql(cs, "UPDATE features SET block = substr(block, 1, 4999) WHERE id = " ROW(1));
    sql(cs, "DELETE FROM features WHERE id = " ROW(2));
    sql(cs, "UPDATE features SET sha256 = x'00' WHERE id = " ROW(4));
    sql(cs, "UPDATE image SET image_id = zeroblob(32) WHERE id = " ROW(5));
    sql(cs, "UPDATE image SET width = 70 WHERE id = " ROW(6));
    sql(cs, "UPDATE features SET (sha256, block) = (SELECT sha256, block FROM features WHERE id = " ROW(
                9) ")"
                   " WHERE id = " ROW(8));
    sql(cs, "UPDATE features SET block = 7 WHERE id = " ROW(9));
#undef ROW
    CHECK(log_lines(search_damaged, cs) >= 1);
    search_damaged(cs);
    CHECK_INT(number(cs, "SELECT block IS NOT NULL FROM features LIMIT 1"), 1);
    CHECK_INT(put_words(cs, "a", "k0", 200, "dog"), OK); /* a put heals */
    CHECK_INT(put_words(cs, "a", "k2", 202, "dog"), OK);
    CHECK_STR(sorted(search(cs, "a", "dog", 4)), "k0 k2 k3 k7");
    collections_close(cs);
}

/* A row that claims to be of this model, with a block that fits its checksum, but of another size or model. */
static void test_claimed_rows(void)
{
    static const struct collection_model longer = {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                                                   BLOCK + 4};
    static uint8_t block[BLOCK + 4];
    struct collections *cs = open_new();
    struct collection_hits hits;
    bool flag;
    CHECK_INT(put_words(cs, "a", "k1", 1, "dog"), OK);
    CHECK_INT(put_words(cs, "a", "k2", 2, "dog"), OK);
    struct collection_image image = image_of(3, "dog");
    image.features = block;
    image.features_bytes = sizeof(block);
    CHECK_INT(collections_put(cs, &longer, T("a"), T("k3"), &image, MANY, &flag, &e), OK);
    sql(cs, "UPDATE image SET model = 1 WHERE key = 'k3'; UPDATE spread SET model = 1; UPDATE tally SET n = 3 WHERE"
            " model = 1; DELETE FROM tally WHERE model = 2; UPDATE image SET model = 2 WHERE key = 'k2'");
    for (int i = 0; i < 2; i++) { /* by words, and as a sample */
        CHECK_INT(collections_candidates(cs, model, T("a"), T(i ? "dog" : "zebra"), 10, &hits, &e), OK);
        CHECK(hits.n == 1 && hits.n_damaged == 2 && is_image(&hits.hits[0], 1));
        collection_hits_release(&hits);
    }
    collections_close(cs);
}

/* ---- damaged files ---- */

static size_t read_file(const char *name, uint8_t *bytes, size_t max)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, max);
    close(fd);
    CHECK(n >= 0);
    return n < 0 ? 0 : (size_t)n;
}

static void write_file(const char *name, const uint8_t *bytes, size_t n)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

/* Whatever happens, it is an error of the file, and what is returned is what was put. */
static bool use_damaged(void)
{
    struct collections *cs;
    struct collection_hits hits;
    bool flag;
    errbuf_clear(&e);
    enum err rc = collections_open(&cs, path, NULL, &e);
    bool is_seen = rc != OK;
    CHECK(rc == OK || ((rc == ERR_IO || rc == ERR_BAD_CONFIG || rc == ERR_UNAVAILABLE) && e.text[0]));
    if (rc != OK) {
        CHECK(!cs);
        return is_seen;
    }
    rc = collections_candidates(cs, model, T("a"), T("dog"), 100, &hits, &e);
    CHECK(rc == OK || rc == ERR_IO || rc == ERR_UNAVAILABLE);
    is_seen |= rc != OK || hits.n < 40;
    for (int i = 0; i < hits.n; i++) {
        uint32_t seed;
        char key[16];
        memcpy(&seed, hits.hits[i].id, sizeof(seed));
        snprintf(key, sizeof(key), "k%02u", seed);
        CHECK(is_image(&hits.hits[i], seed));
        CHECK_STR(hits.hits[i].key, key);
    }
    collection_hits_release(&hits);
    rc = put_words(cs, "a", "new", 1, "dog");
    CHECK(rc == OK || rc == ERR_IO || rc == ERR_UNAVAILABLE);
    is_seen |= rc != OK;
    rc = collections_remove(cs, T("a"), T("k07"), &flag, &e);
    CHECK(rc == OK || rc == ERR_IO || rc == ERR_UNAVAILABLE);
    is_seen |= rc != OK;
    rc = collections_drop(cs, T("a"), &flag, &e);
    CHECK(rc == OK || rc == ERR_IO || rc == ERR_UNAVAILABLE);
    collections_close(cs);
    return is_seen || rc != OK;
}

static void test_damaged_file(void)
{
    static uint8_t good[1 << 20], bad[1 << 20];
    struct collections *cs = open_new();
    for (uint32_t i = 0; i < 40; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%02u", i);
        CHECK_INT(put_words(cs, "a", key, i, "dog on the beach"), OK);
    }
    collections_close(cs);
    size_t n = read_file(path, good, sizeof(good));
    CHECK(n > 100000 && n < sizeof(good));
    int seen = 0;
    uint32_t x = 7;
    for (int round = 0; round < 60; round++) {
        memcpy(bad, good, n);
        for (int hole = 0; hole < 4; hole++) {
            x = x * 1664525 + 1013904223;
            size_t size = round % 3 ? 100 : 4096, at = (x >> 4) % (n - size) / size * size;
            for (size_t i = 0; i < size; i++) {
                x = x * 1664525 + 1013904223;
                bad[at + i] = (uint8_t)(x >> 24);
            }
        }
        folder_empty(folder);
        write_file(path, bad, round % 10 ? n : n / 2);
        seen += use_damaged();
    }
    CHECK(seen > 40);
    folder_empty(folder);
    write_file(path,
               (const uint8_t *)"This is a letter, not a database. It is long enough to have a header, though: "
                                "a header has a hundred bytes, and here they are.",
               120);
    CHECK_INT(collections_open(&cs, path, NULL, &e), ERR_IO);
    CHECK(strstr(e.text, path) && strstr(e.text, "not an SQLite database"));
}

/* ---- files of others ---- */

static void refuse(const char *made_by, const char *word)
{
    static uint8_t before[1 << 16], after[1 << 16];
    sqlite3 *db;
    struct collections *cs;
    folder_empty(folder);
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, made_by, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    size_t n = read_file(path, before, sizeof(before));
    errbuf_clear(&e);
    CHECK_INT(collections_open(&cs, path, NULL, &e), ERR_BAD_CONFIG);
    CHECK(strstr(e.text, path) && strstr(e.text, word));
    CHECK_INT(read_file(path, after, sizeof(after)), n);
    CHECK(memcmp(before, after, n) == 0); /* left as it was */
}

static void test_files_of_others(void)
{
    refuse("CREATE TABLE notes(text)", "another application");
    refuse("PRAGMA application_id = 77; CREATE TABLE notes(text)", "another application");
    refuse("PRAGMA application_id = 77; VACUUM", "another application");
    refuse("PRAGMA user_version = 1; CREATE TABLE notes(text)", "another application");
    refuse("PRAGMA application_id = 0x4d564c43; PRAGMA user_version = 2; CREATE TABLE image(id)", "schema 2");
    refuse("PRAGMA application_id = 0x4d564c43; CREATE TABLE image(id)", "schema 0");
}

/* ---- locks ---- */

/* A clock that the test turns: each look at it takes as long as `tick_us`. */
static uint64_t now, tick_us;

static uint64_t clock_of_test(void)
{
    now += tick_us;
    return now;
}

static struct collections *open_timed(void)
{
    struct collections *cs = NULL;
    folder_empty(folder);
    now = 1;
    tick_us = 0;
    CHECK_INT(collections_open(&cs, path, clock_of_test, &e), OK);
    return cs;
}

static sqlite3 *lock_it(void)
{
    sqlite3 *other;
    CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return other;
}

static void test_busy(void)
{
    struct collections *cs = open_timed(), *reader;
    bool flag;
    CHECK_INT(put_words(cs, "a", "1", 1, "dog"), OK);
    CHECK_INT(collections_open_reader(&reader, cs, &e), OK);
    sqlite3 *other = lock_it();
    tick_us = 300000;
    uint64_t before = now;
    CHECK_INT(put_words(cs, "a", "2", 2, "dog"), ERR_BUSY);
    CHECK(strstr(e.text, "locked"));
    CHECK(now - before >= COLLECTION_BUSY_MS * 1000 && now - before < COLLECTION_BUSY_MS * 1000 + 10 * tick_us);
    before = now; /* the next ones do not wait as long again */
    CHECK_INT(put_words(cs, "a", "2", 2, "dog"), ERR_BUSY);
    CHECK_INT(collections_remove(cs, T("a"), T("1"), &flag, &e), ERR_BUSY);
    CHECK_INT(collections_drop(cs, T("a"), &flag, &e), ERR_BUSY);
    CHECK(now - before < COLLECTION_BUSY_MS * 1000);
    tick_us = 0;
    CHECK_STR(search(cs, "a", "dog", 10), "1"); /* reading goes on */
    CHECK_STR(search(reader, "a", "dog", 10), "1");
    CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(put_words(cs, "a", "2", 2, "dog"), OK);
    CHECK_STR(sorted(search(reader, "a", "dog", 10)), "1 2"); /* what was acknowledged is seen */
    /* after a while without a lock the patience is back */
    CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    tick_us = 300000;
    before = now;
    CHECK_INT(put_words(cs, "a", "3", 3, "dog"), ERR_BUSY);
    CHECK(now - before >= COLLECTION_BUSY_MS * 1000);
    now += 3600 * UINT64_C(1000000);
    before = now;
    CHECK_INT(put_words(cs, "a", "3", 3, "dog"), ERR_BUSY);
    CHECK(now - before >= COLLECTION_BUSY_MS * 1000);
    tick_us = 0;
    CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    /* a backup that reads does not stop writing */
    CHECK_INT(sqlite3_exec(other, "BEGIN; SELECT count(*) FROM image", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(put_words(cs, "a", "3", 3, "dog"), OK);
    sqlite3_close(other);
    CHECK_STR(sorted(search(cs, "a", "dog", 10)), "1 2 3");
    check_sound(cs);
    collections_close(reader);
    collections_close(cs);
}

static void test_limits(void)
{
    struct collections *cs = open_timed();
    struct collection_limits limits = {.deadline_us = 2000000};
    struct collection_hits hits;
    atomic_bool is_cancelled = false;
    CHECK_INT(sqlite3_exec(cs->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK); /* only to be quick */
    for (uint32_t i = 0; i < 600; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        CHECK_INT(put_words(cs, "a", key, i, "a dog on the beach"), OK);
    }
    sqlite3 *other = lock_it();
    collections_limit(cs, &limits);
    tick_us = 50000;
    CHECK_INT(put_words(cs, "a", "x", 2, "dog"), ERR_BUSY); /* waits until its deadline and no longer */
    CHECK(now >= 2000000 && now < 2300000);
    CHECK_INT(put_words(cs, "a", "x", 2, "dog"), ERR_DEADLINE); /* does not begin */
    CHECK_INT(collections_candidates(cs, model, T("a"), T("dog"), 10, &hits, &e), ERR_DEADLINE);
    CHECK(!hits.hits && hits.n == 0);
    limits = (struct collection_limits){.is_cancelled = &is_cancelled};
    collections_limit(cs, &limits);
    atomic_store(&is_cancelled, true);
    CHECK_INT(put_words(cs, "a", "x", 2, "dog"), ERR_CANCELLED);
    atomic_store(&is_cancelled, false);
    sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(other);
    CHECK_INT(put_words(cs, "a", "x", 2, "dog"), OK);
    /* a read that began in time is broken off wherever it is */
    for (uint64_t looks = 1; looks < 40; looks++) {
        limits = (struct collection_limits){.deadline_us = now + looks * tick_us};
        collections_limit(cs, &limits);
        enum err rc = collections_candidates(cs, model, T("a"), T("dog on a beach"), 30, &hits, &e);
        CHECK(rc == OK || (rc == ERR_DEADLINE && hits.n == 0 && !hits.hits));
        collection_hits_release(&hits);
        CHECK(looks > 20 || rc == ERR_DEADLINE);
    }
    /* also within one step of SQLite */
    limits = (struct collection_limits){.is_cancelled = &is_cancelled};
    collections_limit(cs, &limits);
    atomic_store(&is_cancelled, true);
    cs->call = SQL_BEGIN_READ;
    CHECK_INT(sqlite3_exec(cs->db,
                           "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i LIMIT 1000000)"
                           " SELECT max(n) FROM i",
                           NULL, NULL, NULL),
              SQLITE_INTERRUPT);
    cs->call = SQL_COUNT;
    collections_limit(cs, &(struct collection_limits){0});
    check_sound(cs);
    collections_close(cs);
}

int main(void)
{
    folder_make();
    test_other_model();
    test_damaged_rows();
    test_claimed_rows();
    test_damaged_file();
    test_files_of_others();
    test_busy();
    test_limits();
    folder_remove();
    return check_result();
}
