/* gate_sim_engine - the made-up engine of gate_sim.h, a part of it: who is served next, and how long it takes. */
#ifndef TESTS_UNIT_SERVER_GATE_GATE_SIM_ENGINE_H
#define TESTS_UNIT_SERVER_GATE_GATE_SIM_ENGINE_H

/* What a thread may take now. */
struct sim_filter {
    enum sim_stage stage;
    bool is_large;  /* SIM_DECODE: of this lane */
    bool has_begun; /* SIM_FUSION: captions under way, else any */
};

static bool sim_fits(const struct sim *s, const struct sim_job *job, const struct sim_filter *f)
{
    bool is_caption = s->o->groups[s->requests[job->request].group].texts == 0;
    return job->stage == f->stage && !job->is_busy && (f->stage != SIM_DECODE || job->is_large == f->is_large) &&
           (!f->has_begun || (is_caption && job->has_begun));
}

/* Of one client: in a hurry, by deadline, once half of the time is over. */
static bool sim_hurries_past(const struct sim *s, const struct sim_job *a, const struct sim_job *b)
{
    bool hurry_a = s->now >= a->urgent_at, hurry_b = s->now >= b->urgent_at;
    return hurry_a && (!hurry_b || a->deadline < b->deadline);
}

/* Clients in turn, by the place of each; then the one of that client that hurries most takes the place. -1: none. */
static int sim_first(struct sim *s, const struct sim_filter *f)
{
    int best = -1;
    for (int j = 0; j < s->n_jobs; j++) {
        const struct sim_job *job = &s->jobs[j], *b = best < 0 ? NULL : &s->jobs[best];
        bool is_before = !b || job->line < b->line || (job->line == b->line && job->number < b->number);
        best = sim_fits(s, job, f) && is_before ? j : best;
    }
    int first = best;
    for (int j = 0; best >= 0 && j < s->n_jobs; j++) {
        bool is_own = sim_fits(s, &s->jobs[j], f) && s->jobs[j].client == s->jobs[first].client;
        best = is_own && sim_hurries_past(s, &s->jobs[j], &s->jobs[best]) ? j : best;
    }
    if (best != first) {
        double line = s->jobs[first].line, end = s->jobs[first].end;
        s->jobs[first].line = s->jobs[best].line;
        s->jobs[first].end = s->jobs[best].end;
        s->jobs[best].line = line;
        s->jobs[best].end = end;
    }
    return best;
}

static void sim_begin(struct sim *s, struct sim_thread *t, enum sim_stage stage, double us)
{
    t->is_busy = true;
    t->stage = stage;
    t->from = s->now;
    t->until = s->now + sim_took(s, us);
    for (int i = 0; i < t->n; i++) {
        s->jobs[t->jobs[i]].is_busy = true;
    }
}

static int sim_texts(const struct sim *s, const struct sim_job *job)
{
    return s->o->groups[s->requests[job->request].group].texts;
}

/* What may join a step: captions under way, then others in order; `free` places for captions are left, the last one for
 * a client that has none. */
struct sim_lineup {
    struct batcher_source sources[SIM_SOURCES];
    int jobs[SIM_SOURCES], take[SIM_SOURCES];
    int n_running, n;
};

static bool sim_has_place(const struct sim *s, const struct sim_job *job, int free)
{
    bool has_one = false;
    for (int i = 0; free == 1 && i < s->n_jobs; i++) {
        const struct sim_job *other = &s->jobs[i];
        has_one = has_one || (other->stage == SIM_FUSION && other->has_begun && other->client == job->client);
    }
    return free > 1 || (free == 1 && !has_one);
}

static void sim_line_up(struct sim *s, bool has_begun, struct sim_lineup *l)
{
    int j, free = SIM_CAPTIONS, passed[SIM_MAX_JOBS], n_passed = 0;
    for (int i = 0; i < s->n_jobs; i++) {
        free -= s->jobs[i].stage == SIM_FUSION && s->jobs[i].has_begun && sim_texts(s, &s->jobs[i]) == 0;
    }
    while (l->n < SIM_SOURCES && n_passed < SIM_SOURCES &&
           (j = sim_first(s, &(struct sim_filter){.stage = SIM_FUSION, .has_begun = has_begun})) >= 0) {
        struct sim_job *job = &s->jobs[j];
        int texts = sim_texts(s, job);
        job->is_busy = true;
        if (!has_begun && texts == 0 && !sim_has_place(s, job, free)) {
            passed[n_passed++] = j;
            continue;
        }
        free -= !has_begun && texts == 0;
        l->jobs[l->n] = j;
        l->sources[l->n++] = (struct batcher_source){.rows = texts ? 70 : 4,
                                                     .n_items = texts ? job->steps_left : 1,
                                                     .is_caption = !texts,
                                                     .due_us = (uint64_t)job->line,
                                                     .client = job->client,
                                                     .n_steps = has_begun ? 1 + job->steps_left : 0};
    }
    while (n_passed > 0) {
        s->jobs[passed[--n_passed]].is_busy = false;
    }
}

static void sim_gather(struct sim *s, struct sim_lineup *l)
{
    l->n = 0;
    sim_line_up(s, true, l);
    l->n_running = l->n;
    sim_line_up(s, false, l);
    for (int i = 0; i < l->n; i++) {
        s->jobs[l->jobs[i]].is_busy = false;
    }
}

static void sim_begin_step(struct sim *s, struct sim_thread *t, struct sim_lineup *l)
{
    static const struct batcher_limits limits = {.max_rows = 256, .max_items = SIM_SOURCES};
    batcher_compose(&limits, l->sources, l->n_running, l->n, 0, l->take);
    t->n = t->rows = 0;
    for (int i = 0; i < l->n; i++) {
        struct sim_job *job = &s->jobs[l->jobs[i]];
        if (l->take[i] > 0) {
            job->taken = l->take[i];
            job->has_begun = true;
            job->line += sim_texts(s, job) ? 3500 * l->take[i] : 0;
            t->jobs[t->n++] = l->jobs[i];
            t->rows += l->take[i] * l->sources[i].rows;
        }
    }
    sim_begin(s, t, SIM_FUSION, 1000 + 25.0 * t->rows);
}

/* What waits, as a thread sees it. image: the first one, -1: none. */
static struct batcher_view sim_look(const struct sim *s, int image, const struct sim_lineup *l)
{
    struct batcher_view v = {.image_due_us = UINT64_MAX, .fusion_due_us = UINT64_MAX};
    for (int j = 0; j < s->n_jobs; j++) {
        v.images += s->jobs[j].stage == SIM_REGIONS && !s->jobs[j].is_busy;
    }
    if (image >= 0) {
        v.image_due_us = (uint64_t)s->jobs[image].line;
        v.image_client = s->jobs[image].client;
    }
    for (int i = 0; i < l->n; i++) {
        v.items += l->sources[i].n_items;
        v.rows += l->sources[i].n_items * l->sources[i].rows;
        if (l->sources[i].due_us < v.fusion_due_us) {
            v.fusion_due_us = l->sources[i].due_us;
            v.fusion_client = l->sources[i].client;
        }
    }
    return v;
}

/* 14 ms for the network, 1 ms and 25 us a row for a step. */
static void sim_start_engine(struct sim *s, struct sim_thread *t)
{
    static const struct batcher_limits limits = {.max_rows = 256, .max_images = 1, .is_continuous = true};
    int image = sim_first(s, &(struct sim_filter){.stage = SIM_REGIONS});
    struct sim_lineup l;
    sim_gather(s, &l);
    struct batcher_view v = sim_look(s, image, &l);
    struct batcher_choice c = batcher_choose(&limits, &v, &t->history, sim_us(s->now));
    if (c.action == BATCHER_FUSION) {
        sim_begin_step(s, t, &l);
    } else if (c.action == BATCHER_IMAGES) {
        t->jobs[0] = image;
        t->n = 1;
        sim_begin(s, t, SIM_REGIONS, 14000);
    }
}

static void sim_start_threads(struct sim *s)
{
    int slots = SIM_SLOTS;
    for (int j = 0; j < s->n_jobs; j++) {
        slots -= s->jobs[j].stage == SIM_REGIONS || (s->jobs[j].stage == SIM_DECODE && s->jobs[j].is_busy);
    }
    for (int i = 0; i < 2; i++) {
        struct sim_thread *d = &s->decoders[i];
        int j = d->is_busy || slots-- <= 0
                    ? -1
                    : sim_first(s, &(struct sim_filter){.stage = SIM_DECODE, .is_large = i == 1});
        if (j >= 0) {
            d->jobs[0] = j;
            d->n = 1;
            sim_begin(s, d, SIM_DECODE, 5000 * s->o->groups[s->requests[s->jobs[j].request].group].decode);
        }
    }
    for (int i = 0; i < SIM_THREADS; i++) {
        if (!s->engines[i].is_busy) {
            sim_start_engine(s, &s->engines[i]);
        }
    }
}

static void sim_job_done(struct sim *s, struct sim_job *job)
{
    struct sim_request *r = &s->requests[job->request];
    if (!r->is_late) {
        s->ends[job->client] = fmax(s->ends[job->client], job->end);
        s->served = fmax(s->served, job->end);
    }
    job->stage = SIM_NOWHERE;
    r->left--;
    gate_progress(s->gate, sim_us(s->now), &r->place, 1);
    if (r->left == 0) {
        sim_leave(s, job->request, !r->is_late && s->now < r->deadline);
    }
}

static void sim_end(struct sim *s, struct sim_thread *t)
{
    static const enum engine_stage stages[] = {0, ENGINE_DECODE, ENGINE_REGIONS, ENGINE_FUSION};
    t->is_busy = false;
    s->stats.busy_us[stages[t->stage]] += (uint64_t)((s->now - t->from) * (1 - s->o->hidden));
    s->stats.items[stages[t->stage]] += (uint64_t)t->n;
    s->stats.fusion_rows += t->stage == SIM_FUSION ? (uint64_t)t->rows : 0;
    for (int i = 0; i < t->n; i++) {
        struct sim_job *job = &s->jobs[t->jobs[i]];
        const struct sim_group *o = &s->o->groups[s->requests[job->request].group];
        job->is_busy = false;
        if (s->requests[job->request].is_late) {
            sim_job_done(s, job);
        } else if (t->stage == SIM_DECODE) {
            s->stats.decoded_pixels += (uint64_t)(1e6 * o->decode);
            job->stage = SIM_REGIONS;
        } else if (t->stage == SIM_REGIONS) {
            job->stage = SIM_FUSION;
            s->stats.captions += !o->texts;
            s->stats.caption_first_rows += o->texts ? 0 : 4;
        } else {
            s->stats.caption_steps += !o->texts;
            s->stats.caption_rows += o->texts ? 0 : 4;
            s->stats.pairs += o->texts > 0 ? (uint64_t)job->taken : 0;
            s->stats.pair_rows += o->texts > 0 ? (uint64_t)job->taken * 70 : 0;
            job->steps_left -= job->taken;
            if (job->steps_left == 0) {
                s->stats.caption_ends += !o->texts;
                s->stats.caption_tokens += o->texts ? 0 : 10;
                sim_job_done(s, job);
            }
        }
    }
}

#endif
