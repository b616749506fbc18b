/* Whose turn it is: start-time fair queueing. A task's place in the line is where its client's tasks before it end if
 * each client had a thread of its own; who comes new begins at the place of the task that is running. */
#include "server/work/side.h"

#include "engine/base/mem.h"
#include "engine/base/thread.h"

enum { CLIENTS = 1024, TASK_COST = 1024 /* of any, beside its bytes */ };

struct side {
    pthread_t thread;
    struct loop *loop;
    int nice;
    pthread_mutex_t lock; /* guards what follows; a leaf */
    pthread_cond_t arrived;
    struct mailbox_item *first; /* in the order of their places */
    bool must_stop;
    uint64_t place;         /* of the task taken last */
    uint64_t ends[CLIENTS]; /* of the tasks of clients; those of one row share a place, which does little harm */
    struct mailbox done;
};

static struct side_task *task_of(struct mailbox_item *item)
{
    return (struct side_task *)item;
}

/* With the lock held. NULL: none. */
static struct side_task *take(struct side *s)
{
    struct side_task *t = task_of(s->first);
    if (t) {
        s->first = t->item.next;
        s->place = t->_place;
    }
    return t;
}

static void *run(void *user)
{
    struct side *s = user;
    thread_yield_to_others(s->nice);
    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct side_task *t = take(s);
        if (t) {
            pthread_mutex_unlock(&s->lock);
            t->run(t);
            mailbox_put(&s->done, &t->item);
            loop_wake(s->loop);
            pthread_mutex_lock(&s->lock);
        } else if (s->must_stop) {
            break;
        } else {
            pthread_cond_wait(&s->arrived, &s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void destroy(struct side *s)
{
    mailbox_release(&s->done);
    pthread_cond_destroy(&s->arrived);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

enum err side_open(struct side **out, struct loop *l, int nice, struct errbuf *e)
{
    struct side *s;
    *out = NULL;
    if (mem_alloc(&s, sizeof(*s))) {
        return err_set(e, ERR_NOMEM, "out of memory for the side thread");
    }
    s->loop = l;
    s->nice = nice;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->arrived, NULL);
    mailbox_init(&s->done);
    if (thread_start(&s->thread, "side", run, s)) {
        destroy(s);
        return err_set(e, ERR_INTERNAL, "cannot start the side thread");
    }
    *out = s;
    return OK;
}

/* What on_done adds at the end is run here, now that the thread is gone. */
static bool run_rest(struct side *s)
{
    struct side_task *t;
    bool has_run = false;
    while ((t = take(s)) != NULL) {
        t->run(t);
        mailbox_put(&s->done, &t->item);
        has_run = true;
    }
    return has_run;
}

void side_close(struct side *s)
{
    if (!s) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->must_stop = true;
    pthread_cond_signal(&s->arrived);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    do {
        side_reap(s);
    } while (run_rest(s));
    destroy(s);
}

void side_add(struct side *s, struct side_task *t)
{
    pthread_mutex_lock(&s->lock);
    uint64_t *end = &s->ends[(t->client * 0x9e3779b97f4a7c15u) >> 54];
    t->_place = *end > s->place ? *end : s->place;
    *end = t->_place + t->cost + TASK_COST;
    struct mailbox_item **at = &s->first;
    while (*at && task_of(*at)->_place <= t->_place) {
        at = &(*at)->next;
    }
    t->item.next = *at;
    *at = &t->item;
    pthread_cond_signal(&s->arrived);
    pthread_mutex_unlock(&s->lock);
}

void side_reap(struct side *s)
{
    struct mailbox_item *next, *item = mailbox_take(&s->done);
    for (; item; item = next) {
        next = item->next;
        task_of(item)->on_done(task_of(item));
    }
}
