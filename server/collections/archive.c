#include "server/collections/archive.h"

#include "engine/base/bqueue.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

enum { MAX_WAITING = 1024, PATH_MAX_BYTES = 1024 };

struct archive {
    pthread_t thread;
    struct bqueue *waiting;
    struct loop *loop;
    struct collections *collections; /* the thread's; NULL after a reopening that failed */
    char path[PATH_MAX_BYTES];
    pthread_mutex_t lock;
    struct archive_task *done, **done_end; /* guarded by lock */
};

static void *run(void *user)
{
    struct archive *a = user;
    struct archive_task *t;
    while ((t = bqueue_pop(a->waiting))) {
        if (a->collections) {
            t->work(t, a->collections);
        } else {
            t->err = err_set(&t->error, ERR_IO, "the collections could not be opened for this model");
        }
        t->next = NULL;
        pthread_mutex_lock(&a->lock);
        *a->done_end = t;
        a->done_end = &t->next;
        pthread_mutex_unlock(&a->lock);
        loop_wake(a->loop);
    }
    return NULL;
}

static enum err start_thread(struct archive *a, struct errbuf *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&a->thread, NULL, run, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? err_set(e, ERR_INTERNAL, "cannot start the thread of the collections") : OK;
}

enum err archive_open(struct archive **out, const char *path, const char *model_sha256, size_t features_bytes,
                      struct loop *l, struct errbuf *e)
{
    struct archive *a;
    enum err rc = mem_alloc(&a, sizeof(*a));
    *out = NULL;
    if (rc) {
        return rc;
    }
    a->loop = l;
    a->done_end = &a->done;
    pthread_mutex_init(&a->lock, NULL);
    snprintf(a->path, sizeof(a->path), "%s", path);
    rc = bqueue_create(&a->waiting, MAX_WAITING);
    rc = rc ? rc : collections_open(&a->collections, path, model_sha256, features_bytes, e);
    rc = rc ? rc : start_thread(a, e);
    if (rc) {
        collections_close(a->collections);
        bqueue_destroy(a->waiting);
        pthread_mutex_destroy(&a->lock);
        mem_free(a);
        return rc;
    }
    *out = a;
    return OK;
}

void archive_close(struct archive *a)
{
    if (!a) {
        return;
    }
    bqueue_close(a->waiting);
    pthread_join(a->thread, NULL);
    archive_reap(a);
    collections_close(a->collections);
    bqueue_destroy(a->waiting);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

bool archive_add(struct archive *a, struct archive_task *t)
{
    return bqueue_try_push(a->waiting, t);
}

void archive_reap(struct archive *a)
{
    pthread_mutex_lock(&a->lock);
    struct archive_task *t = a->done;
    a->done = NULL;
    a->done_end = &a->done;
    pthread_mutex_unlock(&a->lock);
    while (t) {
        struct archive_task *next = t->next;
        t->on_done(t);
        t = next;
    }
}

/* ---- another model ---- */

struct reopen {
    struct archive_task task;
    struct archive *archive;
    char sha256[SHA256_HEX];
    size_t features_bytes;
};

static void reopen_work(struct archive_task *t, struct collections *cs)
{
    struct reopen *r = (struct reopen *)t;
    struct archive *a = r->archive;
    collections_close(cs);
    t->err = collections_open(&a->collections, a->path, r->sha256, r->features_bytes, &t->error);
    if (t->err) {
        a->collections = NULL;
    }
}

static void reopen_done(struct archive_task *t)
{
    if (t->err) {
        log_error("collections not opened", LOG_STR("reason", errbuf_text(&t->error, t->err)));
    }
    mem_free(t);
}

void archive_set_model(struct archive *a, const char *model_sha256, size_t features_bytes)
{
    struct reopen *r;
    if (mem_alloc(&r, sizeof(*r))) {
        log_error("collections not opened", LOG_STR("reason", "out of memory"));
        return;
    }
    *r = (struct reopen){{.work = reopen_work, .on_done = reopen_done}, .archive = a, .features_bytes = features_bytes};
    snprintf(r->sha256, sizeof(r->sha256), "%s", model_sha256);
    if (!archive_add(a, &r->task)) {
        mem_free(r);
        log_error("collections not opened", LOG_STR("reason", "too many tasks wait"));
    }
}
