#include "engine/base/log.h"
#include "server/collections/collection_private.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const texts[SQL_COUNT] = {
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FIND] = "SELECT id FROM collection WHERE name = ?1",
    [SQL_HOW_MANY] = "SELECT count(name) FROM collection",
    [SQL_CREATE] = "INSERT INTO collection(name) VALUES(?1)",
    [SQL_FORGET] = "UPDATE collection SET name = NULL WHERE id = ?1",
    [SQL_LEFTOVER] = "SELECT id FROM collection WHERE name IS NULL LIMIT 1",
    [SQL_ERASE] = "DELETE FROM collection WHERE id = ?1",
    [SQL_FIND_MODEL] = "SELECT id FROM model WHERE sha256 = ?1 AND features_bytes = ?2",
    [SQL_ADD_MODEL] = "INSERT INTO model(sha256, features_bytes) VALUES(?1, ?2)",
    [SQL_TALLY] = "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE model <> ?2), 0) FROM tally"
                  " WHERE collection = ?1",
    [SQL_NAMES] = "SELECT c.name, coalesce(sum(t.n), 0), coalesce(sum(t.n) FILTER (WHERE t.model <> ?1), 0)"
                  " FROM collection c LEFT JOIN tally t ON t.collection = c.id WHERE c.name IS NOT NULL"
                  " GROUP BY c.name ORDER BY c.name",
    [SQL_FIND_IMAGE] = "SELECT id FROM image WHERE collection = ?1 AND key = ?2",
    [SQL_ADD_IMAGE] = "INSERT INTO image(collection, key, image_id, width, height, model) VALUES(?1, ?2, ?3, ?4, ?5,"
                      " ?6)",
    [SQL_ADD_BLOCK] = "INSERT INTO features(id, sha256, block) VALUES(?1, ?2, ?3)",
    [SQL_DELETE_IMAGE] = "DELETE FROM image WHERE id = ?1",
    [SQL_DELETE_SLICE] = "DELETE FROM image WHERE id IN (SELECT id FROM image WHERE collection = ?1 LIMIT ?2)",
    [SQL_LIST] = "SELECT key, image_id, width, height, model <> ?4 FROM image WHERE collection = ?1 AND key > ?2"
                 " ORDER BY key LIMIT ?3",
    [SQL_READ] = "SELECT i.key, i.image_id, i.width, i.height, f.sha256, f.block, i.collection, i.model FROM image i"
                 " LEFT JOIN features f ON f.id = i.id WHERE i.id = ?1",
    [SQL_SPREAD] = "SELECT model, hash FROM spread WHERE id = ?1",
    [SQL_SAMPLE_FROM] = "SELECT id FROM spread WHERE collection = ?1 AND model = ?2 AND hash >= ?3 ORDER BY hash",
    [SQL_SAMPLE_UNTIL] = "SELECT id FROM spread WHERE collection = ?1 AND model = ?2 AND hash < ?3 ORDER BY hash",
};

/* ---- what SQLite says ---- */

/* A disk that does not take what is written (quota, limits, faults) may take it later. */
static enum err fail_io(const struct collections *cs, int code, const char *doing, struct errbuf *e)
{
    int reason = cs->db ? sqlite3_system_errno(cs->db) : 0;
    bool is_write = code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_TRUNCATE ||
                    code == SQLITE_IOERR_DIR_FSYNC || code == SQLITE_IOERR_SHMSIZE || code == SQLITE_IOERR_SHMOPEN ||
                    (code & 0xff) == SQLITE_CANTOPEN;
    return err_set(e, is_write ? ERR_UNAVAILABLE : ERR_IO, "%s: cannot %s: %s (%s)", collection_file_path(cs), doing,
                   sqlite3_errstr(code), reason ? strerrordesc_np(reason) : "no system error");
}

enum err collection_db_fail(const struct collections *cs, int code, const char *doing, struct errbuf *e)
{
    const char *path = collection_file_path(cs);
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return err_set(e, ERR_NOMEM, "%s: cannot %s: out of memory", path, doing);
    case SQLITE_FULL:
        return err_set(e, ERR_DISK_FULL, "%s: cannot %s: the disk is full; make room, nothing was changed", path,
                       doing);
    case SQLITE_INTERRUPT: {
        enum err rc = collection_db_limits(cs, e);
        return rc ? rc : err_set(e, ERR_CANCELLED, "%s: cannot %s: broken off", path, doing);
    }
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, ERR_BUSY, "%s: cannot %s: another process has locked the file; end it or try again", path,
                       doing);
    case SQLITE_READONLY:
        return err_set(e, ERR_UNAVAILABLE,
                       "%s: cannot %s: the file or its folder is read-only; let the service write there", path, doing);
    case SQLITE_NOTADB:
        return err_set(e, ERR_IO, "%s: cannot %s: this is not an SQLite database; name another file", path, doing);
    case SQLITE_CORRUPT:
        return err_set(e, ERR_IO, "%s: cannot %s: the file is damaged; restore it from a backup or remove it", path,
                       doing);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return fail_io(cs, code, doing, e);
    default:
        return err_set(e, ERR_IO, "%s: cannot %s: %s", path, doing,
                       cs->db ? sqlite3_errmsg(cs->db) : sqlite3_errstr(code));
    }
}

enum err collection_db_failed(const struct collections *cs, const char *doing, struct errbuf *e)
{
    return collection_db_fail(cs, sqlite3_extended_errcode(cs->db), doing, e);
}

enum err collection_db_limits(const struct collections *cs, struct errbuf *e)
{
    if (cs->limits.is_cancelled && atomic_load(cs->limits.is_cancelled)) {
        return err_set(e, ERR_CANCELLED, "the client no longer waits for the collection's answer");
    }
    if (cs->limits.deadline_us && cs->now_us() >= cs->limits.deadline_us) {
        return err_set(e, ERR_DEADLINE, "the deadline passed before the collection could answer");
    }
    return OK;
}

enum err collection_db_prepare(struct collections *cs, struct sqlite3_stmt **out, const char *sql, int64_t n,
                               struct errbuf *e)
{
    char *text = sqlite3_mprintf(sql, (long long)n, (long long)n);
    *out = NULL;
    if (!text) {
        return collection_db_fail(cs, SQLITE_NOMEM, "read or write", e);
    }
    int code = sqlite3_prepare_v2(cs->db, text, -1, out, NULL);
    sqlite3_free(text);
    return code == SQLITE_OK ? OK : collection_db_failed(cs, "read or write", e);
}

enum err collection_db_done(struct collections *cs, struct sqlite3_stmt *s, struct errbuf *e)
{
    int code = sqlite3_step(s);
    enum err rc = OK;
    if (code == SQLITE_ROW) {
        rc = collection_db_fail(cs, SQLITE_CORRUPT, "write", e);
    } else if (code != SQLITE_DONE) {
        rc = collection_db_failed(cs, "write", e);
    }
    sqlite3_reset(s);
    return rc;
}

enum err collection_db_exec(struct collections *cs, const char *sql, int64_t n, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    enum err rc = collection_db_prepare(cs, &s, sql, n, e);
    if (!rc) {
        rc = collection_db_done(cs, s, e);
    }
    sqlite3_finalize(s);
    return rc;
}

enum err collection_db_numbers(struct collections *cs, struct sqlite3_stmt *s, bool *found, int64_t *first,
                               int64_t *second, struct errbuf *e)
{
    int code = sqlite3_step(s);
    *found = code == SQLITE_ROW;
    *first = *found ? sqlite3_column_int64(s, 0) : 0;
    if (second) {
        *second = *found ? sqlite3_column_int64(s, 1) : 0;
    }
    enum err rc = *found || code == SQLITE_DONE ? OK : collection_db_failed(cs, "read", e);
    sqlite3_reset(s);
    return rc;
}

/* ---- calls ---- */

enum err collection_db_begin(struct collections *cs, enum collection_sql kind, struct errbuf *e)
{
    enum err rc = collection_db_limits(cs, e);
    if (!rc) {
        rc = collection_file_begin(cs, e);
    }
    if (rc) {
        return rc;
    }
    cs->call = kind;
    rc = collection_db_done(cs, cs->sql[kind], e);
    if (rc) {
        cs->call = SQL_COUNT;
        collection_file_end(cs);
    } else if (kind == SQL_BEGIN_WRITE) {
        cs->locked_since_us = 0;
    }
    return rc;
}

enum err collection_db_end(struct collections *cs, enum err rc, struct errbuf *e)
{
    bool is_write = cs->call == SQL_BEGIN_WRITE;
    cs->call = SQL_COUNT;
    if (!rc) {
        rc = collection_db_done(cs, cs->sql[SQL_COMMIT], e);
    }
    if (rc && !sqlite3_get_autocommit(cs->db)) {
        struct errbuf why;
        if (collection_db_done(cs, cs->sql[SQL_ROLLBACK], &why)) {
            log_limited(LOG_ERROR, LOG_HERE, "collections_rollback_failed", LOG_STR("reason", why.text));
        }
    }
    if (!rc && is_write) {
        rc = collection_file_check(cs, e);
    }
    collection_file_end(cs);
    return rc;
}

enum err collection_db_find(struct collections *cs, struct collection_text name, bool *found, int64_t *n,
                            struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_FIND];
    sqlite3_bind_text(s, 1, name.text, (int)name.n, SQLITE_STATIC);
    return collection_db_numbers(cs, s, found, n, NULL, e);
}

enum err collection_db_model(struct collections *cs, const struct collection_model *model, bool add, int64_t *n,
                             struct errbuf *e)
{
    uint8_t sha256[SHA256_BYTES];
    bool found;
    *n = -1;
    if (!sha256_from_hex(model->sha256, sha256)) {
        return err_set(e, ERR_INTERNAL, "the model's SHA-256 is not 64 hexadecimal digits");
    }
    struct sqlite3_stmt *s = cs->sql[SQL_FIND_MODEL];
    sqlite3_bind_blob(s, 1, sha256, SHA256_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, (int64_t)model->features_bytes);
    int64_t id;
    enum err rc = collection_db_numbers(cs, s, &found, &id, NULL, e);
    if (!rc && found) {
        *n = id;
    } else if (!rc && add) {
        s = cs->sql[SQL_ADD_MODEL];
        sqlite3_bind_blob(s, 1, sha256, SHA256_BYTES, SQLITE_STATIC);
        sqlite3_bind_int64(s, 2, (int64_t)model->features_bytes);
        rc = collection_db_done(cs, s, e);
        *n = sqlite3_last_insert_rowid(cs->db);
    }
    return rc;
}

enum err collection_db_tally(struct collections *cs, int64_t collection, int64_t model, struct collection_count *out,
                             struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_TALLY];
    bool found;
    int64_t images, stale;
    sqlite3_bind_int64(s, 1, collection);
    sqlite3_bind_int64(s, 2, model);
    enum err rc = collection_db_numbers(cs, s, &found, &images, &stale, e);
    *out = (struct collection_count){.found = true, .n_images = (uint64_t)images, .n_stale = (uint64_t)stale};
    return rc;
}

void collection_db_digest(struct collection_text key, const struct collection_image *image,
                          uint8_t digest[SHA256_BYTES])
{
    struct sha256 s;
    uint8_t sides[8]; /* little-endian on every machine: the file may move */
    for (int i = 0; i < 4; i++) {
        sides[i] = (uint8_t)((uint32_t)image->width >> (8 * i));
        sides[4 + i] = (uint8_t)((uint32_t)image->height >> (8 * i));
    }
    sha256_begin(&s);
    sha256_add(&s, image->id, COLLECTION_ID_BYTES);
    sha256_add(&s, sides, sizeof(sides));
    sha256_add(&s, image->features, image->features_bytes);
    sha256_add(&s, key.text, key.n);
    sha256_end(&s, digest);
}

/* ---- waiting and breaking off ---- */

enum { STEP_NS = 2000000, FORGET_US = 1000000, OPERATIONS = 2000 };

/* A lock that others hold since COLLECTION_BUSY_MS is not waited for: who is behind would wait as long again. */
static int on_busy(void *user, int n)
{
    struct collections *cs = user;
    struct timespec step = {.tv_nsec = STEP_NS};
    struct errbuf unused;
    uint64_t now = cs->now_us();
    if (cs->locked_since_us == 0 || (n == 0 && now - cs->last_locked_us > FORGET_US)) {
        cs->locked_since_us = now;
    }
    cs->last_locked_us = now;
    bool is_late = now - cs->locked_since_us >= COLLECTION_BUSY_MS * UINT64_C(1000);
    if (is_late || (cs->call != SQL_COUNT && (collection_db_limits(cs, &unused) || !collection_file_is_there(cs)))) {
        return 0;
    }
    nanosleep(&step, NULL);
    return 1;
}

/* What only reads may be broken off anywhere. */
static int on_progress(void *user)
{
    struct collections *cs = user;
    struct errbuf unused;
    return cs->call == SQL_BEGIN_READ && collection_db_limits(cs, &unused);
}

/* ---- open, close ---- */

enum err collection_db_open(struct collections *cs, const char *real_path, bool can_be_new, struct errbuf *e)
{
    char settings[256];
    int code = sqlite3_open_v2(real_path, &cs->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        return collection_db_fail(cs, code, "open the file", e);
    }
    if (sqlite3_db_readonly(cs->db, "main") == 1) {
        return collection_db_fail(cs, SQLITE_READONLY, "open the file", e);
    }
    cs->call = SQL_COUNT;
    cs->locked_since_us = 0;
    sqlite3_extended_result_codes(cs->db, 1);
    sqlite3_busy_handler(cs->db, on_busy, cs);
    sqlite3_progress_handler(cs->db, OPERATIONS, on_progress, cs);
    sqlite3_db_config(cs->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(cs->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    enum err rc = collection_schema_open(cs, can_be_new, e);
    if (rc) {
        return rc;
    }
    snprintf(settings, sizeof(settings),
             "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA secure_delete = FAST;"
             "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -%d; PRAGMA cache_spill = ON",
             COLLECTION_CACHE_BYTES >> 10);
    if (sqlite3_exec(cs->db, settings, NULL, NULL, NULL) != SQLITE_OK) {
        return collection_db_failed(cs, "open the file", e);
    }
    rc = collection_words_register(cs, e);
    for (int i = 0; i < SQL_COUNT && !rc; i++) {
        if (sqlite3_prepare_v3(cs->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &cs->sql[i], NULL) != SQLITE_OK) {
            rc = collection_db_failed(cs, "read the tables", e);
        }
    }
    return rc;
}

void collection_db_close(struct collections *cs, bool keep_log)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(cs->sql[i]);
        cs->sql[i] = NULL;
    }
    if (cs->db && keep_log) {
        sqlite3_db_config(cs->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    sqlite3_close(cs->db);
    cs->db = NULL;
}

enum err collection_db_has_room(struct collections *cs, struct errbuf *e)
{
    enum { PAGE_BYTES = 4096 };
    struct sqlite3_stmt *s;
    bool found;
    int64_t n_pages = 0;
    uint64_t n_bytes = collection_file_free_bytes(cs);
    if (n_bytes >= COLLECTION_RESERVE_BYTES) {
        return OK;
    }
    enum err rc = collection_db_prepare(cs, &s, "PRAGMA freelist_count", 0, e);
    rc = rc ? rc : collection_db_numbers(cs, s, &found, &n_pages, NULL, e);
    sqlite3_finalize(s);
    if (rc || n_bytes + (uint64_t)n_pages * PAGE_BYTES >= COLLECTION_RESERVE_BYTES) {
        return rc;
    }
    return err_set(e, ERR_DISK_FULL,
                   "%s: cannot write: the last %d MB of the disk are kept for deleting; make room, nothing was changed",
                   collection_file_path(cs), COLLECTION_RESERVE_BYTES >> 20);
}

bool collection_db_checkpoint(struct collections *cs)
{
    int in_log = 0, moved = 0;
    int code = sqlite3_wal_checkpoint_v2(cs->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
    return code == SQLITE_OK && in_log == moved;
}
