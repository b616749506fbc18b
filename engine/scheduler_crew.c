/* Who helps whom. A thread that runs a step leads; one that finds nothing to do helps the leader that has the fewest
 * helpers. Helpers count as idle: whoever has work for a thread wakes one that sleeps or, where none does, recalls
 * one. */
#include "engine/base/clock.h"
#include "engine/scheduler.h"

enum { HOLD_OFF_US = 5000 }; /* after a helper was in the leader's way: a picture, or two captions' words */

static int allowed(const struct scheduler *s)
{
    return s->crew ? batcher_helpers(s->n_engine_threads, s->n_leading, s->n_decoding, s->split_threads) : 0;
}

void scheduler_lead(struct scheduler *s, int thread)
{
    monitor_check(&s->monitor);
    if (!s->crew) {
        return;
    }
    s->seats[thread].is_leading = true;
    s->n_leading++;
    crew_open(s->crew, thread);
    scheduler_trim_helpers(s);
    bool has_helper = s->n_sleeping > 0 && s->n_helping < allowed(s);
    if (has_helper && clock_us() >= s->held_off_until_us) {
        monitor_wake(&s->monitor, SCHEDULER_ENGINE_WORK);
    }
}

struct crew_work scheduler_end_lead(struct scheduler *s, int thread)
{
    monitor_check(&s->monitor);
    if (!s->crew) {
        return (struct crew_work){0};
    }
    s->seats[thread].is_leading = false;
    s->n_leading--;
    return crew_close(s->crew, thread);
}

/* -1: nobody needs help. */
static int choose_leader(const struct scheduler *s)
{
    int leader = -1;
    for (int i = 0; i < s->n_engine_threads && s->n_helping < allowed(s); i++) {
        const struct scheduler_seat *seat = &s->seats[i];
        bool has_room = seat->is_leading && seat->n_helpers < s->split_threads - 1;
        if (has_room && (leader < 0 || seat->n_helpers < s->seats[leader].n_helpers)) {
            leader = i;
        }
    }
    return leader;
}

bool scheduler_help(struct scheduler *s, int thread)
{
    monitor_check(&s->monitor);
    int leader = choose_leader(s);
    if (leader < 0 || s->is_stopping) {
        return false;
    }
    struct scheduler_seat *own = &s->seats[thread];
    own->is_helping = true;
    own->is_recalled = false;
    s->seats[leader].n_helpers++;
    s->n_helping++;
    if (s->n_sleeping > 0 && s->n_helping < allowed(s)) { /* there is room for one more */
        monitor_wake(&s->monitor, SCHEDULER_ENGINE_WORK);
    }
    scheduler_leave(s);
    bool is_of_use = crew_help(s->crew, thread, leader);
    scheduler_enter(s);
    s->n_helping--;
    s->seats[leader].n_helpers--;
    own->is_helping = false;
    s->held_off_until_us = is_of_use ? s->held_off_until_us : clock_us() + HOLD_OFF_US;
    return is_of_use || own->is_recalled;
}

void scheduler_recall(struct scheduler *s)
{
    monitor_check(&s->monitor);
    for (int i = 0; i < s->n_engine_threads && s->n_helping > 0; i++) {
        struct scheduler_seat *seat = &s->seats[i];
        if (seat->is_helping && !seat->is_recalled) {
            seat->is_recalled = true;
            crew_recall(s->crew, i);
            return;
        }
    }
}

void scheduler_trim_helpers(struct scheduler *s)
{
    int n_staying = 0;
    for (int i = 0; i < s->n_engine_threads && s->n_helping > 0; i++) {
        n_staying += s->seats[i].is_helping && !s->seats[i].is_recalled;
    }
    for (int max = allowed(s); n_staying > max; n_staying--) {
        scheduler_recall(s);
    }
}

void scheduler_recall_all(struct scheduler *s)
{
    for (int i = 0; i < s->n_helping; i++) {
        scheduler_recall(s);
    }
}
