/* collection - durable collections of images for retrieval: one SQLite file, written so that a crash loses nothing.
 *
 * A collection has a name and holds images by key. Of an image it keeps the engine's feature block (so that it can be
 * scored again without its bytes) and words (generated caption, region labels). A search has two passes: the cheap one
 * is collections_candidates, BM25 of the query's words over the stored words; the exact one is the engine's, over the
 * feature blocks of the candidates.
 *
 *   names      [A-Za-z0-9_-]{1,64}. The first put makes a collection; it stays, also empty, until it is dropped.
 *   keys       1..256 bytes of UTF-8 without control characters (C0, DEL, C1). Order is the order of the bytes.
 *   durable    a call that returned OK is on disk: write-ahead log, synchronous=FULL, one transaction for each put and
 *              remove. A call that failed (disk full, damaged file) changed nothing.
 *   drop       the name is gone in one transaction; the rows go in slices, and what a crash or a full disk leaves
 *              behind goes at the next drop or open. Nothing of it can be read in between.
 *   models     feature blocks mean something to one model only. Images of another model (SHA-256 or block size differ)
 *              are kept and listed as stale; a search passes over them and a put replaces them.
 *   damage     every block is stored with a SHA-256 over all that a hit gives: key, image id, size, block. An image
 * that does not fit its checksum is logged and passed over, never returned. isolation  each collection has a word index
 * of its own: what others hold does not change a ranking.
 *
 * The file is made with mode 0600. A file of another application, of a newer schema, or one that cannot be written is
 * refused with a sentence and left as it was. Other processes (a backup) may hold the file for COLLECTION_BUSY_MS.
 *
 * Ownership: borrows all arguments for the call; collections_candidates gives copies (collection_hits_release).
 * Threads:   one at a time calls a struct collections; calls block on the disk, so never call them on the loop thread.
 * Errors:    ERR_BAD_REQUEST  a name or key that is not allowed, ERR_TEXT_TOO_LONG too many words,
 *            ERR_TOO_MANY_INPUTS  a collection or the list of collections is full,
 *            ERR_IO  disk full, file damaged, locked or read-only, ERR_NOMEM; collections_open also ERR_BAD_CONFIG,
 *            ERR_BAD_MODEL. A collection that does not exist is no error: *found is false and nothing else happens. */
#ifndef SERVER_COLLECTION_H
#define SERVER_COLLECTION_H

#include "engine/base/err.h"

#include <stdint.h>

enum {
    COLLECTION_NAME_MAX = 64,
    COLLECTION_KEY_MAX = 256,
    COLLECTION_WORDS_MAX = 64 * 1024, /* bytes of an image's words */
    COLLECTION_QUERY_MAX = 64 * 1024, /* bytes of a query that are read; the rest does not count */
    COLLECTION_QUERY_WORDS = 64,      /* different words of a query that count, the first ones */
    COLLECTION_LIMIT = 1000,          /* collections of one file */
    COLLECTION_BUSY_MS = 5000,
    COLLECTION_ID_BYTES = 32
};

struct collections;

/* Borrowed bytes; what comes from clients may hold NUL. */
struct collection_text {
    const char *text;
    size_t n;
};
struct collection_text collection_text(const char *text); /* up to its NUL; NULL is empty */

struct collection_image {
    uint8_t id[COLLECTION_ID_BYTES]; /* engine/job.h: struct image_id */
    int width, height;               /* upright */
    struct collection_text words;    /* in any order, separated by anything that is no letter and no digit */
    const void *features;
    size_t features_bytes; /* what collections_open was told, or BUG_ON */
};

/* model_sha256: 64 hex digits. Makes the file when it is missing; its folder must exist. */
MUST_USE enum err collections_open(struct collections **out, const char *path, const char *model_sha256,
                                   size_t features_bytes, struct errbuf *e);
void collections_close(struct collections *cs); /* NULL is fine */

/* ---- fill ---- */

/* Adds or replaces. A new image in a collection that holds max_images (stale ones count) is ERR_TOO_MANY_INPUTS. */
MUST_USE enum err collections_put(struct collections *cs, struct collection_text name, struct collection_text key,
                                  const struct collection_image *image, uint64_t max_images, bool *replaced,
                                  struct errbuf *e);
/* *was_there: false also when there is no such collection. */
MUST_USE enum err collections_remove(struct collections *cs, struct collection_text name, struct collection_text key,
                                     bool *was_there, struct errbuf *e);
MUST_USE enum err collections_drop(struct collections *cs, struct collection_text name, bool *found, struct errbuf *e);

/* ---- look ---- */

struct collection_count {
    bool found;
    uint64_t n_images; /* stale ones included */
    uint64_t n_stale;  /* of another model */
};
MUST_USE enum err collections_count(struct collections *cs, struct collection_text name, struct collection_count *out,
                                    struct errbuf *e);

/* Borrowed for the call of the callback, which must not call collections_*. */
struct collection_entry {
    struct collection_text key;
    const uint8_t *id;
    int width, height;
    bool is_stale;
};
typedef void collection_on_entry(const struct collection_entry *entry, void *user);
/* The first `limit` images with a key after after_key (empty: from the first), in key order. */
MUST_USE enum err collections_list(struct collections *cs, struct collection_text name,
                                   struct collection_text after_key, int limit, collection_on_entry *on_entry,
                                   void *user, bool *found, struct errbuf *e);

typedef void collection_on_name(const char *name, const struct collection_count *count, void *user);
/* All collections in name order; the callback as above. */
MUST_USE enum err collections_names(struct collections *cs, collection_on_name *on_name, void *user, struct errbuf *e);

/* ---- search ---- */

struct collection_hit {
    char key[COLLECTION_KEY_MAX + 1]; /* ends with a NUL that n_key does not count */
    size_t n_key;
    uint8_t id[COLLECTION_ID_BYTES];
    int width, height;
    void *features; /* 64-byte aligned, the features_bytes of collections_open */
};

struct collection_hits {
    bool found;
    struct collection_hit *hits; /* best first */
    int n;
    uint64_t n_scanned; /* images in the collection */
    uint64_t n_stale;   /* of them of another model, passed over */
    uint64_t n_damaged; /* images met that do not fit their checksum, passed over */
};
/* The first pass: images that share words with the query by BM25 (English word stems, case and accents do not count),
 * ties by key; then the others by key, until `limit` (>= 0) are found or there are no more. The same content gives the
 * same list, however it was put there. Any bytes are a query; nothing in it is syntax. On error *out is empty. */
MUST_USE enum err collections_candidates(struct collections *cs, struct collection_text name,
                                         struct collection_text query, int limit, struct collection_hits *out,
                                         struct errbuf *e);
void collection_hits_release(struct collection_hits *h); /* also fine when zeroed or released */

#endif
