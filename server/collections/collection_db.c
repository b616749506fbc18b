#include "engine/base/log.h"
#include "server/collections/collection_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

enum { PURGE_SLICE = 256 };

static const char schema[] =
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
    " DELETE FROM features WHERE id = old.id; END;";

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
    [SQL_READ] = "SELECT i.key, i.image_id, i.width, i.height, f.sha256, f.block FROM image i"
                 " LEFT JOIN features f ON f.id = i.id WHERE i.id = ?1",
};

/* ---- what SQLite says ---- */

enum err collection_db_fail(const struct collections *cs, int code, const char *doing, struct errbuf *e)
{
    int reason = cs->db ? sqlite3_system_errno(cs->db) : 0;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return err_set(e, ERR_NOMEM, "%s: cannot %s: out of memory", cs->path, doing);
    case SQLITE_FULL:
        return err_set(e, ERR_IO, "%s: cannot %s: the disk is full; make room, nothing was changed", cs->path, doing);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, ERR_IO, "%s: cannot %s: another process has locked the file; end it or try again", cs->path,
                       doing);
    case SQLITE_READONLY:
        return err_set(e, ERR_IO, "%s: cannot %s: the file or its folder is read-only; let the service write there",
                       cs->path, doing);
    case SQLITE_NOTADB:
        return err_set(e, ERR_IO, "%s: cannot %s: this is not an SQLite database; name another file", cs->path, doing);
    case SQLITE_CORRUPT:
        return err_set(e, ERR_IO, "%s: cannot %s: the file is damaged; restore it from a backup or remove it", cs->path,
                       doing);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return err_set(e, ERR_IO, "%s: cannot %s: %s (%s)", cs->path, doing, sqlite3_errstr(code),
                       reason ? strerrordesc_np(reason) : "no system error");
    default:
        return err_set(e, ERR_IO, "%s: cannot %s: %s", cs->path, doing,
                       cs->db ? sqlite3_errmsg(cs->db) : sqlite3_errstr(code));
    }
}

static enum err fail(const struct collections *cs, const char *doing, struct errbuf *e)
{
    return collection_db_fail(cs, sqlite3_extended_errcode(cs->db), doing, e);
}

enum err collection_db_prepare(struct collections *cs, struct sqlite3_stmt **out, const char *sql, int64_t n,
                               struct errbuf *e)
{
    char *text = sqlite3_mprintf(sql, (long long)n);
    *out = NULL;
    if (!text) {
        return collection_db_fail(cs, SQLITE_NOMEM, "read or write", e);
    }
    int code = sqlite3_prepare_v2(cs->db, text, -1, out, NULL);
    sqlite3_free(text);
    return code == SQLITE_OK ? OK : fail(cs, "read or write", e);
}

enum err collection_db_done(struct collections *cs, struct sqlite3_stmt *s, struct errbuf *e)
{
    int code = sqlite3_step(s);
    enum err rc = OK;
    if (code == SQLITE_ROW) {
        rc = collection_db_fail(cs, SQLITE_CORRUPT, "write", e);
    } else if (code != SQLITE_DONE) {
        rc = fail(cs, "write", e);
    }
    sqlite3_reset(s);
    return rc;
}

enum err collection_db_exec(struct collections *cs, const char *sql, int64_t n, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    enum err rc = collection_db_prepare(cs, &s, sql, n, e);
    if (rc == OK) {
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
    enum err rc = *found || code == SQLITE_DONE ? OK : fail(cs, "read", e);
    sqlite3_reset(s);
    return rc;
}

/* ---- transactions ---- */

enum err collection_db_begin(struct collections *cs, enum collection_sql kind, struct errbuf *e)
{
    return collection_db_done(cs, cs->sql[kind], e);
}

enum err collection_db_end(struct collections *cs, enum err rc, struct errbuf *e)
{
    if (rc == OK) {
        rc = collection_db_done(cs, cs->sql[SQL_COMMIT], e);
    }
    if (rc != OK && !sqlite3_get_autocommit(cs->db)) {
        struct errbuf why;
        if (collection_db_done(cs, cs->sql[SQL_ROLLBACK], &why) != OK) {
            log_limited(LOG_ERROR, LOG_HERE, "collections_rollback_failed", LOG_STR("reason", why.text));
        }
    }
    return rc;
}

enum err collection_db_find(struct collections *cs, struct collection_text name, bool *found, int64_t *n,
                            struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_FIND];
    sqlite3_bind_text(s, 1, name.text, (int)name.n, SQLITE_STATIC);
    return collection_db_numbers(cs, s, found, n, NULL, e);
}

enum err collection_db_tally(struct collections *cs, int64_t collection, struct collection_count *out, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_TALLY];
    bool found;
    int64_t images, stale;
    sqlite3_bind_int64(s, 1, collection);
    sqlite3_bind_int64(s, 2, cs->model);
    enum err rc = collection_db_numbers(cs, s, &found, &images, &stale, e);
    *out = (struct collection_count){.found = true, .n_images = (uint64_t)images, .n_stale = (uint64_t)stale};
    return rc;
}

/* One transaction: some images, or when there are none left, the collection itself. */
static enum err purge_slice(struct collections *cs, int64_t n, struct errbuf *e)
{
    struct sqlite3_stmt *s = cs->sql[SQL_DELETE_SLICE];
    sqlite3_bind_int64(s, 1, n);
    sqlite3_bind_int(s, 2, PURGE_SLICE);
    enum err rc = collection_db_done(cs, s, e);
    if (rc != OK || sqlite3_changes(cs->db) > 0) {
        return rc;
    }
    s = cs->sql[SQL_ERASE];
    sqlite3_bind_int64(s, 1, n);
    rc = collection_db_done(cs, s, e);
    if (rc == OK) {
        rc = collection_db_exec(cs, "DELETE FROM tally WHERE collection = %lld", n, e);
    }
    return rc == OK ? collection_db_exec(cs, "DROP TABLE words_%lld", n, e) : rc;
}

void collection_db_purge(struct collections *cs)
{
    struct errbuf e;
    enum err rc = OK;
    for (bool found = true; found && rc == OK;) {
        int64_t n = 0;
        rc = collection_db_begin(cs, SQL_BEGIN_WRITE, &e);
        if (rc == OK) {
            rc = collection_db_numbers(cs, cs->sql[SQL_LEFTOVER], &found, &n, NULL, &e);
            if (rc == OK && found) {
                rc = purge_slice(cs, n, &e);
            }
            rc = collection_db_end(cs, rc, &e);
        }
    }
    if (rc != OK) {
        log_limited(LOG_WARN, LOG_HERE, "collections_purge_failed", LOG_STR("reason", errbuf_text(&e, rc)));
    }
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

/* ---- open ---- */

static enum err number_of(struct collections *cs, const char *sql, int64_t *out, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    bool found;
    enum err rc = collection_db_prepare(cs, &s, sql, 0, e);
    if (rc == OK) {
        rc = collection_db_numbers(cs, s, &found, out, NULL, e);
    }
    sqlite3_finalize(s);
    return rc;
}

/* Ours, and of a schema we know. *is_new: nothing is in it yet. */
static enum err look(struct collections *cs, bool *is_new, struct errbuf *e)
{
    int64_t application = 0, version = 0, tables = 0;
    enum err rc = number_of(cs, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (rc == OK) {
        rc = number_of(cs, "PRAGMA application_id", &application, e);
    }
    if (rc == OK) {
        rc = number_of(cs, "PRAGMA user_version", &version, e);
    }
    if (rc != OK) {
        return rc;
    }
    *is_new = tables == 0 && application == 0 && version == 0;
    if (!*is_new && application != COLLECTION_DB_APPLICATION) {
        return err_set(e, ERR_BAD_CONFIG, "%s is the database of another application; name another file", cs->path);
    }
    if (!*is_new && version != COLLECTION_DB_VERSION) {
        return err_set(e, ERR_BAD_CONFIG,
                       "%s has schema %" PRId64
                       ", this program knows %d; use the program that made it, or another file",
                       cs->path, version, COLLECTION_DB_VERSION);
    }
    return OK;
}

static enum err make_schema(struct collections *cs, struct errbuf *e)
{
    if (sqlite3_exec(cs->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        return fail(cs, "make the tables", e);
    }
    enum err rc = collection_db_exec(cs, "PRAGMA application_id = %lld", COLLECTION_DB_APPLICATION, e);
    return rc == OK ? collection_db_exec(cs, "PRAGMA user_version = %lld", COLLECTION_DB_VERSION, e) : rc;
}

static enum err find_model(struct collections *cs, const uint8_t model[SHA256_BYTES], struct errbuf *e)
{
    static const char *const steps[] = {"INSERT OR IGNORE INTO model(sha256, features_bytes) VALUES(?1, ?2)",
                                        "SELECT id FROM model WHERE sha256 = ?1 AND features_bytes = ?2"};
    enum err rc = OK;
    for (int i = 0; i < 2 && rc == OK; i++) {
        struct sqlite3_stmt *s;
        bool found;
        rc = collection_db_prepare(cs, &s, steps[i], 0, e);
        if (rc == OK) {
            sqlite3_bind_blob(s, 1, model, SHA256_BYTES, SQLITE_STATIC);
            sqlite3_bind_int64(s, 2, (int64_t)cs->features_bytes);
            rc = collection_db_numbers(cs, s, &found, &cs->model, NULL, e);
        }
        sqlite3_finalize(s);
    }
    return rc;
}

/* Write-ahead log and full sync, or no start: without them an acknowledged image could be lost. */
static enum err set_durable(struct collections *cs, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    enum err rc = collection_db_prepare(cs, &s, "PRAGMA journal_mode = WAL", 0, e);
    if (rc == OK && sqlite3_step(s) != SQLITE_ROW) {
        rc = fail(cs, "turn the write-ahead log on", e);
    }
    if (rc == OK && strcmp((const char *)sqlite3_column_text(s, 0), "wal") != 0) {
        rc = err_set(e, ERR_BAD_CONFIG,
                     "%s: this file system cannot hold a write-ahead log; name a file on a local disk", cs->path);
    }
    sqlite3_finalize(s);
    return rc == OK ? collection_db_exec(cs, "PRAGMA synchronous = FULL", 0, e) : rc;
}

/* Made here, because SQLite would let everybody read it. An existing file is not opened: closing it would take away
 * the locks that this process may hold on it. */
static enum err make_file(const struct collections *cs, struct errbuf *e)
{
    int fd = open(cs->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST) {
        return err_set(e, ERR_IO, "cannot make %s: %s", cs->path, strerrordesc_np(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return OK;
}

static enum err open_file(struct collections *cs, struct errbuf *e)
{
    enum err rc = make_file(cs, e);
    if (rc != OK) {
        return rc;
    }
    int code = sqlite3_open_v2(cs->path, &cs->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        return collection_db_fail(cs, code, "open the file", e);
    }
    if (sqlite3_db_readonly(cs->db, "main") == 1) {
        return collection_db_fail(cs, SQLITE_READONLY, "open the file", e);
    }
    sqlite3_extended_result_codes(cs->db, 1);
    sqlite3_busy_timeout(cs->db, COLLECTION_BUSY_MS);
    sqlite3_db_config(cs->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(cs->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return OK;
}

enum err collection_db_open(struct collections *cs, const uint8_t model[SHA256_BYTES], struct errbuf *e)
{
    bool is_new = false;
    enum err rc = open_file(cs, e);
    if (rc == OK) {
        rc = look(cs, &is_new, e);
    }
    if (rc == OK) {
        rc = set_durable(cs, e);
    }
    if (rc != OK) {
        return rc;
    }
    if (sqlite3_exec(cs->db,
                     "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA secure_delete = FAST;"
                     "PRAGMA journal_size_limit = 67108864; BEGIN IMMEDIATE",
                     NULL, NULL, NULL) != SQLITE_OK) {
        return fail(cs, "begin", e);
    }
    rc = look(cs, &is_new, e); /* another process may have made it meanwhile */
    if (rc == OK && is_new) {
        rc = make_schema(cs, e);
    }
    if (rc == OK) {
        rc = find_model(cs, model, e);
    }
    if (rc == OK && sqlite3_exec(cs->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        rc = fail(cs, "make the tables", e);
    }
    for (int i = 0; i < SQL_COUNT && rc == OK; i++) {
        if (sqlite3_prepare_v3(cs->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &cs->sql[i], NULL) != SQLITE_OK) {
            rc = fail(cs, "read the tables", e);
        }
    }
    if (rc == OK) {
        collection_db_purge(cs);
    }
    return rc;
}

void collection_db_close(struct collections *cs)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(cs->sql[i]);
    }
    sqlite3_close(cs->db);
}
