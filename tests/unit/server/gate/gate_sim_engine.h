/* gate_sim_engine - the made-up engine of gate_sim.h, a part of it: who is served next, and how long it takes. */
#ifndef TESTS_UNIT_SERVER_GATE_GATE_SIM_ENGINE_H
#define TESTS_UNIT_SERVER_GATE_GATE_SIM_ENGINE_H

static bool sim_is_before(const struct sim *s, const struct sim_job *a, const struct sim_job *b)
{
    bool hurry_a = s->now >= a->urgent_at, hurry_b = s->now >= b->urgent_at;
    if (hurry_a != hurry_b) {
        return hurry_a;
    }
    double place_a = hurry_a ? a->deadline : a->line, place_b = hurry_a ? b->deadline : b->line;
    return place_a < place_b || (place_a == place_b && a->number < b->number);
}

static int sim_first(const struct sim *s, enum sim_stage stage, bool large)
{
    int best = -1;
    for (int j = 0; j < s->n_jobs; j++) {
        const struct sim_job *job = &s->jobs[j];
        bool fits = stage != SIM_DECODE || job->is_large == large;
        if (job->stage == stage && fits && !job->is_busy && (best < 0 || sim_is_before(s, job, &s->jobs[best]))) {
            best = j;
        }
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

/* Captions under way, then one item of each in order, up to 256 rows. */
static void sim_gather(struct sim *s, struct sim_thread *t)
{
    t->n = t->rows = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (;;) {
            int best = -1;
            for (int j = 0; j < s->n_jobs; j++) {
                struct sim_job *job = &s->jobs[j];
                bool is_caption = s->o->groups[s->requests[job->request].group].texts == 0;
                if (job->stage == SIM_FUSION && !job->is_busy && (pass > 0 || (is_caption && job->has_begun)) &&
                    (best < 0 || sim_is_before(s, job, &s->jobs[best]))) {
                    best = j;
                }
            }
            int texts = best < 0 ? 0 : s->o->groups[s->requests[s->jobs[best].request].group].texts;
            int rows = texts ? 70 : 4, limit = pass == 0 ? 192 : 256;
            if (best < 0 || t->rows + rows > limit) {
                break;
            }
            t->jobs[t->n++] = best;
            t->rows += rows;
            s->jobs[best].is_busy = s->jobs[best].has_begun = true;
            s->jobs[best].line += texts ? 3500 : 0;
        }
    }
}

/* 14 ms for the network, 1 ms and 25 us a row for a step of all captions that wait. */
static void sim_start_threads(struct sim *s)
{
    int slots = SIM_SLOTS;
    for (int j = 0; j < s->n_jobs; j++) {
        slots -= s->jobs[j].stage == SIM_REGIONS || (s->jobs[j].stage == SIM_DECODE && s->jobs[j].is_busy);
    }
    for (int i = 0; i < 2; i++) {
        struct sim_thread *d = &s->decoders[i];
        int j = d->is_busy || slots-- <= 0 ? -1 : sim_first(s, SIM_DECODE, i == 1);
        if (j >= 0) {
            d->jobs[0] = j;
            d->n = 1;
            sim_begin(s, d, SIM_DECODE, 5000 * s->o->groups[s->requests[s->jobs[j].request].group].decode);
        }
    }
    for (int i = 0; i < SIM_THREADS; i++) {
        struct sim_thread *t = &s->engines[i];
        if (t->is_busy) {
            continue;
        }
        int image = sim_first(s, SIM_REGIONS, false), item = sim_first(s, SIM_FUSION, false);
        if (image >= 0 && (item < 0 || t->images_next)) {
            t->jobs[0] = image;
            t->n = 1;
            t->images_next = false;
            sim_begin(s, t, SIM_REGIONS, 14000);
        } else if (item >= 0) {
            sim_gather(s, t);
            t->images_next = true;
            sim_begin(s, t, SIM_FUSION, 1000 + 25.0 * t->rows);
        }
    }
}

static void sim_job_done(struct sim *s, struct sim_job *job)
{
    struct sim_request *r = &s->requests[job->request];
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
    if (t->stage == SIM_FUSION) {
        s->stats.fusion_rows += (uint64_t)t->rows;
    }
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
            s->stats.pairs += o->texts > 0;
            s->stats.pair_rows += o->texts > 0 ? 70 : 0;
            if (--job->steps_left == 0) {
                s->stats.caption_ends += !o->texts;
                s->stats.caption_tokens += o->texts ? 0 : 10;
                sim_job_done(s, job);
            }
        }
    }
}

#endif
