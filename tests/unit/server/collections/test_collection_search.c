#include "tests/unit/server/collections/test_collection.h"

/* ---- order ---- */

static const char *const beach[][2] = {
    {"k1", "a cat sleeps on a sofa. cat, sofa, pillow, lamp"},
    {"k2", "two dogs run on the beach. dog, dog, sea, ball"},
    {"k3", "a man rides a horse. man, horse, tree, fence"},
    {"k4", "a dog lies in the grass. dog, grass, tree, bowl"},
    {"k5", "people sit at the beach. person, sea, parasol"},
    {"k6", ""},
    {"k7", "caf\xc3\xa9 table with bread. table, cup, bread, knife"},
    {"k8", "a bus in a street. bus, car, street, person"},
    {"k9", "a train at a station. train, person, clock"},
};
enum { N_BEACH = 9 };

static void fill_beach(struct collections *cs, const char *name, bool backwards)
{
    for (uint32_t i = 0; i < N_BEACH; i++) {
        uint32_t at = backwards ? N_BEACH - 1 - i : i;
        CHECK_INT(put_words(cs, name, beach[at][0], at, beach[at][1]), OK);
    }
}

static void test_ranking(void)
{
    struct collections *cs = open_new();
    fill_beach(cs, "b", false);
    CHECK_STR(search(cs, "b", "dogs on a beach", 3), "k2 k4 k5"); /* two words, the rarer word, ... */
    CHECK_STR(search(cs, "b", "sofa", 100), "k1 k2 k3 k4 k5 k6 k7 k8 k9");
    CHECK_STR(search(cs, "b", "TABLES", 2), "k7 k1"); /* stems, case */
    CHECK_STR(search(cs, "b", "cafe", 1), "k7");      /* accents */
    CHECK_STR(search(cs, "b", "caf\xc3\xa9", 1), "k7");
    CHECK_STR(search(cs, "b", "cafe\xcc\x81", 1), "k7"); /* the accent as a character of its own */
    CHECK_STR(search(cs, "b", "person", 4), "k5 k9 k8 k1");
    CHECK_STR(search(cs, "b", "zebra", 4), "k1 k2 k3 k4");
    CHECK_STR(search(cs, "b", "bread\xe2\x80\x94train", 3), "k7 k9 k1"); /* a dash parts words: no phrase */
    CHECK_STR(search(cs, "b", "dog", 0), "");
    /* a word counts once, however often it is said */
    char once[256];
    snprintf(once, sizeof(once), "%s", search(cs, "b", "dog horse", 4));
    CHECK_STR(search(cs, "b", "dog dog dog DOG horse dog", 4), once);
    collections_close(cs);
}

/* The same content in another order, with detours, beside other collections: the same lists. */
static void test_deterministic(void)
{
    static const char *const queries[] = {"a dog", "person", "a man on the beach with a tree", "", "zebra", "sea sofa"};
    char first[6][512];
    struct collections *cs = open_new();
    fill_beach(cs, "b", false);
    for (int i = 0; i < 6; i++) {
        snprintf(first[i], sizeof(first[i]), "%s", search(cs, "b", queries[i], 100));
        CHECK_INT(strlen(first[i]), N_BEACH * 3 - 1); /* all of them */
    }
    collections_close(cs);
    cs = open_new();
    bool flag;
    for (uint32_t i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        CHECK_INT(put_words(cs, "before", key, i, "dog dog person tree sea"), OK);
        CHECK_INT(put_words(cs, "b", key, i, "dog person a beach"), OK);
    }
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        CHECK_INT(collections_remove(cs, T("b"), T(key), &flag, &e), OK);
    }
    CHECK_INT(put_words(cs, "b", "k3", 3, "dog dog dog"), OK); /* replaced below */
    fill_beach(cs, "b", true);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 6; i++) {
            CHECK_STR(search(cs, "b", queries[i], 100), first[i]);
        }
        collections_close(cs);
        cs = open_at(path);
    }
    check_sound(cs);
    collections_close(cs);
}

/* Equal words: by key, in the order of bytes; a limit cuts the same list. */
static void test_ties(void)
{
    struct collections *cs = open_new();
    static const char *const keys[] = {"m", "a", "Z", "\xc3\xa4", "b", "c"};
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_INT(put_words(cs, "t", keys[i], i, i < 4 ? "red car" : "sky"), OK);
    }
    CHECK_STR(search(cs, "t", "car", 6), "Z a m \xc3\xa4 b c");
    CHECK_STR(search(cs, "t", "car", 5), "Z a m \xc3\xa4 b");
    CHECK_STR(search(cs, "t", "car", 2), "Z a");
    CHECK_STR(search(cs, "t", "sky", 3), "b c Z");
    collections_close(cs);
}

/* ---- queries are data ---- */

static void test_no_syntax(void)
{
    struct collections *cs = open_new();
    static const char *const dog[] = {"\"dog\" OR *",
                                      "NEAR(dog",
                                      "NEAR(dog, 2)",
                                      "dog*",
                                      "^dog",
                                      "-dog",
                                      "+dog",
                                      "words:dog",
                                      "nothing : dog",
                                      "{words} : dog",
                                      "dog AND zebra",
                                      "dog NOT dog",
                                      "(dog",
                                      "dog)",
                                      "dog\"",
                                      "\"dog",
                                      "'dog'",
                                      "dog'; DROP TABLE image;--",
                                      "\"\"dog\"\"",
                                      "dog \" OR \"",
                                      "\\\"dog\\\"",
                                      "dog\n",
                                      "\xe2\x80\x9c"
                                      "dog\xe2\x80\x9d",
                                      "\xf0\x9f\x90\xb6 dog",
                                      "\xff dog",
                                      "dog \xc3",
                                      "dog.dog,dog;dog",
                                      "%s dog %n",
                                      "?1 dog :a @b $c",
                                      "AND dog",
                                      "dog OR",
                                      "rank dog"};
    static const char *const nothing[] = {"",         " ",  "*",  "\"", "\"\"", "\"\"\"", "NEAR(",
                                          "NEAR",     "()", "^",  "OR", "AND",  "NOT",    "\xf0\x9f\x90\xb6",
                                          "\xff\xfe", "-",  "''", ":",  "{}",   "words:", "zebra*",
                                          "do*"};
    CHECK_INT(put_words(cs, "q", "z-dog", 1, "a dog"), OK);
    CHECK_INT(put_words(cs, "q", "a-cat", 2, "the cat"), OK);
    CHECK_INT(put_words(cs, "q", "b-bird", 3, "some bird"), OK);
    for (size_t i = 0; i < sizeof(dog) / sizeof(dog[0]); i++) {
        const char *keys = search(cs, "q", dog[i], 3);
        if (strcmp(keys, "z-dog a-cat b-bird") != 0) {
            fprintf(stderr, "query %zu (%s):\n", i, dog[i]);
        }
        CHECK_STR(keys, "z-dog a-cat b-bird");
    }
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        CHECK_STR(search(cs, "q", nothing[i], 3), "a-cat b-bird z-dog");
    }
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 3);
    check_sound(cs);
    collections_close(cs);
}

static void first_of(struct collections *cs, const char *query, size_t n, const char *key)
{
    struct collection_hits hits;
    errbuf_clear(&e);
    CHECK_INT(collections_candidates(cs, model, T("q"), (struct collection_text){query, n}, 1, &hits, &e), OK);
    CHECK(hits.n == 1);
    if (hits.n == 1) {
        CHECK_STR(hits.hits[0].key, key);
    }
    collection_hits_release(&hits);
}

static void test_odd_bytes(void)
{
    struct collections *cs = open_new();
    CHECK_INT(put_words(cs, "q", "z-dog", 1, "brown dog"), OK);
    CHECK_INT(put_words(cs, "q", "a-cat", 2, "the cat"), OK);
    struct collection_image image = image_of(3, "");
    bool replaced;
    image.words = (struct collection_text){"bird\0nest \"\xff *", 14};
    CHECK_INT(collections_put(cs, model, T("q"), T("z-nest"), &image, MANY, &replaced, &e), OK);
    first_of(cs, "\0dog", 4, "z-dog");
    first_of(cs, "dog\0", 4, "z-dog");
    first_of(cs, "x\0y\0dog\0\0", 9, "z-dog");
    first_of(cs, "nest", 4, "z-nest");
    first_of(cs, "\0", 1, "a-cat");
    first_of(cs, NULL, 0, "a-cat");
    static char big[10240 + 8];
    for (int seed = 0; seed < 30; seed++) { /* 10 kB of anything */
        uint32_t x = (uint32_t)seed * 2654435761u + 1;
        for (int i = 0; i < 10240; i++) {
            x = x * 1664525 + 1013904223;
            big[i] = (char)(x >> 24);
        }
        first_of(cs, big, 10240, "a-cat");
        memcpy(big, " dog ", 5);
        first_of(cs, big, 10240, "z-dog");
    }
    memset(big, 'a', 10240); /* one word of 10 kB */
    first_of(cs, big, 10240, "a-cat");
    memcpy(big + 10240, " dog", 4);
    first_of(cs, big, 10244, "z-dog");
    collections_close(cs);
}

/* The first COLLECTION_QUERY_WORDS different words count, and a long query is read up to its bound. */
static void test_many_words(void)
{
    struct collections *cs = open_new();
    CHECK_INT(put_words(cs, "q", "z-dog", 1, "a dog"), OK);
    CHECK_INT(put_words(cs, "q", "a-cat", 2, "the cat"), OK);
    static char query[COLLECTION_QUERY_MAX + 16];
    for (int words = COLLECTION_QUERY_WORDS - 1; words <= COLLECTION_QUERY_WORDS; words++) {
        int n = 0;
        for (int i = 0; i < words; i++) {
            n += snprintf(query + n, sizeof(query) - (size_t)n, "w%d W%d ", i, i);
        }
        snprintf(query + n, sizeof(query) - (size_t)n, "dog");
        first_of(cs, query, strlen(query), words < COLLECTION_QUERY_WORDS ? "z-dog" : "a-cat");
    }
    memset(query, ' ', sizeof(query));
    memcpy(query + COLLECTION_QUERY_MAX - 3, "dog", 3);
    first_of(cs, query, sizeof(query), "z-dog");
    memset(query, ' ', sizeof(query));
    memcpy(query + COLLECTION_QUERY_MAX, "dog", 3);
    first_of(cs, query, sizeof(query), "a-cat");
    collections_close(cs);
}

/* ---- isolation ---- */

static void test_others_do_not_count(void)
{
    struct collections *cs = open_new();
    fill_beach(cs, "mine", false);
    char before[256];
    snprintf(before, sizeof(before), "%s", search(cs, "mine", "dog person sea grass", 9));
    for (uint32_t i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        CHECK_INT(put_words(cs, "theirs", key, i, "dog dog sea sea grass grass grass"), OK);
    }
    CHECK_STR(search(cs, "mine", "dog person sea grass", 9), before);
    struct collection_hits hits;
    CHECK_INT(collections_candidates(cs, model, T("mine"), T("dog"), 200, &hits, &e), OK);
    CHECK_INT(hits.n_scanned, N_BEACH);
    for (int i = 0; i < hits.n; i++) { /* my images, not theirs of the same keys */
        CHECK(is_image(&hits.hits[i], (uint32_t)(hits.hits[i].key[1] - '1')));
    }
    collection_hits_release(&hits);
    collections_close(cs);
}

int main(void)
{
    folder_make();
    test_ranking();
    test_deterministic();
    test_ties();
    test_no_syntax();
    test_odd_bytes();
    test_many_words();
    test_others_do_not_count();
    folder_remove();
    return check_result();
}
