/* The archive with real threads and a real file; its clock is the test's, and a lock of a second connection holds the
 * writer where the test wants it. */
#include "tests/unit/server/collections/test_archive.h"

#include "tests/support/torture.h"

static void test_life(void)
{
    struct archive *a = open_archive();
    struct archive_state state;
    put(a, "k1", 1, 1, 0);
    put(a, "k2", 2, 2, 0);
    put(a, "k1", 3, 3, 0);
    wait_for(a, 3);
    CHECK(result(1)->err == OK && !result(1)->replaced && result(3)->err == OK && result(3)->replaced);
    submit(a, (struct archive_request){.kind = ARCHIVE_NAMES}, 4, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_LIST, .name = T("c"), .key = T("k1"), .limit = 10}, 5, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_LIST, .name = T("none"), .limit = 10}, 6, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_SEARCH, .name = T("c"), .query = T("dog"), .limit = 5}, 7, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_SEARCH, .name = T("none"), .query = T("dog"), .limit = 5}, 8, 0);
    wait_for(a, 8);
    CHECK(result(4)->err == OK && result(4)->n_names == 1);
    CHECK(result(5)->found && result(5)->n_entries == 1 && result(5)->count.n_images == 2);
    CHECK(result(6)->err == OK && !result(6)->found);
    CHECK(result(7)->found && result(7)->n_hits == 2 && result(7)->seed == 3);
    CHECK(result(8)->err == OK && !result(8)->found && result(8)->n_hits == 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_REMOVE, .name = T("c"), .key = T("k1")}, 9, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_REMOVE, .name = T("c"), .key = T("k1")}, 10, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_DROP, .name = T("c")}, 11, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_DROP, .name = T("c")}, 12, 0);
    wait_for(a, 12);
    CHECK(result(9)->found && !result(10)->found && result(11)->found && !result(12)->found);
    archive_state(a, &state);
    CHECK(state.n_waiting_reads == 0 && state.n_waiting_writes == 0 && !state.is_locked && state.is_writable);
    archive_close(a);
    archive_close(NULL);
    struct collections *cs = open_at(path);
    purge(cs);
    check_sound(cs);
    collections_close(cs);
}

static void test_refused(void)
{
    struct archive *a = open_archive();
    struct archive_task *t;
    static char long_key[COLLECTION_KEY_MAX + 2];
    memset(long_key, 'k', sizeof(long_key) - 1);
    CHECK_INT(submit_as(a, (struct archive_request){.kind = ARCHIVE_DROP, .name = T("a b")}, 0, 0, &t),
              ERR_BAD_REQUEST);
    CHECK(!t && e.text[0]);
    CHECK_INT(submit_as(a, (struct archive_request){.kind = ARCHIVE_PUT, .name = T("c"), .key = T(long_key)}, 0, 0, &t),
              ERR_BAD_REQUEST);
    CHECK_INT(submit_as(a, (struct archive_request){.kind = ARCHIVE_LIST, .name = T("c"), .key = T("\xff"), .limit = 1},
                        0, 0, &t),
              ERR_BAD_REQUEST);
    CHECK_INT(submit_as(a,
                        (struct archive_request){
                            .kind = ARCHIVE_PUT,
                            .name = T("c"),
                            .key = T("k"),
                            .model = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", BLOCK + 4}},
                        0, 0, &t),
              ERR_INTERNAL);
    archive_close(a);
    CHECK_INT(n_done, 0);
}

/* A write that waits for a lock holds up no read, and gives up at its deadline; those behind it come back in time. */
static void test_locked(void)
{
    struct archive *a = open_archive();
    struct archive_state state;
    put(a, "k1", 1, 1, 0);
    wait_for(a, 1);
    sqlite3 *other = lock_it();
    for (intptr_t i = 2; i <= 13; i++) {
        struct archive_request r = {.kind = ARCHIVE_PUT, .name = T("c"), .key = T("k"), .deadline_us = 3000000};
        r.deadline_us = i == 13 ? 2000000 : 3000000;
        submit(a, r, i, 1);
    }
    wait_until_begun(a, 11);
    submit(a, (struct archive_request){.kind = ARCHIVE_LIST, .name = T("c"), .limit = 10}, 20, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_SEARCH, .name = T("c"), .query = T("dog"), .limit = 5}, 21, 0);
    wait_for(a, 3);
    CHECK(result(20)->count.n_images == 1 && result(21)->seed == 1);
    CHECK_INT(archive_reap(a, clock_of_test()), 2000000);
    atomic_store(&now, 2000000);
    CHECK_INT(archive_reap(a, clock_of_test()), 3000000); /* one is late, and is told so though the writer waits */
    CHECK_INT(n_done, 4);
    CHECK_INT(result(13)->err, ERR_DEADLINE);
    atomic_store(&now, 3000000);
    wait_for(a, 15);
    CHECK_INT(result(2)->err, ERR_BUSY); /* it had begun */
    for (intptr_t i = 3; i <= 12; i++) {
        CHECK_INT(result(i)->err, ERR_DEADLINE);
    }
    archive_state(a, &state);
    CHECK(state.is_locked);
    unlock_it(other);
    put(a, "k2", 1, 30, 0);
    wait_for(a, 16);
    CHECK_INT(result(30)->err, OK);
    archive_state(a, &state);
    CHECK(!state.is_locked);
    archive_close(a);
}

/* A lock without deadlines: the first waits as long as is allowed, those behind it not at all. */
static void test_locked_for_ever(void)
{
    struct archive *a = open_archive();
    put(a, "k1", 1, 0, 0);
    wait_for(a, 1);
    sqlite3 *other = lock_it();
    for (intptr_t i = 1; i <= 12; i++) {
        put(a, "k", 1, i, (uint64_t)i);
    }
    wait_until_begun(a, 11);
    while (n_done < 13) { /* the clock goes on, whenever it was that the writer met the lock */
        atomic_fetch_add(&now, 10000);
        archive_reap(a, clock_of_test());
        sched_yield();
    }
    for (intptr_t i = 1; i <= 12; i++) {
        CHECK_INT(result(i)->err, ERR_BUSY);
    }
    unlock_it(other);
    archive_close(a);
}

static void test_turns(void)
{
    struct archive *a = open_archive();
    struct archive_task *t;
    put(a, "k1", 1, 0, 9);
    wait_for(a, 1);
    sqlite3 *other = lock_it();
    put(a, "k1", 1, 1, 1);
    wait_until_begun(a, 0);
    for (intptr_t i = 0; i < ARCHIVE_CLIENT_WAITING; i++) {
        put(a, "k1", 1, 100 + i, 1);
    }
    CHECK_INT(submit_as(a, (struct archive_request){.kind = ARCHIVE_DROP, .name = T("c"), .client = 1}, 7, 0, &t),
              ERR_OVERLOADED);
    CHECK(!t && strstr(e.text, "64"));
    put(a, "k2", 1, 2, 2);
    put(a, "k3", 1, 3, 3);
    unlock_it(other);
    wait_for(a, 1 + 1 + ARCHIVE_CLIENT_WAITING + 2);
    for (int i = 0; i < n_done; i++) {
        CHECK_INT(done[i].err, OK);
        CHECK(done[i].number != 2 || i <= 4);
        CHECK(done[i].number != 3 || i <= 4);
        CHECK(done[i].number < 100 || i == 0 || done[i - 1].number < done[i].number);
    }
    archive_close(a);
}

static void test_full(void)
{
    struct archive *a = open_archive();
    struct archive_task *t;
    put(a, "k1", 1, 0, 9);
    wait_for(a, 1);
    sqlite3 *other = lock_it();
    put(a, "k1", 1, 1, 9);
    wait_until_begun(a, 0);
    struct archive_request r = {.kind = ARCHIVE_REMOVE, .name = T("c"), .key = T("none"), .deadline_us = 2000000};
    int n = 0;
    enum err rc;
    do {
        r.client = (uint64_t)(n / ARCHIVE_CLIENT_WAITING);
        rc = submit_as(a, r, 50, 0, &t);
        n += rc == OK;
    } while (rc == OK && n < 2 * ARCHIVE_MAX_WAITING);
    CHECK_INT(rc, ERR_OVERLOADED);
    CHECK_INT(n, ARCHIVE_MAX_WAITING);
    unlock_it(other);
    archive_close(a);
    CHECK_INT(n_done, 2 + ARCHIVE_MAX_WAITING);
}

static int n_cancelled;

static void on_cancelled(struct archive_task *t)
{
    CHECK(t->err == ERR_CANCELLED || t->err == ERR_DRAINING || t->err == ERR_BUSY);
    n_cancelled++;
}

static void test_cancel(void)
{
    struct archive *a = open_archive();
    struct archive_task *waiting, *running;
    put(a, "k1", 1, 0, 0);
    wait_for(a, 1);
    sqlite3 *other = lock_it();
    CHECK_INT(
        submit_as(a, (struct archive_request){.kind = ARCHIVE_REMOVE, .name = T("c"), .key = T("k1")}, 1, 0, &running),
        OK);
    wait_until_begun(a, 0);
    CHECK_INT(submit_as(a, (struct archive_request){.kind = ARCHIVE_DROP, .name = T("c")}, 2, 0, &waiting), OK);
    archive_cancel(a, waiting);
    wait_for(a, 2); /* at once, though the writer waits */
    CHECK_INT(result(2)->err, ERR_CANCELLED);
    archive_cancel(a, running);
    wait_for(a, 3);
    CHECK_INT(result(1)->err, ERR_BUSY);
    unlock_it(other);
    submit(a, (struct archive_request){.kind = ARCHIVE_LIST, .name = T("c"), .limit = 10}, 3, 0);
    wait_for(a, 4);
    CHECK_INT(result(3)->count.n_images, 1); /* nothing was removed */
    archive_close(a);
}

/* It ends at once although the file is locked, and everything comes back. */
static void test_close(void)
{
    struct archive *a = open_archive();
    put(a, "k1", 1, 0, 0);
    wait_for(a, 1);
    sqlite3 *other = lock_it();
    n_cancelled = 0;
    for (int i = 0; i < 20; i++) {
        struct archive_request r = {.kind = ARCHIVE_REMOVE, .name = T("c"), .key = T("k1"), .on_done = on_cancelled};
        struct archive_task *t;
        CHECK_INT(archive_submit(a, &r, &t, &e), OK);
    }
    wait_until_begun(a, 19);
    archive_close(a);
    CHECK_INT(n_cancelled, 20);
    unlock_it(other);
}

/* Works of two models in one file at once: each sees its own, neither the other's. */
static void test_two_models(void)
{
    struct archive *a = open_archive();
    struct archive_request r = {.name = T("c"), .query = T("dog"), .limit = 100};
    for (intptr_t i = 0; i < 40; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", (int)i);
        r.kind = ARCHIVE_PUT;
        r.key = T(key);
        r.model = i % 2 ? model_b : model_a;
        submit(a, r, i, i % 2 ? 11 : 21);
    }
    wait_for(a, 40);
    for (intptr_t i = 0; i < 20; i++) {
        r.kind = ARCHIVE_SEARCH;
        r.key = T("");
        r.model = i % 2 ? model_b : model_a;
        submit(a, r, 100 + i, 0);
    }
    wait_for(a, 60);
    for (intptr_t i = 0; i < 20; i++) {
        CHECK(result(100 + i)->err == OK && result(100 + i)->n_hits == 20);
        CHECK_INT(result(100 + i)->seed, i % 2 ? 11 : 21);
        CHECK(collection_model_equal(&result(100 + i)->model, i % 2 ? &model_b : &model_a));
    }
    r.kind = ARCHIVE_LIST;
    submit(a, r, 200, 0);
    wait_for(a, 61);
    CHECK(result(200)->count.n_images == 40 && result(200)->count.n_stale == 20);
    archive_close(a);
}

/* A put behind a drop does not wait for the rows of what was dropped. */
static void test_drop_in_slices(void)
{
    struct archive *a = open_archive();
    for (intptr_t i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", (int)i);
        put(a, key, 1, i, (uint64_t)i);
    }
    wait_for(a, 200);
    submit(a, (struct archive_request){.kind = ARCHIVE_DROP, .name = T("c")}, 1000, 0);
    put(a, "new", 1, 1001, 0);
    wait_for(a, 202);
    CHECK_INT(result(1001)->err, OK);
    sqlite3 *other;
    CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
    sqlite3_busy_timeout(other, 10000);
    struct collections look = {.db = other};
    while (number(&look, "SELECT count(*) FROM image") != 1) {
        sched_yield(); /* the test's time limit is the bound */
    }
    CHECK_INT(number(&look, "SELECT count(*) FROM features"), 1);
    sqlite3_close(other);
    archive_close(a);
}

/* The file is replaced and its log deleted while all threads work: everything comes back, and what is acknowledged
 * after the last change is there. */
static void test_replaced_under_load(void)
{
    struct archive *a = open_archive();
    char other[160], log_name[160];
    snprintf(other, sizeof(other), "%s.other", path);
    snprintf(log_name, sizeof(log_name), "%s-wal", path);
    for (intptr_t i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", (int)i);
        struct archive_request r = {.kind = i % 3 == 0   ? ARCHIVE_PUT
                                            : i % 3 == 1 ? ARCHIVE_SEARCH
                                                         : ARCHIVE_LIST,
                                    .name = T("c"),
                                    .query = T("a dog"),
                                    .key = T(key),
                                    .limit = 5,
                                    .client = (uint64_t)i};
        submit(a, r, i, 1);
        if (i % 60 == 30) {
            struct collections *cs = open_at(other);
            CHECK_INT(put_words(cs, "c", "restored", 1, "dog"), OK);
            collections_close(cs);
            CHECK(rename(other, path) == 0);
        } else if (i % 60 == 59) {
            unlink(log_name);
        }
        archive_reap(a, clock_of_test());
    }
    wait_for(a, 300);
    for (int i = 0; i < n_done; i++) {
        CHECK(done[i].err == OK || done[i].err == ERR_UNAVAILABLE);
    }
    put(a, "last", 1, 1000, 0);
    submit(a, (struct archive_request){.kind = ARCHIVE_LIST, .name = T("c"), .limit = 1000}, 1001, 0);
    wait_for(a, 302);
    CHECK(result(1000)->err == OK && result(1001)->err == OK);
    archive_close(a);
    struct collections *cs = open_at(path);
    CHECK_INT(number(cs, "SELECT count(*) FROM image WHERE key IN ('last', 'restored')"), 2);
    check_sound(cs);
    collections_close(cs);
}

static size_t live_before, promised;

static void on_weighed(struct archive_task *t)
{
    CHECK_INT(t->err, OK);
    CHECK(mem_live_bytes() - live_before <= promised);
    n_cancelled++;
}

static void test_memory(void)
{
    struct archive *a = open_archive();
    for (intptr_t i = 0; i < 70; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", (int)i);
        put(a, key, 1, i, (uint64_t)i);
    }
    wait_for(a, 70);
    static const enum archive_kind kinds[] = {ARCHIVE_NAMES, ARCHIVE_LIST, ARCHIVE_SEARCH, ARCHIVE_PUT, ARCHIVE_DROP};
    for (int i = 0; i < 5; i++) {
        struct collection_image image = image_of(1, "a dog");
        struct archive_request r = {.kind = kinds[i],
                                    .model = model_a,
                                    .name = T("c"),
                                    .key = T("k"),
                                    .query = T("a dog"),
                                    .image = &image,
                                    .limit = 64,
                                    .max_images = MANY,
                                    .on_done = on_weighed};
        struct archive_task *t;
        live_before = mem_live_bytes();
        promised = archive_request_bytes(&r);
        n_cancelled = 0;
        CHECK_INT(archive_submit(a, &r, &t, &e), OK);
        while (!n_cancelled) {
            CHECK(mem_live_bytes() - live_before <= promised);
            archive_reap(a, clock_of_test());
        }
    }
    CHECK(archive_own_bytes() > COLLECTION_CACHE_BYTES);
    archive_close(a);
}

static enum err open_and_submit(void *arg)
{
    static const struct archive_options options = {path, on_wake, NULL, clock_of_test};
    struct archive *a;
    (void)arg;
    n_done = 0;
    enum err rc = archive_open(&a, &options, &e);
    if (rc == OK) {
        rc = submit_as(a, (struct archive_request){.kind = ARCHIVE_PUT, .name = T("c"), .key = T("k")}, 1, 1, NULL);
        if (rc == OK) {
            wait_for(a, 1);
            rc = result(1)->err;
        }
        archive_close(a);
    }
    return rc;
}

int main(void)
{
    folder_make();
    test_life();
    test_refused();
    test_locked();
    test_locked_for_ever();
    test_turns();
    test_full();
    test_cancel();
    test_close();
    test_two_models();
    test_drop_in_slices();
    test_replaced_under_load();
    test_memory();
    folder_empty(folder);
    CHECK(torture(open_and_submit, NULL) >= 6);
    folder_remove();
    return check_result();
}
