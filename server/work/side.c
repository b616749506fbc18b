#include "server/work/side.h"

#include "engine/base/mem.h"
#include "engine/base/thread.h"

struct side {
    pthread_t thread;
    struct loop *loop;
    struct mailbox waiting, done;
};

static void *run(void *user)
{
    struct side *s = user;
    for (;;) {
        struct mailbox_item *next, *item = mailbox_wait(&s->waiting);
        for (; item; item = next) {
            struct side_task *t = (struct side_task *)item;
            next = item->next;
            if (t->is_last) {
                return NULL;
            }
            t->run(t);
            mailbox_put(&s->done, item);
            loop_wake(s->loop);
        }
    }
}

enum err side_open(struct side **out, struct loop *l, struct errbuf *e)
{
    struct side *s;
    *out = NULL;
    if (mem_alloc(&s, sizeof(*s))) {
        return err_set(e, ERR_NOMEM, "out of memory for the side thread");
    }
    s->loop = l;
    mailbox_init(&s->waiting);
    mailbox_init(&s->done);
    if (thread_start(&s->thread, "side", run, s)) {
        mailbox_release(&s->waiting);
        mailbox_release(&s->done);
        mem_free(s);
        return err_set(e, ERR_INTERNAL, "cannot start the side thread");
    }
    *out = s;
    return OK;
}

/* What on_done adds at the end is run here, now that the thread is gone. */
static bool run_rest(struct side *s)
{
    struct mailbox_item *next, *item = mailbox_take(&s->waiting);
    bool has_run = item != NULL;
    for (; item; item = next) {
        next = item->next;
        ((struct side_task *)item)->run((struct side_task *)item);
        mailbox_put(&s->done, item);
    }
    return has_run;
}

void side_close(struct side *s)
{
    struct side_task last = {.is_last = true};
    if (!s) {
        return;
    }
    mailbox_put(&s->waiting, &last.item);
    pthread_join(s->thread, NULL);
    do {
        side_reap(s);
    } while (run_rest(s));
    mailbox_release(&s->waiting);
    mailbox_release(&s->done);
    mem_free(s);
}

void side_add(struct side *s, struct side_task *t)
{
    mailbox_put(&s->waiting, &t->item);
}

void side_reap(struct side *s)
{
    struct mailbox_item *next, *item = mailbox_take(&s->done);
    for (; item; item = next) {
        struct side_task *t = (struct side_task *)item;
        next = item->next;
        t->on_done(t);
    }
}
