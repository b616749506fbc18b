/* Two corrections, because a forecast errs in two ways.
 *
 * `ratio` follows how long things take beside what the model says (a slower machine, batches that gain more or less
 * than before): its mean and its mean deviation, as TCP follows round trips, and it jumps when those inside are
 * overdue.
 *
 * `margin` is for what no ratio foresees. Each late answer widens it by a step, each picture answered in time narrows
 * it by late_target of a step, so it settles where about that part of the answers is late. */
#include "server/gate/gate_private.h"

#include <math.h>

static const double gain = 0.125, min_ratio = 0.5, max_ratio = 8;
static const double overdue_rise = 1.1;
static const double step = 0.05, late_target = 0.002, min_margin = 0.03, max_margin = 0.5;

enum {
    HANDLING_US = 2000,  /* what an answer takes besides the engine */
    ONE_CAUSE_US = 50000 /* late answers closer than that have one cause and count once */
};

static double clamp(double v, double min, double max)
{
    return fmin(fmax(v, min), max);
}

static double ratio_of(const struct gate_place *p, uint64_t now_us)
{
    return (double)(now_us - p->_entered_us) / (p->_expected_us + HANDLING_US);
}

static void follow(struct gate *g, double seen)
{
    g->deviation += (fabs(seen - g->mean) - g->deviation) * gain;
    g->mean += (seen - g->mean) * gain;
    g->ratio = clamp(g->mean + g->deviation, min_ratio, max_ratio);
}

void gate_feedback_left(struct gate *g, uint64_t now_us, const struct gate_place *p, enum gate_end end)
{
    if (end == GATE_ABANDONED) {
        return;
    }
    if (p->_expected_us > 0) {
        follow(g, fmin(ratio_of(p, now_us), 2 * g->ratio)); /* one odd request may not shut out everybody else */
    }
    if (end == GATE_DONE) {
        g->margin = fmax(min_margin, g->margin - step * late_target * p->_jobs);
    } else if (now_us >= g->widened_us + ONE_CAUSE_US) {
        g->margin = fmin(max_margin, g->margin + step);
        g->widened_us = now_us;
    }
}

void gate_feedback_look(struct gate *g, uint64_t now_us)
{
    const struct gate_place *p;
    int overdue = 0;
    TAILQ_FOREACH(p, &g->places, _link)
    {
        overdue += p->_expected_us > 0 && ratio_of(p, now_us) > g->ratio * overdue_rise;
    }
    if (overdue > 1 && overdue * 4 > g->inside) {
        g->mean = fmin(g->mean * overdue_rise, max_ratio);
        g->ratio = clamp(g->mean + g->deviation, min_ratio, max_ratio);
    }
}
