#include "server/work/service.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <string.h>

static const char *const state_names[] = {"loading", "current", "retiring", "gone", "failed"};

const char *service_state_name(enum service_state s)
{
    return state_names[s];
}

/* Engine thread. */
static void on_done(struct job *job)
{
    struct service_slot *slot = job->request.user;
    struct service *s = slot->service;
    struct loop *loop = s->loop; /* once the slot is in the mailbox the service may go */
    mailbox_put(&s->home, &slot->item);
    loop_wake(loop);
}

/* ---- open and close ---- */

static enum err make_slots(struct service *s, int n)
{
    enum err rc = mem_array(&s->slots, (size_t)n, sizeof(*s->slots));
    for (; !rc && s->n_slots < n; s->n_slots += !rc) {
        struct service_slot *slot = &s->slots[s->n_slots];
        rc = job_create(&slot->job, s->engine);
        if (!rc) {
            slot->service = s;
            slot->job->on_done = on_done;
            slot->next_free = s->free;
            s->free = slot;
        }
    }
    s->n_free = s->n_slots;
    return rc;
}

enum err service_open(struct service **out, const struct engine_options *options, struct loop *l, struct errbuf *e)
{
    struct service *s;
    enum err rc = mem_alloc(&s, sizeof(*s));
    *out = NULL;
    if (rc) {
        return err_set(e, rc, "out of memory for the service");
    }
    s->loop = l;
    s->waiting_end = &s->waiting;
    mailbox_init(&s->home);
    rc = engine_open(&s->engine, options, e);
    rc = rc ? rc : make_slots(s, options->max_jobs);
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
    BUG_ON(s->references > 0 || s->n_free != s->n_slots);
    for (int i = 0; i < s->n_slots; i++) {
        job_destroy(s->slots[i].job);
    }
    engine_close(s->engine);
    mailbox_release(&s->home);
    mem_free(s->slots);
    mem_free(s);
}

/* ---- references ---- */

struct service *service_hold(struct service *s)
{
    s->references++;
    return s;
}

void service_drop(struct service *s)
{
    BUG_ON(s->references <= 0);
    if (--s->references == 0 && s->on_idle) {
        s->on_idle(s, s->on_idle_user);
    }
}

/* ---- slots ---- */

struct service_slot *service_take(struct service *s)
{
    struct service_slot *slot = s->free;
    if (slot) {
        s->free = slot->next_free;
        s->n_free--;
        slot->next_free = NULL;
        job_reset(slot->job);
        slot->job->request.user = slot;
    }
    return slot;
}

void service_give(struct service_slot *slot)
{
    struct service *s = slot->service;
    *slot = (struct service_slot){.job = slot->job, .service = s, .next_free = s->free};
    s->free = slot;
    s->n_free++;
}

void service_wait(struct service *s, struct service_waiter *w)
{
    BUG_ON(w->is_waiting);
    w->is_waiting = true;
    w->next = NULL;
    *s->waiting_end = w;
    s->waiting_end = &w->next;
}

void service_leave_line(struct service *s, struct service_waiter *w)
{
    for (struct service_waiter **at = &s->waiting; w->is_waiting && *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            if (s->waiting_end == &w->next) {
                s->waiting_end = at;
            }
            w->is_waiting = false;
            return;
        }
    }
}

void service_reap(struct service *s, uint64_t until_us)
{
    service_hold(s); /* the last of its work may end below */
    do {
        struct mailbox_item *item = s->rest ? s->rest : mailbox_take(&s->home);
        if (!item) {
            break;
        }
        s->rest = item->next;
        ((struct service_slot *)item)->on_home((struct service_slot *)item);
    } while (clock_us() < until_us);
    if (s->rest) {
        loop_wake(s->loop);
    }
    while (s->waiting && s->n_free > 0) {
        struct service_waiter *w = s->waiting;
        service_leave_line(s, w);
        w->on_free(w);
    }
    service_drop(s);
}

enum err service_run_alone(struct service *s, struct service_slot *slot, struct errbuf *e)
{
    slot->job->request.user = slot;
    enum err rc = engine_submit(s->engine, slot->job, e);
    if (rc) {
        return rc;
    }
    mailbox_wait(&s->home);
    rc = slot->job->result.err;
    return rc ? err_set(e, rc, "warm-up failed: %.400s", errbuf_text(&slot->job->result.error, rc)) : OK;
}
