#include "server/collections/collection.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <sqlite3.h>
#include <string.h>
#include <strings.h>

enum { HIT_OVERHEAD = 192 }; /* bytes: ordering and the allocator's rounding */

struct collection_text collection_text(const char *text)
{
    return (struct collection_text){text, text ? strlen(text) : 0};
}

bool collection_model_equal(const struct collection_model *a, const struct collection_model *b)
{
    return a->features_bytes == b->features_bytes && strcasecmp(a->sha256, b->sha256) == 0;
}

/* ---- open, close ---- */

enum err collections_open(struct collections **out, const char *path, uint64_t (*now_us)(void), struct errbuf *e)
{
    struct collections *cs;
    *out = NULL;
    if (!path[0]) {
        return err_set(e, ERR_BAD_CONFIG, "collections.path is empty; name a file");
    }
    enum err rc = mem_alloc(&cs, sizeof(*cs));
    if (rc) {
        return rc;
    }
    cs->is_writer = true;
    cs->call = SQL_COUNT;
    cs->now_us = now_us ? now_us : clock_us;
    rc = collection_file_open(cs, path, e);
    if (rc) {
        collections_close(cs);
        return rc;
    }
    *out = cs;
    return OK;
}

enum err collections_open_reader(struct collections **out, struct collections *writer, struct errbuf *e)
{
    struct collections *cs;
    enum err rc = mem_alloc(&cs, sizeof(*cs));
    *out = NULL;
    if (rc) {
        return rc;
    }
    cs->call = SQL_COUNT;
    cs->now_us = writer->now_us;
    rc = collection_file_join(cs, writer, e);
    if (rc) {
        collections_close(cs);
        return rc;
    }
    *out = cs;
    return OK;
}

void collections_close(struct collections *cs)
{
    if (cs) {
        collection_file_leave(cs);
        mem_free(cs);
    }
}

void collections_limit(struct collections *cs, const struct collection_limits *limits)
{
    cs->limits = *limits;
}

/* ---- fill ---- */

/* On a full disk: all writes go into the log, also those that delete, and it is used anew from its beginning when all
 * of it is in the file. True: it is. */
static bool finds_room(struct collections *cs, enum err rc)
{
    return rc == ERR_DISK_FULL && cs->db && collection_db_checkpoint(cs);
}

static enum err put_once(struct collections *cs, const struct collection_put *p, bool *replaced, struct errbuf *e)
{
    enum err rc = collection_db_begin(cs, SQL_BEGIN_WRITE, e);
    if (rc) {
        return rc;
    }
    rc = collection_db_has_room(cs, e);
    rc = collection_db_end(cs, rc ? rc : collection_fill_put(cs, p, replaced, e), e);
    *replaced = *replaced && !rc;
    return rc;
}

enum err collections_put(struct collections *cs, const struct collection_model *model, struct collection_text name,
                         struct collection_text key, const struct collection_image *image, uint64_t max_images,
                         bool *replaced, struct errbuf *e)
{
    const struct collection_put p = {model, name, key, image, max_images};
    BUG_ON(!cs->is_writer);
    *replaced = false;
    enum err rc = collection_fill_check(&p, e);
    rc = rc ? rc : put_once(cs, &p, replaced, e);
    return finds_room(cs, rc) ? put_once(cs, &p, replaced, e) : rc;
}

static enum err remove_once(struct collections *cs, struct collection_text name, struct collection_text key,
                            bool *was_there, struct errbuf *e)
{
    enum err rc = collection_db_begin(cs, SQL_BEGIN_WRITE, e);
    if (rc) {
        return rc;
    }
    rc = collection_db_end(cs, collection_fill_remove(cs, name, key, was_there, e), e);
    *was_there = *was_there && !rc;
    return rc;
}

enum err collections_remove(struct collections *cs, struct collection_text name, struct collection_text key,
                            bool *was_there, struct errbuf *e)
{
    BUG_ON(!cs->is_writer);
    *was_there = false;
    enum err rc = collection_name_check(name, e);
    rc = rc ? rc : collection_name_check_key(key, e);
    rc = rc ? rc : remove_once(cs, name, key, was_there, e);
    return finds_room(cs, rc) ? remove_once(cs, name, key, was_there, e) : rc;
}

static enum err drop_once(struct collections *cs, struct collection_text name, bool *found, struct errbuf *e)
{
    int64_t n = 0;
    enum err rc = collection_db_begin(cs, SQL_BEGIN_WRITE, e);
    if (rc) {
        return rc;
    }
    rc = collection_db_find(cs, name, found, &n, e);
    if (!rc && *found) {
        sqlite3_bind_int64(cs->sql[SQL_FORGET], 1, n);
        rc = collection_db_done(cs, cs->sql[SQL_FORGET], e);
    }
    rc = collection_db_end(cs, rc, e);
    *found = *found && !rc;
    return rc;
}

enum err collections_drop(struct collections *cs, struct collection_text name, bool *found, struct errbuf *e)
{
    BUG_ON(!cs->is_writer);
    *found = false;
    enum err rc = collection_name_check(name, e);
    rc = rc ? rc : drop_once(cs, name, found, e);
    return finds_room(cs, rc) ? drop_once(cs, name, found, e) : rc;
}

static enum err leftover(struct collections *cs, bool *found, int64_t *n, struct errbuf *e)
{
    return collection_db_numbers(cs, cs->sql[SQL_LEFTOVER], found, n, NULL, e);
}

/* Looks before it locks: most often there is nothing. */
static enum err purge_once(struct collections *cs, bool *more, struct errbuf *e)
{
    int64_t n = 0;
    *more = false;
    enum err rc = collection_db_begin(cs, SQL_BEGIN_READ, e);
    if (!rc) {
        rc = collection_db_end(cs, leftover(cs, more, &n, e), e);
    }
    if (rc || !*more) {
        return rc;
    }
    rc = collection_db_begin(cs, SQL_BEGIN_WRITE, e);
    if (rc) {
        return rc;
    }
    rc = leftover(cs, more, &n, e);
    if (!rc && *more) {
        rc = collection_fill_purge(cs, n, e);
    }
    return collection_db_end(cs, rc, e);
}

enum err collections_purge(struct collections *cs, bool *more, struct errbuf *e)
{
    BUG_ON(!cs->is_writer);
    enum err rc = purge_once(cs, more, e);
    return finds_room(cs, rc) ? purge_once(cs, more, e) : rc;
}

/* ---- look ---- */

struct look {
    bool found;
    int64_t n, model;
};

/* Begins a reading call about a collection and counts it; when it is OK, end with collection_db_end. */
static enum err look_begin(struct collections *cs, const struct collection_model *model, struct collection_text name,
                           struct look *l, struct collection_count *count, struct errbuf *e)
{
    *l = (struct look){.found = false};
    *count = (struct collection_count){.found = false};
    enum err rc = collection_name_check(name, e);
    if (!rc) {
        rc = collection_db_begin(cs, SQL_BEGIN_READ, e);
    }
    if (rc) {
        return rc;
    }
    rc = collection_db_find(cs, name, &l->found, &l->n, e);
    if (!rc) {
        rc = collection_db_model(cs, model, false, &l->model, e);
    }
    if (!rc && l->found) {
        rc = collection_db_tally(cs, l->n, l->model, count, e);
    }
    return rc ? collection_db_end(cs, rc, e) : OK;
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

/* Steps the list; the statement is bound. */
static enum err list(struct collections *cs, struct sqlite3_stmt *s, collection_on_entry *on_entry, void *user,
                     struct errbuf *e)
{
    enum err rc = OK;
    int code;
    while (!rc && (code = sqlite3_step(s)) != SQLITE_DONE) {
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

enum err collections_list(struct collections *cs, const struct collection_model *model, struct collection_text name,
                          struct collection_text after_key, int limit, collection_on_entry *on_entry, void *user,
                          struct collection_count *count, struct errbuf *e)
{
    struct look l;
    *count = (struct collection_count){.found = false};
    enum err rc = after_key.n ? collection_name_check_key(after_key, e) : OK;
    if (!rc) {
        rc = look_begin(cs, model, name, &l, count, e);
    }
    if (rc) {
        return rc;
    }
    if (l.found) {
        struct sqlite3_stmt *s = cs->sql[SQL_LIST];
        sqlite3_bind_int64(s, 1, l.n);
        sqlite3_bind_text(s, 2, after_key.n ? after_key.text : "", (int)after_key.n, SQLITE_STATIC);
        sqlite3_bind_int(s, 3, limit < 0 ? 0 : limit);
        sqlite3_bind_int64(s, 4, l.model);
        rc = list(cs, s, on_entry, user, e);
    }
    return collection_db_end(cs, rc, e);
}

static enum err names(struct collections *cs, int64_t model, collection_on_name *on_name, void *user, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_NAMES];
    enum err rc = OK;
    int code;
    sqlite3_bind_int64(s, 1, model);
    while (!rc && (code = sqlite3_step(s)) != SQLITE_DONE) {
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

enum err collections_names(struct collections *cs, const struct collection_model *model, collection_on_name *on_name,
                           void *user, struct errbuf *e)
{
    int64_t n;
    enum err rc = collection_db_begin(cs, SQL_BEGIN_READ, e);
    if (rc) {
        return rc;
    }
    rc = collection_db_model(cs, model, false, &n, e);
    return collection_db_end(cs, rc ? rc : names(cs, n, on_name, user, e), e);
}

/* ---- search ---- */

static enum err candidates(struct collections *cs, const struct look *l, struct collection_text query, int limit,
                           struct collection_hits *out, struct errbuf *e)
{
    uint64_t n = out->n_images - out->n_stale;
    if ((uint64_t)limit > n) {
        limit = (int)n;
    }
    enum err rc = mem_array(&out->hits, (size_t)limit, sizeof(*out->hits));
    return rc ? rc : collection_search(cs, l->n, l->model, query, limit, out, e);
}

enum err collections_candidates(struct collections *cs, const struct collection_model *model,
                                struct collection_text name, struct collection_text query, int limit,
                                struct collection_hits *out, struct errbuf *e)
{
    struct look l;
    struct collection_count count;
    *out = (struct collection_hits){.model = *model};
    BUG_ON(limit < 0);
    enum err rc = look_begin(cs, model, name, &l, &count, e);
    if (rc) {
        return rc;
    }
    out->found = l.found;
    out->n_images = count.n_images;
    out->n_stale = count.n_stale;
    rc = collection_db_end(cs, l.found ? candidates(cs, &l, query, limit, out, e) : OK, e);
    if (rc) {
        collection_hits_release(out);
    }
    return rc;
}

size_t collection_hits_bytes(int limit, size_t features_bytes)
{
    const size_t each = sizeof(struct collection_hit) + features_bytes + HIT_OVERHEAD;
    return COLLECTION_SEARCH_SCRATCH + (size_t)limit * each;
}

void collection_hits_release(struct collection_hits *h)
{
    for (int i = 0; i < h->n; i++) {
        mem_free(h->hits[i].features);
    }
    mem_free(h->hits);
    *h = (struct collection_hits){0};
}
