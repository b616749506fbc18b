/* How threads come in, wait, are woken and end. */
#include "engine/scheduler.h"

void scheduler_enter(struct scheduler *s)
{
    monitor_enter(&s->monitor);
}

void scheduler_leave(struct scheduler *s)
{
    monitor_leave(&s->monitor);
}

void scheduler_wait_decode(struct scheduler *s)
{
    (void)monitor_wait(&s->monitor, SCHEDULER_DECODE_WORK, UINT64_MAX);
}

void scheduler_wait_engine(struct scheduler *s, int thread, uint64_t until_us)
{
    s->n_idle_engines++;
    if (until_us != UINT64_MAX || !scheduler_help(s, thread)) {
        s->n_sleeping++;
        (void)monitor_wait(&s->monitor, SCHEDULER_ENGINE_WORK, until_us);
        s->n_sleeping--;
    }
    s->n_idle_engines--;
}

void scheduler_wake_engine(struct scheduler *s)
{
    if (s->n_sleeping > 0) {
        monitor_wake(&s->monitor, SCHEDULER_ENGINE_WORK);
    } else {
        scheduler_recall(s);
    }
}

void scheduler_wake_next(struct scheduler *s)
{
    bool has_more = !TAILQ_EMPTY(&s->images) || !TAILQ_EMPTY(&s->captions) || !TAILQ_EMPTY(&s->fusion);
    if (s->n_idle_engines > 0 && has_more) {
        scheduler_wake_engine(s);
    }
}

static void wake_all(struct scheduler *s)
{
    monitor_wake_all(&s->monitor, SCHEDULER_DECODE_WORK);
    monitor_wake_all(&s->monitor, SCHEDULER_ENGINE_WORK);
    scheduler_recall_all(s);
}

void scheduler_stop(struct scheduler *s)
{
    if (s->free_slots) { /* else it was never opened */
        scheduler_enter(s);
        s->is_draining = s->is_stopping = true;
        wake_all(s);
        scheduler_leave(s);
    }
}

/* False: the time is over. */
static bool wait_for_all(struct scheduler *s, uint64_t until_us)
{
    bool has_time = true;
    while (has_time && (s->n_live > 0 || s->n_leaving > 0)) {
        has_time = monitor_wait(&s->monitor, SCHEDULER_ALL_HOME, until_us);
    }
    return s->n_live == 0 && s->n_leaving == 0;
}

void scheduler_drain(struct scheduler *s, uint64_t until_us)
{
    scheduler_enter(s);
    s->is_draining = true;
    if (!wait_for_all(s, until_us)) {
        struct job_private *j;
        TAILQ_FOREACH(j, &s->live, live)
        {
            atomic_store(&j->is_cancelled, true);
        }
        atomic_store(&s->has_cancelled, true);
        wake_all(s); /* whoever sleeps shall look */
        wait_for_all(s, UINT64_MAX);
    }
    scheduler_leave(s);
}
