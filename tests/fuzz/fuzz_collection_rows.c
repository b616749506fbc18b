/* A collections file whose pages are sound and whose rows are not: any values, of any type, in any column of ours, as
 * another program with rights on the file could leave them. Every call gives an answer or an error in words, and what a
 * search finds is whole.
 *
 *     a statement   byte 0 which of `statements`, byte 1 the row; then its values, each a type (low 2 bits: NULL,
 *                   number, text, blob) and length (the others) and that many bytes
 *     after NUL     the query */
#define BLOCK 300
#include "tests/fuzz/collection_fuzz.h"

#include <sqlite3.h>

enum { MOST = 40 };
static const char *const statements[] = {
    "UPDATE image SET key = ?2 WHERE id = ?1",
    "UPDATE image SET image_id = ?2 WHERE id = ?1",
    "UPDATE image SET width = ?2, height = ?3 WHERE id = ?1",
    "UPDATE image SET model = ?2 WHERE id = ?1",
    "UPDATE image SET collection = ?2 WHERE id = ?1",
    "UPDATE features SET sha256 = ?2 WHERE id = ?1",
    "UPDATE features SET block = ?2 WHERE id = ?1",
    "UPDATE model SET sha256 = ?2 WHERE id = ?1",
    "UPDATE model SET features_bytes = ?2 WHERE id = ?1",
    "UPDATE collection SET name = ?2 WHERE id = ?1",
    "UPDATE tally SET n = ?2 WHERE collection = ?1",
    "UPDATE spread SET hash = ?2 WHERE id = ?1",
    "UPDATE spread SET collection = ?2, model = ?3 WHERE id = ?1",
    "INSERT OR REPLACE INTO image VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    "INSERT OR REPLACE INTO features VALUES(?1, ?2, ?3)",
    "INSERT OR REPLACE INTO spread VALUES(?1, ?2, ?3, ?4)",
    "INSERT OR REPLACE INTO tally VALUES(?1, ?2, ?3)",
    "DELETE FROM features WHERE id = ?1",
    "DELETE FROM tally WHERE collection = ?1",
    "DELETE FROM spread WHERE id = ?1",
    "DELETE FROM image WHERE id = ?1",
};
enum { STATEMENTS = sizeof(statements) / sizeof(statements[0]) };

static void write_file(void)
{
    FILE *file = fopen(path, "wb");
    BUG_ON(!file || fwrite(whole, 1, n_whole, file) != n_whole || fclose(file));
}

/* Binds the values of one statement; what is left of the input. */
static const uint8_t *bind(sqlite3_stmt *s, const uint8_t *at, const uint8_t *end)
{
    for (int i = 2; i <= sqlite3_bind_parameter_count(s) && at < end; i++) {
        int type = *at & 3;
        size_t n = *at++ >> 2;
        n = n < (size_t)(end - at) ? n : (size_t)(end - at);
        sqlite3_int64 number = 0;
        if (type == 1) {
            n = n < sizeof(number) ? n : sizeof(number);
            memcpy(&number, at, n);
            sqlite3_bind_int64(s, i, number);
        } else if (type == 2) {
            sqlite3_bind_text(s, i, (const char *)at, (int)n, SQLITE_STATIC);
        } else if (type == 3) {
            sqlite3_bind_blob(s, i, at, (int)n, SQLITE_STATIC);
        }
        at += n;
    }
    return at;
}

/* What the constraints of the tables refuse stays as it was. */
static const uint8_t *change(const uint8_t *at, const uint8_t *end)
{
    sqlite3 *db;
    BUG_ON(sqlite3_open(path, &db));
    for (int i = 0; i < MOST && at + 2 <= end && at[0]; i++) {
        sqlite3_stmt *s;
        BUG_ON(sqlite3_prepare_v2(db, statements[at[0] % STATEMENTS], -1, &s, NULL));
        sqlite3_bind_int64(s, 1, at[1] % 8);
        at = bind(s, at + 2, end);
        touched += (unsigned)sqlite3_step(s);
        sqlite3_finalize(s);
    }
    sqlite3_close(db);
    return at;
}

static void use(struct collections *cs, struct collection_text query)
{
    struct collection_count count;
    struct errbuf e;
    bool flag;
    search(cs, query);
    enum err rc =
        collections_list(cs, &model, collection_text("all"), collection_text(""), 10, on_entry, NULL, &count, NULL);
    rc = collections_remove(cs, collection_text("all"), collection_text("b"), &flag, NULL) ? rc : OK;
    touched += (unsigned)rc;
    static uint8_t block[BLOCK];
    const struct collection_image image = {.id = {9},
                                           .width = 3,
                                           .height = 4,
                                           .words = collection_text("dog"),
                                           .features = block,
                                           .features_bytes = BLOCK};
    errbuf_clear(&e);
    rc = collections_put(cs, &model, collection_text("all"), collection_text("a"), &image, 100, &flag, &e);
    BUG_ON(rc && !e.text[0]);
    search(cs, collection_text("a dog"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct collections *cs = NULL;
    struct errbuf e;
    if (!whole) {
        make_file();
    }
    remove_files();
    write_file();
    const uint8_t *end = data + size, *at = change(data, end);
    at += at < end;
    errbuf_clear(&e);
    if (collections_open(&cs, path, NULL, &e)) {
        BUG_ON(!e.text[0]);
        return 0;
    }
    use(cs, (struct collection_text){(const char *)at, (size_t)(end - at)});
    collections_close(cs);
    return 0;
}
