#include "server/http/loop.h"

#include "engine/base/mem.h"

#include <uv.h>

enum { MAX_SOURCES = 32 };

struct source {
    union {
        uv_handle_t handle;
        uv_async_t async;
        uv_signal_t signal;
        uv_timer_t timer;
    };
    loop_callback *callback;
    loop_signal_callback *on_signal;
    void *user;
};

struct loop_timer {
    struct source source;
};

struct loop {
    uv_loop_t uv;
    struct source *sources[MAX_SOURCES];
    int n_sources;
    struct source wake;
};

static void on_async(uv_async_t *async)
{
    struct source *s = async->data;
    if (s->callback) {
        s->callback(s->user);
    }
}

enum err loop_create(struct loop **out, struct errbuf *e)
{
    struct loop *l;
    enum err rc = mem_alloc(&l, sizeof(*l));
    *out = NULL;
    if (rc) {
        return rc;
    }
    int uv_rc = uv_loop_init(&l->uv);
    if (uv_rc) {
        mem_free(l);
        return err_set(e, ERR_IO, "event loop: %s", uv_strerror(uv_rc));
    }
    uv_rc = uv_async_init(&l->uv, &l->wake.async, on_async);
    if (uv_rc) {
        BUG_ON(uv_loop_close(&l->uv));
        mem_free(l);
        return err_set(e, ERR_IO, "event loop: %s", uv_strerror(uv_rc));
    }
    l->wake.async.data = &l->wake;
    *out = l;
    return OK;
}

void loop_destroy(struct loop *l)
{
    if (!l) {
        return;
    }
    uv_close(&l->wake.handle, NULL);
    for (int i = 0; i < l->n_sources; i++) {
        uv_close(&l->sources[i]->handle, NULL);
    }
    uv_run(&l->uv, UV_RUN_DEFAULT);
    BUG_ON(uv_loop_close(&l->uv));
    for (int i = 0; i < l->n_sources; i++) {
        mem_free(l->sources[i]);
    }
    mem_free(l);
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

void loop_on_wake(struct loop *l, loop_callback *callback, void *user)
{
    l->wake.user = user;
    l->wake.callback = callback;
}

void loop_wake(struct loop *l)
{
    uv_async_send(&l->wake.async);
}

static enum err add_source(struct source **out, struct loop *l, loop_callback *callback, void *user)
{
    BUG_ON(l->n_sources == MAX_SOURCES);
    enum err rc = mem_alloc(out, sizeof(struct source));
    if (!rc) {
        (*out)->callback = callback;
        (*out)->user = user;
    }
    return rc;
}

/* The handle is the loop's once libuv has taken it. */
static enum err keep_source(struct loop *l, struct source *s, int uv_rc)
{
    if (uv_rc) {
        mem_free(s);
        return ERR_IO;
    }
    s->handle.data = s;
    l->sources[l->n_sources++] = s;
    return OK;
}

/* ---- watches ---- */

struct loop_watch {
    uv_poll_t poll;
    loop_ready_callback *callback;
    void *user;
    int events;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct loop_watch *w = poll->data;
    int told = (events & UV_READABLE ? LOOP_READABLE : 0) | (events & UV_WRITABLE ? LOOP_WRITABLE : 0) |
               (events & UV_DISCONNECT ? LOOP_HANGUP : 0);
    if (status < 0) { /* libuv has stopped the watch */
        told = LOOP_FAULT;
        w->events = 0;
    } else if (!told) { /* urgent data, of which there is none in HTTP: would be told for ever */
        uv_poll_stop(&w->poll);
        w->events = 0;
        return;
    }
    w->callback(w->user, told);
}

enum err loop_watch_create(struct loop_watch **out, struct loop *l, int fd, loop_ready_callback *callback, void *user)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (rc) {
        return rc;
    }
    struct loop_watch *w = *out;
    if (uv_poll_init(&l->uv, &w->poll, fd)) {
        mem_free(w);
        *out = NULL;
        return ERR_IO;
    }
    w->poll.data = w;
    w->callback = callback;
    w->user = user;
    return OK;
}

void loop_watch_set(struct loop_watch *w, int events)
{
    if (events == w->events) {
        return;
    }
    w->events = events;
    uv_poll_start(&w->poll,
                  (events & LOOP_READABLE ? UV_READABLE : 0) | (events & LOOP_WRITABLE ? UV_WRITABLE : 0) |
                      (events & LOOP_HANGUP ? UV_DISCONNECT : 0) | (events & LOOP_QUIET ? UV_PRIORITIZED : 0),
                  on_poll);
}

static void free_watch(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void loop_watch_destroy(struct loop_watch *w)
{
    if (w) {
        uv_close((uv_handle_t *)&w->poll, free_watch);
    }
}

/* ---- turns ---- */

struct loop_turn {
    uv_prepare_t prepare;
    uv_idle_t idle; /* runs while the loop must not wait */
    loop_turn_callback *callback;
    void *user;
    int n_open;
};

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop_turn *t = prepare->data;
    if (t->callback(t->user)) {
        uv_idle_start(&t->idle, on_idle);
    } else {
        uv_idle_stop(&t->idle);
    }
}

enum err loop_turn_create(struct loop_turn **out, struct loop *l, loop_turn_callback *callback, void *user)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        struct loop_turn *t = *out;
        t->callback = callback;
        t->user = user;
        t->n_open = 2;
        uv_prepare_init(&l->uv, &t->prepare); /* these cannot fail */
        uv_idle_init(&l->uv, &t->idle);
        t->prepare.data = t->idle.data = t;
        uv_prepare_start(&t->prepare, on_prepare);
    }
    return rc;
}

static void free_turn(uv_handle_t *handle)
{
    struct loop_turn *t = handle->data;
    if (--t->n_open == 0) {
        mem_free(t);
    }
}

void loop_turn_destroy(struct loop_turn *t)
{
    if (t) {
        uv_close((uv_handle_t *)&t->prepare, free_turn);
        uv_close((uv_handle_t *)&t->idle, free_turn);
    }
}

/* ---- signals and timers ---- */

static void on_signal(uv_signal_t *signal, int signal_number)
{
    struct source *s = signal->data;
    s->on_signal(s->user, signal_number);
}

enum err loop_signal(struct loop *l, int signal_number, loop_signal_callback *callback, void *user)
{
    struct source *s;
    enum err rc = add_source(&s, l, NULL, user);
    rc = rc ? rc : keep_source(l, s, uv_signal_init(&l->uv, &s->signal));
    if (rc) {
        return rc;
    }
    s->on_signal = callback;
    return uv_signal_start(&s->signal, on_signal, signal_number) ? ERR_IO : OK;
}

static void on_timer(uv_timer_t *timer)
{
    struct source *s = timer->data;
    s->callback(s->user);
}

enum err loop_timer_create(struct loop_timer **out, struct loop *l, loop_callback *callback, void *user)
{
    struct source *s;
    enum err rc = add_source(&s, l, callback, user);
    rc = rc ? rc : keep_source(l, s, uv_timer_init(&l->uv, &s->timer));
    *out = rc ? NULL : (struct loop_timer *)s;
    return rc;
}

void loop_timer_start(struct loop_timer *t, uint64_t delay_us)
{
    uv_update_time(t->source.timer.loop);
    uv_timer_start(&t->source.timer, on_timer, (delay_us + 999) / 1000, 0);
}

void loop_timer_stop(struct loop_timer *t)
{
    uv_timer_stop(&t->source.timer);
}
