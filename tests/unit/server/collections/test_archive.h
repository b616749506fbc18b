/* test_archive - the archive over a real file with the test's clock. What came of requests is recorded in `done`; a
 * lock of a second connection holds the writer where a test wants it.
 *
 * Threads: the archive's own; everything here is called by the test's. */
#ifndef TESTS_UNIT_SERVER_COLLECTIONS_TEST_ARCHIVE_H
#define TESTS_UNIT_SERVER_COLLECTIONS_TEST_ARCHIVE_H

#include "server/collections/archive.h"
#include "tests/unit/server/collections/test_collection.h"

#include <pthread.h>
#include <time.h>

enum { MAX_DONE = 400 };

static _Atomic uint64_t now;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static int wakes, wakes_seen;

static uint64_t clock_of_test(void)
{
    return atomic_load(&now);
}

static void on_wake(void *user)
{
    (void)user;
    pthread_mutex_lock(&lock);
    wakes++;
    pthread_cond_signal(&woken);
    pthread_mutex_unlock(&lock);
}

/* What came of a request, in the order of coming back. */
static struct done {
    intptr_t number;
    enum archive_kind kind;
    enum err err;
    bool found, replaced;
    int n_hits, n_entries, n_names;
    struct collection_count count;
    uint32_t seed; /* of the first hit, if its bytes are right; else 0 */
    struct collection_model model;
} done[MAX_DONE];
static int n_done;

/* The last place is for all that are too many. */
static void on_done(struct archive_task *t)
{
    struct done *d = &done[n_done < MAX_DONE - 1 ? n_done : MAX_DONE - 1];
    n_done++;
    *d = (struct done){(intptr_t)t->user, t->kind,    t->err,   t->found, t->replaced, t->hits.n,
                       t->n_entries,      t->n_names, t->count, 0,        t->model};
    CHECK(t->err == OK || t->error.text[0]);
    if (t->hits.n) {
        uint32_t seed;
        memcpy(&seed, t->hits.hits[0].id, sizeof(seed));
        d->seed = is_image(&t->hits.hits[0], seed) ? seed : 0;
    }
    for (int i = 0; i < t->n_entries; i++) {
        CHECK_INT(strlen(t->entries[i].key), t->entries[i].n_key);
    }
}

static struct archive *open_archive(void)
{
    static const struct archive_options options = {path, on_wake, NULL, clock_of_test};
    struct archive *a = NULL;
    folder_empty(folder);
    n_done = 0;
    wakes = wakes_seen = 0;
    atomic_store(&now, 1000000);
    errbuf_clear(&e);
    CHECK_INT(archive_open(&a, &options, &e), OK);
    if (!a) {
        fprintf(stderr, "%s\n", e.text);
        exit(check_result());
    }
    return a;
}

/* Reaps until this many have come back. */
static void wait_for(struct archive *a, int n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    for (int code = 0; code == 0 && n_done < n;) {
        archive_reap(a, clock_of_test());
        pthread_mutex_lock(&lock);
        while (code == 0 && n_done < n && wakes == wakes_seen) {
            code = pthread_cond_timedwait(&woken, &lock, &until);
        }
        wakes_seen = wakes;
        pthread_mutex_unlock(&lock);
    }
    archive_reap(a, clock_of_test());
    CHECK_INT(n_done, n);
}

static const struct done *result(intptr_t number)
{
    static const struct done missing = {.err = ERR_COUNT};
    for (int i = 0; i < n_done; i++) {
        if (done[i].number == number) {
            return &done[i];
        }
    }
    return &missing;
}

/* ---- requests ---- */

/* Everything it points to is overwritten before it returns: what the archive reads must be its own. */
static enum err submit_as(struct archive *a, struct archive_request r, intptr_t number, uint32_t seed,
                          struct archive_task **out)
{
    char *name = strndup(r.name.text ? r.name.text : "", r.name.n),
         *key = strndup(r.key.text ? r.key.text : "", r.key.n);
    char *query = strndup(r.query.text ? r.query.text : "", r.query.n);
    uint8_t *block = malloc(BLOCK);
    struct archive_task *task;
    struct collection_image image = image_of(seed, "");
    char *words = strdup(seed % 2 ? "a dog on the beach" : "two cats on a sofa");
    fill_block(block, seed);
    image.features = block;
    image.words = T(words);
    r.name.text = name;
    r.key.text = key;
    r.query.text = query;
    r.image = r.kind == ARCHIVE_PUT ? &image : NULL;
    r.max_images = MANY;
    r.model = r.model.features_bytes ? r.model : model_a;
    r.on_done = on_done;
    r.user = (void *)number;
    errbuf_clear(&e);
    enum err rc = archive_submit(a, &r, out ? out : &task, &e);
    memset(name, 'Z', r.name.n);
    memset(key, 'Z', r.key.n);
    memset(query, 'Z', r.query.n);
    memset(words, 'Z', strlen(words));
    memset(block, 'Z', BLOCK);
    free(name), free(key), free(query), free(words), free(block);
    return rc;
}

static void submit(struct archive *a, struct archive_request r, intptr_t number, uint32_t seed)
{
    CHECK_INT(submit_as(a, r, number, seed, NULL), OK);
}

static void put(struct archive *a, const char *key, uint32_t seed, intptr_t number, uint64_t client)
{
    submit(a, (struct archive_request){.kind = ARCHIVE_PUT, .name = T("c"), .key = T(key), .client = client}, number,
           seed);
}

static sqlite3 *lock_it(void)
{
    sqlite3 *other;
    CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return other;
}

static void unlock_it(sqlite3 *other)
{
    CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
}

/* The writer has begun something: it is no longer waiting. */
static void wait_until_begun(struct archive *a, int n_waiting)
{
    struct archive_state s;
    do {
        archive_state(a, &s);
        sched_yield();
    } while (s.n_waiting_writes > n_waiting);
}

#endif
