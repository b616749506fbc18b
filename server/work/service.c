#include "server/work/service.h"

#include "engine/base/mem.h"

#include <pthread.h>
#include <string.h>

struct service_lock {
    pthread_mutex_t mutex;
    pthread_cond_t home; /* only service_run_alone waits */
};

static void on_done(struct job *job)
{
    struct service_slot *slot = job->request.user;
    struct service *s = slot->service;
    pthread_mutex_lock(&s->lock->mutex);
    slot->next = s->done;
    s->done = slot;
    pthread_cond_signal(&s->lock->home);
    pthread_mutex_unlock(&s->lock->mutex);
    loop_wake(s->loop);
}

enum err service_open(struct service **out, const struct engine_options *options, struct loop *l, struct errbuf *e)
{
    struct service *s;
    enum err rc = mem_alloc(&s, sizeof(*s));
    *out = NULL;
    if (rc) {
        return rc;
    }
    s->loop = l;
    rc = mem_alloc(&s->lock, sizeof(*s->lock));
    if (!rc) {
        pthread_mutex_init(&s->lock->mutex, NULL);
        pthread_cond_init(&s->lock->home, NULL);
    }
    rc = rc ? rc : engine_open(&s->engine, options, e);
    rc = rc ? rc : mem_array(&s->slots, (size_t)options->max_jobs, sizeof(*s->slots));
    for (; !rc && s->n_slots < options->max_jobs; s->n_slots += !rc) {
        struct service_slot *slot = &s->slots[s->n_slots];
        rc = job_create(&slot->job, s->engine);
        if (!rc) {
            slot->service = s;
            slot->job->on_done = on_done;
            slot->next = s->free;
            s->free = slot;
        }
    }
    s->n_free = s->n_slots;
    if (rc) {
        service_close(s);
        return rc;
    }
    engine_info(s->engine, &s->info);
    *out = s;
    return OK;
}

void service_close(struct service *s)
{
    if (!s) {
        return;
    }
    BUG_ON(s->n_free != s->n_slots && s->engine);
    for (int i = 0; i < s->n_slots; i++) {
        job_destroy(s->slots[i].job);
    }
    engine_close(s->engine);
    if (s->lock) {
        pthread_cond_destroy(&s->lock->home);
        pthread_mutex_destroy(&s->lock->mutex);
    }
    mem_free(s->lock);
    mem_free(s->slots);
    mem_free(s);
}

/* ---- slots ---- */

struct service_slot *service_take(struct service *s)
{
    struct service_slot *slot = s->free;
    if (slot) {
        s->free = slot->next;
        s->n_free--;
        slot->next = NULL;
        job_reset(slot->job);
        slot->job->request.user = slot;
    }
    return slot;
}

void service_give(struct service_slot *slot)
{
    struct service *s = slot->service;
    *slot = (struct service_slot){.job = slot->job, .service = s, .next = s->free};
    s->free = slot;
    s->n_free++;
}

void service_reap(struct service *s)
{
    pthread_mutex_lock(&s->lock->mutex);
    struct service_slot *done = s->done, *first = NULL;
    s->done = NULL;
    pthread_mutex_unlock(&s->lock->mutex);
    while (done) { /* last in, first out: turn it round */
        struct service_slot *next = done->next;
        done->next = first;
        first = done;
        done = next;
    }
    while (first) {
        struct service_slot *next = first->next;
        first->on_home(first);
        first = next;
    }
}

enum err service_run_alone(struct service *s, struct service_slot *slot, struct errbuf *e)
{
    slot->job->request.user = slot;
    enum err rc = engine_submit(s->engine, slot->job, e);
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&s->lock->mutex);
    while (!s->done) {
        pthread_cond_wait(&s->lock->home, &s->lock->mutex);
    }
    s->done = NULL;
    pthread_mutex_unlock(&s->lock->mutex);
    rc = slot->job->result.err;
    return rc ? err_set(e, rc, "warm-up failed: %.400s", errbuf_text(&slot->job->result.error, rc)) : OK;
}
