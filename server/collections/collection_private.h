/* collection_private - what the files of server/collection*.c share.
 *
 *   collection.c         the calls of collection.h
 *   collection_db.c      the file: open, schema, statements, transactions, what SQLite's errors mean
 *   collection_name.c    which names and keys are allowed
 *   collection_search.c  the query's words and the first pass
 *
 * Schema (user_version COLLECTION_DB_VERSION): collection, model, image (what a listing shows), features (the blocks,
 * apart, so that counting and listing do not walk them), tally (images by collection and model, kept by triggers), and
 * for collection N an FTS5 table words_N whose rowid is the image's. A collection without a name is one being dropped.
 *
 * Ownership, threads, errors: as collection.h. */
#ifndef SERVER_COLLECTION_PRIVATE_H
#define SERVER_COLLECTION_PRIVATE_H

#include "engine/base/sha256.h"
#include "server/collections/collection.h"

struct sqlite3;
struct sqlite3_stmt;

enum { COLLECTION_DB_VERSION = 1, COLLECTION_DB_APPLICATION = 0x4d564c43 /* "MVLC" */ };

enum collection_sql {
    SQL_BEGIN_READ,
    SQL_BEGIN_WRITE,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_FIND,       /* name -> id */
    SQL_HOW_MANY,   /* collections with a name */
    SQL_CREATE,     /* name */
    SQL_FORGET,     /* id: takes the name away */
    SQL_LEFTOVER,   /* -> id of a collection without a name */
    SQL_ERASE,      /* id: the row of the collection */
    SQL_TALLY,      /* id, model -> images, stale */
    SQL_NAMES,      /* model -> name, images, stale */
    SQL_FIND_IMAGE, /* collection, key -> id */
    SQL_ADD_IMAGE,  /* collection, key, image id, width, height, model */
    SQL_ADD_BLOCK,  /* id, sha256, block */
    SQL_DELETE_IMAGE,
    SQL_DELETE_SLICE, /* collection, how many */
    SQL_LIST,         /* collection, after, limit, model -> key, image id, width, height, is_stale */
    SQL_READ,         /* id -> key, image id, width, height, sha256, block */
    SQL_COUNT
};

struct collections {
    struct sqlite3 *db;
    struct sqlite3_stmt *sql[SQL_COUNT];
    char *path;
    int64_t model; /* row of the current model */
    size_t features_bytes;
};

/* ---- collection_db.c ---- */

MUST_USE enum err collection_db_open(struct collections *cs, const uint8_t model[SHA256_BYTES], struct errbuf *e);
void collection_db_close(struct collections *cs);
/* Says in `e` what an SQLite result means. `doing`: "put the image". */
enum err collection_db_fail(const struct collections *cs, int code, const char *doing, struct errbuf *e);
/* A statement with "%lld" for the collection's number; release with sqlite3_finalize. */
MUST_USE enum err collection_db_prepare(struct collections *cs, struct sqlite3_stmt **out, const char *sql, int64_t n,
                                        struct errbuf *e);
MUST_USE enum err collection_db_exec(struct collections *cs, const char *sql, int64_t n, struct errbuf *e);
/* Steps a statement that gives no row (ERR_IO otherwise) and resets it. */
MUST_USE enum err collection_db_done(struct collections *cs, struct sqlite3_stmt *s, struct errbuf *e);
/* Steps a statement that gives at most one row of numbers; reads columns 0 and 1 (or only 0) and resets it. */
MUST_USE enum err collection_db_numbers(struct collections *cs, struct sqlite3_stmt *s, bool *found, int64_t *first,
                                        int64_t *second, struct errbuf *e);
MUST_USE enum err collection_db_begin(struct collections *cs, enum collection_sql kind, struct errbuf *e);
/* Commits when rc is OK; else, or when the commit fails, rolls back. Returns rc or the commit's error. */
MUST_USE enum err collection_db_end(struct collections *cs, enum err rc, struct errbuf *e);
/* The number of a collection; *found false when there is none. */
MUST_USE enum err collection_db_find(struct collections *cs, struct collection_text name, bool *found, int64_t *n,
                                     struct errbuf *e);
MUST_USE enum err collection_db_tally(struct collections *cs, int64_t collection, struct collection_count *out,
                                      struct errbuf *e);
/* Erases collections without a name, slice by slice. What cannot be erased now (logged) waits for the next time. */
void collection_db_purge(struct collections *cs);
/* The checksum stored with a block: over all that a hit gives, its words do not count. */
void collection_db_digest(struct collection_text key, const struct collection_image *image,
                          uint8_t digest[SHA256_BYTES]);

/* ---- collection_name.c ---- */

MUST_USE enum err collection_name_check(struct collection_text name, struct errbuf *e);
MUST_USE enum err collection_name_check_key(struct collection_text key, struct errbuf *e);

/* ---- collection_search.c ---- */

/* Inside a transaction. Appends to out->hits, which has room for `limit`. */
MUST_USE enum err collection_search(struct collections *cs, int64_t collection, struct collection_text query, int limit,
                                    struct collection_hits *out, struct errbuf *e);

#endif
