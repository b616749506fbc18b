#include "engine/feature_cache.c"

#include "tests/support/check.h"
#include "tests/support/torture.h"

enum { BLOCK = 128, BIG = 1 << 16 };

static struct image_id id_of(unsigned n)
{
    struct image_id id = {{0}};
    id.bytes[0] = (uint8_t)n;
    id.bytes[1] = (uint8_t)(n >> 8);
    id.bytes[31] = 1;
    return id;
}

static struct feature_cache *with_entries(size_t n)
{
    struct feature_cache *c = NULL;
    size_t each = BLOCK + sizeof(struct feature_cache_entry) + sizeof(struct entry_chain);
    CHECK_INT(feature_cache_create(&c, n * each, BLOCK), OK);
    return c;
}

static bool put(struct feature_cache *c, unsigned n)
{
    struct image_id id = id_of(n);
    struct feature_cache_entry *e = feature_cache_reserve(c, &id);
    if (!e) {
        return false;
    }
    memset(feature_cache_block(e), (int)n, BLOCK);
    feature_cache_commit(c, e, n * 3);
    return true;
}

/* Found, with its own bytes. */
static bool look(struct feature_cache *c, unsigned n)
{
    struct image_id id = id_of(n);
    struct feature_cache_entry *e = feature_cache_get(c, &id);
    if (!e) {
        CHECK(!feature_cache_has(c, &id));
        return false;
    }
    const unsigned char *block = feature_cache_block(e);
    CHECK_INT(block[0], (uint8_t)n);
    CHECK_INT(block[BLOCK - 1], (uint8_t)n);
    CHECK_INT(feature_cache_warnings(e), n * 3);
    CHECK_INT((uintptr_t)block % 64, 0);
    feature_cache_unpin(c, e);
    return true;
}

static void test_least_recent_goes(void)
{
    struct feature_cache *c = with_entries(3);
    struct feature_cache_counts counts;
    CHECK(!look(c, 1));
    CHECK(put(c, 1) && put(c, 2) && put(c, 3));
    CHECK(look(c, 1) && look(c, 2) && look(c, 3));
    CHECK(look(c, 1)); /* 2 is now the oldest */
    CHECK(put(c, 4));
    CHECK(!look(c, 2));
    CHECK(look(c, 1) && look(c, 3) && look(c, 4));
    feature_cache_counts(c, &counts);
    CHECK_INT(counts.entries, 3);
    CHECK_INT(counts.evictions, 1);
    CHECK_INT(counts.n_bytes, 3 * BLOCK);
    feature_cache_destroy(c);
}

static void test_asking_is_not_using(void)
{
    struct feature_cache *c = with_entries(2);
    struct image_id first = id_of(1);
    put(c, 1);
    put(c, 2);
    CHECK(feature_cache_has(c, &first));
    put(c, 3);
    CHECK(!feature_cache_has(c, &first));
    feature_cache_destroy(c);
}

static void test_pinned_ones_stay(void)
{
    struct feature_cache *c = with_entries(2);
    struct image_id one = id_of(1), two = id_of(2), three = id_of(3);
    put(c, 1);
    put(c, 2);
    struct feature_cache_entry *e1 = feature_cache_get(c, &one);
    struct feature_cache_entry *e1_again = feature_cache_get(c, &one);
    struct feature_cache_entry *e2 = feature_cache_get(c, &two);
    CHECK(e1 == e1_again);
    CHECK(feature_cache_reserve(c, &three) == NULL);
    feature_cache_unpin(c, e2);
    CHECK(put(c, 3));
    CHECK(!look(c, 2));
    feature_cache_unpin(c, e1);
    CHECK(look(c, 1)); /* still pinned once; and look leaves it so */
    CHECK(put(c, 4));
    CHECK(!look(c, 3));
    feature_cache_unpin(c, e1_again);
    feature_cache_destroy(c);
}

static void test_not_found_while_being_written(void)
{
    struct feature_cache *c = with_entries(2);
    struct image_id id = id_of(7);
    struct feature_cache_entry *e = feature_cache_reserve(c, &id);
    CHECK(e != NULL);
    CHECK(!feature_cache_has(c, &id));
    CHECK(feature_cache_get(c, &id) == NULL);
    CHECK(feature_cache_reserve(c, &id) == NULL); /* somebody else writes it */
    memset(feature_cache_block(e), 7, BLOCK);
    feature_cache_commit(c, e, 21);
    CHECK(look(c, 7));
    CHECK(feature_cache_reserve(c, &id) == NULL); /* it is there */
    feature_cache_destroy(c);
}

static void test_without_room(void)
{
    struct feature_cache *c = NULL;
    CHECK_INT(feature_cache_create(&c, 0, BLOCK), OK);
    CHECK(!put(c, 1));
    CHECK(!look(c, 1));
    feature_cache_destroy(c);
    CHECK_INT(feature_cache_create(&c, BLOCK - 1, BLOCK), OK);
    CHECK(!put(c, 1));
    feature_cache_destroy(c);
    feature_cache_destroy(NULL);
}

/* Against a list of the last n ids used. */
static void test_many(void)
{
    enum { ROOM = 50, IDS = 120 };
    struct feature_cache *c = with_entries(ROOM);
    unsigned recent[IDS], n = 0, seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned id = (seed >> 16) % IDS, at = 0;
        while (at < n && recent[at] != id) {
            at++;
        }
        bool expected = at < n;
        CHECK_INT(look(c, id), expected);
        if (!expected) {
            CHECK(put(c, id));
            at = n < ROOM ? n++ : ROOM - 1;
        }
        memmove(recent + 1, recent, at * sizeof(recent[0]));
        recent[0] = id;
    }
    feature_cache_destroy(c);
}

static enum err create(void *arg)
{
    struct feature_cache *c = NULL;
    (void)arg;
    enum err rc = feature_cache_create(&c, BIG, BLOCK);
    feature_cache_destroy(c);
    return rc;
}

int main(void)
{
    test_least_recent_goes();
    test_asking_is_not_using();
    test_pinned_ones_stay();
    test_not_found_while_being_written();
    test_without_room();
    test_many();
    CHECK_INT(torture(create, NULL), 4);
    return check_result();
}
