#include "server/http/loop.h"

#include "engine/base/mem.h"

#include <uv.h>

enum { MAX_SOURCES = 32 };

struct source {
    union {
        uv_handle_t handle;
        uv_async_t async;
        uv_poll_t poll;
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

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct source *s = poll->data;
    s->callback(s->user);
}

enum err loop_watch(struct loop *l, int fd, loop_callback *callback, void *user)
{
    struct source *s;
    enum err rc = add_source(&s, l, callback, user);
    rc = rc ? rc : keep_source(l, s, uv_poll_init(&l->uv, &s->poll, fd));
    return rc ? rc : uv_poll_start(&s->poll, UV_READABLE, on_poll) ? ERR_IO : OK;
}

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
