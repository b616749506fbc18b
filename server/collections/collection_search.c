#include "engine/base/buf.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <sqlite3.h>
#include <string.h>

/* ---- the query's words ----
 *
 * The query is cut into words by the very tokeniser that cuts the stored words, less the stemming, and each word is
 * quoted: an FTS5 string, in which nothing is syntax. */

enum { WORD_MAX = 128 }; /* bytes; a longer word is passed over */

struct words {
    struct buf *match;
    int n;
    size_t at[COLLECTION_QUERY_WORDS], size[COLLECTION_QUERY_WORDS]; /* in match->bytes */
};

static int on_word(void *user, int flags, const char *word, int n, int start, int end)
{
    struct words *w = user;
    (void)flags, (void)start, (void)end;
    if (n <= 0 || n > WORD_MAX || memchr(word, '"', (size_t)n) || memchr(word, 0, (size_t)n)) {
        return SQLITE_OK;
    }
    for (int i = 0; i < w->n; i++) {
        if (w->size[i] == (size_t)n && memcmp(w->match->bytes + w->at[i], word, (size_t)n) == 0) {
            return SQLITE_OK;
        }
    }
    buf_text(w->match, w->n ? " OR \"" : "\"");
    w->at[w->n] = w->match->n;
    w->size[w->n++] = (size_t)n;
    buf_append(w->match, word, (size_t)n);
    buf_text(w->match, "\"");
    return w->match->err != OK || w->n == COLLECTION_QUERY_WORDS ? SQLITE_DONE : SQLITE_OK;
}

static enum err get_api(struct collections *cs, fts5_api **api, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    *api = NULL;
    enum err rc = collection_db_prepare(cs, &s, "SELECT fts5(?1)", 0, e);
    if (rc == OK) {
        sqlite3_bind_pointer(s, 1, api, "fts5_api_ptr", NULL);
        sqlite3_step(s);
    }
    sqlite3_finalize(s);
    if (rc == OK && !*api) {
        rc = collection_db_fail(cs, SQLITE_ERROR, "search the words", e);
    }
    return rc;
}

/* The FTS5 expression: "word" OR "word" ...; with no word the empty string, which nothing matches. */
static enum err match_of(struct collections *cs, struct collection_text query, struct buf *match, struct errbuf *e)
{
    static const char *args[] = {"remove_diacritics", "2"};
    struct words words = {.match = match};
    fts5_api *api;
    fts5_tokenizer tokenizer;
    Fts5Tokenizer *own = NULL;
    void *context;
    enum err rc = get_api(cs, &api, e);
    if (rc != OK) {
        return rc;
    }
    int code = api->xFindTokenizer(api, "unicode61", &context, &tokenizer);
    if (code == SQLITE_OK) {
        code = tokenizer.xCreate(context, args, 2, &own);
    }
    if (code == SQLITE_OK && query.n) {
        int n = query.n > COLLECTION_QUERY_MAX ? COLLECTION_QUERY_MAX : (int)query.n;
        code = tokenizer.xTokenize(own, &words, FTS5_TOKENIZE_QUERY, query.text, n, on_word);
    }
    if (own) {
        tokenizer.xDelete(own);
    }
    if (code != SQLITE_OK && code != SQLITE_DONE) {
        return collection_db_fail(cs, code, "read the query", e);
    }
    if (words.n == 0) {
        buf_text(match, "\"\"");
    }
    return match->err;
}

/* ---- the images ---- */

/* Why a row cannot be used; NULL: it can. */
static const char *fault_of(const struct collections *cs, struct sqlite3_stmt *s)
{
    struct collection_image image = {.width = sqlite3_column_int(s, 2), .height = sqlite3_column_int(s, 3)};
    uint8_t digest[SHA256_BYTES];
    struct collection_text key = {(const char *)sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
    const void *id = sqlite3_column_blob(s, 1), *stored = sqlite3_column_blob(s, 4);
    image.features = sqlite3_column_blob(s, 5);
    image.features_bytes = (size_t)sqlite3_column_bytes(s, 5);
    if (!key.text || key.n > COLLECTION_KEY_MAX) {
        return "the key is too long";
    }
    if (!id || sqlite3_column_bytes(s, 1) != COLLECTION_ID_BYTES) {
        return "the image id has a wrong size";
    }
    if (!image.features || image.features_bytes != cs->features_bytes) {
        return "the block has a wrong size";
    }
    if (!stored || sqlite3_column_bytes(s, 4) != SHA256_BYTES) {
        return "the checksum has a wrong size";
    }
    memcpy(image.id, id, COLLECTION_ID_BYTES);
    collection_db_digest(key, &image, digest);
    return memcmp(digest, stored, SHA256_BYTES) == 0 ? NULL : "the image does not fit its checksum";
}

static enum err take_row(struct collections *cs, struct sqlite3_stmt *s, struct collection_hits *out)
{
    const char *fault = fault_of(cs, s);
    if (fault) {
        out->n_damaged++;
        log_limited(LOG_ERROR, LOG_HERE, "collection_image_damaged", LOG_STR("path", cs->path),
                    LOG_STR("key", (const char *)sqlite3_column_text(s, 0)), LOG_STR("reason", fault));
        return OK;
    }
    struct collection_hit *hit = &out->hits[out->n];
    enum err rc = mem_alloc(&hit->features, cs->features_bytes);
    if (rc != OK) {
        return rc;
    }
    out->n++;
    hit->n_key = (size_t)sqlite3_column_bytes(s, 0);
    memcpy(hit->key, sqlite3_column_text(s, 0), hit->n_key);
    memcpy(hit->id, sqlite3_column_blob(s, 1), COLLECTION_ID_BYTES);
    hit->width = sqlite3_column_int(s, 2);
    hit->height = sqlite3_column_int(s, 3);
    memcpy(hit->features, sqlite3_column_blob(s, 5), cs->features_bytes);
    return OK;
}

/* Reads the image and appends it, unless it is damaged. */
static enum err take_image(struct collections *cs, int64_t id, struct collection_hits *out, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_READ];
    sqlite3_bind_int64(s, 1, id);
    int code = sqlite3_step(s);
    enum err rc = OK;
    if (code == SQLITE_ROW) {
        rc = take_row(cs, s, out);
    } else if (code != SQLITE_DONE) {
        rc = collection_db_fail(cs, code, "read an image", e);
    }
    sqlite3_reset(s);
    return rc;
}

/* ---- the two lists ----
 *
 * ?1 the expression, ?2 the model, ?3 how many, ?4 after how many, ?5 the collection; %lld again the collection. */

static const char sharing_a_word[] = "SELECT i.id FROM words_%lld w JOIN image i ON i.id = w.rowid"
                                     " WHERE w.words MATCH ?1 AND i.model = ?2 AND i.collection = ?5"
                                     " ORDER BY w.rank, i.key LIMIT ?3 OFFSET ?4";
static const char the_others[] =
    "SELECT id FROM image WHERE collection = ?5 AND model = ?2"
    " AND id NOT IN (SELECT w.rowid FROM words_%lld w WHERE w.words MATCH ?1) ORDER BY key LIMIT ?3 OFFSET ?4";

/* Asks for as many as are missing; damaged ones make it ask again behind them. */
static enum err take_list(struct collections *cs, struct sqlite3_stmt *s, int limit, struct collection_hits *out,
                          struct errbuf *e)
{
    enum err rc = OK;
    int64_t offset = 0;
    for (bool more = true; more && rc == OK && out->n < limit;) {
        int wanted = limit - out->n, got = 0, code = SQLITE_ROW;
        sqlite3_bind_int(s, 3, wanted);
        sqlite3_bind_int64(s, 4, offset);
        while (rc == OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
            rc = take_image(cs, sqlite3_column_int64(s, 0), out, e);
            got++;
        }
        if (rc == OK && code != SQLITE_DONE) {
            rc = collection_db_fail(cs, code, "search", e);
        }
        sqlite3_reset(s);
        offset += got;
        more = got == wanted;
    }
    return rc;
}

enum err collection_search(struct collections *cs, int64_t collection, struct collection_text query, int limit,
                           struct collection_hits *out, struct errbuf *e)
{
    static const char *const lists[] = {sharing_a_word, the_others};
    struct buf match;
    buf_init(&match, COLLECTION_QUERY_WORDS * (WORD_MAX + 16));
    enum err rc = match_of(cs, query, &match, e);
    for (int i = 0; i < 2 && rc == OK && out->n < limit; i++) {
        struct sqlite3_stmt *s;
        rc = collection_db_prepare(cs, &s, lists[i], collection, e);
        if (rc == OK) {
            sqlite3_bind_text(s, 1, match.bytes, (int)match.n, SQLITE_STATIC);
            sqlite3_bind_int64(s, 2, cs->model);
            sqlite3_bind_int64(s, 5, collection);
            rc = take_list(cs, s, limit, out, e);
        }
        sqlite3_finalize(s);
    }
    buf_release(&match);
    return rc;
}
