#include "server/http/loop.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum { MAX_SOURCES = 32, FIRST_WATCHES = 64 };

struct source {
    union {
        uv_handle_t handle;
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
    /* wake-ups: libuv's own let the loop wait for the thread that wakes it, which the kernel may have stopped for the
     * very loop that it woke */
    int wake_fd;
    struct loop_watch *wake;
    loop_callback *on_wake;
    void *wake_user;
    /* watches: libuv's own tell a crowd that is ready up to 48 times a turn, and take three calls for a change */
    int epoll;
    uv_poll_t poll; /* of `epoll` */
    struct epoll_event *found;
    int n_watches, max_found;
    struct loop_watch *gone; /* destroyed, but perhaps among `found` */
    bool has_poll, is_telling;
    /* the processor time of turns */
    uv_prepare_t meter;
    uint64_t cpu_ns, longest_ns;
};

static enum err open_epoll(struct loop *l);
static enum err open_wake(struct loop *l);

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_meter(uv_prepare_t *meter)
{
    struct loop *l = meter->data;
    uint64_t now = cpu_ns();
    l->longest_ns = l->cpu_ns && now - l->cpu_ns > l->longest_ns ? now - l->cpu_ns : l->longest_ns;
    l->cpu_ns = now;
}

double loop_longest_turn_s(const struct loop *l)
{
    return (double)l->longest_ns * 1e-9;
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
    l->wake_fd = -1;
    uv_prepare_init(&l->uv, &l->meter); /* these cannot fail */
    l->meter.data = l;
    uv_prepare_start(&l->meter, on_meter);
    if (open_epoll(l) || open_wake(l)) {
        loop_destroy(l);
        return err_set(e, ERR_IO, "event loop: no descriptor or memory to watch others with");
    }
    *out = l;
    return OK;
}

void loop_destroy(struct loop *l)
{
    if (!l) {
        return;
    }
    loop_watch_destroy(l->wake);
    uv_close((uv_handle_t *)&l->meter, NULL);
    if (l->has_poll) {
        uv_close((uv_handle_t *)&l->poll, NULL);
    }
    for (int i = 0; i < l->n_sources; i++) {
        uv_close(&l->sources[i]->handle, NULL);
    }
    uv_run(&l->uv, UV_RUN_DEFAULT);
    BUG_ON(uv_loop_close(&l->uv));
    for (int i = 0; i < l->n_sources; i++) {
        mem_free(l->sources[i]);
    }
    if (l->wake_fd >= 0) {
        close(l->wake_fd);
    }
    if (l->epoll >= 0) {
        close(l->epoll);
    }
    mem_free(l->found);
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
    struct loop *loop;
    loop_ready_callback *callback; /* NULL: destroyed while the loop tells what is ready */
    void *user;
    int fd, events;
    bool is_known; /* to the kernel */
    struct loop_watch *next_gone;
};

static void change(struct loop_watch *w, int how)
{
    const int e = w->events;
    struct epoll_event event = {.events = (e & LOOP_READABLE ? EPOLLIN : 0U) | (e & LOOP_WRITABLE ? EPOLLOUT : 0U) |
                                          (e & LOOP_HANGUP ? EPOLLRDHUP : 0U),
                                .data = {.ptr = w}};
    w->is_known = epoll_ctl(w->loop->epoll, how, w->fd, &event) == 0 && how != EPOLL_CTL_DEL;
}

/* Errors, and hang-ups of both sides, are told whatever was asked for: once, else they would be told for ever. */
static void tell(struct loop_watch *w, uint32_t found)
{
    int told = (found & EPOLLIN ? LOOP_READABLE : 0) | (found & EPOLLOUT ? LOOP_WRITABLE : 0) |
               (found & EPOLLRDHUP ? LOOP_HANGUP : 0);
    told = found & EPOLLERR ? LOOP_FAULT : found & EPOLLHUP ? w->events : told & w->events;
    if (!told || told == LOOP_FAULT) {
        change(w, EPOLL_CTL_DEL);
        w->events = 0;
    }
    if (told) {
        w->callback(w->user, told);
    }
}

/* All that is ready is fetched in one call: a second one would tell the same again. */
static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct loop *l = poll->data;
    (void)status, (void)events;
    int n;
    do {
        n = epoll_wait(l->epoll, l->found, l->max_found, 0);
    } while (n < 0 && errno == EINTR);
    l->is_telling = true;
    for (int i = 0; i < n; i++) { /* callbacks may make l->found larger */
        struct loop_watch *w = l->found[i].data.ptr;
        if (w->callback) {
            tell(w, l->found[i].events);
        }
    }
    l->is_telling = false;
    for (struct loop_watch *w; (w = l->gone) != NULL;) {
        l->gone = w->next_gone;
        mem_free(w);
    }
}

static enum err open_epoll(struct loop *l)
{
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0 || uv_poll_init(&l->uv, &l->poll, l->epoll)) {
        return ERR_IO;
    }
    l->poll.data = l;
    l->has_poll = true;
    return uv_poll_start(&l->poll, UV_READABLE, on_ready) ? ERR_IO : OK;
}

static enum err make_room(struct loop *l)
{
    if (l->n_watches < l->max_found) {
        return OK;
    }
    int max = l->max_found ? 2 * l->max_found : FIRST_WATCHES;
    enum err rc = mem_resize(&l->found, (size_t)max * sizeof(*l->found));
    l->max_found = rc ? l->max_found : max;
    return rc;
}

enum err loop_watch_create(struct loop_watch **out, struct loop *l, int fd, loop_ready_callback *callback, void *user)
{
    struct loop_watch *w;
    enum err rc = make_room(l);
    *out = NULL;
    rc = rc ? rc : mem_alloc(&w, sizeof(*w));
    if (rc) {
        return rc;
    }
    *w = (struct loop_watch){.loop = l, .callback = callback, .user = user, .fd = fd};
    change(w, EPOLL_CTL_ADD);
    if (!w->is_known) {
        mem_free(w);
        return ERR_IO;
    }
    l->n_watches++;
    *out = w;
    return OK;
}

void loop_watch_set(struct loop_watch *w, int events)
{
    if (events != w->events) {
        w->events = events;
        change(w, w->is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD);
    }
}

void loop_watch_destroy(struct loop_watch *w)
{
    if (!w) {
        return;
    }
    struct loop *l = w->loop;
    if (w->is_known) {
        change(w, EPOLL_CTL_DEL);
    }
    l->n_watches--;
    if (l->is_telling) { /* it may be among what was found */
        w->callback = NULL;
        w->next_gone = l->gone;
        l->gone = w;
    } else {
        mem_free(w);
    }
}

/* ---- wake-ups ---- */

static void on_woken(void *user, int events)
{
    struct loop *l = user;
    eventfd_t n;
    (void)events;
    (void)eventfd_read(l->wake_fd, &n); /* before the callback looks: what comes later wakes again */
    if (l->on_wake) {
        l->on_wake(l->wake_user);
    }
}

static enum err open_wake(struct loop *l)
{
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0 || loop_watch_create(&l->wake, l, l->wake_fd, on_woken, l)) {
        return ERR_IO;
    }
    loop_watch_set(l->wake, LOOP_READABLE);
    return OK;
}

void loop_on_wake(struct loop *l, loop_callback *callback, void *user)
{
    l->wake_user = user;
    l->on_wake = callback;
}

/* Each time, without a look whether another thread has: that one may have been stopped before it did. */
void loop_wake(struct loop *l)
{
    static const uint64_t once = 1;
    int before = errno;
    ssize_t n = write(l->wake_fd, &once, sizeof(once));
    (void)n; /* it fails only when nobody has looked for a long time, and then it is woken already */
    errno = before;
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
