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

/* The first n keys of a list. */
static const char *first(int n, const char *keys)
{
    static char out[512];
    size_t at = 0;
    for (; keys[at] && n > 0; at++) {
        n -= keys[at] == ' ';
        out[at] = keys[at];
    }
    out[at - (n == 0)] = 0;
    return out;
}

/* Whether the list has all of these keys, in any order, and no others. */
static bool is_set(const char *keys, const char *wanted)
{
    char copy[512], *rest = copy;
    snprintf(copy, sizeof(copy), "%s", wanted);
    if (strlen(keys) != strlen(wanted)) {
        return false;
    }
    for (char *key; (key = strsep(&rest, " "));) {
        const char *at = strstr(keys, key);
        if (!at || (at > keys && at[-1] != ' ') || (at[strlen(key)] && at[strlen(key)] != ' ')) {
            return false;
        }
    }
    return true;
}

static void test_ranking(void)
{
    struct collections *cs = open_new();
    fill_beach(cs, "b", false);
    CHECK_STR(search(cs, "b", "dogs on a beach", 3), "k2 k4 k5"); /* two words, the rarer word, ... */
    CHECK(is_set(search(cs, "b", "sofa", 100), "k1 k2 k3 k4 k5 k6 k7 k8 k9"));
    CHECK_STR(search(cs, "b", "sofa", 1), "k1");
    CHECK_STR(search(cs, "b", "TABLES", 1), "k7"); /* stems, case */
    CHECK_STR(search(cs, "b", "cafe", 1), "k7");   /* accents */
    CHECK_STR(search(cs, "b", "caf\xc3\xa9", 1), "k7");
    CHECK_STR(search(cs, "b", "cafe\xcc\x81", 1), "k7"); /* the accent as a character of its own */
    CHECK(is_set(first(3, search(cs, "b", "person", 9)), "k5 k8 k9"));
    CHECK(is_set(search(cs, "b", "bread\xe2\x80\x94train", 2), "k7 k9")); /* a dash parts words: no phrase */
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

/* Equal scores: in an order of their own, which is not that of the keys; a limit cuts the same list. */
static void test_ties(void)
{
    struct collections *cs = open_new();
    static const char *const keys[] = {"m", "a", "Z", "\xc3\xa4", "b", "c"};
    char all[64];
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_INT(put_words(cs, "t", keys[i], i, i < 4 ? "red car" : "sky"), OK);
    }
    snprintf(all, sizeof(all), "%s", search(cs, "t", "car", 6));
    CHECK(is_set(first(4, all), "Z a m \xc3\xa4") && is_set(all, "Z a m \xc3\xa4 b c"));
    for (int limit = 1; limit < 6; limit++) {
        char want[512];
        snprintf(want, sizeof(want), "%s", first(limit, all));
        CHECK_STR(search(cs, "t", "car", limit), want);
    }
    CHECK(is_set(first(2, search(cs, "t", "sky", 3)), "b c"));
    collections_close(cs);
}

/* ---- a large collection ---- */

enum { LARGE = 2000, PICKS = 64 };

/* Keys in alphabetical order: every 20th image has a dog, all but every third an article. */
static struct collections *open_large(bool same_picture)
{
    struct collections *cs = open_new();
    CHECK_INT(sqlite3_exec(cs->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK); /* only to be quick */
    for (uint32_t i = 0; i < LARGE; i++) {
        char key[16], words[128];
        snprintf(key, sizeof(key), "k%04u", i);
        snprintf(words, sizeof(words), "%s %s %u", i % 3 ? "a picture of the" : "some",
                 i % 20 == 19 ? "dog. dog, person" : "house. person, chair", i % 7);
        struct collection_image image = image_of(same_picture ? 1 : i, words);
        bool replaced;
        CHECK_INT(collections_put(cs, model, T("l"), T(key), &image, LARGE, &replaced, &e), OK);
    }
    return cs;
}

struct found {
    int n, n_by_words, n_sample, dogs, articles, sum;
    uint64_t n_scanned, n_matching;
    int first, last; /* of the numbers in the keys */
};

static struct found find(struct collections *cs, const char *query, int limit)
{
    struct collection_hits hits;
    struct found f = {.first = LARGE};
    CHECK_INT(collections_candidates(cs, model, T("l"), T(query), limit, &hits, &e), OK);
    f.n = hits.n, f.n_by_words = hits.n_by_words, f.n_sample = hits.n_by_sample;
    f.n_scanned = hits.n_scanned, f.n_matching = hits.n_matching;
    CHECK_INT(hits.n_by_words + hits.n_by_sample, hits.n);
    for (int i = 0; i < hits.n; i++) {
        int n = (int)strtol(hits.hits[i].key + 1, NULL, 10);
        f.dogs += n % 20 == 19;
        f.articles += n % 3 != 0;
        f.first = n < f.first ? n : f.first;
        f.last = n > f.last ? n : f.last;
        f.sum += n;
    }
    collection_hits_release(&hits);
    return f;
}

/* Not the first keys, nor the last, nor those with an article: about as the whole is. */
static void check_sample(struct found f)
{
    CHECK(f.n == PICKS && f.n_by_words == 0 && f.n_sample == PICKS && f.n_matching == 0 && f.n_scanned == LARGE);
    CHECK(f.first < LARGE / 8 && f.last > LARGE - LARGE / 8);
    CHECK(f.sum > PICKS * (LARGE / 2 - 300) && f.sum < PICKS * (LARGE / 2 + 300));
    CHECK(f.articles > PICKS / 3 && f.articles < PICKS - PICKS / 8);
}

static void test_large(void)
{
    for (int same = 0; same < 2; same++) { /* also when all are the same picture under other keys */
        struct collections *cs = open_large(same);
        static const char *const dogs[] = {"dog",     "a dog",         "this is a photo of the dog", "puppy", "a puppy",
                                           "puppies", "with the dogs", "my two DOGS, a picture"};
        for (int i = 0; i < 8; i++) {
            struct found f = find(cs, dogs[i], PICKS);
            CHECK(f.n == PICKS && f.dogs == PICKS && f.n_by_words == PICKS);
            CHECK(f.last > LARGE / 2);
            CHECK(f.n_matching >= LARGE / 20 && f.n_scanned == LARGE);
        }
        struct found rare = find(cs, "house chair dog", PICKS); /* one rare word beats two common ones */
        CHECK(rare.dogs == PICKS && rare.n_by_words == PICKS);
        char dogs_of_one[65536];
        snprintf(dogs_of_one, sizeof(dogs_of_one), "%s", search(cs, "l", "dog", PICKS));
        CHECK(strcmp(search(cs, "l", "dog qqqqq", PICKS), dogs_of_one) != 0); /* equal ones: another query, others */
        struct found all = find(cs, "dog", 150);
        CHECK(all.n == 150 && all.dogs >= 100 && all.n_by_words == 100 && all.n_sample == 50);
        check_sample(find(cs, "xylophone", PICKS));
        check_sample(find(cs, "a xylophone on the moon", PICKS));
        check_sample(find(cs, "", PICKS));
        char one[65536], other[65536];
        snprintf(one, sizeof(one), "%s", search(cs, "l", "xylophone", PICKS));
        CHECK_STR(search(cs, "l", "a xylophone", PICKS), one); /* an article decides nothing */
        CHECK_STR(search(cs, "l", "of the xylophones", PICKS), one);
        snprintf(other, sizeof(other), "%s", search(cs, "l", "trombone", PICKS));
        CHECK(strcmp(one, other) != 0); /* another query, another sample */
        snprintf(one, sizeof(one), "%s", search(cs, "l", "trombone xylophone", PICKS));
        CHECK_STR(search(cs, "l", "xylophone trombone", PICKS), one);
        collections_close(cs);
    }
}

/* What a query word that nobody has stands for. */
static void test_like(void)
{
    struct collections *cs = open_new();
    static const char *const words[][2] = {{"k1", "an elephant"},    {"k2", "a snowboard in the snow"},
                                           {"k3", "a kitchen"},      {"k4", "a couch"},
                                           {"k5", "a dining table"}, {"k6", "a cell phone"},
                                           {"k7", "a person"},       {"k8", "a bus"}};
    for (uint32_t i = 0; i < 8; i++) {
        CHECK_INT(put_words(cs, "b", words[i][0], i, words[i][1]), OK);
    }
    CHECK_STR(search(cs, "b", "elefant", 1), "k1");
    CHECK_STR(search(cs, "b", "the elephnat", 1), "k1");
    CHECK_STR(search(cs, "b", "snowbord", 1), "k2");
    CHECK_STR(search(cs, "b", "kitchn", 1), "k3");
    CHECK_STR(search(cs, "b", "sofas", 1), "k4");
    CHECK_STR(search(cs, "b", "desk", 1), "k5");
    CHECK_STR(search(cs, "b", "my smartphone", 1), "k6");
    CHECK_STR(search(cs, "b", "two ladies", 1), "k7");
    CHECK_STR(search(cs, "b", "minibuses", 1), "k8");
    CHECK_INT(put_words(cs, "b", "k9", 9, "a sofa"), OK);
    CHECK_STR(search(cs, "b", "sofa", 2), "k9 k4"); /* the word itself comes before what it stands for */
    check_sound(cs);
    collections_close(cs);
}

/* Where every word is common, a sample is scored: of those, the best. */
static void test_common(void)
{
    enum { MANY_IMAGES = COLLECTION_MAX_POSTINGS + 3000 };
    struct collections *cs = open_new();
    struct collection_hits hits;
    static const char *const sql =
        "BEGIN;"
        "WITH RECURSIVE i(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM i LIMIT 8000)"
        " INSERT INTO image SELECT n, 1, 'k' || n, zeroblob(32), 1, 1, 1 FROM i;"
        "INSERT INTO features SELECT id, randomblob(32), zeroblob(8) FROM image WHERE id >= 100;"
        "INSERT INTO words_1(rowid, words) SELECT id, CASE WHEN id % 4 THEN 'a dog' ELSE 'a dog and a dog' END ||"
        " CASE WHEN id % 3 THEN ' person' ELSE '' END FROM image WHERE id >= 100;"
        "COMMIT;";
    CHECK_INT(put_words(cs, "l", "first", 1, "nothing"), OK);
    CHECK_INT(sqlite3_exec(cs->db, sql, NULL, NULL, NULL), SQLITE_OK);
    /* all of these are damaged, so all of them are met, in the sample and then beyond it */
    CHECK_INT(collections_candidates(cs, model, T("l"), T("dog"), 2, &hits, &e), OK);
    CHECK(hits.n == 1 && hits.n_by_words == 0 && hits.n_images == MANY_IMAGES + 1);
    CHECK_INT(hits.n_damaged, MANY_IMAGES);
    collection_hits_release(&hits);
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
                                      "\xe2\x80\x9c\x64og\xe2\x80\x9d",
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
        if (strncmp(keys, "z-dog ", 6) != 0) {
            fprintf(stderr, "query %zu (%s):\n", i, dog[i]);
        }
        CHECK(strncmp(keys, "z-dog ", 6) == 0 && is_set(keys, "z-dog a-cat b-bird"));
    }
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        CHECK(is_set(search(cs, "q", nothing[i], 3), "a-cat b-bird z-dog"));
        struct collection_hits hits;
        CHECK_INT(collections_candidates(cs, model, T("q"), T(nothing[i]), 3, &hits, &e), OK);
        CHECK_INT(hits.n_by_words, 0);
        collection_hits_release(&hits);
    }
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 3);
    check_sound(cs);
    collections_close(cs);
}

/* key: the first hit, by its words; NULL: none has to do with it. */
static void first_of(struct collections *cs, const char *query, size_t n, const char *key)
{
    struct collection_hits hits;
    errbuf_clear(&e);
    CHECK_INT(collections_candidates(cs, model, T("q"), (struct collection_text){query, n}, 1, &hits, &e), OK);
    CHECK(hits.n == 1 && hits.n_by_words == (key != NULL));
    if (hits.n == 1 && key) {
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
    first_of(cs, "\0", 1, NULL);
    first_of(cs, NULL, 0, NULL);
    static char big[10240 + 8];
    for (int seed = 0; seed < 30; seed++) { /* 10 kB of anything */
        uint32_t x = (uint32_t)seed * 2654435761u + 1;
        for (int i = 0; i < 10240; i++) {
            x = x * 1664525 + 1013904223;
            big[i] = (char)(x >> 24);
        }
        first_of(cs, big, 10240, NULL);
        memcpy(big, " dog ", 5);
        first_of(cs, big, 10240, "z-dog");
    }
    memset(big, 'a', 10240); /* one word of 10 kB */
    first_of(cs, big, 10240, NULL);
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
        first_of(cs, query, strlen(query), words < COLLECTION_QUERY_WORDS ? "z-dog" : NULL);
    }
    memset(query, ' ', sizeof(query));
    memcpy(query + COLLECTION_QUERY_MAX - 3, "dog", 3);
    first_of(cs, query, sizeof(query), "z-dog");
    memset(query, ' ', sizeof(query));
    memcpy(query + COLLECTION_QUERY_MAX, "dog", 3);
    first_of(cs, query, sizeof(query), NULL);
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
    CHECK_INT(hits.n_images, N_BEACH);
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
    test_large();
    test_like();
    test_common();
    test_no_syntax();
    test_odd_bytes();
    test_many_words();
    test_others_do_not_count();
    folder_remove();
    return check_result();
}
