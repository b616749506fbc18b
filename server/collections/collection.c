#include "server/collections/collection.h"

#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <sqlite3.h>
#include <string.h>

struct collection_text collection_text(const char *text)
{
    return (struct collection_text){text, text ? strlen(text) : 0};
}

/* ---- open, close ---- */

enum err collections_open(struct collections **out, const char *path, const char *model_sha256, size_t features_bytes,
                          struct errbuf *e)
{
    struct collections *cs;
    uint8_t model[SHA256_BYTES];
    *out = NULL;
    BUG_ON(features_bytes == 0 || features_bytes > INT32_MAX / 2);
    if (!path[0]) {
        return err_set(e, ERR_BAD_CONFIG, "collections.path is empty; name a file");
    }
    if (!sha256_from_hex(model_sha256, model)) {
        return err_set(e, ERR_BAD_MODEL, "the model's SHA-256 is not 64 hexadecimal digits");
    }
    enum err rc = mem_alloc(&cs, sizeof(*cs));
    if (rc != OK) {
        return rc;
    }
    cs->features_bytes = features_bytes;
    /* "./" so that no name is special to SQLite (":memory:", "file:...") */
    size_t n = strlen(path) + 3;
    rc = mem_alloc(&cs->path, n);
    if (rc == OK) {
        snprintf(cs->path, n, "%s%s", path[0] == '/' ? "" : "./", path);
        rc = collection_db_open(cs, model, e);
    }
    if (rc != OK) {
        collections_close(cs);
        return rc;
    }
    *out = cs;
    return OK;
}

void collections_close(struct collections *cs)
{
    if (cs) {
        collection_db_close(cs);
        mem_free(cs->path);
        mem_free(cs);
    }
}

/* ---- fill ---- */

static enum err make_collection(struct collections *cs, struct collection_text name, int64_t *n, struct errbuf *e)
{
    bool found;
    int64_t how_many;
    enum err rc = collection_db_numbers(cs, cs->sql[SQL_HOW_MANY], &found, &how_many, NULL, e);
    if (rc != OK) {
        return rc;
    }
    if (how_many >= COLLECTION_LIMIT) {
        return err_set(e, ERR_TOO_MANY_INPUTS, "there are %d collections already; drop one first", COLLECTION_LIMIT);
    }
    struct sqlite3_stmt *s = cs->sql[SQL_CREATE];
    sqlite3_bind_text(s, 1, name.text, (int)name.n, SQLITE_STATIC);
    rc = collection_db_done(cs, s, e);
    if (rc != OK) {
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
    if (rc == OK) {
        sqlite3_bind_int64(words, 1, id);
        rc = collection_db_done(cs, words, e);
    }
    sqlite3_finalize(words);
    if (rc != OK) {
        return rc;
    }
    sqlite3_bind_int64(s, 1, id);
    return collection_db_done(cs, s, e);
}

static enum err add_words(struct collections *cs, int64_t n, int64_t id, struct collection_text words, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    enum err rc = collection_db_prepare(cs, &s, "INSERT INTO words_%lld(rowid, words) VALUES(?1, ?2)", n, e);
    if (rc == OK) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_text(s, 2, words.n ? words.text : "", (int)words.n, SQLITE_STATIC);
        rc = collection_db_done(cs, s, e);
    }
    sqlite3_finalize(s);
    return rc;
}

static enum err add_image(struct collections *cs, int64_t n, struct collection_text key,
                          const struct collection_image *image, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_ADD_IMAGE];
    uint8_t digest[SHA256_BYTES];
    sqlite3_bind_int64(s, 1, n);
    sqlite3_bind_text(s, 2, key.text, (int)key.n, SQLITE_STATIC);
    sqlite3_bind_blob(s, 3, image->id, COLLECTION_ID_BYTES, SQLITE_STATIC);
    sqlite3_bind_int(s, 4, image->width);
    sqlite3_bind_int(s, 5, image->height);
    sqlite3_bind_int64(s, 6, cs->model);
    enum err rc = collection_db_done(cs, s, e);
    if (rc != OK) {
        return rc;
    }
    int64_t id = sqlite3_last_insert_rowid(cs->db);
    collection_db_digest(key, image, digest);
    s = cs->sql[SQL_ADD_BLOCK];
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_blob(s, 2, digest, SHA256_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(s, 3, image->features, (int)image->features_bytes, SQLITE_STATIC);
    rc = collection_db_done(cs, s, e);
    return rc == OK ? add_words(cs, n, id, image->words, e) : rc;
}

static enum err put(struct collections *cs, struct collection_text name, struct collection_text key,
                    const struct collection_image *image, uint64_t max_images, bool *replaced, struct errbuf *e)
{
    bool found;
    int64_t n, id = 0;
    struct collection_count count;
    enum err rc = collection_db_find(cs, name, &found, &n, e);
    if (rc == OK && !found) {
        rc = make_collection(cs, name, &n, e);
    }
    if (rc == OK) {
        rc = find_image(cs, n, key, replaced, &id, e);
    }
    if (rc == OK && *replaced) {
        rc = delete_image(cs, n, id, e);
    } else if (rc == OK) {
        rc = collection_db_tally(cs, n, &count, e);
        if (rc == OK && count.n_images >= max_images) {
            rc = err_set(e, ERR_TOO_MANY_INPUTS, "collection %.*s holds %llu images; allowed are %llu", (int)name.n,
                         name.text, (unsigned long long)count.n_images, (unsigned long long)max_images);
        }
    }
    return rc == OK ? add_image(cs, n, key, image, e) : rc;
}

enum err collections_put(struct collections *cs, struct collection_text name, struct collection_text key,
                         const struct collection_image *image, uint64_t max_images, bool *replaced, struct errbuf *e)
{
    *replaced = false;
    BUG_ON(image->features_bytes != cs->features_bytes);
    enum err rc = collection_name_check(name, e);
    if (rc == OK) {
        rc = collection_name_check_key(key, e);
    }
    if (rc == OK && image->words.n > COLLECTION_WORDS_MAX) {
        rc = err_set(e, ERR_TEXT_TOO_LONG, "the image's words have %zu bytes; allowed are %d", image->words.n,
                     COLLECTION_WORDS_MAX);
    }
    if (rc == OK) {
        rc = collection_db_begin(cs, SQL_BEGIN_WRITE, e);
    }
    if (rc != OK) {
        return rc;
    }
    rc = collection_db_end(cs, put(cs, name, key, image, max_images, replaced, e), e);
    *replaced = *replaced && rc == OK;
    return rc;
}

enum err collections_remove(struct collections *cs, struct collection_text name, struct collection_text key,
                            bool *was_there, struct errbuf *e)
{
    bool found;
    int64_t n = 0, id = 0;
    *was_there = false;
    enum err rc = collection_name_check(name, e);
    if (rc == OK) {
        rc = collection_name_check_key(key, e);
    }
    if (rc == OK) {
        rc = collection_db_begin(cs, SQL_BEGIN_WRITE, e);
    }
    if (rc != OK) {
        return rc;
    }
    rc = collection_db_find(cs, name, &found, &n, e);
    if (rc == OK && found) {
        rc = find_image(cs, n, key, was_there, &id, e);
    }
    if (rc == OK && *was_there) {
        rc = delete_image(cs, n, id, e);
    }
    rc = collection_db_end(cs, rc, e);
    *was_there = *was_there && rc == OK;
    return rc;
}

enum err collections_drop(struct collections *cs, struct collection_text name, bool *found, struct errbuf *e)
{
    int64_t n = 0;
    *found = false;
    enum err rc = collection_name_check(name, e);
    if (rc == OK) {
        rc = collection_db_begin(cs, SQL_BEGIN_WRITE, e);
    }
    if (rc != OK) {
        return rc;
    }
    rc = collection_db_find(cs, name, found, &n, e);
    if (rc == OK && *found) {
        sqlite3_bind_int64(cs->sql[SQL_FORGET], 1, n);
        rc = collection_db_done(cs, cs->sql[SQL_FORGET], e);
    }
    rc = collection_db_end(cs, rc, e);
    *found = *found && rc == OK;
    if (*found) {
        collection_db_purge(cs);
    }
    return rc;
}

/* ---- look ---- */

enum err collections_count(struct collections *cs, struct collection_text name, struct collection_count *out,
                           struct errbuf *e)
{
    bool found;
    int64_t n;
    *out = (struct collection_count){0};
    enum err rc = collection_name_check(name, e);
    if (rc == OK) {
        rc = collection_db_find(cs, name, &found, &n, e);
    }
    return rc == OK && found ? collection_db_tally(cs, n, out, e) : rc;
}

/* False for a row that we never wrote. */
static bool read_entry(struct sqlite3_stmt *s, struct collection_entry *entry)
{
    entry->key.text = (const char *)sqlite3_column_text(s, 0);
    entry->key.n = (size_t)sqlite3_column_bytes(s, 0);
    entry->id = sqlite3_column_blob(s, 1);
    entry->width = sqlite3_column_int(s, 2);
    entry->height = sqlite3_column_int(s, 3);
    entry->is_stale = sqlite3_column_int(s, 4) != 0;
    return entry->key.text && entry->key.n <= COLLECTION_KEY_MAX && entry->id &&
           sqlite3_column_bytes(s, 1) == COLLECTION_ID_BYTES;
}

enum err collections_list(struct collections *cs, struct collection_text name, struct collection_text after_key,
                          int limit, collection_on_entry *on_entry, void *user, bool *found, struct errbuf *e)
{
    int64_t n;
    int code;
    *found = false;
    enum err rc = collection_name_check(name, e);
    if (rc == OK && after_key.n) {
        rc = collection_name_check_key(after_key, e);
    }
    if (rc == OK) {
        rc = collection_db_find(cs, name, found, &n, e);
    }
    if (rc != OK || !*found) {
        return rc;
    }
    struct sqlite3_stmt *s = cs->sql[SQL_LIST];
    sqlite3_bind_int64(s, 1, n);
    sqlite3_bind_text(s, 2, after_key.n ? after_key.text : "", (int)after_key.n, SQLITE_STATIC);
    sqlite3_bind_int(s, 3, limit < 0 ? 0 : limit);
    sqlite3_bind_int64(s, 4, cs->model);
    while (rc == OK && (code = sqlite3_step(s)) != SQLITE_DONE) {
        struct collection_entry entry;
        if (code != SQLITE_ROW) {
            rc = collection_db_fail(cs, code, "list the images", e);
        } else if (!read_entry(s, &entry)) {
            rc = collection_db_fail(cs, SQLITE_CORRUPT, "list the images", e);
        } else {
            on_entry(&entry, user);
        }
    }
    sqlite3_reset(s);
    return rc;
}

enum err collections_names(struct collections *cs, collection_on_name *on_name, void *user, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_NAMES];
    enum err rc = OK;
    int code;
    sqlite3_bind_int64(s, 1, cs->model);
    while (rc == OK && (code = sqlite3_step(s)) != SQLITE_DONE) {
        const char *name = code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
        if (!name) {
            rc = collection_db_fail(cs, code == SQLITE_ROW ? SQLITE_CORRUPT : code, "list the collections", e);
        } else {
            struct collection_count count = {true, (uint64_t)sqlite3_column_int64(s, 1),
                                             (uint64_t)sqlite3_column_int64(s, 2)};
            on_name(name, &count, user);
        }
    }
    sqlite3_reset(s);
    return rc;
}

/* ---- search ---- */

static enum err candidates(struct collections *cs, struct collection_text name, struct collection_text query, int limit,
                           struct collection_hits *out, struct errbuf *e)
{
    struct collection_count count;
    int64_t n;
    enum err rc = collection_db_find(cs, name, &out->found, &n, e);
    if (rc == OK && out->found) {
        rc = collection_db_tally(cs, n, &count, e);
    }
    if (rc != OK || !out->found) {
        return rc;
    }
    out->n_scanned = count.n_images;
    out->n_stale = count.n_stale;
    if ((uint64_t)limit > count.n_images) {
        limit = (int)count.n_images;
    }
    rc = mem_array(&out->hits, (size_t)limit, sizeof(*out->hits));
    return rc == OK ? collection_search(cs, n, query, limit, out, e) : rc;
}

enum err collections_candidates(struct collections *cs, struct collection_text name, struct collection_text query,
                                int limit, struct collection_hits *out, struct errbuf *e)
{
    *out = (struct collection_hits){0};
    BUG_ON(limit < 0);
    enum err rc = collection_name_check(name, e);
    if (rc == OK) {
        rc = collection_db_begin(cs, SQL_BEGIN_READ, e);
    }
    if (rc != OK) {
        return rc;
    }
    rc = collection_db_end(cs, candidates(cs, name, query, limit, out, e), e);
    if (rc != OK) {
        collection_hits_release(out);
    }
    return rc;
}

void collection_hits_release(struct collection_hits *h)
{
    for (int i = 0; i < h->n; i++) {
        mem_free(h->hits[i].features);
    }
    mem_free(h->hits);
    *h = (struct collection_hits){0};
}
