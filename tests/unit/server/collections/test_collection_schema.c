/* Files of earlier releases. The first one had no ring of hashes (spread); what it wrote is read without loss, and it
 * can go on writing in a file that a later release has opened. */
#include "tests/unit/server/collections/test_collection.h"

/* The tables as the first release made them. */
static const char first_release[] =
    "CREATE TABLE model(id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, features_bytes INTEGER NOT NULL,"
    " UNIQUE(sha256, features_bytes));"
    "CREATE TABLE collection(id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
    "CREATE TABLE image(id INTEGER PRIMARY KEY, collection INTEGER NOT NULL, key TEXT NOT NULL, image_id BLOB NOT NULL,"
    " width INTEGER NOT NULL, height INTEGER NOT NULL, model INTEGER NOT NULL, UNIQUE(collection, key));"
    "CREATE TABLE features(id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, block BLOB NOT NULL);"
    "CREATE TABLE tally(collection INTEGER NOT NULL, model INTEGER NOT NULL, n INTEGER NOT NULL,"
    " PRIMARY KEY(collection, model)) WITHOUT ROWID;"
    "CREATE TRIGGER image_added AFTER INSERT ON image BEGIN"
    " INSERT INTO tally VALUES(new.collection, new.model, 1) ON CONFLICT DO UPDATE SET n = n + 1; END;"
    "CREATE TRIGGER image_gone AFTER DELETE ON image BEGIN"
    " UPDATE tally SET n = n - 1 WHERE collection = old.collection AND model = old.model;"
    " DELETE FROM features WHERE id = old.id; END;"
    "PRAGMA application_id = 0x4d564c43; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;";

static void run(sqlite3 *db, const char *sql)
{
    char *why = NULL;
    CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, &why), SQLITE_OK);
    if (why) {
        fprintf(stderr, "%s: %s\n", sql, why);
    }
    sqlite3_free(why);
}

/* Writes an image as the first release did: image, block, words, in one transaction. */
static void old_put(sqlite3 *db, int collection, int model_row, const char *key, uint32_t seed, const char *words)
{
    struct collection_image image = image_of(seed, words);
    uint8_t digest[SHA256_BYTES];
    char sql[512];
    sqlite3_stmt *s;
    collection_db_digest(T(key), &image, digest);
    run(db, "BEGIN IMMEDIATE");
    snprintf(sql, sizeof(sql),
             "INSERT INTO image(collection, key, image_id, width, height, model)"
             " VALUES(%d, '%s', ?1, %d, %d, %d)",
             collection, key, image.width, image.height, model_row);
    CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    sqlite3_bind_blob(s, 1, image.id, COLLECTION_ID_BYTES, SQLITE_STATIC);
    CHECK_INT(sqlite3_step(s), SQLITE_DONE);
    sqlite3_finalize(s);
    long long id = sqlite3_last_insert_rowid(db);
    snprintf(sql, sizeof(sql), "INSERT INTO features(id, sha256, block) VALUES(%lld, ?1, ?2)", id);
    CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    sqlite3_bind_blob(s, 1, digest, SHA256_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(s, 2, image.features, BLOCK, SQLITE_STATIC);
    CHECK_INT(sqlite3_step(s), SQLITE_DONE);
    sqlite3_finalize(s);
    snprintf(sql, sizeof(sql), "INSERT INTO words_%d(rowid, words) VALUES(%lld, '%s')", collection, id, words);
    run(db, sql);
    run(db, "COMMIT");
}

static void make_old_file(void)
{
    sqlite3 *db;
    folder_empty(folder);
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    run(db, first_release);
    run(db, "INSERT INTO model VALUES(1, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 5000);"
            "INSERT INTO model VALUES(2, x'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 5000);"
            "INSERT INTO collection VALUES(1, 'a'), (2, 'b'), (3, NULL);"
            "CREATE VIRTUAL TABLE words_1 USING fts5(words, tokenize = 'porter unicode61 remove_diacritics 2');"
            "CREATE VIRTUAL TABLE words_2 USING fts5(words, tokenize = 'porter unicode61 remove_diacritics 2');"
            "CREATE VIRTUAL TABLE words_3 USING fts5(words, tokenize = 'porter unicode61 remove_diacritics 2');");
    for (uint32_t i = 0; i < 30; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%02u", i);
        old_put(db, 1, i < 20 ? 1 : 2, key, i, i % 2 ? "a dog" : "a cat");
    }
    old_put(db, 2, 1, "only", 40, "a horse");
    old_put(db, 3, 1, "dropped", 41, "a horse");
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

static void check_a(struct collections *cs, const struct collection_model *whose, int n)
{
    struct collection_hits hits;
    int dogs = 0;
    CHECK_INT(collections_candidates(cs, whose, T("a"), T("dog"), MANY, &hits, &e), OK);
    CHECK(hits.n == n && hits.n_by_words == n / 2 && hits.n_damaged == 0);
    for (int i = 0; i < hits.n; i++) {
        uint32_t seed = (uint32_t)strtol(hits.hits[i].key + 1, NULL, 10);
        CHECK(is_image(&hits.hits[i], seed));
        dogs += i < n / 2 && seed % 2 == 1;
    }
    CHECK_INT(dogs, n / 2);
    collection_hits_release(&hits);
}

static void test_first_release(void)
{
    make_old_file();
    struct collections *cs = open_at(path);
    check_a(cs, &model_a, 20);
    check_a(cs, &model_b, 10);
    CHECK_STR(search(cs, "b", "horse", 5), "only");
    purge(cs); /* what the old one had begun to drop */
    check_sound(cs);
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 31);
    CHECK_INT(put_words(cs, "a", "k01", 1, "a dog"), OK);
    CHECK_INT(number(cs, "PRAGMA user_version"), 1); /* so that the old one opens it */
    collections_close(cs);
    /* back to the old one for a while: it adds, replaces and removes */
    sqlite3 *db;
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    old_put(db, 2, 1, "another", 42, "a horse");
    run(db, "DELETE FROM words_2 WHERE rowid = (SELECT id FROM image WHERE key = 'only');"
            "DELETE FROM image WHERE key = 'only';");
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    cs = open_at(path);
    check_sound(cs);
    CHECK_STR(search(cs, "b", "horse", 5), "another");
    CHECK_STR(search(cs, "b", "nothing of it", 5), "another");
    check_a(cs, &model_a, 20);
    collections_close(cs);
}

/* Opened twice, the file is brought up to date once. */
static void test_again(void)
{
    make_old_file();
    for (int i = 0; i < 2; i++) {
        struct collections *cs = open_at(path);
        CHECK_INT(number(cs, "SELECT count(*) FROM spread"), 32);
        collections_close(cs);
    }
}

int main(void)
{
    folder_make();
    test_first_release();
    test_again();
    folder_remove();
    return check_result();
}
