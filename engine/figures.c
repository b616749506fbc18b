#include "engine/figures.h"

/* ---- steps ---- */

static int busy_engines(const struct scheduler *s)
{
    return s->totals.running[ENGINE_REGIONS] + s->totals.running[ENGINE_FUSION];
}

void figures_begin(struct scheduler *s, enum engine_stage stage, uint64_t now_us)
{
    if (stage != ENGINE_DECODE) {
        forecast_usage_note(&s->usage, busy_engines(s), s->n_engine_threads, now_us);
        s->heartbeat_us = now_us;
    }
    s->totals.running[stage]++;
}

static int bucket(int n)
{
    int b = 0;
    while (b < ENGINE_BATCH_BUCKETS - 1 && n > 1 << b) {
        b++;
    }
    return b;
}

void figures_end(struct scheduler *s, enum engine_stage stage, int n, uint64_t from_us, uint64_t now_us)
{
    struct engine_stats *t = &s->totals;
    if (stage != ENGINE_DECODE) {
        forecast_usage_note(&s->usage, busy_engines(s), s->n_engine_threads, now_us);
        s->heartbeat_us = now_us;
    }
    t->running[stage]--;
    t->steps[stage]++;
    t->items[stage] += (uint64_t)n;
    t->busy_us[stage] += now_us - from_us;
    t->batch_count[stage][bucket(n)]++;
}

uint64_t figures_helped(struct scheduler *s, enum engine_stage stage, struct crew_work work)
{
    s->totals.split_steps[stage] += work.cuts > 0;
    s->totals.busy_us[stage] += work.ns / 1000;
    return work.ns / 1000;
}

/* ---- what waits ---- */

struct tally {
    int before_image, images; /* jobs */
    int images_running;
    int items, captions_between;
};

static void tally_job(const struct job_private *j, struct tally *t)
{
    switch (j->state) {
    case JOB_PREPARE_WAIT:
        t->before_image++;
        break;
    case JOB_IN_FLIGHT:
        if (j->flight->stage == FLIGHT_DECODE) {
            t->before_image += !j->flight->is_busy;
        } else if (j->flight->is_busy) {
            t->images_running++;
        } else {
            t->images++;
        }
        break;
    case JOB_FUSION:
        t->items += j->n_items - j->n_taken;
        t->captions_between += j->slot && j->n_running == 0;
        break;
    default:
        break;
    }
}

void figures_stats(struct scheduler *s, uint64_t now_us, struct engine_stats *out)
{
    struct tally t = {0};
    const struct job_private *j;
    TAILQ_FOREACH(j, &s->live, live)
    {
        tally_job(j, &t);
    }
    forecast_usage_note(&s->usage, busy_engines(s), s->n_engine_threads, now_us);
    *out = s->totals;
    out->jobs = s->n_live;
    out->decode_bytes = s->decode_bytes;
    out->queued[ENGINE_DECODE] = t.before_image;
    out->queued[ENGINE_REGIONS] = t.images;
    out->queued[ENGINE_FUSION] = t.items + t.captions_between;
    out->running[ENGINE_DECODE] = s->totals.running[ENGINE_DECODE];
    out->running[ENGINE_REGIONS] = t.images_running;
    out->running[ENGINE_FUSION] = s->running_items;
    struct feature_cache_counts cache;
    feature_cache_counts(s->cache, &cache);
    out->cache_evictions = cache.evictions;
    out->cache_entries = cache.entries;
    out->cache_bytes = cache.n_bytes;
    out->heartbeat_us = busy_engines(s) == 0 && s->n_idle_engines == s->n_engine_threads ? now_us : s->heartbeat_us;
    struct forecast_load load;
    figures_load(s, &load);
    out->load_ratio = forecast_load_ratio(s->usage.value, forecast_backlog_us(&s->forecast, &load));
}

/* What the job will ask of the fusion once its features are there. */
static void add_ahead(const struct job_private *j, struct forecast_load *l)
{
    l->captions_ahead += j->job->request.task == JOB_CAPTION;
    l->pairs_ahead += j->job->request.n_texts;
}

void figures_load(const struct scheduler *s, struct forecast_load *out)
{
    *out = (struct forecast_load){
        .engine_threads = s->n_engine_threads, .decode_threads = s->n_decode_threads, .max_rows = s->limits.max_rows};
    const struct job_private *j;
    TAILQ_FOREACH(j, &s->live, live)
    {
        if (j->state == JOB_PREPARE_WAIT || j->state == JOB_HELD) {
            out->decodes += j->job->request.image != NULL;
            add_ahead(j, out);
        } else if (j->state == JOB_IN_FLIGHT) {
            bool speaks_for_flight = TAILQ_FIRST(&j->flight->members) == j;
            out->decodes += speaks_for_flight && j->flight->stage == FLIGHT_DECODE;
            out->images += speaks_for_flight && j->flight->stage == FLIGHT_IMAGE;
            add_ahead(j, out);
        } else if (j->state == JOB_FUSION && j->job->request.task == JOB_CAPTION) {
            out->captions_running += j->slot != NULL;
            out->captions += j->slot == NULL;
        } else if (j->state == JOB_FUSION) {
            out->pairs += j->n_items - j->n_finished;
        }
    }
}
