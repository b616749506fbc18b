/* test_collection - what the tests of server/collection*.c share: a temporary folder, images, a look at all content. */
#ifndef TESTS_UNIT_SERVER_TEST_COLLECTION_H
#define TESTS_UNIT_SERVER_TEST_COLLECTION_H

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include "tests/support/check.h"

#include <dirent.h>
#include <sqlite3.h>
#include <unistd.h>

enum { BLOCK = 5000, MANY = 1000 }; /* a block spans several pages */

static const struct collection_model model_a = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                                BLOCK};
static const struct collection_model model_b = {"Bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                                                BLOCK};
#define T(text) collection_text(text)

static char folder[64], path[96];
static struct errbuf e;

static void folder_make(void)
{
    log_setup(LOG_OFF, LOG_TEXT, STDERR_FILENO); /* damage is logged; the tests make much of it */
    snprintf(folder, sizeof(folder), "/tmp/test_collection.XXXXXX");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    snprintf(path, sizeof(path), "%s/c.db", folder);
}

__attribute__((unused)) static void folder_empty(const char *name)
{
    char file[512];
    DIR *d = opendir(name);
    for (struct dirent *f; d && (f = readdir(d));) {
        if (f->d_name[0] != '.') {
            snprintf(file, sizeof(file), "%s/%s", name, f->d_name);
            unlink(file);
        }
    }
    if (d) {
        closedir(d);
    }
}

static void folder_remove(void)
{
    folder_empty(folder);
    rmdir(folder);
}

/* Whose features the helpers below put and ask for. */
static const struct collection_model *model = &model_a;

static struct collections *open_at(const char *file)
{
    struct collections *cs = NULL;
    errbuf_clear(&e);
    enum err rc = collections_open(&cs, file, NULL, &e);
    if (rc != OK) {
        fprintf(stderr, "%s\n", e.text);
    }
    CHECK_INT(rc, OK);
    if (!cs) {
        exit(check_result());
    }
    return cs;
}

__attribute__((unused)) static enum err count_images(struct collections *cs, const char *name,
                                                     struct collection_count *count)
{
    return collections_list(cs, model, T(name), T(""), 0, NULL, NULL, count, &e);
}

/* A file that does not exist yet. */
__attribute__((unused)) static struct collections *open_new(void)
{
    folder_empty(folder);
    return open_at(path);
}

/* Bytes that differ everywhere between two seeds. */
static void fill_block(uint8_t block[BLOCK], uint32_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < BLOCK; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        block[i] = (uint8_t)(x >> 32);
    }
}

/* One at a time: the block is static. */
static struct collection_image image_of(uint32_t seed, const char *words)
{
    static uint8_t block[BLOCK];
    struct collection_image image = {
        .width = (int)seed + 1, .height = 7, .words = T(words), .features = block, .features_bytes = BLOCK};
    fill_block(block, seed);
    memcpy(image.id, &seed, sizeof(seed));
    return image;
}

__attribute__((unused)) static enum err put_words(struct collections *cs, const char *name, const char *key,
                                                  uint32_t seed, const char *words)
{
    struct collection_image image = image_of(seed, words);
    bool replaced;
    errbuf_clear(&e);
    return collections_put(cs, model, T(name), T(key), &image, MANY, &replaced, &e);
}

__attribute__((unused)) static bool is_image(const struct collection_hit *hit, uint32_t seed)
{
    uint8_t block[BLOCK], id[COLLECTION_ID_BYTES] = {0};
    fill_block(block, seed);
    memcpy(id, &seed, sizeof(seed));
    return hit->width == (int)seed + 1 && hit->height == 7 && memcmp(hit->id, id, sizeof(id)) == 0 &&
           memcmp(hit->features, block, BLOCK) == 0;
}

/* Erases what was dropped. */
__attribute__((unused)) static void purge(struct collections *cs)
{
    bool more = true;
    while (more) {
        CHECK_INT(collections_purge(cs, &more, &e), OK);
    }
}

/* One number out of the file. */
static int64_t number(struct collections *cs, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t n = -1;
    if (sqlite3_prepare_v2(cs->db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        n = sqlite3_column_int64(s, 0);
    } else {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(cs->db));
    }
    sqlite3_finalize(s);
    return n;
}

static int on_word_table(void *user, int n, char **values, char **names)
{
    struct collections *cs = user;
    char sql[128];
    (void)n, (void)names;
    snprintf(sql, sizeof(sql), "INSERT INTO %s(%s) VALUES('integrity-check')", values[0], values[0]);
    CHECK_INT(sqlite3_exec(cs->db, sql, NULL, NULL, NULL), SQLITE_OK);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM image WHERE collection = %s", values[0] + strlen("words_"));
    int64_t images = number(cs, sql);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s w JOIN image i ON i.id = w.rowid", values[0]);
    CHECK_INT(number(cs, sql), images);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", values[0]);
    CHECK_INT(number(cs, sql), images);
    return 0;
}

/* The file as SQLite sees it, the word indexes, and that no row is without its others. */
static void check_sound(struct collections *cs)
{
    CHECK_INT(number(cs, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    CHECK_INT(sqlite3_exec(cs->db, "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'",
                           on_word_table, cs, NULL),
              SQLITE_OK);
    CHECK_INT(number(cs, "SELECT count(*) FROM features"), number(cs, "SELECT count(*) FROM image"));
    CHECK_INT(number(cs, "SELECT count(*) FROM features f JOIN image i ON i.id = f.id"),
              number(cs, "SELECT count(*) FROM image"));
    CHECK_INT(number(cs, "SELECT count(*) FROM spread s JOIN image i ON i.id = s.id AND i.collection = s.collection AND"
                         " i.model = s.model AND length(s.hash) = 8"),
              number(cs, "SELECT count(*) FROM image"));
    CHECK_INT(number(cs, "SELECT count(*) FROM spread"), number(cs, "SELECT count(*) FROM image"));
    CHECK_INT(number(cs, "SELECT coalesce(sum(n), 0) FROM tally"), number(cs, "SELECT count(*) FROM image"));
    CHECK_INT(number(cs, "SELECT count(*) FROM collection"),
              number(cs, "SELECT count(*) FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"));
}

/* Keys of the first pass, joined by spaces. */
__attribute__((unused)) static const char *search(struct collections *cs, const char *name, const char *query,
                                                  int limit)
{
    static char keys[65536];
    struct collection_hits hits;
    size_t n = 0;
    keys[0] = 0;
    errbuf_clear(&e);
    CHECK_INT(collections_candidates(cs, model, T(name), T(query), limit, &hits, &e), OK);
    CHECK(hits.n <= limit);
    for (int i = 0; i < hits.n; i++) {
        CHECK_INT(strlen(hits.hits[i].key), hits.hits[i].n_key);
        n += (size_t)snprintf(keys + n, sizeof(keys) - n, "%s%s", n ? " " : "", hits.hits[i].key);
    }
    collection_hits_release(&hits);
    return keys;
}

#endif
