/* engine_sim - the engine's real line, queues, places and steps, with made-up times instead of threads and a network.
 * Discrete events, no clock. Include once, in the only file of a program.
 *
 *     open_sim(groups, n);
 *     while (sim.now_us < end_us) {
 *         begin_all();
 *         next_event();
 *         end_all();
 *     }
 *     close_sim();
 *
 * Threads: one. */
#ifndef TESTS_SUPPORT_ENGINE_SIM_H
#define TESTS_SUPPORT_ENGINE_SIM_H

#include "engine/fusion_step.c"
#include "engine/runner.c"
#include "tests/support/check.h"

enum { THREADS = 2, SLOTS = 5, CAPTIONS = 16, JOBS = 256, MAX_CONNECTIONS = 256, TEXTS = 100, GROUPS = 2 };
enum { FREE_ROWS = 32 };

/* Microseconds; a step takes row_us more for each row above FREE_ROWS. Steps of a caption have rows for each beam, its
 * first one, and each text, first_rows. */
static struct sim_times {
    uint64_t decode_us, image_us, step_us, row_us;
    int first_rows, rows, words;
} sim_times = {
    .decode_us = 2000, .image_us = 7000, .step_us = 800, .row_us = 25, .first_rows = 70, .rows = 2, .words = 11};

/* Connections that behave alike: each asks again when it is answered. */
struct group {
    int n, n_clients;
    enum job_task task;
    int beams, texts, priority;
    uint64_t pause_us, timeout_us;
    int jobs;             /* of a request; 0 means one */
    bool has_one_picture; /* all ask about the same */
    bool is_known;        /* its regions are there */
};

struct connection {
    uint64_t ask_us; /* 0: it waits for an answer */
    int group, left;
};

struct sim_job {
    struct job job;
    struct job_private private;
    int connection;
    bool is_used;
};

static struct sim {
    struct engine engine;
    struct model_config config;
    uint64_t now_us;
    struct group groups[GROUPS];
    struct connection connections[MAX_CONNECTIONS];
    int n_connections, n_answers[GROUPS];
    uint64_t waited_us[GROUPS]; /* of all answers together */
    struct sim_job jobs[JOBS];
    struct runner runners[THREADS];
    struct {
        uint64_t until_us, took_us; /* until 0: free */
        bool is_fusion;
    } engines[THREADS];
    struct {
        uint64_t until_us;
        struct flight *flight;
    } decoders[2];
    struct job_list leaving;
    int tokens[TEXTS * 16], n_tokens[TEXTS];
} sim;

static struct sim_job *job_of(struct job_private *p)
{
    return (struct sim_job *)((char *)p - offsetof(struct sim_job, private));
}

/* ---- clients ---- */

static void submit(int connection, const struct group *g)
{
    struct sim_job *j = sim.jobs;
    struct errbuf why;
    while (j->is_used) {
        j++;
    }
    *j = (struct sim_job){.connection = connection, .is_used = true};
    bool has_texts = g->task == JOB_VQA || g->task == JOB_RETRIEVE;
    j->job.request = (struct job_request){
        .task = g->task,
        .image = g->is_known ? NULL : (const uint8_t *)"x",
        .image_bytes = 1,
        .client = (uint64_t)(sim.connections[connection].group * 1000 + connection % (g->n_clients ? g->n_clients : 1)),
        .priority = g->priority,
        .n_texts = has_texts ? g->texts : 0,
        .deadline_us = sim.now_us + (g->timeout_us ? g->timeout_us : 30000000)};
    j->private = (struct job_private){.job = &j->job,
                                      .caption = {.num_beams = g->beams, .max_tokens = 20},
                                      .n_items = has_texts ? g->texts : g->task == JOB_CAPTION,
                                      .item_rows = sim_times.first_rows,
                                      .tokens = sim.tokens,
                                      .n_tokens = sim.n_tokens};
    j->job._private = &j->private;
    CHECK_INT(scheduler_submit(&sim.engine.scheduler, &j->private, sim.now_us, &why), OK);
}

static void ask(int connection)
{
    struct connection *c = &sim.connections[connection];
    const struct group *g = &sim.groups[c->group];
    c->left = g->jobs ? g->jobs : 1;
    for (int i = 0; i < c->left; i++) {
        submit(connection, g);
    }
    sim.waited_us[c->group] -= sim.now_us;
    c->ask_us = 0;
}

static void answer_all(void)
{
    struct job_private *p;
    while ((p = TAILQ_FIRST(&sim.leaving))) {
        struct sim_job *j = job_of(p);
        struct connection *c = &sim.connections[j->connection];
        TAILQ_REMOVE(&sim.leaving, p, queue);
        sim.engine.scheduler.n_leaving--;
        j->is_used = false;
        if (--c->left == 0) {
            sim.waited_us[c->group] += sim.now_us;
            sim.n_answers[c->group] += !p->failure;
            c->ask_us = sim.now_us + 100 + sim.groups[c->group].pause_us;
        }
    }
}

/* ---- the engine's threads ---- */

static void end_image(struct flight *f)
{
    struct scheduler *s = &sim.engine.scheduler;
    struct job_list members = TAILQ_HEAD_INITIALIZER(members);
    struct job_private *j;
    forecast_add(&s->forecast.regions, 1, sim_times.image_us);
    scheduler_land(s, f, &members);
    while ((j = TAILQ_FIRST(&members))) {
        TAILQ_REMOVE(&members, j, queue);
        scheduler_enter_fusion(s, j, sim.now_us, &sim.leaving);
    }
}

static void end_step(struct fusion_step *f, uint64_t took_us)
{
    for (int i = 0; i < f->n; i++) {
        struct member *m = &f->members[i];
        f->errs[i] = OK;
        m->is_finished = true;
        if (m->slot) {
            m->is_finished = ++m->slot->steps == sim_times.words;
            m->slot->rows = sim_times.rows * m->job->caption.num_beams;
        }
    }
    fusion_step_end(f, took_us, sim.now_us, &sim.leaving);
}

static void begin_step(int i)
{
    struct runner *r = &sim.runners[i];
    struct scheduler *s = &sim.engine.scheduler;
    struct batcher_view v;
    look(r, &v);
    for (int k = 1; k < r->step->n_running; k++) {
        CHECK(r->step->sources[k - 1].due_us <= r->step->sources[k].due_us);
    }
    struct batcher_choice c = batcher_choose(&s->limits, &v, &r->history, sim.now_us);
    sim.engines[i].is_fusion = c.action == BATCHER_FUSION;
    if (c.action == BATCHER_FUSION) {
        fusion_step_begin(r->step, 0, sim.now_us);
        int more = r->step->rows > FREE_ROWS ? r->step->rows - FREE_ROWS : 0;
        sim.engines[i].took_us = sim_times.step_us + sim_times.row_us * (uint64_t)more;
        sim.engines[i].until_us = sim.now_us + sim.engines[i].took_us;
        return;
    }
    fusion_step_drop(r->step);
    if (c.action == BATCHER_IMAGES) {
        scheduler_pop_images(s, r->flights, 1);
        sim.engines[i].until_us = sim.now_us + sim_times.image_us;
    }
}

static void end_all(void)
{
    for (int i = 0; i < 2; i++) {
        if (sim.decoders[i].until_us && sim.decoders[i].until_us <= sim.now_us) {
            forecast_add(&sim.engine.scheduler.forecast.decode, 1, sim_times.decode_us);
            scheduler_decoded(&sim.engine.scheduler, sim.decoders[i].flight, sim.now_us);
            sim.decoders[i].until_us = 0;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        if (sim.engines[i].until_us && sim.engines[i].until_us <= sim.now_us) {
            sim.engines[i].until_us = 0;
            if (sim.engines[i].is_fusion) {
                end_step(sim.runners[i].step, sim.engines[i].took_us);
            } else {
                end_image(sim.runners[i].flights[0]);
            }
        }
    }
    answer_all();
}

static void begin_all(void)
{
    struct scheduler *s = &sim.engine.scheduler;
    struct job_private *j;
    for (int i = 0; i < sim.n_connections; i++) {
        if (sim.connections[i].ask_us && sim.connections[i].ask_us <= sim.now_us) {
            ask(i);
        }
    }
    scheduler_sweep(s, sim.now_us, &sim.leaving);
    answer_all();
    while ((j = scheduler_pop_prepare(s))) {
        const struct group *g = &sim.groups[sim.connections[job_of(j)->connection].group];
        j->decode_bytes = 1 << 20;
        if (g->is_known) {
            scheduler_enter_fusion(s, j, sim.now_us, &sim.leaving);
        } else {
            scheduler_route(s, j, g->has_one_picture);
        }
    }
    for (int i = 0; i < 2; i++) {
        if (!sim.decoders[i].until_us && (sim.decoders[i].flight = scheduler_pop_decode(s))) {
            sim.decoders[i].until_us = sim.now_us + sim_times.decode_us;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        if (!sim.engines[i].until_us) {
            begin_step(i);
        }
    }
}

static void next_event(void)
{
    uint64_t next_us = UINT64_MAX;
#define SOONER(t) next_us = (t) && (t) < next_us ? (t) : next_us
    for (int i = 0; i < sim.n_connections; i++) {
        SOONER(sim.connections[i].ask_us);
    }
    for (int i = 0; i < 2; i++) {
        SOONER(sim.decoders[i].until_us);
    }
    for (int i = 0; i < THREADS; i++) {
        SOONER(sim.engines[i].until_us);
    }
#undef SOONER
    sim.now_us = next_us;
}

/* ---- runs ---- */

static struct feature_cache *cache;

static void open_sim(const struct group *groups, int n_groups)
{
    static struct caption_slot captions[CAPTIONS];
    static struct flight *flights[THREADS];
    struct scheduler_limits limits = {
        .batcher = {.max_rows = 256, .max_items = CAPTIONS + 64, .max_images = 1, .is_continuous = true},
        .max_jobs = JOBS,
        .n_slots = SLOTS,
        .n_engine_threads = THREADS,
        .n_decode_threads = 1};
    memset(&sim, 0, sizeof(sim));
    memset(captions, 0, sizeof(captions));
    struct engine *e = &sim.engine;
    sim.now_us = 1000000;
    sim.config.caption.num_beams = 3;
    sim.config.caption.max_tokens = 20;
    sim.config.vqa.answers = sim.config.roi.max_regions = sim.config.text.text_length = 1;
    e->config = &sim.config;
    e->options.max_captions = CAPTIONS;
    e->captions = captions;
    TAILQ_INIT(&sim.leaving);
    CHECK_INT(feature_cache_create(&cache, 0, 64), OK);
    CHECK_INT(scheduler_init(&e->scheduler, &limits, cache), OK);
    for (int i = 0; i < CAPTIONS; i++) {
        captions[i].is_large = i % 6 == 0;
        captions[i].max_beams = captions[i].is_large ? 10 : 3;
        captions[i].max_tokens = 20;
        scheduler_return_slot(&e->scheduler, &captions[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        sim.runners[i] = (struct runner){.engine = e, .index = i, .flights = &flights[i]};
        CHECK_INT(fusion_step_create(&sim.runners[i].step, e, i), OK);
    }
    for (int g = 0; g < n_groups; g++) {
        sim.groups[g] = groups[g];
        for (int i = 0; i < groups[g].n; i++) {
            sim.connections[sim.n_connections++] =
                (struct connection){.group = g, .ask_us = sim.now_us + 1 + (uint64_t)i * 997};
        }
    }
    scheduler_enter(&e->scheduler);
}

static void close_sim(void)
{
    scheduler_leave(&sim.engine.scheduler);
    for (int i = 0; i < THREADS; i++) {
        fusion_step_destroy(sim.runners[i].step);
    }
    sim.engine.scheduler.n_live = 0; /* what is under way stays */
    scheduler_release(&sim.engine.scheduler);
    feature_cache_destroy(cache);
}

#endif
