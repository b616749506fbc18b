/* Several threads share the work like this: whoever is free takes the next step and, before it goes, wakes one more
 * thread if anything is left; who finds nothing helps the others (scheduler_crew.c). A caption in a step belongs to
 * that step's thread until the step ends; then any thread may take it on. */
#include "engine/runner.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/engine_private.h"
#include "engine/figures.h"
#include "engine/fusion_step.h"

#include <string.h>

struct runner {
    struct engine *engine;
    int index;
    pthread_t thread;
    bool is_started;
    struct session *session;
    struct fusion_step *step;
    struct batcher_history history;
    struct flight **flights; /* [max_images] */
};

/* ---- images ---- */

/* Outside: the leader's memory takes the features. */
static enum err compute_regions(struct runner *r, const struct flight *f)
{
    struct features *to = f->leader->own;
    struct tee_input in = {.pixels = engine_slot(r->engine, f->slot),
                           .padded_width = f->shape.padded_width,
                           .padded_height = f->shape.padded_height,
                           .resized_width = f->shape.resized_width,
                           .resized_height = f->shape.resized_height,
                           .width = f->width,
                           .height = f->height};
    features_init(to, r->engine->config);
    return session_regions(r->session, &in, to);
}

/* Inside, but while copying; others may still join the flight meanwhile. */
static void store(struct runner *r, struct flight *f)
{
    struct scheduler *s = &r->engine->scheduler;
    const struct job_private *j;
    bool may_store = false;
    TAILQ_FOREACH(j, &f->members, member)
    {
        may_store = may_store || !j->job->request.no_store;
    }
    struct feature_cache_entry *entry = may_store ? feature_cache_reserve(s->cache, &f->id) : NULL;
    if (!entry) {
        return;
    }
    scheduler_leave(s);
    memcpy(feature_cache_block(entry), f->leader->own, features_bytes(r->engine->config));
    scheduler_enter(s);
    feature_cache_commit(s->cache, entry, f->warnings);
}

/* Outside: each member gets its own copy, then shows what is in it. */
static void give_features(struct runner *r, struct job_list *members, const struct job_private *leader, enum err rc)
{
    struct job_private *j;
    TAILQ_FOREACH(j, members, queue)
    {
        if (rc) {
            scheduler_fail(j, rc, "regions");
            continue;
        }
        if (j != leader) {
            memcpy(j->own, leader->own, features_bytes(r->engine->config));
        }
        j->features = j->own;
        job_present(j);
    }
}

/* Inside, but for the work. */
static void run_image(struct runner *r, struct flight *f, int n_images, struct job_list *leaving)
{
    struct scheduler *s = &r->engine->scheduler;
    struct job_list members = TAILQ_HEAD_INITIALIZER(members);
    struct job_private *j;
    scheduler_lead(s, r->index);
    scheduler_leave(s);
    uint64_t from_us = clock_us();
    enum err rc = compute_regions(r, f);
    uint64_t now_us = clock_us();
    scheduler_enter(s);
    uint64_t helped_us = figures_helped(s, ENGINE_REGIONS, scheduler_end_lead(s, r->index));
    forecast_add(&s->forecast.regions, 1, (double)(now_us - from_us + helped_us));
    if (!rc) {
        store(r, f);
    }
    const struct job_private *leader = f->leader;
    uint64_t decode_us = f->decode_us;
    uint32_t warnings = f->warnings;
    scheduler_land(s, f, &members);
    scheduler_leave(s);
    give_features(r, &members, leader, rc);
    scheduler_enter(s);
    while ((j = TAILQ_FIRST(&members))) {
        struct job_result *result = &j->job->result;
        TAILQ_REMOVE(&members, j, queue);
        result->warnings = warnings;
        result->decode_us += decode_us;
        result->regions_us = now_us - from_us;
        result->regions_batch = n_images;
        scheduler_enter_fusion(s, j, now_us, leaving);
    }
}

static void run_images(struct runner *r, int n, struct job_list *leaving)
{
    struct scheduler *s = &r->engine->scheduler;
    uint64_t from_us = clock_us();
    scheduler_pop_images(s, r->flights, n);
    figures_begin(s, ENGINE_REGIONS, from_us);
    for (int i = 0; i < n; i++) {
        run_image(r, r->flights[i], n, leaving);
        scheduler_deliver(s, leaving);
    }
    figures_end(s, ENGINE_REGIONS, n, from_us, clock_us());
}

/* ---- fusion ---- */

/* Inside, but for the work. */
static void run_fusion(struct runner *r, struct job_list *leaving)
{
    struct scheduler *s = &r->engine->scheduler;
    uint64_t from_us = clock_us();
    figures_begin(s, ENGINE_FUSION, from_us);
    scheduler_lead(s, r->index);
    scheduler_leave(s);
    fusion_step_run(r->step, r->session);
    uint64_t now_us = clock_us();
    scheduler_enter(s);
    uint64_t helped_us = figures_helped(s, ENGINE_FUSION, scheduler_end_lead(s, r->index));
    figures_end(s, ENGINE_FUSION, fusion_step_n_items(r->step), from_us, now_us);
    fusion_step_end(r->step, now_us - from_us + helped_us, now_us, leaving);
}

/* ---- thread ---- */

static void look(struct runner *r, struct batcher_view *v)
{
    struct scheduler *s = &r->engine->scheduler;
    const struct flight *f;
    *v = (struct batcher_view){.images_upstream =
                                   !TAILQ_EMPTY(&s->prepare) || !TAILQ_EMPTY(&s->decode) || s->n_decoding > 0};
    v->oldest_image_us = UINT64_MAX;
    v->image_priority = JOB_PRIORITIES;
    v->image_due_us = UINT64_MAX;
    TAILQ_FOREACH(f, &s->images, link)
    {
        v->images++;
        v->oldest_image_us = f->ready_us < v->oldest_image_us ? f->ready_us : v->oldest_image_us;
    }
    f = TAILQ_FIRST(&s->images);
    if (f) {
        v->image_due_us = f->due_us;
        v->image_client = f->client;
        v->image_priority = f->priority;
    }
    fusion_step_gather(r->step, v);
}

/* Inside: one step, or a sleep. */
static void do_next(struct runner *r, struct job_list *leaving)
{
    struct scheduler *s = &r->engine->scheduler;
    struct batcher_view v;
    uint64_t now_us = clock_us();
    look(r, &v);
    struct batcher_choice c = batcher_choose(&s->limits, &v, &r->history, now_us);
    if (c.action == BATCHER_FUSION) {
        int n_helpers = s->n_idle_engines - v.images;
        fusion_step_begin(r->step, n_helpers > 0 ? n_helpers : 0, now_us);
        scheduler_wake_next(s);
        run_fusion(r, leaving);
        return;
    }
    fusion_step_drop(r->step);
    if (c.action == BATCHER_IMAGES) {
        scheduler_wake_next(s);
        run_images(r, c.n_images, leaving);
    } else {
        scheduler_wait_engine(s, r->index, c.until_us);
    }
}

static void *run_thread(void *arg)
{
    struct runner *r = arg;
    struct scheduler *s = &r->engine->scheduler;
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    thread_yield_to_others(r->engine->options.nice);
    model_enter(r->engine->model, s->crew, r->index);
    scheduler_enter(s);
    while (!s->is_stopping) {
        scheduler_sweep(s, clock_us(), &leaving);
        if (TAILQ_EMPTY(&leaving)) {
            do_next(r, &leaving);
        }
        scheduler_deliver(s, &leaving);
    }
    scheduler_leave(s);
    return NULL;
}

/* ---- life cycle ---- */

enum err runner_open(struct runner **out, struct engine *e, int index)
{
    struct runner *r = NULL;
    struct session_limits limits = {
        .max_input_width = e->max_side, .max_input_height = e->max_side, .max_rows = e->scheduler.limits.max_rows};
    char name[32];
    *out = NULL;
    enum err rc = mem_alloc(&r, sizeof(*r));
    if (rc) {
        return rc;
    }
    *out = r; /* closed by the engine when the rest fails */
    r->engine = e;
    r->index = index;
    snprintf(name, sizeof(name), "engine-%d", index);
    rc = mem_array(&r->flights, (size_t)e->scheduler.limits.max_images, sizeof(struct flight *));
    rc = rc ? rc : session_create(&r->session, e->model, &limits);
    rc = rc ? rc : fusion_step_create(&r->step, e, index);
    rc = rc ? rc : thread_start(&r->thread, name, run_thread, r);
    r->is_started = !rc;
    return rc;
}

void runner_close(struct runner *r)
{
    if (!r) {
        return;
    }
    if (r->is_started) {
        thread_join(r->thread);
    }
    fusion_step_destroy(r->step);
    session_destroy(r->session);
    mem_free(r->flights);
    mem_free(r);
}

size_t runner_bytes(const struct runner *r)
{
    return session_memory_bytes(r->session) + fusion_step_bytes(r->engine);
}
