/* collection - durable collections of images for retrieval: one SQLite file, written so that a crash loses nothing.
 *
 * A collection has a name and holds images by key. Of an image it keeps the engine's feature block (so that it can be
 * scored again without its bytes) and words (generated caption, region labels). A search has two passes: the cheap one
 * is collections_candidates, which looks at words only; the exact one is the engine's, over the feature blocks of the
 * candidates.
 *
 *   names      [A-Za-z0-9_-]{1,64}. The first put creates a collection; it stays, even when empty, until it is dropped.
 *   keys       1..256 bytes of UTF-8 without control characters (C0, DEL, C1), in a put without a part "." or
 *              ".." between slashes. Order is the order of the bytes.
 *   durable    a call that returned OK is on disk: write-ahead log, synchronous=FULL, one transaction for each put and
 *              remove. A call that failed (disk full, damaged file) changed nothing.
 *   drop       the name is removed in one transaction; the rows are deleted in slices (collections_purge), and what a
 *              crash or a full disk leaves behind is deleted later. None of it can be read in between.
 *   models     feature blocks are valid for one model only, so every call that stores, reads or counts them names the
 *              model: SHA-256 of its weights and size of a block. Images of another model are kept and listed as stale;
 *              a search skips them and a put replaces them. One file may hold images of many models.
 *   damage     every block is stored with a SHA-256 over all parts of a hit: key, image id, size, block. An image that
 *              does not match its checksum or the size of its model's blocks is logged and skipped.
 *   isolation  each collection has a word index of its own: what others hold does not change a ranking.
 *   one owner  a file belongs to one process, by a lock on the file that the kernel releases however the process ends.
 *              Other programs (a backup) may read and lock it as SQLite does.
 *   vanishing  before a write is acknowledged the path must still lead to the file that was opened, and to the log
 *              beside it: a file that was deleted or replaced is ERR_UNAVAILABLE, never OK. The next call opens a
 *              replacement file; while there is none, calls fail.
 *   waiting    a call that meets another process's lock waits as its limits allow, at most COLLECTION_BUSY_MS.
 *
 * The file is created with mode 0600. A file of another application, of a newer schema, or one that cannot be written
 * is refused with an error text and left unchanged. Files of schema 1 of any earlier release are read as they are.
 *
 * Ownership: borrows all arguments for the call; collections_candidates gives copies (collection_hits_release).
 * Threads:   one connection belongs to one thread at a time; the writer and its readers may be used at once. Calls
 *            block on the disk, so never call them on the loop thread.
 * Errors:    ERR_BAD_REQUEST      a name or key that is not allowed; ERR_TEXT_TOO_LONG too many words
 *            ERR_TOO_MANY_INPUTS  a collection or the list of collections is full
 *            ERR_BUSY             another process holds a lock: try again
 *            ERR_UNAVAILABLE      read-only, or the file is gone or was replaced: nothing was changed, and
 *                                 the next call tries anew
 *            ERR_DISK_FULL        the same; collections_put also when less than COLLECTION_RESERVE_BYTES are free, so
 *                                 that there is room for what deleting writes
 *            ERR_IO               file damaged or disk failing
 *            ERR_DEADLINE, ERR_CANCELLED  as the limits say
 *            ERR_NOMEM; collections_open also ERR_BAD_CONFIG (also: the file belongs to another process)
 *            A missing collection is not an error: *found is false and nothing else happens. */
#ifndef SERVER_COLLECTION_H
#define SERVER_COLLECTION_H

#include "engine/base/err.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
    COLLECTION_NAME_MAX = 64,
    COLLECTION_KEY_MAX = 256,
    COLLECTION_WORDS_MAX = 64 * 1024, /* bytes of an image's words */
    COLLECTION_QUERY_MAX = 64 * 1024, /* bytes of a query that are read; the rest is ignored */
    COLLECTION_QUERY_WORDS = 64,      /* number of different words of a query that are used, from the beginning */
    COLLECTION_LIMIT = 1000,          /* collections of one file */
    COLLECTION_BUSY_MS = 5000,
    COLLECTION_ID_BYTES = 32,
    COLLECTION_SEARCH_SCRATCH = 512 * 1024, /* upper bound of the bytes that a search needs besides its hits */
    COLLECTION_RESERVE_BYTES = 8 << 20,     /* of the log until it is moved into the file, and of the file then */
    COLLECTION_CACHE_BYTES = 4 << 20        /* of one connection: upper bound of file pages in memory */
};

struct collections; /* one connection */

/* Borrowed bytes; client data may contain NUL. */
struct collection_text {
    const char *text;
    size_t n;
};
struct collection_text collection_text(const char *text); /* up to its NUL; NULL is empty */

/* Whose features. Two models are the same when both fields are. */
struct collection_model {
    char sha256[65]; /* of the weights: 64 hexadecimal digits and a NUL */
    size_t features_bytes;
};
bool collection_model_equal(const struct collection_model *a, const struct collection_model *b);

struct collection_image {
    uint8_t id[COLLECTION_ID_BYTES]; /* engine/job.h: struct image_id */
    int width, height;               /* upright */
    struct collection_text words;    /* in any order, separated by anything that is no letter and no digit */
    const void *features;
    size_t features_bytes; /* of the model, else ERR_INTERNAL */
};

/* Limits of a call: checked while it waits for a lock and, in read-only calls, while it works. */
struct collection_limits {
    uint64_t deadline_us;            /* 0: none */
    const atomic_bool *is_cancelled; /* NULL: never */
};

/* The connection that writes (and can read). now_us: NULL for clock_us. Creates the file if it is missing; its folder
 * must exist. */
MUST_USE enum err collections_open(struct collections **out, const char *path, uint64_t (*now_us)(void),
                                   struct errbuf *e);
/* Another, read-only connection to the same file. Close it before the writer. */
MUST_USE enum err collections_open_reader(struct collections **out, struct collections *writer, struct errbuf *e);
void collections_close(struct collections *cs); /* NULL is fine */
/* Applies to subsequent calls. */
void collections_limit(struct collections *cs, const struct collection_limits *limits);

/* ---- fill ---- */

/* Adds or replaces. A new image in a collection that holds max_images (stale ones count) is ERR_TOO_MANY_INPUTS. */
MUST_USE enum err collections_put(struct collections *cs, const struct collection_model *model,
                                  struct collection_text name, struct collection_text key,
                                  const struct collection_image *image, uint64_t max_images, bool *replaced,
                                  struct errbuf *e);
/* *was_there: false also when there is no such collection. */
MUST_USE enum err collections_remove(struct collections *cs, struct collection_text name, struct collection_text key,
                                     bool *was_there, struct errbuf *e);
/* The rows are deleted by collections_purge. */
MUST_USE enum err collections_drop(struct collections *cs, struct collection_text name, bool *found, struct errbuf *e);
/* Erases one slice of dropped collections. *more: there is more; call again when idle. */
MUST_USE enum err collections_purge(struct collections *cs, bool *more, struct errbuf *e);

/* ---- look ---- */

struct collection_count {
    bool found;
    uint64_t n_images; /* stale ones included */
    uint64_t n_stale;  /* of another model */
};

/* Borrowed for the call of the callback, which must not call collections_*. */
struct collection_entry {
    struct collection_text key;
    const uint8_t *id;
    int width, height;
    bool is_stale;
};
typedef void collection_on_entry(const struct collection_entry *entry, void *user);
/* The first `limit` images with a key after after_key (empty: from the first), in key order, and the count as of the
 * same moment. */
MUST_USE enum err collections_list(struct collections *cs, const struct collection_model *model,
                                   struct collection_text name, struct collection_text after_key, int limit,
                                   collection_on_entry *on_entry, void *user, struct collection_count *count,
                                   struct errbuf *e);

typedef void collection_on_name(const char *name, const struct collection_count *count, void *user);
/* All collections in name order; the callback as above. */
MUST_USE enum err collections_names(struct collections *cs, const struct collection_model *model,
                                    collection_on_name *on_name, void *user, struct errbuf *e);

/* ---- search ---- */

struct collection_hit {
    char key[COLLECTION_KEY_MAX + 1]; /* ends with a NUL that n_key does not count */
    size_t n_key;
    uint8_t id[COLLECTION_ID_BYTES];
    int width, height;
    void *features; /* 64-byte aligned, the features_bytes of the model */
};

struct collection_hits {
    bool found;
    struct collection_model model; /* whose features these are: the model of the call */
    struct collection_hit *hits;   /* best first */
    int n;
    uint64_t n_images;   /* in the collection */
    uint64_t n_stale;    /* of these, images of another model, skipped */
    uint64_t n_scanned;  /* images whose words were considered: all but stale ones, or a sample of a large collection */
    uint64_t n_matching; /* of those considered, images that share words with the query */
    int n_by_words;      /* hits that share words with the query; they come first */
    int n_by_sample;     /* the other hits: a sample of what is left */
    uint64_t n_damaged;  /* images skipped because they do not match their checksum */
};
/* The first pass: chooses min(limit, all) images by their words. Words are weighted by their rarity in the collection,
 * and function words (a, the, of) count only in a query that has no others; case, accents and English endings are
 * ignored; a word also matches, at half its weight, what it is another name for (puppy: dog), and a word that no image
 * has matches the most similarly spelt words. Equal scores, and images that share nothing with the query, are ordered
 * by a hash of the image and the query: a sample of the collection, never its first keys. Where all words of a query
 * are common in a large collection, a sample of it is scored (collection_search.c has the figures). The same content
 * gives the same list, however it was added. Any bytes are a valid query; there is no query syntax. On error *out is
 * empty. */
MUST_USE enum err collections_candidates(struct collections *cs, const struct collection_model *model,
                                         struct collection_text name, struct collection_text query, int limit,
                                         struct collection_hits *out, struct errbuf *e);
/* Upper bound of the memory held by the hits of a search. */
size_t collection_hits_bytes(int limit, size_t features_bytes);
void collection_hits_release(struct collection_hits *h); /* also fine when zeroed or released */

#endif
