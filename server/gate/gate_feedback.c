/* Two corrections, because a forecast errs in two ways.
 *
 * `ratio` follows how long things take beside what the model says (a slower machine, batches that gain more or less
 * than before). It rises quickly, since what was let in too much comes late, and falls slowly.
 *
 * `margin` is for what no ratio foresees (noise). Each late answer widens it by a step, each answer in time narrows it
 * by LATE_TARGET of a step, so it settles where one answer in 1 / LATE_TARGET is late. */
#include "server/gate/gate_private.h"

#include <math.h>

static const double rise = 0.3, fall = 0.03, least_ratio = 0.5, most_ratio = 8;
static const double step = 0.05, late_target = 0.002, least_margin = 0.05, most_margin = 0.5;

enum {
    HANDLING_US = 2000,  /* what an answer takes besides the engine */
    ONE_CAUSE_US = 50000 /* late answers closer than that have one cause and count once */
};

static double clamp(double v, double least, double most)
{
    return fmin(fmax(v, least), most);
}

static double ratio_of(const struct gate_place *p, uint64_t now_us)
{
    return (double)(now_us - p->entered_us_) / (p->expected_us_ + HANDLING_US);
}

void gate_feedback_left(struct gate *g, uint64_t now_us, const struct gate_place *p, enum gate_end end)
{
    if (end == GATE_ABANDONED) {
        return;
    }
    /* One odd request may not shut out everybody else. */
    double seen = fmin(ratio_of(p, now_us), 2 * g->ratio);
    if (p->expected_us_ > 0) {
        g->ratio = clamp(g->ratio + (seen - g->ratio) * (seen > g->ratio ? rise : fall), least_ratio, most_ratio);
    }
    if (end == GATE_DONE) {
        g->margin = fmax(least_margin, g->margin - step * late_target);
    } else if (now_us >= g->widened_us + ONE_CAUSE_US) {
        g->margin = fmin(most_margin, g->margin + step);
        g->widened_us = now_us;
    }
}

void gate_feedback_look(struct gate *g, uint64_t now_us)
{
    const struct gate_place *p;
    int overdue = 0;
    TAILQ_FOREACH(p, &g->places, link_)
    {
        overdue += p->expected_us_ > 0 && ratio_of(p, now_us) > g->ratio * 1.1;
    }
    if (overdue > 1 && overdue * 4 > g->inside) {
        g->ratio = clamp(g->ratio * 1.1, least_ratio, most_ratio);
    }
}
