/* feature_cache - region features of images seen before, by image id: LRU, bounded in bytes.
 *
 * All room is reserved at creation (as pages, so it costs memory only once filled), in blocks of one size. The cache
 * does not know what a block contains.
 *
 * An entry is pinned while it is copied into or out of; pinned entries are never evicted. Copying takes long, so the
 * caller does it between two calls, without its lock:
 *     read:   e = get(id)      copy out   unpin(e)
 *     write:  e = reserve(id)  copy in    commit(e)       found by get only after the commit
 *
 * Ownership: the cache owns entries and blocks. Threads: the caller's lock guards every call, not the copying. */
#ifndef ENGINE_FEATURE_CACHE_H
#define ENGINE_FEATURE_CACHE_H

#include "engine/base/err.h"
#include "engine/job.h"

#include <stdint.h>

struct feature_cache;
struct feature_cache_entry;

/* Holds no entries when max_bytes is less than one block. */
MUST_USE enum err feature_cache_create(struct feature_cache **out, size_t max_bytes, size_t block_bytes);
void feature_cache_destroy(struct feature_cache *c); /* NULL is fine; nothing may be pinned */

/* Empties the cache and limits it to this size from now on; nothing may be pinned. */
void feature_cache_limit(struct feature_cache *c, size_t max_bytes);

bool feature_cache_has(const struct feature_cache *c, const struct image_id *id);
/* Pins the entry and makes it the most recent; NULL when it is not there. */
struct feature_cache_entry *feature_cache_get(struct feature_cache *c, const struct image_id *id);
void feature_cache_unpin(struct feature_cache *c, struct feature_cache_entry *e);
/* A pinned entry for a new id, for which the least recently used one may be evicted; NULL when the id is already there
 * (or being written), or when there is no room. */
struct feature_cache_entry *feature_cache_reserve(struct feature_cache *c, const struct image_id *id);
void feature_cache_commit(struct feature_cache *c, struct feature_cache_entry *e, uint32_t warnings);

void *feature_cache_block(struct feature_cache_entry *e);
uint32_t feature_cache_warnings(const struct feature_cache_entry *e); /* of the image, as committed */

struct feature_cache_counts {
    uint64_t evictions;
    int entries;
    size_t n_bytes; /* of blocks in use */
};
void feature_cache_counts(const struct feature_cache *c, struct feature_cache_counts *out);

#endif
