/* Where jobs stand in the line (batcher.h), and how a job passes others of its client. */
#include "engine/scheduler.h"

enum { GUESS_US = 50000, MIN_JOB_US = 1000 };

void scheduler_insert(struct job_list *list, struct job_private *j)
{
    struct job_private *after;
    TAILQ_FOREACH_REVERSE(after, list, job_list, queue)
    {
        if (after->due_us <= j->due_us) {
            TAILQ_INSERT_AFTER(list, after, j, queue);
            return;
        }
    }
    TAILQ_INSERT_HEAD(list, j, queue);
}

struct flight_list *scheduler_list_of(struct scheduler *s, const struct flight *f)
{
    return f->stage == FLIGHT_DECODE ? &s->decode : &s->images;
}

/* Microseconds of engine threads that a job costs, a guess while nothing was measured: its place in its client's
 * line. */
static uint64_t job_cost_us(const struct scheduler *s, const struct job_request *r)
{
    struct forecast_load nothing = {
        .engine_threads = s->n_engine_threads, .decode_threads = s->n_decode_threads, .max_rows = s->limits.max_rows};
    double us = forecast_finish_us(&s->forecast, &nothing, r->task, !r->image, r->n_texts);
    us = us > 0 ? us / s->n_engine_threads : GUESS_US;
    return us < MIN_JOB_US ? MIN_JOB_US : (uint64_t)us;
}

/* To its new place in its queue. */
static void move_in_queue(struct scheduler *s, struct job_private *j)
{
    struct flight *f = j->flight;
    if (j->state == JOB_PREPARE_WAIT) {
        TAILQ_REMOVE(&s->prepare, j, queue);
        scheduler_insert(&s->prepare, j);
    } else if (j->state == JOB_FUSION) {
        TAILQ_REMOVE(&s->fusion, j, queue);
        scheduler_insert(&s->fusion, j);
    } else {
        TAILQ_REMOVE(scheduler_list_of(s, f), f, link);
        flight_look(f);
        flight_insert(scheduler_list_of(s, f), f);
    }
}

/* It waits and nothing of its stage was begun. */
static bool is_movable(const struct job_private *j)
{
    return j->state == JOB_PREPARE_WAIT || (j->state == JOB_IN_FLIGHT && !j->flight->is_busy) ||
           (j->state == JOB_FUSION && j->n_taken == 0);
}

static void stand_at(struct job_private *j, uint64_t line_us)
{
    j->line_us = line_us;
    j->due_us = batcher_due_us(line_us, j->job->request.priority);
}

static void swap_places(struct scheduler *s, struct job_private *a, struct job_private *b)
{
    uint64_t line_us = a->line_us;
    struct line_end *end = a->end;
    stand_at(a, b->line_us);
    stand_at(b, line_us);
    a->end = b->end;
    b->end = end;
    line_move(&s->line, a);
    line_move(&s->line, b);
}

/* Before all others of its client that wait and are less urgent: each of them moves to the place of the next. `live`
 * has those of a client in the order of their places, so this is a walk to the left. -> did it move? */
static bool pass_own(struct scheduler *s, struct job_private *j)
{
    struct job_private *other, *passed = NULL;
    if (line_client_jobs(&s->line, j->job->request.client) == 1) {
        return false;
    }
    for (other = TAILQ_PREV(j, job_list, live); other; other = TAILQ_PREV(other, job_list, live)) {
        if (other->job->request.client != j->job->request.client || !is_movable(other)) {
            continue;
        }
        if (other->rank_us <= j->rank_us) {
            break;
        }
        swap_places(s, other, j);
        move_in_queue(s, other);
        passed = other;
    }
    if (passed) {
        TAILQ_REMOVE(&s->live, j, live);
        TAILQ_INSERT_BEFORE(passed, j, live);
    }
    return passed != NULL;
}

static struct scheduler_client *client_of(struct scheduler *s, uint64_t id)
{
    return &s->clients[(id * 0x9e3779b97f4a7c15u) >> (64 - SCHEDULER_CLIENT_BITS)];
}

/* Where a new job of this client stands at best: where its last one ends. One that was served already counts for no
 * more than what the new one costs: who asks for one thing after the other is never further behind. */
static uint64_t own_end_us(struct scheduler *s, uint64_t id, uint64_t cost_us)
{
    const struct scheduler_client *client = client_of(s, id);
    uint64_t served_us = client->id == id ? client->end_us : 0, most_us = s->reached_us + cost_us;
    uint64_t waiting_us = line_client_end_us(&s->line, id);
    served_us = served_us < most_us ? served_us : most_us;
    return served_us > waiting_us ? served_us : waiting_us;
}

void scheduler_stand_in_line(struct scheduler *s, struct job_private *j, uint64_t now_us)
{
    const struct job_request *r = &j->job->request;
    uint64_t place_us = line_is_empty(&s->line) ? s->served_us : line_first_us(&s->line), cost_us = job_cost_us(s, r);
    s->reached_us = place_us > s->reached_us ? place_us : s->reached_us;
    uint64_t line_us = batcher_line_us(s->reached_us, own_end_us(s, r->client, cost_us));
    stand_at(j, line_us);
    j->rank_us = batcher_rank_us(line_us, r->priority);
    j->hurry_us = batcher_hurry_us(now_us, r->deadline_us);
    line_add(&s->line, j, line_us + cost_us);
    TAILQ_INSERT_TAIL(&s->live, j, live);
    (void)pass_own(s, j);
}

void scheduler_leave_line(struct scheduler *s, struct job_private *j)
{
    struct scheduler_client *client = client_of(s, j->job->request.client);
    uint64_t end_us = j->end->us;
    TAILQ_REMOVE(&s->live, j, live);
    line_remove(&s->line, j);
    if (j->failure) { /* it got nothing, or not all */
        return;
    }
    if (client->id != j->job->request.client || client->end_us < end_us) {
        *client = (struct scheduler_client){j->job->request.client, end_us};
    }
    s->served_us = end_us > s->served_us ? end_us : s->served_us;
}

void scheduler_hurry(struct scheduler *s, struct job_private *j, uint64_t now_us)
{
    if (now_us < j->hurry_us || !is_movable(j)) {
        return;
    }
    j->hurry_us = UINT64_MAX;
    j->rank_us = j->job->request.deadline_us;
    if (pass_own(s, j)) {
        move_in_queue(s, j);
    }
}
