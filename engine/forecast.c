#include "engine/forecast.h"

#include <math.h>

enum {
    TRUSTED = 8,               /* samples before a line may call another one an outlier */
    MEAN_WEIGHT = 16,          /* a mean covers about this many values */
    USAGE_US = 2 * 1000000,    /* and the usage this much time */
    FULL_BACKLOG_US = 1000000, /* waiting that counts as fully loaded */
};

/* ---- one stage ---- */

/* Least squares with a, b >= 0; where all n are alike (or the slope comes out negative) the mean. */
static void fit(struct forecast_line *f)
{
    double n = 0, t = 0, nn = 0, nt = 0;
    for (int i = 0; i < f->count; i++) {
        n += f->n[i];
        t += f->us[i];
    }
    n /= f->count;
    t /= f->count;
    for (int i = 0; i < f->count; i++) {
        nn += (f->n[i] - n) * (f->n[i] - n);
        nt += (f->n[i] - n) * (f->us[i] - t);
    }
    f->a = nn > 0 ? fmax(0, nt / nn) : 0;
    f->b = t - f->a * n;
    if (f->b < 0) { /* through the origin */
        f->b = 0;
        f->a = n > 0 ? t / n : 0;
    }
}

void forecast_add(struct forecast_line *f, double n, double us)
{
    double ceiling = FORECAST_CLIP * forecast_us(f, n);
    if (f->count >= TRUSTED && us > ceiling && ceiling > 0) {
        us = ceiling;
    }
    f->n[f->next] = n;
    f->us[f->next] = us;
    f->next = (f->next + 1) % FORECAST_SAMPLES;
    f->count += f->count < FORECAST_SAMPLES;
    fit(f);
}

double forecast_us(const struct forecast_line *f, double n)
{
    return f->count > 0 ? f->a * n + f->b : 0;
}

void forecast_mean_add(struct forecast_mean *m, double value)
{
    m->count += m->count < MEAN_WEIGHT;
    m->value += (value - m->value) / m->count;
}

/* ---- the engine ---- */

/* All captions advance together, some at their beginning, some at their end. */
static double captions_us(const struct forecast *f, double running, double waiting, double extra)
{
    double together = running + waiting + extra;
    if (together <= 0) {
        return 0;
    }
    double steps = f->caption_steps.value * (waiting + extra > 0 ? 1.0 : 0.5);
    return steps * forecast_us(&f->fusion, f->caption_rows.value * together);
}

static double pairs_us(const struct forecast *f, const struct forecast_load *l, double n)
{
    double rows = f->pair_rows.value * n;
    double steps = ceil(rows / (l->max_rows > 0 ? l->max_rows : 1));
    return n > 0 ? f->fusion.a * rows + f->fusion.b * steps : 0;
}

double forecast_backlog_us(const struct forecast *f, const struct forecast_load *l)
{
    double decode = forecast_us(&f->decode, 1) * l->decodes / (l->decode_threads > 0 ? l->decode_threads : 1);
    double engine = forecast_us(&f->regions, 1) * (l->decodes + l->images);
    engine += captions_us(f, l->captions_running, l->captions + l->captions_ahead, 0);
    engine += pairs_us(f, l, (double)l->pairs + l->pairs_ahead);
    engine /= l->engine_threads > 0 ? l->engine_threads : 1;
    return fmax(decode, engine);
}

double forecast_finish_us(const struct forecast *f, const struct forecast_load *l, enum job_task task, bool is_cached,
                          int n_pairs)
{
    double own = 0;
    if (!is_cached) {
        if (f->regions.count == 0) {
            return 0;
        }
        own += forecast_us(&f->decode, 1) + forecast_us(&f->regions, 1);
    }
    bool is_pairs = task == JOB_VQA || task == JOB_RETRIEVE;
    if ((is_pairs || task == JOB_CAPTION) && f->fusion.count == 0) {
        return 0;
    }
    if (is_pairs) {
        own += pairs_us(f, l, n_pairs);
    } else if (task == JOB_CAPTION) {
        if (f->caption_steps.count == 0) {
            return 0;
        }
        own += captions_us(f, 0, 0, 1);
    }
    return forecast_backlog_us(f, l) + own;
}

/* ---- utilisation ---- */

void forecast_usage_note(struct forecast_usage *u, int busy, int threads, uint64_t now_us)
{
    if (u->at_us > 0 && now_us > u->at_us) {
        double keep = exp(-(double)(now_us - u->at_us) / USAGE_US);
        u->value = keep * u->value + (1 - keep) * busy / threads;
    }
    u->at_us = now_us > u->at_us ? now_us : u->at_us;
}

double forecast_load_ratio(double usage, double backlog_us)
{
    double queued = fmin(1, backlog_us / FULL_BACKLOG_US);
    return usage * (1 - queued) + queued;
}
