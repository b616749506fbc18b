#include "tests/unit/server/collections/test_collection.h"

#include "tests/support/torture.h"

#include <sys/stat.h>

/* ---- put, remove, count ---- */

static void test_put_and_read_back(void)
{
    struct collections *cs = open_new();
    struct collection_image image = image_of(1, "a dog");
    struct collection_hits hits;
    struct collection_count count;
    bool flag = true;
    CHECK_INT(collections_put(cs, model, T("pets"), T("k"), &image, MANY, &flag, &e), OK);
    CHECK(!flag);
    image = image_of(2, "a cat");
    CHECK_INT(collections_put(cs, model, T("pets"), T("k"), &image, MANY, &flag, &e), OK);
    CHECK(flag);
    CHECK_INT(collections_candidates(cs, model, T("pets"), T("cat"), 10, &hits, &e), OK);
    CHECK(hits.found && hits.n == 1 && hits.n_scanned == 1 && hits.n_stale == 0 && hits.n_damaged == 0);
    CHECK(hits.n == 1 && is_image(&hits.hits[0], 2));
    CHECK(hits.n == 1 && (uintptr_t)hits.hits[0].features % 64 == 0);
    collection_hits_release(&hits);
    CHECK(!hits.hits && hits.n == 0);
    CHECK_INT(count_images(cs, "pets", &count), OK);
    CHECK(count.found && count.n_images == 1 && count.n_stale == 0);
    CHECK_INT(collections_remove(cs, T("pets"), T("other"), &flag, &e), OK);
    CHECK(!flag);
    CHECK_INT(collections_remove(cs, T("pets"), T("k"), &flag, &e), OK);
    CHECK(flag);
    CHECK_INT(collections_remove(cs, T("pets"), T("k"), &flag, &e), OK);
    CHECK(!flag);
    CHECK_INT(count_images(cs, "pets", &count), OK);
    CHECK(count.found && count.n_images == 0); /* an empty collection stays */
    check_sound(cs);
    collections_close(cs);
    collections_close(NULL);
}

static void on_entry_count(const struct collection_entry *entry, void *user)
{
    (void)entry;
    ++*(int *)user;
}

static void test_no_collection(void)
{
    struct collections *cs = open_new();
    struct collection_count count = {.found = true};
    struct collection_hits hits = {.found = true};
    bool flag = true;
    int n = 0;
    CHECK_INT(count_images(cs, "none", &count), OK);
    CHECK(!count.found && count.n_images == 0);
    CHECK_INT(collections_remove(cs, T("none"), T("k"), &flag, &e), OK);
    CHECK(!flag);
    count.found = true;
    CHECK_INT(collections_list(cs, model, T("none"), T(""), 10, on_entry_count, &n, &count, &e), OK);
    CHECK(!count.found && n == 0);
    flag = true;
    CHECK_INT(collections_drop(cs, T("none"), &flag, &e), OK);
    CHECK(!flag);
    CHECK_INT(collections_candidates(cs, model, T("none"), T("dog"), 10, &hits, &e), OK);
    CHECK(!hits.found && hits.n == 0 && !hits.hits && hits.n_scanned == 0);
    CHECK_INT(number(cs, "SELECT count(*) FROM collection"), 0); /* looking made nothing */
    collections_close(cs);
}

static void test_limits(void)
{
    struct collections *cs = open_new();
    struct collection_image image = image_of(1, "x");
    struct collection_count count;
    bool replaced;
    CHECK_INT(collections_put(cs, model, T("a"), T("1"), &image, 0, &replaced, &e), ERR_TOO_MANY_INPUTS);
    CHECK_INT(count_images(cs, "a", &count), OK);
    CHECK(!count.found); /* a refused first image leaves no collection */
    CHECK_INT(collections_put(cs, model, T("a"), T("1"), &image, 2, &replaced, &e), OK);
    CHECK_INT(collections_put(cs, model, T("a"), T("2"), &image, 2, &replaced, &e), OK);
    errbuf_clear(&e);
    CHECK_INT(collections_put(cs, model, T("a"), T("3"), &image, 2, &replaced, &e), ERR_TOO_MANY_INPUTS);
    CHECK(strstr(e.text, "2") != NULL);
    CHECK_INT(collections_put(cs, model, T("a"), T("2"), &image, 2, &replaced, &e),
              OK); /* full, but it is no new one */
    CHECK(replaced);
    CHECK_INT(collections_put(cs, model, T("b"), T("3"), &image, 2, &replaced, &e), OK); /* each has its own limit */
    CHECK_INT(collections_remove(cs, T("a"), T("1"), &replaced, &e), OK);
    CHECK_INT(collections_put(cs, model, T("a"), T("3"), &image, 2, &replaced, &e), OK);
    static char words[COLLECTION_WORDS_MAX + 2];
    memset(words, 'w', COLLECTION_WORDS_MAX + 1);
    image.words = T(words);
    CHECK_INT(collections_put(cs, model, T("a"), T("3"), &image, 2, &replaced, &e), ERR_TEXT_TOO_LONG);
    image.words.n--;
    CHECK_INT(collections_put(cs, model, T("a"), T("3"), &image, 2, &replaced, &e), OK);
    /* as many collections as there may be; rows are made by hand, their word tables would take seconds */
    CHECK_INT(sqlite3_exec(cs->db,
                           "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i LIMIT 998)"
                           " INSERT INTO collection(name) SELECT 'c' || n FROM i",
                           NULL, NULL, NULL),
              SQLITE_OK);
    CHECK_INT(collections_put(cs, model, T("one-more"), T("3"), &image, 2, &replaced, &e), ERR_TOO_MANY_INPUTS);
    collections_close(cs);
}

/* ---- names and keys ---- */

static enum err put_as(struct collections *cs, struct collection_text name, struct collection_text key)
{
    struct collection_image image = image_of(1, "x");
    bool replaced;
    errbuf_clear(&e);
    enum err rc = collections_put(cs, model, name, key, &image, MANY, &replaced, &e);
    CHECK((rc == OK) == (e.text[0] == 0)); /* a fault has a sentence */
    return rc;
}

static void test_names(void)
{
    struct collections *cs = open_new();
    static const char *const bad[] = {"", "a b", "a/b", "a.b", "\xc3\xa4", "a'b", "a\"b", "a\nb", "[", "`", "@", "{"};
    char name[80];
    memset(name, 'n', sizeof(name));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bool flag;
        struct collection_count count;
        struct collection_hits hits;
        CHECK_INT(put_as(cs, T(bad[i]), T("k")), ERR_BAD_REQUEST);
        CHECK_INT(collections_drop(cs, T(bad[i]), &flag, &e), ERR_BAD_REQUEST);
        CHECK_INT(collections_remove(cs, T(bad[i]), T("k"), &flag, &e), ERR_BAD_REQUEST);
        CHECK_INT(collections_list(cs, model, T(bad[i]), T(""), 1, on_entry_count, &flag, &count, &e), ERR_BAD_REQUEST);
        CHECK_INT(collections_candidates(cs, model, T(bad[i]), T("k"), 1, &hits, &e), ERR_BAD_REQUEST);
    }
    CHECK_INT(put_as(cs, (struct collection_text){"a\0b", 3}, T("k")), ERR_BAD_REQUEST);
    CHECK_INT(put_as(cs, (struct collection_text){name, 65}, T("k")), ERR_BAD_REQUEST);
    CHECK_INT(put_as(cs, (struct collection_text){name, 64}, T("k")), OK);
    CHECK_INT(put_as(cs, T("-_09azAZ"), T("k")), OK);
    CHECK_INT(put_as(cs, T("case"), T("k")), OK);
    CHECK_INT(put_as(cs, T("CASE"), T("k")), OK);
    CHECK_INT(number(cs, "SELECT count(*) FROM collection"), 4);
    collections_close(cs);
}

static const char *const bad_keys[] = {
    "",
    "a\nb",
    "\x7f",
    "\x1f",
    "\xc2\x80",         /* C1 */
    "\xc2\x9f",         /* C1 */
    "\x80",             /* no first byte */
    "\xc3",             /* cut */
    "\xe2\x82",         /* cut */
    "\xc3(",            /* no second byte */
    "\xc0\xaf",         /* longer than it must be */
    "\xe0\x80\xaf",     /* the same */
    "\xf0\x80\x80\xaf", /* the same */
    "\xed\xa0\x80",     /* half of a pair */
    "\xf4\x90\x80\x80", /* beyond the last */
    "\xf8\x88\x80\x80\x80",
    "\xff",
};
static const char *const good_keys[] = {" ",
                                        "a/b c.jpg",
                                        "' OR 1=1 --",
                                        "\xc2\xa0",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xf4\x8f\xbf\xbf",
                                        "\xf0\x9f\x90\xb6",
                                        "%s%n",
                                        "...",
                                        "a/..b/c.",
                                        "a//b/"};
static const char *const dotted_keys[] = {".", "..", "../x", "a/./b", "a/../b", "a/..", "/.", "../../a"};

static void test_keys(void)
{
    struct collections *cs = open_new();
    for (size_t i = 0; i < sizeof(bad_keys) / sizeof(bad_keys[0]); i++) {
        bool flag;
        CHECK_INT(put_as(cs, T("a"), T(bad_keys[i])), ERR_BAD_REQUEST);
        CHECK_INT(collections_remove(cs, T("a"), T(bad_keys[i]), &flag, &e), ERR_BAD_REQUEST);
    }
    for (size_t i = 0; i < sizeof(dotted_keys) / sizeof(dotted_keys[0]); i++) { /* an old file may have them */
        bool flag;
        CHECK_INT(put_as(cs, T("a"), T(dotted_keys[i])), ERR_BAD_REQUEST);
        CHECK_INT(collections_remove(cs, T("a"), T(dotted_keys[i]), &flag, &e), OK);
    }
    CHECK_INT(put_as(cs, T("a"), (struct collection_text){"a\0b", 3}), ERR_BAD_REQUEST);
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 0);
    for (size_t i = 0; i < sizeof(good_keys) / sizeof(good_keys[0]); i++) {
        CHECK_INT(put_as(cs, T("a"), T(good_keys[i])), OK);
    }
    char key[COLLECTION_KEY_MAX + 2];
    memset(key, 'k', sizeof(key));
    CHECK_INT(put_as(cs, T("a"), (struct collection_text){key, COLLECTION_KEY_MAX}), OK);
    CHECK_INT(put_as(cs, T("a"), (struct collection_text){key, COLLECTION_KEY_MAX + 1}), ERR_BAD_REQUEST);
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), sizeof(good_keys) / sizeof(good_keys[0]) + 1);
    struct collection_hits hits;
    CHECK_INT(collections_candidates(cs, model, T("a"), T(""), MANY, &hits, &e), OK);
    CHECK(hits.n == 13 && hits.n_by_words == 0 && hits.n_by_sample == 13);
    for (int i = 0; i < hits.n; i++) {
        CHECK_INT(strlen(hits.hits[i].key), hits.hits[i].n_key);
    }
    collection_hits_release(&hits);
    collections_close(cs);
}

/* ---- lists ---- */

struct pages {
    char keys[512], last[64];
    int n, n_stale;
};

static void on_entry(const struct collection_entry *entry, void *user)
{
    struct pages *p = user;
    size_t n = strlen(p->keys);
    uint32_t seed;
    snprintf(p->last, sizeof(p->last), "%.*s", (int)entry->key.n, entry->key.text);
    snprintf(p->keys + n, sizeof(p->keys) - n, "%s%s", n ? " " : "", p->last);
    memcpy(&seed, entry->id, sizeof(seed));
    CHECK_INT(entry->width, seed + 1);
    CHECK_INT(entry->height, 7);
    p->n++;
    p->n_stale += entry->is_stale;
}

static void test_list(void)
{
    struct collections *cs = open_new();
    static const char *const keys[] = {"b", "a", "\xc3\xa4", "Z", "a1", "c", "B"};
    struct pages all = {.keys = ""}, page = {.keys = ""};
    struct collection_count count;
    for (unsigned i = 0; i < 7; i++) {
        CHECK_INT(put_words(cs, "l", keys[i], i, "x"), OK);
        CHECK_INT(put_words(cs, "other", keys[6 - i], i, "x"), OK);
    }
    CHECK_INT(collections_list(cs, model, T("l"), T(""), MANY, on_entry, &all, &count, &e), OK);
    CHECK(count.found && count.n_images == 7);
    CHECK_STR(all.keys, "B Z a a1 b c \xc3\xa4");
    int pages = 0;
    for (int before = -1; before != page.n; pages++) {
        before = page.n;
        CHECK_INT(collections_list(cs, model, T("l"), T(page.last), 3, on_entry, &page, &count, &e), OK);
        CHECK(page.n - before <= 3);
    }
    CHECK_STR(page.keys, all.keys);
    CHECK_INT(pages, 4);
    page = (struct pages){.keys = ""};
    CHECK_INT(collections_list(cs, model, T("l"), T("a0"), 2, on_entry, &page, &count, &e),
              OK); /* a key that is not there */
    CHECK_STR(page.keys, "a1 b");
    CHECK_INT(collections_list(cs, model, T("l"), T(""), 0, on_entry, &page, &count, &e), OK);
    CHECK(count.found && page.n == 2);
    CHECK_INT(collections_list(cs, model, T("l"), T("\xff"), 1, on_entry, &page, &count, &e), ERR_BAD_REQUEST);
    collections_close(cs);
}

static void on_name(const char *name, const struct collection_count *count, void *user)
{
    char *text = user;
    size_t n = strlen(text);
    CHECK(count->found);
    snprintf(text + n, 200 - n, "%s=%d/%d ", name, (int)count->n_images, (int)count->n_stale);
}

static void test_names_and_drop(void)
{
    struct collections *cs = open_new();
    char text[200] = "", key[16];
    bool found, was_there;
    CHECK_INT(collections_names(cs, model, on_name, text, &e), OK);
    CHECK_STR(text, "");
    CHECK_INT(sqlite3_exec(cs->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK); /* only to be quick */
    for (uint32_t i = 0; i < 600; i++) {                                                      /* many slices */
        snprintf(key, sizeof(key), "%03u", i);
        CHECK_INT(put_words(cs, "big", key, i, "dog"), OK);
    }
    CHECK_INT(put_words(cs, "a", "1", 1, "dog"), OK);
    CHECK_INT(put_words(cs, "z", "1", 1, "dog"), OK);
    CHECK_INT(collections_remove(cs, T("z"), T("1"), &was_there, &e), OK);
    CHECK_INT(collections_names(cs, model, on_name, text, &e), OK);
    CHECK_STR(text, "a=1/0 big=600/0 z=0/0 ");
    CHECK_INT(collections_drop(cs, T("big"), &found, &e), OK);
    CHECK(found);
    text[0] = 0;
    CHECK_INT(collections_names(cs, model, on_name, text, &e), OK);
    CHECK_STR(text, "a=1/0 z=0/0 ");
    check_sound(cs);
    CHECK_INT(put_words(cs, "big", "new", 5, "cat"), OK); /* beside what is still to be erased */
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 602);
    purge(cs);
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 2);
    CHECK_STR(search(cs, "big", "dog", 10), "new");
    CHECK_STR(search(cs, "a", "dog", 10), "1");
    check_sound(cs);
    collections_close(cs);
}

/* A drop that was cut off after its first transaction goes on after the next open. */
static void test_drop_goes_on(void)
{
    struct collections *cs = open_new();
    struct collection_count count;
    CHECK_INT(put_words(cs, "a", "1", 1, "dog"), OK);
    CHECK_INT(put_words(cs, "b", "1", 1, "dog"), OK);
    CHECK_INT(sqlite3_exec(cs->db, "UPDATE collection SET name = NULL WHERE name = 'a'", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(count_images(cs, "a", &count), OK);
    CHECK(!count.found);
    CHECK_INT(put_words(cs, "a", "2", 2, "cat"), OK); /* the name is free at once */
    collections_close(cs);
    cs = open_at(path);
    purge(cs);
    CHECK_INT(number(cs, "SELECT count(*) FROM image"), 2);
    CHECK_STR(search(cs, "a", "dog", 10), "2");
    check_sound(cs);
    collections_close(cs);
}

/* ---- files ---- */

static void test_reopen(void)
{
    struct collections *cs = open_new();
    struct collection_hits hits;
    struct stat st;
    CHECK_INT(put_words(cs, "a", "1", 11, "dog"), OK);
    CHECK_INT(put_words(cs, "a", "2", 12, "cat"), OK);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    collections_close(cs);
    cs = open_at(path);
    CHECK_INT(collections_candidates(cs, model, T("a"), T("cats"), 10, &hits, &e), OK);
    CHECK(hits.n == 2 && is_image(&hits.hits[0], 12) && is_image(&hits.hits[1], 11));
    collection_hits_release(&hits);
    check_sound(cs);
    collections_close(cs);
}

/* Names that SQLite would take for something else than a file. */
static void test_special_paths(void)
{
    static const char *const names[] = {":memory:", "file:x?mode=memory", "%41"};
    char before[512];
    CHECK(getcwd(before, sizeof(before)) && chdir(folder) == 0);
    for (int i = 0; i < 3; i++) {
        struct collections *cs = open_at(names[i]);
        CHECK_INT(put_words(cs, "a", "1", 1, "x"), OK);
        collections_close(cs);
        CHECK(access(names[i], F_OK) == 0);
    }
    CHECK(chdir(before) == 0);
    struct collections *cs = NULL;
    CHECK_INT(collections_open(&cs, "", NULL, &e), ERR_BAD_CONFIG);
    CHECK_INT(collections_open(&cs, "/tmp/none/such/c.db", NULL, &e), ERR_IO);
    CHECK(strstr(e.text, "/tmp/none/such/c.db") && strstr(e.text, "No such file"));
    CHECK_INT(collections_open(&cs, folder, NULL, &e), ERR_IO);
    CHECK(!cs);
}

static enum err open_put_search(void *arg)
{
    struct collections *cs;
    struct collection_hits hits;
    (void)arg;
    enum err rc = collections_open(&cs, path, NULL, &e);
    if (rc == OK) {
        rc = put_words(cs, "a", "1", 1, "dog");
        if (rc == OK) {
            rc = collections_candidates(cs, model, T("a"), T("dog cat"), 10, &hits, &e);
            CHECK(rc == OK || (!hits.hits && hits.n == 0));
            collection_hits_release(&hits);
        }
        collections_close(cs);
    }
    return rc;
}

int main(void)
{
    folder_make();
    test_put_and_read_back();
    test_no_collection();
    test_limits();
    test_names();
    test_keys();
    test_list();
    test_names_and_drop();
    test_drop_goes_on();
    test_reopen();
    test_special_paths();
    CHECK(torture(open_put_search, NULL) >= 4);
    folder_remove();
    return check_result();
}
