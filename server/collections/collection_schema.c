/* The tables, and files of earlier releases. */
#include "server/collections/collection_private.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>

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

/* Since the hash order; earlier files get it when they are opened. */
static const char spread[] =
    "CREATE TABLE IF NOT EXISTS spread(id INTEGER PRIMARY KEY, collection INTEGER NOT NULL, model INTEGER NOT NULL,"
    " hash BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS spread_order ON spread(collection, model, hash);"
    "CREATE TRIGGER IF NOT EXISTS block_added AFTER INSERT ON features BEGIN"
    " INSERT INTO spread SELECT id, collection, model, substr(new.sha256, 1, 8) FROM image WHERE id = new.id; END;"
    "CREATE TRIGGER IF NOT EXISTS image_unspread AFTER DELETE ON image BEGIN"
    " DELETE FROM spread WHERE id = old.id; END;"
    "INSERT INTO spread SELECT i.id, i.collection, i.model, substr(f.sha256, 1, 8) FROM image i"
    " JOIN features f ON f.id = i.id WHERE NOT EXISTS (SELECT 1 FROM spread);";

static enum err number_of(struct collections *cs, const char *sql, int64_t *out, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    bool found;
    enum err rc = collection_db_prepare(cs, &s, sql, 0, e);
    if (!rc) {
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
    if (!rc) {
        rc = number_of(cs, "PRAGMA application_id", &application, e);
    }
    if (!rc) {
        rc = number_of(cs, "PRAGMA user_version", &version, e);
    }
    if (rc) {
        return rc;
    }
    *is_new = tables == 0 && application == 0 && version == 0;
    if (!*is_new && application != COLLECTION_DB_APPLICATION) {
        return err_set(e, ERR_BAD_CONFIG, "%s is the database of another application; name another file",
                       collection_file_path(cs));
    }
    if (!*is_new && version != COLLECTION_DB_VERSION) {
        return err_set(e, ERR_BAD_CONFIG,
                       "%s has schema %" PRId64
                       ", this program knows %d; use the program that made it, or another file",
                       collection_file_path(cs), version, COLLECTION_DB_VERSION);
    }
    return OK;
}

static enum err make_schema(struct collections *cs, struct errbuf *e)
{
    if (sqlite3_exec(cs->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        return collection_db_failed(cs, "make the tables", e);
    }
    enum err rc = collection_db_exec(cs, "PRAGMA application_id = %lld", COLLECTION_DB_APPLICATION, e);
    return rc ? rc : collection_db_exec(cs, "PRAGMA user_version = %lld", COLLECTION_DB_VERSION, e);
}

/* Write-ahead log and full sync, or no start: without them an acknowledged image could be lost. */
static enum err set_durable(struct collections *cs, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    enum err rc = collection_db_prepare(cs, &s, "PRAGMA journal_mode = WAL", 0, e);
    if (!rc && sqlite3_step(s) != SQLITE_ROW) {
        rc = collection_db_failed(cs, "turn the write-ahead log on", e);
    }
    if (!rc && strcmp((const char *)sqlite3_column_text(s, 0), "wal") != 0) {
        rc = err_set(e, ERR_BAD_CONFIG,
                     "%s: this file system cannot hold a write-ahead log; name a file on a local disk",
                     collection_file_path(cs));
    }
    sqlite3_finalize(s);
    return rc ? rc : collection_db_exec(cs, "PRAGMA synchronous = FULL", 0, e);
}

/* Under a lock: another process may have made them meanwhile. */
static enum err complete(struct collections *cs, bool can_be_new, struct errbuf *e)
{
    bool is_new = false;
    enum err rc = look(cs, &is_new, e);
    if (!rc && is_new && !can_be_new) {
        return err_set(e, ERR_UNAVAILABLE, "%s: the file was emptied while in use; restore it from a backup",
                       collection_file_path(cs));
    }
    if (!rc && is_new) {
        rc = make_schema(cs, e);
    }
    if (!rc && sqlite3_exec(cs->db, spread, NULL, NULL, NULL) != SQLITE_OK) {
        rc = collection_db_failed(cs, "bring the tables up to date", e);
    }
    return rc;
}

enum err collection_schema_open(struct collections *cs, bool can_be_new, struct errbuf *e)
{
    bool is_new = false;
    enum err rc = look(cs, &is_new, e);
    if (!rc) {
        rc = set_durable(cs, e);
    }
    if (rc || !cs->is_writer) {
        return rc;
    }
    if (sqlite3_exec(cs->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        return collection_db_failed(cs, "begin", e);
    }
    rc = complete(cs, can_be_new, e);
    if (!rc && sqlite3_exec(cs->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        rc = collection_db_failed(cs, "make the tables", e);
    }
    return rc;
}
