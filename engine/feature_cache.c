/* A table of chains by the first bytes of the id (it is a hash already) and one list in order of use. Entries are an
 * array made once; the unused ones form a third list. */
#include "engine/feature_cache.h"

#include "engine/base/mem.h"
#include "engine/base/pages.h"

#include <string.h>
#include <sys/queue.h>

struct feature_cache_entry {
    TAILQ_ENTRY(feature_cache_entry) used;    /* in order of use, or in the list of free ones */
    LIST_ENTRY(feature_cache_entry) in_chain; /* of its bucket */
    struct image_id id;
    uint32_t warnings;
    int pins;
    bool is_written; /* committed */
    void *block;
};
TAILQ_HEAD(entry_list, feature_cache_entry);
LIST_HEAD(entry_chain, feature_cache_entry);

struct feature_cache {
    struct pages blocks;
    size_t block_bytes;
    struct feature_cache_entry *entries; /* [n_entries] */
    struct entry_chain *buckets;         /* [n_buckets] */
    size_t n_entries, n_buckets;
    struct entry_list used; /* least recent first */
    struct entry_list unused;
    struct feature_cache_counts counts;
};

enum err feature_cache_create(struct feature_cache **out, size_t max_bytes, size_t block_bytes)
{
    struct feature_cache *c = NULL;
    *out = NULL;
    BUG_ON(block_bytes == 0);
    block_bytes = (block_bytes + 63) / 64 * 64;
    enum err rc = mem_alloc(&c, sizeof(*c));
    if (rc) {
        return rc;
    }
    TAILQ_INIT(&c->used);
    TAILQ_INIT(&c->unused);
    c->block_bytes = block_bytes;
    c->n_entries = max_bytes / (block_bytes + sizeof(*c->entries) + sizeof(*c->buckets));
    c->n_buckets = c->n_entries;
    rc = mem_array(&c->entries, c->n_entries, sizeof(*c->entries));
    if (!rc) {
        rc = mem_array(&c->buckets, c->n_buckets, sizeof(*c->buckets));
    }
    if (!rc && c->n_entries > 0) {
        rc = pages_init(&c->blocks, c->n_entries, block_bytes);
    }
    if (rc) {
        feature_cache_destroy(c);
        return rc;
    }
    for (size_t i = 0; i < c->n_entries; i++) {
        c->entries[i].block = (unsigned char *)c->blocks.block + i * block_bytes;
        TAILQ_INSERT_TAIL(&c->unused, &c->entries[i], used);
    }
    *out = c;
    return OK;
}

void feature_cache_destroy(struct feature_cache *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; c->entries && i < c->n_entries; i++) {
        BUG_ON(c->entries[i].pins != 0);
    }
    pages_release(&c->blocks);
    mem_free(c->buckets);
    mem_free(c->entries);
    mem_free(c);
}

void feature_cache_limit(struct feature_cache *c, size_t max_bytes)
{
    size_t n = max_bytes / (c->block_bytes + sizeof(*c->entries) + sizeof(*c->buckets));
    struct feature_cache_entry *e;
    while ((e = TAILQ_FIRST(&c->used))) {
        BUG_ON(e->pins != 0);
        TAILQ_REMOVE(&c->used, e, used);
        LIST_REMOVE(e, in_chain);
        TAILQ_INSERT_TAIL(&c->unused, e, used);
        c->counts.entries--;
    }
    for (; c->n_entries > n; c->n_entries--) {
        struct feature_cache_entry *last = &c->entries[c->n_entries - 1];
        TAILQ_REMOVE(&c->unused, last, used);
    }
}

static struct entry_chain *chain_of(const struct feature_cache *c, const struct image_id *id)
{
    uint64_t hash;
    memcpy(&hash, id->bytes, sizeof(hash));
    return &c->buckets[hash % c->n_buckets];
}

static struct feature_cache_entry *find(const struct feature_cache *c, const struct image_id *id)
{
    struct feature_cache_entry *e;
    if (c->n_buckets == 0) {
        return NULL;
    }
    LIST_FOREACH(e, chain_of(c, id), in_chain)
    {
        if (memcmp(e->id.bytes, id->bytes, sizeof(id->bytes)) == 0) {
            return e;
        }
    }
    return NULL;
}

bool feature_cache_has(const struct feature_cache *c, const struct image_id *id)
{
    const struct feature_cache_entry *e = find(c, id);
    return e && e->is_written;
}

struct feature_cache_entry *feature_cache_get(struct feature_cache *c, const struct image_id *id)
{
    struct feature_cache_entry *e = find(c, id);
    if (!e || !e->is_written) {
        return NULL;
    }
    TAILQ_REMOVE(&c->used, e, used);
    TAILQ_INSERT_TAIL(&c->used, e, used);
    e->pins++;
    return e;
}

void feature_cache_unpin(struct feature_cache *c, struct feature_cache_entry *e)
{
    (void)c;
    BUG_ON(e->pins < 1);
    e->pins--;
}

/* A free entry, in no list; NULL when all are pinned. */
static struct feature_cache_entry *pop_entry(struct feature_cache *c)
{
    struct feature_cache_entry *e = TAILQ_FIRST(&c->unused);
    if (e) {
        TAILQ_REMOVE(&c->unused, e, used);
        return e;
    }
    TAILQ_FOREACH(e, &c->used, used)
    {
        if (e->pins == 0) {
            TAILQ_REMOVE(&c->used, e, used);
            LIST_REMOVE(e, in_chain);
            c->counts.evictions++;
            c->counts.entries--;
            return e;
        }
    }
    return NULL;
}

struct feature_cache_entry *feature_cache_reserve(struct feature_cache *c, const struct image_id *id)
{
    if (find(c, id)) {
        return NULL;
    }
    struct feature_cache_entry *e = pop_entry(c);
    if (!e) {
        return NULL;
    }
    e->id = *id;
    e->is_written = false;
    e->pins = 1;
    TAILQ_INSERT_TAIL(&c->used, e, used);
    LIST_INSERT_HEAD(chain_of(c, id), e, in_chain);
    c->counts.entries++;
    return e;
}

void feature_cache_commit(struct feature_cache *c, struct feature_cache_entry *e, uint32_t warnings)
{
    e->warnings = warnings;
    e->is_written = true;
    feature_cache_unpin(c, e);
}

void *feature_cache_block(struct feature_cache_entry *e)
{
    return e->block;
}

uint32_t feature_cache_warnings(const struct feature_cache_entry *e)
{
    return e->warnings;
}

void feature_cache_counts(const struct feature_cache *c, struct feature_cache_counts *out)
{
    *out = c->counts;
    out->n_bytes = (size_t)c->counts.entries * c->block_bytes;
}
