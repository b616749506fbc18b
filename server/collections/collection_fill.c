/* Inside a transaction: what adds, replaces and erases. */
#include "server/collections/collection_private.h"

#include <sqlite3.h>
#include <string.h>

enum { PURGE_SLICE = 64 }; /* images in one transaction */

static enum err make_collection(struct collections *cs, struct collection_text name, int64_t *n, struct errbuf *e)
{
    bool found;
    int64_t how_many;
    enum err rc = collection_db_numbers(cs, cs->sql[SQL_HOW_MANY], &found, &how_many, NULL, e);
    if (rc) {
        return rc;
    }
    if (how_many >= COLLECTION_LIMIT) {
        return err_set(e, ERR_TOO_MANY_INPUTS, "there are %d collections already; drop one first", COLLECTION_LIMIT);
    }
    struct sqlite3_stmt *s = cs->sql[SQL_CREATE];
    sqlite3_bind_text(s, 1, name.text, (int)name.n, SQLITE_STATIC);
    rc = collection_db_done(cs, s, e);
    if (rc) {
        return rc;
    }
    *n = sqlite3_last_insert_rowid(cs->db);
    return collection_db_exec(
        cs, "CREATE VIRTUAL TABLE words_%lld USING fts5(words, tokenize = 'porter unicode61 remove_diacritics 2')", *n,
        e);
}

static enum err find_image(struct collections *cs, int64_t n, struct collection_text key, bool *found, int64_t *id,
                           struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_FIND_IMAGE];
    sqlite3_bind_int64(s, 1, n);
    sqlite3_bind_text(s, 2, key.text, (int)key.n, SQLITE_STATIC);
    return collection_db_numbers(cs, s, found, id, NULL, e);
}

/* The image's row; block and tally go by the trigger. */
static enum err delete_image(struct collections *cs, int64_t n, int64_t id, struct errbuf *e)
{
    struct sqlite3_stmt *words, *s = cs->sql[SQL_DELETE_IMAGE];
    enum err rc = collection_db_prepare(cs, &words, "DELETE FROM words_%lld WHERE rowid = ?1", n, e);
    if (!rc) {
        sqlite3_bind_int64(words, 1, id);
        rc = collection_db_done(cs, words, e);
    }
    sqlite3_finalize(words);
    if (rc) {
        return rc;
    }
    sqlite3_bind_int64(s, 1, id);
    return collection_db_done(cs, s, e);
}

static enum err add_words(struct collections *cs, int64_t n, int64_t id, struct collection_text words, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    enum err rc = collection_db_prepare(cs, &s, "INSERT INTO words_%lld(rowid, words) VALUES(?1, ?2)", n, e);
    if (!rc) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_text(s, 2, words.n ? words.text : "", (int)words.n, SQLITE_STATIC);
        rc = collection_db_done(cs, s, e);
    }
    sqlite3_finalize(s);
    return rc;
}

static enum err add_image(struct collections *cs, int64_t n, int64_t model, struct collection_text key,
                          const struct collection_image *image, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_ADD_IMAGE];
    uint8_t digest[SHA256_BYTES];
    sqlite3_bind_int64(s, 1, n);
    sqlite3_bind_text(s, 2, key.text, (int)key.n, SQLITE_STATIC);
    sqlite3_bind_blob(s, 3, image->id, COLLECTION_ID_BYTES, SQLITE_STATIC);
    sqlite3_bind_int(s, 4, image->width);
    sqlite3_bind_int(s, 5, image->height);
    sqlite3_bind_int64(s, 6, model);
    enum err rc = collection_db_done(cs, s, e);
    if (rc) {
        return rc;
    }
    int64_t id = sqlite3_last_insert_rowid(cs->db);
    collection_db_digest(key, image, digest);
    s = cs->sql[SQL_ADD_BLOCK];
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_blob(s, 2, digest, SHA256_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(s, 3, image->features, (int)image->features_bytes, SQLITE_STATIC);
    rc = collection_db_done(cs, s, e);
    return rc ? rc : add_words(cs, n, id, image->words, e);
}

static enum err check_room(struct collections *cs, struct collection_text name, int64_t n, int64_t model,
                           uint64_t max_images, struct errbuf *e)
{
    struct collection_count count;
    enum err rc = collection_db_tally(cs, n, model, &count, e);
    if (!rc && count.n_images >= max_images) {
        rc = err_set(e, ERR_TOO_MANY_INPUTS,
                     "collection %.*s holds %llu images; allowed are %llu: remove some, or begin another collection",
                     (int)name.n, name.text, (unsigned long long)count.n_images, (unsigned long long)max_images);
    }
    return rc;
}

enum err collection_fill_put(struct collections *cs, const struct collection_put *p, bool *replaced, struct errbuf *e)
{
    bool found;
    int64_t n, model, id = 0;
    enum err rc = collection_db_find(cs, p->name, &found, &n, e);
    if (!rc && !found) {
        rc = make_collection(cs, p->name, &n, e);
    }
    if (!rc) {
        rc = collection_db_model(cs, p->model, true, &model, e);
    }
    if (!rc) {
        rc = find_image(cs, n, p->key, replaced, &id, e);
    }
    if (!rc) {
        rc = *replaced ? delete_image(cs, n, id, e) : check_room(cs, p->name, n, model, p->max_images, e);
    }
    return rc ? rc : add_image(cs, n, model, p->key, p->image, e);
}

enum err collection_fill_check(const struct collection_put *p, struct errbuf *e)
{
    enum err rc = collection_name_check(p->name, e);
    if (!rc) {
        rc = collection_name_check_new_key(p->key, e);
    }
    if (!rc && p->image->words.n > COLLECTION_WORDS_MAX) {
        rc = err_set(e, ERR_TEXT_TOO_LONG, "the image's words have %zu bytes; allowed are %d", p->image->words.n,
                     COLLECTION_WORDS_MAX);
    }
    size_t bytes = p->image->features_bytes;
    if (!rc && (bytes != p->model->features_bytes || bytes == 0 || bytes > INT32_MAX / 2)) {
        rc = err_set(e, ERR_INTERNAL,
                     "the features have %zu bytes, and those of this model have %zu; send the image again", bytes,
                     p->model->features_bytes);
    }
    return rc;
}

/* Some images, or when there are none left, the collection itself. */
enum err collection_fill_purge(struct collections *cs, int64_t n, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_DELETE_SLICE];
    sqlite3_bind_int64(s, 1, n);
    sqlite3_bind_int(s, 2, PURGE_SLICE);
    enum err rc = collection_db_done(cs, s, e);
    if (rc || sqlite3_changes(cs->db) > 0) {
        return rc;
    }
    s = cs->sql[SQL_ERASE];
    sqlite3_bind_int64(s, 1, n);
    rc = collection_db_done(cs, s, e);
    if (!rc) {
        rc = collection_db_exec(cs, "DELETE FROM tally WHERE collection = %lld", n, e);
    }
    return rc ? rc : collection_db_exec(cs, "DROP TABLE words_%lld", n, e);
}

enum err collection_fill_remove(struct collections *cs, struct collection_text name, struct collection_text key,
                                bool *was_there, struct errbuf *e)
{
    bool found;
    int64_t n = 0, id = 0;
    enum err rc = collection_db_find(cs, name, &found, &n, e);
    if (!rc && found) {
        rc = find_image(cs, n, key, was_there, &id, e);
    }
    return !rc && *was_there ? delete_image(cs, n, id, e) : rc;
}
