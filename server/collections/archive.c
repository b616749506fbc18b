#include "server/collections/archive.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "server/collections/archive_errand.h"
#include "server/collections/collection_private.h"

#include <pthread.h>
#include <string.h>

enum { THREADS = 1 + ARCHIVE_READERS, WRITER = 0, WRITES_EACH = 8 /* writes between slices of purging */ };

struct worker {
    struct archive *archive;
    pthread_t thread;
    bool is_started;
    struct collections *collections;
    struct archive_errand *running; /* guarded by the lock */
};

struct archive {
    struct archive_options options;
    struct worker workers[THREADS];
    pthread_mutex_t lock;
    pthread_cond_t wake[2];         /* something to read, something to write */
    struct archive_queue queues[2]; /* guarded by lock, as all below */
    struct archive_errand *done, **done_end;
    bool is_locked, is_writable;
    atomic_bool is_closing; /* set under the lock */
};

static struct archive_errand *errand_of(struct archive_queue_item *item)
{
    return item ? (struct archive_errand *)((char *)item - offsetof(struct archive_errand, item)) : NULL;
}

/* ---- threads ---- */

/* With the lock held. */
static void finish(struct archive *a, struct archive_errand *r)
{
    r->stage = ARCHIVE_DONE;
    r->next = NULL;
    *a->done_end = r;
    a->done_end = &r->next;
}

/* With the lock held. */
static void finish_unbegun(struct archive *a, struct archive_errand *r, enum err err, const char *why)
{
    r->task.err = err_set(&r->task.error, err, "%s", why);
    r->task.waited_us = a->options.now_us() - r->submitted_us;
    finish(a, r);
}

/* With the lock held, which it gives away meanwhile. */
static void run(struct archive *a, struct worker *w, struct archive_errand *r)
{
    struct archive_task *t = &r->task;
    uint64_t now = a->options.now_us();
    if (r->item.deadline_us <= now) {
        finish_unbegun(a, r, ERR_DEADLINE, "the deadline passed before the collection could answer");
        return;
    }
    r->stage = ARCHIVE_RUNNING;
    w->running = r;
    pthread_mutex_unlock(&a->lock);
    t->waited_us = now - r->submitted_us;
    t->err = archive_errand_work(r, w->collections);
    t->ran_us = a->options.now_us() - now;
    pthread_mutex_lock(&a->lock);
    w->running = NULL;
    if (archive_errand_is_write(t->kind)) {
        a->is_locked = t->err == ERR_BUSY;
        a->is_writable = t->err != ERR_UNAVAILABLE && t->err != ERR_DISK_FULL && (a->is_writable || !t->err);
    }
    if (t->err == ERR_CANCELLED && atomic_load(&a->is_closing)) {
        t->err = err_set(&t->error, ERR_DRAINING, "the service is shutting down");
    }
    finish(a, r);
}

enum purging { PURGING_NOTHING, PURGING_MORE, PURGING_FAILED };

/* One slice; with the lock held, which it gives away meanwhile. */
static enum purging purge(struct archive *a, struct worker *w)
{
    const struct collection_limits limits = {0, &a->is_closing};
    struct errbuf e = {""};
    bool more;
    pthread_mutex_unlock(&a->lock);
    collections_limit(w->collections, &limits);
    enum err rc = collections_purge(w->collections, &more, &e);
    if (rc && rc != ERR_CANCELLED) {
        log_limited(LOG_WARN, LOG_HERE, "collections_purge_failed", LOG_STR("reason", errbuf_text(&e, rc)));
    }
    pthread_mutex_lock(&a->lock);
    return rc ? PURGING_FAILED : more ? PURGING_MORE : PURGING_NOTHING;
}

/* Tells the loop thread; with the lock held, which it gives away meanwhile. */
static void tell(struct archive *a)
{
    pthread_mutex_unlock(&a->lock);
    a->options.wake(a->options.user);
    pthread_mutex_lock(&a->lock);
}

static void *serve(void *user)
{
    struct worker *w = user;
    struct archive *a = w->archive;
    const bool writes = w == &a->workers[WRITER];
    enum purging purging = writes ? PURGING_MORE : PURGING_NOTHING; /* what a drop left behind in an earlier life */
    struct archive_queue *q = &a->queues[writes];
    pthread_mutex_lock(&a->lock);
    for (int n = 1;; n++) {
        struct archive_errand *r = errand_of(archive_queue_pop(q));
        if (r) {
            run(a, w, r);
            if (!r->task.err && (r->task.kind == ARCHIVE_DROP || purging == PURGING_FAILED)) {
                purging = PURGING_MORE;
            }
            tell(a);
        } else if (atomic_load(&a->is_closing)) {
            break;
        }
        if (purging == PURGING_MORE && (!r || n % WRITES_EACH == 0)) {
            purging = purge(a, w);
        } else if (!r && q->n == 0) {
            pthread_cond_wait(&a->wake[writes], &a->lock);
        }
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- life ---- */

static enum err start(struct archive *a, struct errbuf *e)
{
    enum err rc = OK;
    for (int i = 0; i < THREADS && !rc; i++) {
        struct worker *w = &a->workers[i];
        rc = thread_start(&w->thread, i == WRITER ? "archive-write" : "archive-read", serve, w);
        w->is_started = !rc;
    }
    return rc ? err_set(e, ERR_INTERNAL, "cannot start the threads of the collections: %s", err_text(rc)) : OK;
}

enum err archive_open(struct archive **out, const struct archive_options *options, struct errbuf *e)
{
    struct archive *a;
    enum err rc = mem_alloc(&a, sizeof(*a));
    *out = NULL;
    if (rc) {
        return rc;
    }
    a->options = *options;
    a->options.now_us = options->now_us ? options->now_us : clock_us;
    a->done_end = &a->done;
    a->is_writable = true;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wake[0], NULL);
    pthread_cond_init(&a->wake[1], NULL);
    for (int i = 0; i < THREADS && !rc; i++) {
        a->workers[i].archive = a;
        rc = i == WRITER ? collections_open(&a->workers[i].collections, options->path, a->options.now_us, e)
                         : collections_open_reader(&a->workers[i].collections, a->workers[WRITER].collections, e);
    }
    rc = rc ? rc : start(a, e);
    if (rc) {
        archive_close(a);
        return rc;
    }
    *out = a;
    return OK;
}

static void begin_closing(struct archive *a)
{
    pthread_mutex_lock(&a->lock);
    atomic_store(&a->is_closing, true);
    for (int i = 0; i < 2; i++) {
        struct archive_errand *r;
        while ((r = errand_of(archive_queue_pop(&a->queues[i])))) {
            finish_unbegun(a, r, ERR_DRAINING, "the service is shutting down");
        }
        pthread_cond_broadcast(&a->wake[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        if (a->workers[i].running) {
            atomic_store(&a->workers[i].running->is_cancelled, true);
        }
    }
    pthread_mutex_unlock(&a->lock);
}

void archive_close(struct archive *a)
{
    if (!a) {
        return;
    }
    begin_closing(a);
    for (int i = 0; i < THREADS; i++) {
        if (a->workers[i].is_started) {
            pthread_join(a->workers[i].thread, NULL);
        }
    }
    archive_reap(a, a->options.now_us());
    for (int i = THREADS - 1; i >= 0; i--) {
        collections_close(a->workers[i].collections);
    }
    pthread_cond_destroy(&a->wake[0]);
    pthread_cond_destroy(&a->wake[1]);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

/* ---- submitting ---- */

enum err archive_check(struct collection_text name, struct collection_text key, struct errbuf *e)
{
    enum err rc = collection_name_check(name, e);
    return rc ? rc : collection_name_check_new_key(key, e);
}

static enum err add(struct archive *a, struct archive_errand *r, struct errbuf *e)
{
    const bool writes = archive_errand_is_write(r->task.kind);
    enum err rc = OK;
    pthread_mutex_lock(&a->lock);
    if (atomic_load(&a->is_closing)) {
        rc = err_set(e, ERR_DRAINING, "the service is shutting down");
    } else if (a->queues[0].n + a->queues[1].n >= ARCHIVE_MAX_WAITING) {
        rc = err_set(e, ERR_OVERLOADED, "%d calls to collections wait already; try again", ARCHIVE_MAX_WAITING);
    } else if (!archive_queue_add(&a->queues[writes], &r->item, ARCHIVE_CLIENT_WAITING)) {
        rc = err_set(e, ERR_OVERLOADED, "%d calls of yours to collections wait already; wait for their answers",
                     ARCHIVE_CLIENT_WAITING);
    } else {
        pthread_cond_signal(&a->wake[writes]);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

enum err archive_submit(struct archive *a, const struct archive_request *request, struct archive_task **out,
                        struct errbuf *e)
{
    struct archive_errand *r;
    *out = NULL;
    enum err rc = archive_errand_create(&r, request, e);
    if (rc) {
        return rc;
    }
    r->submitted_us = a->options.now_us();
    *out = &r->task;
    rc = add(a, r, e);
    if (rc) {
        *out = NULL;
        archive_errand_destroy(r);
    }
    return rc;
}

void archive_cancel(struct archive *a, struct archive_task *t)
{
    struct archive_errand *r = (struct archive_errand *)t;
    bool is_done = false;
    pthread_mutex_lock(&a->lock);
    atomic_store(&r->is_cancelled, true);
    if (r->stage == ARCHIVE_WAITING && archive_queue_remove(&a->queues[archive_errand_is_write(t->kind)], &r->item)) {
        finish_unbegun(a, r, ERR_CANCELLED, "the client no longer waits for the collection's answer");
        is_done = true;
    }
    pthread_mutex_unlock(&a->lock);
    if (is_done) {
        a->options.wake(a->options.user);
    }
}

uint64_t archive_reap(struct archive *a, uint64_t now_us)
{
    uint64_t earliest = UINT64_MAX;
    pthread_mutex_lock(&a->lock);
    for (int i = 0; i < 2; i++) {
        struct archive_errand *late;
        while ((late = errand_of(archive_queue_pop_late(&a->queues[i], now_us)))) {
            finish_unbegun(a, late, ERR_DEADLINE, "the deadline passed before the collection could answer");
        }
        uint64_t next = archive_queue_earliest(&a->queues[i]);
        earliest = next < earliest ? next : earliest;
    }
    struct archive_errand *r = a->done;
    a->done = NULL;
    a->done_end = &a->done;
    pthread_mutex_unlock(&a->lock);
    while (r) {
        struct archive_errand *next = r->next;
        r->on_done(&r->task);
        archive_errand_destroy(r);
        r = next;
    }
    return earliest;
}

/* ---- figures ---- */

size_t archive_own_bytes(void)
{
    return sizeof(struct archive) + (size_t)THREADS * COLLECTION_CACHE_BYTES;
}

void archive_state(struct archive *a, struct archive_state *out)
{
    pthread_mutex_lock(&a->lock);
    *out = (struct archive_state){a->queues[0].n, a->queues[1].n, a->is_locked, a->is_writable};
    pthread_mutex_unlock(&a->lock);
}
