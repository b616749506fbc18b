#include "server/work/services.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "server/work/self_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BREAK_OFF_US = 250000 };

struct loader {
    pthread_t thread;
    struct engine_options options;
    char model_dir[SERVICES_DIR_MAX];
    struct loop *loop;
    uint64_t began_us;
    size_t charged;         /* of the ledger, for two models at once */
    uint64_t weights_bytes; /* of its file when loading began */
    struct service *service;
    enum err err;
    struct errbuf error;
    atomic_bool is_done, must_stop;
};

struct services {
    struct services_options options;
    struct loader *loader;            /* NULL: nothing is being loaded */
    struct service *current, *others; /* others: retiring */
    struct services_waiter *waiters;
    uint64_t n_begun, n_loaded, n_failed;
    struct services_outcome last;
};

/* A retired service on its way to the side thread: closing joins threads and frees much. */
struct closing {
    struct side_task task; /* the first member */
    struct services *services;
    struct service *service;
};

enum err services_create(struct services **out, const struct services_options *o)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        (*out)->options = *o;
    }
    return rc;
}

/* What has come back. */
static void reap_all(struct services *s, uint64_t until_us)
{
    struct service *next;
    if (s->current) {
        service_reap(s->current, until_us);
    }
    for (struct service *old = s->others; old; old = next) {
        next = old->next;
        service_reap(old, until_us);
    }
}

/* False: it goes on. Asked again and again: a join with a time-out is one that the thread sanitizer does not see. */
static bool break_off(struct services *s)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    struct loader *l = s->loader;
    uint64_t until_us = clock_us() + BREAK_OFF_US;
    if (!l) {
        return true;
    }
    atomic_store(&l->must_stop, true);
    while (!atomic_load(&l->is_done)) {
        if (clock_us() >= until_us) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    pthread_join(l->thread, NULL);
    ledger_give(s->options.ledger, LEDGER_RELOAD, l->charged);
    service_close(l->service);
    mem_free(l);
    s->loader = NULL;
    return true;
}

bool services_drain(struct services *s)
{
    bool has_ended = break_off(s);
    if (s->current) {
        engine_drain(s->current->engine, 0);
    }
    for (struct service *old = s->others; old; old = old->next) {
        engine_drain(old->engine, 0);
    }
    reap_all(s, UINT64_MAX);
    return has_ended;
}

void services_destroy(struct services *s)
{
    if (!s) {
        return;
    }
    if (s->current) {
        s->current->on_idle = NULL;
        service_drop(s->current);
        service_close(s->current);
    }
    mem_free(s);
}

/* ---- loading ---- */

static void *load(void *user)
{
    struct loader *l = user;
    thread_yield_to_others(0); /* its children begin with its priority */
    l->err = service_open(&l->service, &l->options, l->loop, &l->error);
    if (!l->err) {
        l->err = self_test_run(l->service, l->model_dir, &l->must_stop, &l->error);
    }
    atomic_store(&l->is_done, true);
    loop_wake(l->loop);
    return NULL;
}

static uint64_t weights_bytes(const char *model_dir)
{
    char path[SERVICES_DIR_MAX + 32];
    struct stat st;
    snprintf(path, sizeof(path), "%s/model.safetensors", model_dir);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Two models at once: as much again as the current one has, and more where the weights are larger: as they are in the
 * file, and packed. */
static enum err charge(struct services *s, struct loader *l, struct errbuf *e)
{
    l->weights_bytes = weights_bytes(l->model_dir);
    if (!s->current) {
        return OK;
    }
    uint64_t now = s->current->weights_bytes, more = l->weights_bytes > now ? l->weights_bytes - now : 0;
    size_t needed = s->current->info.memory_bytes + 2 * (size_t)more;
    if (!ledger_take(s->options.ledger, LEDGER_RELOAD, needed)) {
        return err_set(
            e, ERR_NOMEM,
            "a second model needs %zu MB in addition to the one in use, and the memory limit leaves less: raise "
            "limits.memory_bytes, lower cache.bytes, or restart with the new model",
            needed >> 20);
    }
    l->charged = needed;
    return OK;
}

static int count_others(const struct services *s)
{
    int n = 0;
    for (const struct service *old = s->others; old; old = old->next) {
        n++;
    }
    return n;
}

static enum err start(struct services *s, struct loader *l, struct errbuf *e)
{
    enum err rc = charge(s, l, e);
    if (rc) {
        return rc;
    }
    if (thread_start(&l->thread, "loader", load, l)) {
        ledger_give(s->options.ledger, LEDGER_RELOAD, l->charged);
        return err_set(e, ERR_INTERNAL, "cannot start the loading thread");
    }
    s->loader = l;
    s->n_begun++;
    return OK;
}

enum err services_load(struct services *s, const struct engine_options *options, struct errbuf *e)
{
    struct loader *l;
    if (s->loader) {
        return err_set(e, ERR_OVERLOADED, "a model is being loaded already; try again when it is done");
    }
    if (count_others(s) >= SERVICES_MAX - 1) {
        return err_set(e, ERR_OVERLOADED, "%d older models still have work to finish; try again later",
                       count_others(s));
    }
    if (mem_alloc(&l, sizeof(*l))) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    l->options = *options;
    snprintf(l->model_dir, sizeof(l->model_dir), "%s", options->model_dir);
    l->options.model_dir = l->model_dir;
    l->loop = s->options.loop;
    l->began_us = clock_us();
    enum err rc = start(s, l, e);
    if (rc) {
        mem_free(l);
    }
    return rc;
}

/* ---- retiring ---- */

static void closing_run(struct side_task *t)
{
    service_close(((struct closing *)t)->service);
}

static void closing_done(struct side_task *t)
{
    mem_free(t);
}

static void on_idle(struct service *service, void *user)
{
    struct services *s = user;
    struct closing *c;
    for (struct service **at = &s->others; *at; at = &(*at)->next) {
        if (*at == service) {
            *at = service->next;
            break;
        }
    }
    service->state = SERVICE_GONE;
    log_info("model gone", LOG_STR("model_version", service->info.model_version),
             LOG_STR("sha256", service->info.model_sha256));
    ledger_give(s->options.ledger, LEDGER_RELOAD, service->overlap_bytes);
    if (mem_alloc(&c, sizeof(*c))) {
        service_close(service);
        return;
    }
    *c = (struct closing){.task = {.run = closing_run, .on_done = closing_done}, .service = service};
    side_add(s->options.side, &c->task);
}

static void make_current(struct services *s, struct loader *l)
{
    struct service *old = s->current, *fresh = l->service;
    fresh->weights_bytes = l->weights_bytes;
    fresh->loaded_us = clock_us();
    fresh->state = SERVICE_CURRENT;
    fresh->on_idle = on_idle;
    fresh->on_idle_user = s;
    s->current = service_hold(fresh);
    if (old) { /* the overlap lasts until the old one is gone */
        old->state = SERVICE_RETIRING;
        old->overlap_bytes = l->charged;
        old->next = s->others;
        s->others = old;
        service_drop(old);
    }
}

/* ---- the outcome ---- */

static void tell(struct services *s)
{
    struct services_waiter *next, *w = s->waiters;
    s->waiters = NULL;
    s->options.on_outcome(s->options.user, &s->last);
    for (; w; w = next) {
        next = w->next;
        w->is_waiting = false;
        w->on_outcome(w, &s->last);
    }
}

static void adopt_loaded(struct services *s)
{
    struct loader *l = s->loader;
    if (!l || !atomic_load(&l->is_done)) {
        return;
    }
    pthread_join(l->thread, NULL);
    s->loader = NULL;
    if (!l->err) {
        l->err = s->options.accept(s->options.user, l->service, &l->error);
    }
    s->last = (struct services_outcome){.number = s->n_begun, .err = l->err, .load_us = clock_us() - l->began_us};
    if (l->err) {
        memcpy(&s->last.error, &l->error, sizeof(s->last.error));
        ledger_give(s->options.ledger, LEDGER_RELOAD, l->charged);
        service_close(l->service);
        s->n_failed++;
    } else {
        make_current(s, l);
        snprintf(s->last.model, sizeof(s->last.model), "%s-%s", s->current->info.model_name,
                 s->current->info.model_version);
        snprintf(s->last.sha256, sizeof(s->last.sha256), "%s", s->current->info.model_sha256);
        s->n_loaded++;
    }
    mem_free(l);
    tell(s);
}

void services_reap(struct services *s, uint64_t until_us)
{
    adopt_loaded(s);
    reap_all(s, until_us);
}

struct service *services_current(const struct services *s)
{
    return s->current;
}

void services_wait(struct services *s, struct services_waiter *w)
{
    w->is_waiting = true;
    w->next = s->waiters;
    s->waiters = w;
}

void services_leave(struct services *s, struct services_waiter *w)
{
    for (struct services_waiter **at = &s->waiters; w->is_waiting && *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            w->is_waiting = false;
            return;
        }
    }
}

void services_status(const struct services *s, struct services_status *out)
{
    *out = (struct services_status){
        .is_loading = s->loader != NULL,
        .loading_since_us = s->loader ? s->loader->began_us : 0,
        .n_loaded = s->n_loaded,
        .n_failed = s->n_failed,
        .last = s->last,
    };
    if (s->current) {
        out->services[out->n++] = s->current;
    }
    for (const struct service *old = s->others; old && out->n < SERVICES_MAX; old = old->next) {
        out->services[out->n++] = old;
    }
}
