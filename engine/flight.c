#include "engine/flight.h"

#include "engine/base/mem.h"

#include <string.h>

enum err flight_pool_init(struct flight_pool *p, int n)
{
    *p = (struct flight_pool){.n = n};
    TAILQ_INIT(&p->idle);
    enum err rc = mem_array(&p->flights, (size_t)n, sizeof(*p->flights));
    for (int i = 0; !rc && i < n; i++) {
        TAILQ_INSERT_TAIL(&p->idle, &p->flights[i], link);
    }
    return rc;
}

void flight_pool_release(struct flight_pool *p)
{
    mem_free(p->flights);
    *p = (struct flight_pool){0};
}

/* The member that is due first speaks for it. */
void flight_look(struct flight *f)
{
    const struct job_private *j;
    f->due_us = UINT64_MAX;
    f->priority = JOB_PRIORITIES;
    TAILQ_FOREACH(j, &f->members, member)
    {
        if (j->due_us < f->due_us) {
            f->due_us = j->due_us;
            f->client = j->job->request.client;
            f->priority = j->job->request.priority;
        }
    }
}

struct flight *flight_begin(struct flight_pool *p, struct job_private *j, bool is_open)
{
    struct flight *f = TAILQ_FIRST(&p->idle);
    BUG_ON(!f);
    TAILQ_REMOVE(&p->idle, f, link);
    *f = (struct flight){.stage = FLIGHT_DECODE,
                         .is_open = is_open,
                         .id = j->job->result.id,
                         .tolerates_truncated = j->job->request.tolerate_truncated,
                         .is_check = j->job->request.task == JOB_CHECK,
                         .decode_bytes = j->decode_bytes,
                         .slot = -1};
    TAILQ_INIT(&f->members);
    flight_join(f, j);
    return f;
}

struct flight *flight_find(struct flight_pool *p, const struct image_id *id, bool tolerates_truncated)
{
    for (int i = 0; i < p->n; i++) {
        struct flight *f = &p->flights[i];
        if (f->stage != FLIGHT_FREE && f->is_open && f->tolerates_truncated == tolerates_truncated &&
            memcmp(f->id.bytes, id->bytes, sizeof(id->bytes)) == 0) {
            return f;
        }
    }
    return NULL;
}

void flight_join(struct flight *f, struct job_private *j)
{
    TAILQ_INSERT_TAIL(&f->members, j, member);
    j->flight = f;
    j->state = JOB_IN_FLIGHT;
    flight_look(f);
}

void flight_leave(struct flight *f, struct job_private *j)
{
    BUG_ON(f->is_busy && f->leader == j);
    TAILQ_REMOVE(&f->members, j, member);
    j->flight = NULL;
    j->state = JOB_HELD;
    flight_look(f);
}

void flight_end(struct flight_pool *p, struct flight *f)
{
    BUG_ON(!TAILQ_EMPTY(&f->members) || f->slot >= 0);
    f->stage = FLIGHT_FREE;
    TAILQ_INSERT_HEAD(&p->idle, f, link);
}

struct job_private *flight_with_bytes(const struct flight *f)
{
    struct job_private *j;
    TAILQ_FOREACH(j, &f->members, member)
    {
        if (j->job->request.image) {
            return j;
        }
    }
    return NULL;
}

void flight_insert(struct flight_list *list, struct flight *f)
{
    struct flight *after;
    TAILQ_FOREACH_REVERSE(after, list, flight_list, link)
    {
        if (after->due_us <= f->due_us) {
            TAILQ_INSERT_AFTER(list, after, f, link);
            return;
        }
    }
    TAILQ_INSERT_HEAD(list, f, link);
}
