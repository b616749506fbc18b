/* collection_private - what the files of server/collections/collection*.c share.
 *
 *   collection.c         the calls of collection.h
 *   collection_db.c      a connection: statements, transactions, translating SQLite's errors
 *   collection_file.c    the file: who owns it, whether it still exists, reopening it
 *   collection_schema.c  the tables, and bringing older files up to date
 *   collection_fill.c    adding, replacing, erasing
 *   collection_name.c    which names and keys are allowed
 *   collection_words.c   the words of a query and their weights
 *   collection_synonyms.c  other names of things
 *   collection_search.c  the first pass
 *
 * Schema (user_version COLLECTION_DB_VERSION): collection, model, image (the columns of a listing), features (the
 * blocks, kept separate so that counting and listing do not read them), tally (images by collection and model), spread
 * (the images in the order of a hash over their content), and for collection N an FTS5 table words_N whose rowid is the
 * image's. tally and spread are kept by triggers, so that a release that does not know about spread maintains it too. A
 * collection without a name is one being dropped.
 *
 * Ownership, threads, errors: as collection.h. */
#ifndef SERVER_COLLECTION_PRIVATE_H
#define SERVER_COLLECTION_PRIVATE_H

#include "engine/base/buf.h"
#include "engine/base/sha256.h"
#include "server/collections/collection.h"

struct sqlite3;
struct sqlite3_stmt;
struct collection_file;

enum { COLLECTION_DB_VERSION = 1, COLLECTION_DB_APPLICATION = 0x4d564c43 /* "MVLC" */ };

enum collection_sql {
    SQL_BEGIN_READ,
    SQL_BEGIN_WRITE,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_FIND,       /* name -> id */
    SQL_HOW_MANY,   /* collections with a name */
    SQL_CREATE,     /* name */
    SQL_FORGET,     /* id: removes the name */
    SQL_LEFTOVER,   /* -> id of a collection without a name */
    SQL_ERASE,      /* id: the row of the collection */
    SQL_FIND_MODEL, /* sha256, bytes -> id */
    SQL_ADD_MODEL,  /* sha256, bytes */
    SQL_TALLY,      /* id, model -> images, stale */
    SQL_NAMES,      /* model -> name, images, stale */
    SQL_FIND_IMAGE, /* collection, key -> id */
    SQL_ADD_IMAGE,  /* collection, key, image id, width, height, model */
    SQL_ADD_BLOCK,  /* id, sha256, block */
    SQL_DELETE_IMAGE,
    SQL_DELETE_SLICE, /* collection, how many */
    SQL_LIST,         /* collection, after, limit, model -> key, image id, width, height, is_stale */
    SQL_READ,         /* id -> key, image id, width, height, sha256, block, collection, model */
    SQL_SPREAD,       /* id -> model, hash */
    SQL_SAMPLE_FROM,  /* collection, model, hash -> ids from there on */
    SQL_SAMPLE_UNTIL, /* collection, model, hash -> ids before it */
    SQL_COUNT
};

/* What collection_words.c found in a query, valid during a search. */
struct collection_words {
    int n; /* phrases of the expression */
    double weight[6 * COLLECTION_QUERY_WORDS];
    /* Only these images are considered: their ids in ascending order. NULL: all. */
    const int64_t *sample;
    size_t n_sample, at;
};

struct collections {
    struct collection_file *file;
    bool is_writer;
    struct sqlite3 *db; /* NULL while the file is away */
    struct sqlite3_stmt *sql[SQL_COUNT];
    uint64_t (*now_us)(void);
    struct collection_limits limits;
    enum collection_sql call;                 /* SQL_BEGIN_READ, SQL_BEGIN_WRITE: in progress; SQL_COUNT: none */
    uint64_t locked_since_us, last_locked_us; /* a lock of another process; 0: none was met */
    int64_t log_bytes;                        /* of the write-ahead log, at least, after our last write */
    struct collection_words words;
};

/* ---- collection_file.c ---- */

const char *collection_file_path(const struct collections *cs); /* as it was named */
/* Creates the writer, or a reader of the same file. */
MUST_USE enum err collection_file_open(struct collections *writer, const char *path, struct errbuf *e);
MUST_USE enum err collection_file_join(struct collections *reader, struct collections *writer, struct errbuf *e);
void collection_file_leave(struct collections *cs); /* closes the connection; the last one the file */
/* Before and after each call: checks that the file exists, reopens it if it was replaced, and holds it open. */
MUST_USE enum err collection_file_begin(struct collections *cs, struct errbuf *e);
void collection_file_end(struct collections *cs);
/* Of the disk; UINT64_MAX: it does not say. Within a call. */
uint64_t collection_file_free_bytes(const struct collections *cs);
bool collection_file_is_there(const struct collections *cs);
/* Whether the data just written is in the file that the path leads to. */
MUST_USE enum err collection_file_check(struct collections *cs, struct errbuf *e);

/* ---- collection_schema.c ---- */

/* Checks whose file it is; the writer makes or completes the tables (can_be_new: also in an empty file). */
MUST_USE enum err collection_schema_open(struct collections *cs, bool can_be_new, struct errbuf *e);

/* ---- collection_db.c ---- */

/* real_path: what the path leads to. */
MUST_USE enum err collection_db_open(struct collections *cs, const char *real_path, bool can_be_new, struct errbuf *e);
/* keep_log: leaves the write-ahead log at the path alone, because it belongs to another file. */
void collection_db_close(struct collections *cs, bool keep_log);
/* Whether there is room for more than deleting needs: on the disk, or where the file has been emptied. Within a
 * call. */
MUST_USE enum err collection_db_has_room(struct collections *cs, struct errbuf *e);
/* Moves the log's contents into the file, as far as possible. */
bool collection_db_checkpoint(struct collections *cs);
/* Explains an SQLite result in `e`. `doing`: "put the image". */
enum err collection_db_fail(const struct collections *cs, int code, const char *doing, struct errbuf *e);
/* The same for the connection's last result. */
enum err collection_db_failed(const struct collections *cs, const char *doing, struct errbuf *e);
/* ERR_DEADLINE or ERR_CANCELLED when a limit of the call is reached. */
MUST_USE enum err collection_db_limits(const struct collections *cs, struct errbuf *e);
/* A statement with up to two "%lld" for the collection's number; release with sqlite3_finalize. */
MUST_USE enum err collection_db_prepare(struct collections *cs, struct sqlite3_stmt **out, const char *sql, int64_t n,
                                        struct errbuf *e);
MUST_USE enum err collection_db_exec(struct collections *cs, const char *sql, int64_t n, struct errbuf *e);
/* Steps a statement that gives no row (ERR_IO otherwise) and resets it. */
MUST_USE enum err collection_db_done(struct collections *cs, struct sqlite3_stmt *s, struct errbuf *e);
/* Steps a statement that gives at most one row of numbers; reads columns 0 and 1 (or only 0) and resets it. */
MUST_USE enum err collection_db_numbers(struct collections *cs, struct sqlite3_stmt *s, bool *found, int64_t *first,
                                        int64_t *second, struct errbuf *e);
/* A call: SQL_BEGIN_READ or SQL_BEGIN_WRITE. */
MUST_USE enum err collection_db_begin(struct collections *cs, enum collection_sql kind, struct errbuf *e);
/* Commits when rc is OK; otherwise, or if the commit fails, rolls back. Returns rc or the commit's error. Only after a
 * successful begin. */
MUST_USE enum err collection_db_end(struct collections *cs, enum err rc, struct errbuf *e);
/* The number of a collection; *found false when there is none. */
MUST_USE enum err collection_db_find(struct collections *cs, struct collection_text name, bool *found, int64_t *n,
                                     struct errbuf *e);
/* The number of a model; -1 when the file has no image of it and `add` is false. */
MUST_USE enum err collection_db_model(struct collections *cs, const struct collection_model *model, bool add,
                                      int64_t *n, struct errbuf *e);
MUST_USE enum err collection_db_tally(struct collections *cs, int64_t collection, int64_t model,
                                      struct collection_count *out, struct errbuf *e);
/* The checksum stored with a block: over all parts of a hit except its words. */
void collection_db_digest(struct collection_text key, const struct collection_image *image,
                          uint8_t digest[SHA256_BYTES]);

/* ---- collection_fill.c, inside a transaction ---- */

struct collection_put {
    const struct collection_model *model;
    struct collection_text name, key;
    const struct collection_image *image;
    uint64_t max_images;
};
MUST_USE enum err collection_fill_check(const struct collection_put *p, struct errbuf *e); /* before it */
MUST_USE enum err collection_fill_put(struct collections *cs, const struct collection_put *p, bool *replaced,
                                      struct errbuf *e);
MUST_USE enum err collection_fill_remove(struct collections *cs, struct collection_text name,
                                         struct collection_text key, bool *was_there, struct errbuf *e);
/* Erases some images of a collection or, when none are left, the collection itself. */
MUST_USE enum err collection_fill_purge(struct collections *cs, int64_t collection, struct errbuf *e);

/* ---- collection_name.c ---- */

MUST_USE enum err collection_name_check(struct collection_text name, struct errbuf *e);
MUST_USE enum err collection_name_check_key(struct collection_text key, struct errbuf *e);
/* Of a key to be stored: also no part "." or ".." between slashes. A client that tidies its address (RFC 3986, 5.2.4)
 * would store under another key, and remove the collection in place of images/.. in it. Keys of old files can be
 * removed. */
MUST_USE enum err collection_name_check_new_key(struct collection_text key, struct errbuf *e);

/* ---- collection_words.c ---- */

/* Registers the score with a connection. */
MUST_USE enum err collection_words_register(struct collections *cs, struct errbuf *e);
enum { COLLECTION_MAX_POSTINGS = 5000 }; /* a word in at least this many images is a common one */

/* The FTS5 expression for the query in `match` (empty: nothing can match), the weights in cs->words, a number derived
 * from the words used, and how many images have the rarest of them. n_images: in the collection. */
MUST_USE enum err collection_words_read(struct collections *cs, int64_t collection, uint64_t n_images,
                                        struct collection_text query, int limit, struct buf *match, uint64_t *seed,
                                        int64_t *rarest, struct errbuf *e);

/* ---- collection_synonyms.c ---- */

/* Writes to `out` the names of things that a lower-case word may mean. Returns their number. */
int collection_synonyms(const char *word, int n_word, const char *out[], int limit);

/* ---- collection_search.c ---- */

/* Inside a transaction. Appends to out->hits, which has room for `limit`. */
MUST_USE enum err collection_search(struct collections *cs, int64_t collection, int64_t model,
                                    struct collection_text query, int limit, struct collection_hits *out,
                                    struct errbuf *e);

#endif
