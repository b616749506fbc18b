#include "server/collections/archive.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/collections/archive_queue.h"
#include "server/collections/collection_private.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 1 + ARCHIVE_READERS, WRITER = 0, WRITES_EACH = 8 /* writes between slices of purging */ };

enum stage { STAGE_WAITING, STAGE_RUNNING, STAGE_DONE };

/* A task and all it owns. */
struct errand {
    struct archive_task task; /* first: archive_submit gives it, on_done gets it */
    struct archive_queue_item item;
    struct errand *next; /* done ones */
    enum stage stage;    /* guarded by the archive's lock */
    atomic_bool is_cancelled;
    archive_on_done *on_done;
    struct collection_text query;
    uint64_t max_images;
    int limit;
    uint64_t submitted_us;
    void *texts, *features; /* copies that query, image.words, image.features point into */
};

struct worker {
    struct archive *archive;
    pthread_t thread;
    bool is_started;
    struct collections *collections;
    struct errand *running; /* guarded by the lock */
};

struct archive {
    struct archive_options options;
    struct worker workers[THREADS];
    pthread_mutex_t lock;
    pthread_cond_t wake[2];         /* something to read, something to write */
    struct archive_queue queues[2]; /* guarded by lock, as all below */
    struct errand *done, **done_end;
    bool is_locked, is_writable;
    atomic_bool is_closing; /* set under the lock */
};

static bool is_write(enum archive_kind kind)
{
    return kind >= ARCHIVE_PUT;
}

static struct errand *errand_of(struct archive_queue_item *item)
{
    return item ? (struct errand *)((char *)item - offsetof(struct errand, item)) : NULL;
}

static void errand_destroy(struct errand *r)
{
    collection_hits_release(&r->task.hits);
    mem_free(r->task.names);
    mem_free(r->task.entries);
    mem_free(r->texts);
    mem_free(r->features);
    mem_free(r);
}

/* ---- the work, on a thread of the archive ---- */

static void add_name(const char *name, const struct collection_count *count, void *user)
{
    struct archive_task *t = user;
    if (t->n_names < COLLECTION_LIMIT) {
        struct archive_name *n = &t->names[t->n_names++];
        snprintf(n->name, sizeof(n->name), "%s", name);
        n->count = *count;
    }
}

static void add_entry(const struct collection_entry *from, void *user)
{
    struct archive_task *t = user;
    struct archive_entry *to = &t->entries[t->n_entries++];
    memcpy(to->key, from->key.text, from->key.n);
    to->n_key = from->key.n;
    memcpy(to->id, from->id, COLLECTION_ID_BYTES);
    to->width = from->width;
    to->height = from->height;
    to->is_stale = from->is_stale;
}

static enum err read_names(struct archive_task *t, struct collections *cs)
{
    enum err rc = mem_array(&t->names, COLLECTION_LIMIT, sizeof(*t->names));
    return rc == OK ? collections_names(cs, &t->model, add_name, t, &t->error) : rc;
}

static enum err read_entries(struct errand *r, struct collections *cs)
{
    struct archive_task *t = &r->task;
    enum err rc = mem_array(&t->entries, (size_t)r->limit, sizeof(*t->entries));
    if (rc == OK) {
        rc = collections_list(cs, &t->model, collection_text(t->name), collection_text(t->key), r->limit, add_entry, t,
                              &t->count, &t->error);
    }
    t->found = t->count.found;
    return rc;
}

static enum err search(struct errand *r, struct collections *cs)
{
    struct archive_task *t = &r->task;
    enum err rc =
        collections_candidates(cs, &t->model, collection_text(t->name), r->query, r->limit, &t->hits, &t->error);
    t->found = t->hits.found;
    return rc;
}

static enum err work_limited(struct errand *r, struct collections *cs)
{
    struct archive_task *t = &r->task;
    struct collection_text name = collection_text(t->name), key = collection_text(t->key);
    switch (t->kind) {
    case ARCHIVE_NAMES:
        return read_names(t, cs);
    case ARCHIVE_LIST:
        return read_entries(r, cs);
    case ARCHIVE_SEARCH:
        return search(r, cs);
    case ARCHIVE_PUT:
        return collections_put(cs, &t->model, name, key, &t->image, r->max_images, &t->replaced, &t->error);
    case ARCHIVE_REMOVE:
        return collections_remove(cs, name, key, &t->found, &t->error);
    case ARCHIVE_DROP:
        return collections_drop(cs, name, &t->found, &t->error);
    }
    BUG_ON(true);
}

static enum err work(struct errand *r, struct collections *cs)
{
    const struct collection_limits none = {0, NULL};
    const struct collection_limits limits = {r->item.deadline_us == UINT64_MAX ? 0 : r->item.deadline_us,
                                             &r->is_cancelled};
    collections_limit(cs, &limits);
    enum err rc = work_limited(r, cs);
    collections_limit(cs, &none);
    return rc;
}

/* ---- threads ---- */

/* With the lock held. */
static void finish(struct archive *a, struct errand *r)
{
    r->stage = STAGE_DONE;
    r->next = NULL;
    *a->done_end = r;
    a->done_end = &r->next;
}

/* With the lock held. */
static void finish_unbegun(struct archive *a, struct errand *r, enum err err, const char *why)
{
    r->task.err = err_set(&r->task.error, err, "%s", why);
    r->task.waited_us = a->options.now_us() - r->submitted_us;
    finish(a, r);
}

/* With the lock held, which it gives away meanwhile. */
static void run(struct archive *a, struct worker *w, struct errand *r)
{
    struct archive_task *t = &r->task;
    uint64_t now = a->options.now_us();
    if (r->item.deadline_us <= now) {
        finish_unbegun(a, r, ERR_DEADLINE, "the deadline passed before the collection could answer");
        return;
    }
    r->stage = STAGE_RUNNING;
    w->running = r;
    pthread_mutex_unlock(&a->lock);
    t->waited_us = now - r->submitted_us;
    t->err = work(r, w->collections);
    t->ran_us = a->options.now_us() - now;
    pthread_mutex_lock(&a->lock);
    w->running = NULL;
    if (is_write(t->kind)) {
        a->is_locked = t->err == ERR_BUSY;
        a->is_writable = t->err != ERR_UNAVAILABLE && (a->is_writable || t->err == OK);
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
    if (rc != OK && rc != ERR_CANCELLED) {
        log_limited(LOG_WARN, LOG_HERE, "collections_purge_failed", LOG_STR("reason", errbuf_text(&e, rc)));
    }
    pthread_mutex_lock(&a->lock);
    return rc != OK ? PURGING_FAILED : more ? PURGING_MORE : PURGING_NOTHING;
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
        struct errand *r = errand_of(archive_queue_take(q));
        if (r) {
            run(a, w, r);
            if (r->task.err == OK && (r->task.kind == ARCHIVE_DROP || purging == PURGING_FAILED)) {
                purging = PURGING_MORE;
            }
            tell(a);
        } else if (atomic_load(&a->is_closing)) {
            break;
        }
        if (purging == PURGING_MORE && (!r || n % WRITES_EACH == 0)) {
            purging = purge(a, w);
        } else if (!r && !q->first) {
            pthread_cond_wait(&a->wake[writes], &a->lock);
        }
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- life ---- */

static enum err start(struct archive *a, struct errbuf *e)
{
    sigset_t all, before;
    int rc = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < THREADS && rc == 0; i++) {
        struct worker *w = &a->workers[i];
        rc = pthread_create(&w->thread, NULL, serve, w);
        w->is_started = rc == 0;
        if (w->is_started) {
            pthread_setname_np(w->thread, i == WRITER ? "archive-write" : "archive-read");
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? err_set(e, ERR_INTERNAL, "cannot start the threads of the collections: %s", strerrordesc_np(rc)) : OK;
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
    for (int i = 0; i < THREADS && rc == OK; i++) {
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
        struct errand *r;
        while ((r = errand_of(archive_queue_take(&a->queues[i])))) {
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

static enum err check(const struct archive_request *r, struct errbuf *e)
{
    bool has_key = r->kind == ARCHIVE_PUT || r->kind == ARCHIVE_REMOVE || (r->kind == ARCHIVE_LIST && r->key.n);
    enum err rc = r->kind == ARCHIVE_NAMES ? OK : collection_name_check(r->name, e);
    if (rc == OK && has_key) {
        rc = collection_name_check_key(r->key, e);
    }
    if (rc == OK && r->kind == ARCHIVE_PUT) {
        const struct collection_put p = {&r->model, r->name, r->key, r->image, r->max_images};
        rc = collection_fill_check(&p, e);
    }
    BUG_ON(r->kind == ARCHIVE_LIST && (r->limit < 1 || r->limit > ARCHIVE_LIST_MAX));
    BUG_ON(r->kind == ARCHIVE_SEARCH && (r->limit < 0 || r->limit > ARCHIVE_SEARCH_MAX));
    return rc;
}

/* What is copied of the texts. */
static struct collection_text text_of(const struct archive_request *r)
{
    struct collection_text text = {NULL, 0};
    if (r->kind == ARCHIVE_SEARCH) {
        text = r->query;
        text.n = text.n > COLLECTION_QUERY_MAX ? COLLECTION_QUERY_MAX : text.n;
    } else if (r->kind == ARCHIVE_PUT) {
        text = r->image->words;
    }
    return text;
}

static enum err copy(struct errand *to, const struct archive_request *r)
{
    struct archive_task *t = &to->task;
    const struct collection_text text = text_of(r);
    t->kind = r->kind;
    t->user = r->user;
    t->model = r->model;
    snprintf(t->name, sizeof(t->name), "%.*s", (int)r->name.n, r->name.n ? r->name.text : "");
    snprintf(t->key, sizeof(t->key), "%.*s", (int)r->key.n, r->key.n ? r->key.text : "");
    to->item =
        (struct archive_queue_item){.client = r->client, .deadline_us = r->deadline_us ? r->deadline_us : UINT64_MAX};
    to->on_done = r->on_done;
    to->max_images = r->max_images;
    to->limit = r->limit;
    enum err rc = mem_alloc(&to->texts, text.n + 1);
    if (rc == OK && text.n) {
        memcpy(to->texts, text.text, text.n);
    }
    if (rc == OK && r->kind == ARCHIVE_SEARCH) {
        to->query = (struct collection_text){to->texts, text.n};
    } else if (rc == OK && r->kind == ARCHIVE_PUT) {
        t->image = *r->image;
        t->image.words = (struct collection_text){to->texts, text.n};
        rc = mem_alloc(&to->features, r->image->features_bytes);
        t->image.features = to->features;
        if (rc == OK) {
            memcpy(to->features, r->image->features, r->image->features_bytes);
        }
    }
    return rc;
}

static enum err add(struct archive *a, struct errand *r, struct errbuf *e)
{
    const bool writes = is_write(r->task.kind);
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
    struct errand *r;
    *out = NULL;
    enum err rc = check(request, e);
    if (rc == OK) {
        rc = mem_alloc(&r, sizeof(*r));
    }
    if (rc != OK) {
        return rc;
    }
    r->submitted_us = a->options.now_us();
    rc = copy(r, request);
    if (rc == OK) {
        *out = &r->task;
        rc = add(a, r, e);
    }
    if (rc != OK) {
        *out = NULL;
        errand_destroy(r);
    }
    return rc;
}

void archive_cancel(struct archive *a, struct archive_task *t)
{
    struct errand *r = (struct errand *)t;
    bool is_done = false;
    pthread_mutex_lock(&a->lock);
    atomic_store(&r->is_cancelled, true);
    if (r->stage == STAGE_WAITING && archive_queue_remove(&a->queues[is_write(t->kind)], &r->item)) {
        finish_unbegun(a, r, ERR_CANCELLED, "nobody waits for the collection's answer any more");
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
        struct errand *late;
        while ((late = errand_of(archive_queue_take_late(&a->queues[i], now_us)))) {
            finish_unbegun(a, late, ERR_DEADLINE, "the deadline passed before the collection could answer");
        }
        uint64_t next = archive_queue_earliest(&a->queues[i]);
        earliest = next < earliest ? next : earliest;
    }
    struct errand *r = a->done;
    a->done = NULL;
    a->done_end = &a->done;
    pthread_mutex_unlock(&a->lock);
    while (r) {
        struct errand *next = r->next;
        r->on_done(&r->task);
        errand_destroy(r);
        r = next;
    }
    return earliest;
}

/* ---- figures ---- */

size_t archive_request_bytes(const struct archive_request *r)
{
    size_t bytes = sizeof(struct errand) + text_of(r).n + 1;
    switch (r->kind) {
    case ARCHIVE_NAMES:
        return bytes + COLLECTION_LIMIT * sizeof(struct archive_name);
    case ARCHIVE_LIST:
        return bytes + (size_t)r->limit * sizeof(struct archive_entry);
    case ARCHIVE_SEARCH:
        return bytes + collection_hits_bytes(r->limit, r->model.features_bytes);
    case ARCHIVE_PUT:
        return bytes + r->image->features_bytes;
    default:
        return bytes;
    }
}

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
