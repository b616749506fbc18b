#include "engine/scheduler.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

enum { KEEPS_ONE = 4 }; /* from this many input slots on, one is kept for newcomers */

enum err scheduler_init(struct scheduler *s, const struct scheduler_limits *l, struct feature_cache *cache)
{
    *s = (struct scheduler){.limits = l->batcher,
                            .max_jobs = l->max_jobs,
                            .n_engine_threads = l->n_engine_threads,
                            .n_decode_threads = l->n_decode_threads,
                            .reached_us = BATCHER_ORIGIN_US,
                            .n_slots = l->n_slots,
                            .split_threads = l->split_threads,
                            .decode_budget = l->decode_bytes > 0 ? l->decode_bytes : SIZE_MAX,
                            .cache = cache};
    TAILQ_INIT(&s->live);
    TAILQ_INIT(&s->prepare);
    TAILQ_INIT(&s->fusion);
    TAILQ_INIT(&s->decode);
    TAILQ_INIT(&s->images);
    TAILQ_INIT(&s->captions);
    TAILQ_INIT(&s->free_captions);
    enum err rc = flight_pool_init(&s->flights, l->max_jobs);
    rc = rc ? rc : line_init(&s->line, l->max_jobs);
    rc = rc ? rc : mem_array(&s->seats, (size_t)l->n_engine_threads, sizeof(*s->seats));
    if (!rc && l->split_threads > 1 && l->n_engine_threads > 1) {
        rc = crew_create(&s->crew, l->n_engine_threads);
    }
    rc = rc ? rc : mem_array(&s->free_slots, (size_t)l->n_slots, sizeof(*s->free_slots));
    if (rc) {
        crew_destroy(s->crew);
        mem_free(s->seats);
        line_release(&s->line);
        flight_pool_release(&s->flights);
        *s = (struct scheduler){0};
        return rc;
    }
    for (int i = 0; i < l->n_slots; i++) {
        s->free_slots[s->n_free_slots++] = l->n_slots - 1 - i;
    }
    monitor_init(&s->monitor);
    return OK;
}

void scheduler_release(struct scheduler *s)
{
    if (s->free_slots) {
        BUG_ON(s->n_live != 0 || s->n_leaving != 0);
        monitor_release(&s->monitor);
        flight_pool_release(&s->flights);
        line_release(&s->line);
        crew_destroy(s->crew);
        mem_free(s->seats);
        mem_free(s->free_slots);
    }
    *s = (struct scheduler){0};
}

/* ---- coming and going ---- */

/* When a job that is neither cancelled nor late nor in a hurry yet will be one of these. */
static uint64_t next_look_us(const struct job_private *j)
{
    uint64_t deadline_us = j->job->request.deadline_us;
    return deadline_us > 0 && deadline_us < j->hurry_us ? deadline_us : j->hurry_us;
}

enum err scheduler_submit(struct scheduler *s, struct job_private *j, uint64_t now_us, struct errbuf *why)
{
    monitor_check(&s->monitor);
    if (s->is_draining) {
        return err_set(why, ERR_DRAINING, "the engine is being closed");
    }
    if (s->n_live >= s->max_jobs) {
        return err_set(why, ERR_OVERLOADED, "%d jobs are in progress, which is the limit; try again later", s->n_live);
    }
    scheduler_stand_in_line(s, j, now_us);
    j->submitted_us = now_us;
    j->state = JOB_PREPARE_WAIT;
    s->n_live++;
    uint64_t look_us = atomic_load(&j->is_cancelled) ? 0 : next_look_us(j);
    s->look_us = look_us < s->look_us ? look_us : s->look_us;
    line_set_look(&s->line, j, look_us);
    scheduler_insert(&s->prepare, j);
    monitor_wake(&s->monitor, SCHEDULER_DECODE_WORK);
    return OK;
}

void scheduler_fail(struct job_private *j, enum err why, const char *stage)
{
    if (!j->failure) {
        j->failure = why;
        j->failure_stage = stage;
    }
}

void scheduler_finish(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving)
{
    monitor_check(&s->monitor);
    struct job_result *r = &j->job->result;
    r->err = j->failure;
    r->stage = j->failure_stage;
    r->total_us = clock_since(now_us, j->submitted_us); /* it may have joined others after now_us was read */
    uint64_t busy_us = r->decode_us + r->regions_us + r->fusion_us;
    r->queue_us = busy_us < r->total_us ? r->total_us - busy_us : 0;
    j->state = JOB_LEAVING;
    scheduler_leave_line(s, j);
    s->n_live--;
    s->n_leaving++;
    TAILQ_INSERT_TAIL(leaving, j, queue);
}

void scheduler_deliver(struct scheduler *s, struct job_list *leaving)
{
    int n = 0;
    if (TAILQ_EMPTY(leaving)) {
        return;
    }
    scheduler_leave(s);
    struct job_private *j;
    while ((j = TAILQ_FIRST(leaving))) {
        TAILQ_REMOVE(leaving, j, queue);
        job_conclude(j);
        j->state = JOB_HOME;
        j->job->on_done(j->job); /* from here on it is the caller's */
        n++;
    }
    scheduler_enter(s);
    s->n_leaving -= n;
    if (s->n_live == 0 && s->n_leaving == 0) {
        monitor_wake_all(&s->monitor, SCHEDULER_ALL_HOME);
    }
}

/* ---- dropping ---- */

/* Out of a flight that no thread is at work on, or of another job's. A flight that nobody can lead any more ends. */
static void drop_from_flight(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving)
{
    struct flight *f = j->flight;
    flight_leave(f, j);
    scheduler_finish(s, j, now_us, leaving);
    if (f->is_busy || (f->stage == FLIGHT_IMAGE && !TAILQ_EMPTY(&f->members)) || flight_with_bytes(f)) {
        return;
    }
    while ((j = TAILQ_FIRST(&f->members))) { /* they gave only the image's id */
        scheduler_fail(j, ERR_IMAGE_NOT_CACHED, "decode");
        flight_leave(f, j);
        scheduler_finish(s, j, now_us, leaving);
    }
    TAILQ_REMOVE(scheduler_list_of(s, f), f, link);
    if (f->slot >= 0) {
        s->free_slots[s->n_free_slots++] = f->slot;
        f->slot = -1;
        monitor_wake(&s->monitor, SCHEDULER_DECODE_WORK);
    }
    flight_end(&s->flights, f);
}

/* No more of its items begin; it leaves when none runs. */
static void drop_from_fusion(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving)
{
    if (j->n_taken < j->n_items) {
        TAILQ_REMOVE(&s->fusion, j, queue);
        j->n_taken = j->n_items;
    }
    if (j->n_running > 0) {
        return;
    }
    if (j->slot) {
        TAILQ_REMOVE(&s->captions, j->slot, link);
        scheduler_free_caption(s, j->slot);
    }
    scheduler_finish(s, j, now_us, leaving);
}

static void drop(struct scheduler *s, struct job_private *j, enum err why, uint64_t now_us, struct job_list *leaving)
{
    if (j->state == JOB_PREPARE_WAIT) {
        scheduler_fail(j, why, "queue");
        s->totals.cancelled[ENGINE_DECODE]++;
        TAILQ_REMOVE(&s->prepare, j, queue);
        scheduler_finish(s, j, now_us, leaving);
    } else if (j->state == JOB_IN_FLIGHT && !(j->flight->is_busy && j->flight->leader == j)) {
        scheduler_fail(j, why, "queue");
        s->totals.cancelled[j->flight->stage == FLIGHT_DECODE ? ENGINE_DECODE : ENGINE_REGIONS]++;
        drop_from_flight(s, j, now_us, leaving);
    } else if (j->state == JOB_FUSION && !j->failure) {
        scheduler_fail(j, why, j->n_taken > 0 ? "fusion" : "queue");
        s->totals.cancelled[ENGINE_FUSION]++;
        drop_from_fusion(s, j, now_us, leaving);
    }
}

/* Drops or hurries it if it is time. -> when to look at it again; 0: at once, for a thread has it now. */
static uint64_t look_at(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving)
{
    uint64_t deadline_us = j->job->request.deadline_us;
    bool is_cancelled = atomic_load_explicit(&j->is_cancelled, memory_order_relaxed);
    if (is_cancelled || (deadline_us > 0 && now_us >= deadline_us)) {
        drop(s, j, is_cancelled ? ERR_CANCELLED : ERR_DEADLINE, now_us, leaving);
        return j->state == JOB_LEAVING || (j->state == JOB_FUSION && j->failure) ? UINT64_MAX : 0;
    }
    scheduler_hurry(s, j, now_us);
    if (j->state == JOB_FUSION && j->n_taken > 0) { /* it runs: too late to overtake anybody */
        return deadline_us > 0 ? deadline_us : UINT64_MAX;
    }
    return now_us < j->hurry_us ? next_look_us(j) : 0;
}

/* Looks at it, and notes when to look again. */
static void look_and_note(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving)
{
    uint64_t look_us = look_at(s, j, now_us, leaving);
    if (j->state != JOB_LEAVING) {
        line_set_look(&s->line, j, look_us);
        s->look_us = look_us < s->look_us ? look_us : s->look_us;
    }
}

void scheduler_sweep(struct scheduler *s, uint64_t now_us, struct job_list *leaving)
{
    monitor_check(&s->monitor);
    struct job_private *j, *next;
    bool has_cancelled = atomic_load(&s->has_cancelled);
    if (now_us < s->look_us && !has_cancelled) {
        return;
    }
    int n_due = line_due(&s->line, now_us, &j, &s->look_us);
    if (n_due <= 1 && !has_cancelled) { /* as a rule; the others' memory is left alone */
        if (n_due == 1) {
            look_and_note(s, j, now_us, leaving);
        }
        return;
    }
    /* Before the look: what is cancelled meanwhile is found next time. */
    (void)atomic_exchange(&s->has_cancelled, false);
    s->look_us = UINT64_MAX;
    for (j = TAILQ_FIRST(&s->live); j; j = next) { /* in the order of arrival */
        next = TAILQ_NEXT(j, live);
        if (j->state != JOB_LEAVING) {
            look_and_note(s, j, now_us, leaving);
        }
    }
}

/* ---- decode workers ---- */

struct job_private *scheduler_pop_prepare(struct scheduler *s)
{
    monitor_check(&s->monitor);
    struct job_private *j = TAILQ_FIRST(&s->prepare);
    if (j) {
        TAILQ_REMOVE(&s->prepare, j, queue);
        j->state = JOB_HELD;
    }
    return j;
}

/* Large pictures never keep all workers: with one decode thread there is a second worker for this. Small ones use as
 * many as there are decode threads. */
static bool has_lane(const struct scheduler *s, const struct flight *f)
{
    int n = s->n_decode_threads;
    if (f->decode_bytes > SCHEDULER_LARGE_BYTES) {
        return s->n_large_decoding < (n > 1 ? n - 1 : 1);
    }
    return s->n_decoding - (n > 1 ? 0 : s->n_large_decoding) < n;
}

/* The last slot is for a client that has none, so that nobody waits for the pictures of somebody else to be through. */
static bool has_slot(const struct scheduler *s, const struct flight *f)
{
    if (f->is_check || s->n_free_slots > 1 || s->n_slots < KEEPS_ONE) {
        return f->is_check || s->n_free_slots > 0;
    }
    for (int i = 0; s->n_free_slots == 1 && i < s->flights.n; i++) {
        const struct flight *other = &s->flights.flights[i];
        if (other->stage != FLIGHT_FREE && other->slot >= 0 && other->client == f->client) {
            return false;
        }
    }
    return s->n_free_slots == 1;
}

/* The most urgent one that has a lane and a slot. When there is no memory for it, it waits and nobody passes it. */
static struct flight *choose_decode(const struct scheduler *s)
{
    struct flight *f;
    TAILQ_FOREACH(f, &s->decode, link)
    {
        if (has_lane(s, f) && has_slot(s, f)) {
            return s->decode_bytes + f->decode_bytes <= s->decode_budget ? f : NULL;
        }
    }
    return NULL;
}

struct flight *scheduler_pop_decode(struct scheduler *s)
{
    monitor_check(&s->monitor);
    struct flight *f = choose_decode(s);
    if (!f) {
        return NULL;
    }
    TAILQ_REMOVE(&s->decode, f, link);
    f->slot = f->is_check ? -1 : s->free_slots[--s->n_free_slots];
    f->leader = flight_with_bytes(f);
    BUG_ON(!f->leader);
    f->is_busy = true;
    s->n_decoding++;
    s->n_large_decoding += f->decode_bytes > SCHEDULER_LARGE_BYTES;
    s->decode_bytes += f->decode_bytes;
    if (s->decode_bytes > s->totals.decode_peak_bytes) {
        s->totals.decode_peak_bytes = s->decode_bytes;
    }
    scheduler_trim_helpers(s);
    return f;
}

/* Its decoding is over, successful or not. */
static void end_decode(struct scheduler *s, const struct flight *f)
{
    monitor_check(&s->monitor);
    s->n_decoding--;
    s->n_large_decoding -= f->decode_bytes > SCHEDULER_LARGE_BYTES;
    s->decode_bytes -= f->decode_bytes;
    monitor_wake_all(&s->monitor,
                     SCHEDULER_DECODE_WORK); /* what has a lane now need not be what a single sleeper would take */
}

void scheduler_route(struct scheduler *s, struct job_private *j, bool may_share)
{
    monitor_check(&s->monitor);
    const struct job_request *r = &j->job->request;
    struct flight *f = may_share ? flight_find(&s->flights, &j->job->result.id, r->tolerate_truncated) : NULL;
    if (f) {
        j->job->result.cache = JOB_CACHE_COALESCED;
        s->totals.cache_coalesced++;
        flight_join(f, j);
        if (!f->is_busy) { /* it may be more urgent now */
            TAILQ_REMOVE(scheduler_list_of(s, f), f, link);
            flight_insert(scheduler_list_of(s, f), f);
        }
        return;
    }
    s->totals.cache_misses += r->task != JOB_CHECK;
    flight_insert(&s->decode, flight_begin(&s->flights, j, may_share));
    monitor_wake(&s->monitor, SCHEDULER_DECODE_WORK);
}

void scheduler_decoded(struct scheduler *s, struct flight *f, uint64_t now_us)
{
    monitor_check(&s->monitor);
    end_decode(s, f);
    f->stage = FLIGHT_IMAGE;
    f->is_busy = false;
    f->ready_us = now_us;
    flight_insert(&s->images, f);
    scheduler_wake_engine(s);
}

/* ---- engine threads ---- */

void scheduler_pop_images(struct scheduler *s, struct flight **out, int n)
{
    monitor_check(&s->monitor);
    for (int i = 0; i < n; i++) {
        struct flight *f = TAILQ_FIRST(&s->images);
        TAILQ_REMOVE(&s->images, f, link);
        f->is_busy = true;
        f->leader = TAILQ_FIRST(&f->members);
        out[i] = f;
    }
}

void scheduler_land(struct scheduler *s, struct flight *f, struct job_list *members)
{
    monitor_check(&s->monitor);
    struct job_private *j;
    f->is_busy = false;
    while ((j = TAILQ_FIRST(&f->members))) {
        flight_leave(f, j);
        TAILQ_INSERT_TAIL(members, j, queue);
    }
    if (f->stage == FLIGHT_DECODE) {
        end_decode(s, f);
    }
    if (f->slot >= 0) {
        s->free_slots[s->n_free_slots++] = f->slot;
        f->slot = -1;
        monitor_wake(&s->monitor, SCHEDULER_DECODE_WORK);
    }
    flight_end(&s->flights, f);
}

void scheduler_enter_fusion(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving)
{
    monitor_check(&s->monitor);
    if (j->failure || j->n_items == 0) {
        scheduler_finish(s, j, now_us, leaving);
        return;
    }
    j->state = JOB_FUSION;
    scheduler_insert(&s->fusion, j);
    scheduler_wake_engine(s);
}

void scheduler_pop_items(struct scheduler *s, struct job_private *j, int n)
{
    monitor_check(&s->monitor);
    TAILQ_REMOVE(&s->fusion, j, queue);
    if (j->n_taken + n < j->n_items) { /* its place moves on by the part that is taken */
        uint64_t left_us = j->end->us > j->line_us ? j->end->us - j->line_us : 0;
        uint64_t taken_us = left_us * (uint64_t)n / (uint64_t)(j->n_items - j->n_taken);
        j->line_us += taken_us;
        j->due_us += taken_us;
        line_move(&s->line, j);
        scheduler_insert(&s->fusion, j);
    }
    j->n_taken += n;
}

void scheduler_items_begin(struct scheduler *s, struct job_private *j, int n, uint64_t now_us)
{
    monitor_check(&s->monitor);
    if (j->n_running == 0) {
        j->fusion_from_us = now_us;
    }
    j->n_running += n;
    s->running_items += n;
}

void scheduler_items_end(struct scheduler *s, struct job_private *j, int n, int finished, uint64_t now_us,
                         struct job_list *leaving)
{
    monitor_check(&s->monitor);
    j->n_running -= n;
    j->n_finished += finished;
    s->running_items -= n;
    if (j->n_running == 0) {
        j->job->result.fusion_us += clock_since(now_us, j->fusion_from_us);
    }
    if (j->n_finished == j->n_items) {
        scheduler_finish(s, j, now_us, leaving);
    } else if (j->failure) {
        drop_from_fusion(s, j, now_us, leaving);
    }
}

void scheduler_return_slot(struct scheduler *s, struct caption_slot *slot)
{
    slot->job = NULL;
    if (slot->is_large) {
        TAILQ_INSERT_TAIL(&s->free_captions, slot, link);
    } else {
        TAILQ_INSERT_HEAD(&s->free_captions, slot, link);
    }
}

void scheduler_free_caption(struct scheduler *s, struct caption_slot *slot)
{
    slot->job->slot = NULL;
    scheduler_return_slot(s, slot);
}
