#include "engine/model/plan.h"

#include "engine/kernels/trace.h"
#include "engine/model/linear.h"

enum { ALIGN_FLOATS = 16, STRIP_FLOATS = 32 * 1024 }; /* 128 KB: a step works on three such strips, in a common L2 */

void plan_init(struct plan *p, struct plan_step *steps, int max_steps)
{
    *p = (struct plan){.steps = steps, .max_steps = max_steps};
}

size_t plan_take(struct plan *p, size_t n)
{
    size_t at = p->top;
    p->top += (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    if (p->top > p->peak) {
        p->peak = p->top;
    }
    return at;
}

struct plan_map plan_map(struct plan *p, int h, int w, int c)
{
    struct plan_map m = {.h = h, .w = w, .c = c};
    m.at = plan_take(p, plan_floats(m));
    return m;
}

void plan_release(struct plan *p, size_t mark)
{
    p->top = mark;
}

struct plan_step *plan_add(struct plan *p, const char *name,
                           void (*run)(const struct plan_step *, const struct plan_run *))
{
    BUG_ON(p->n_steps == p->max_steps);
    struct plan_step *s = &p->steps[p->n_steps++];
    *s = (struct plan_step){.name = name, .run = run};
    return s;
}

void plan_execute(const struct plan *p, const struct plan_run *r, int first, int end)
{
    for (int i = first; i < end; i++) {
        trace_step(p->steps[i].name);
        p->steps[i].run(&p->steps[i], r);
    }
}

size_t plan_take_bytes(struct plan *p, const struct bind_linear *w, size_t rows)
{
    struct linear_scratch measured;
    return plan_take(p, w->bytes.n > 0 ? linear_lay_out(&measured, rows, w->bytes.k, NULL) : 0);
}

void plan_linear(const struct plan_step *s, const struct plan_run *r, const struct bind_linear *w, const float *a,
                 size_t m, float *c, enum act act, const float *residual)
{
    struct linear_scratch bytes = {NULL, NULL};
    size_t n = linear_n(w), k = linear_k(w);
    if (w->bytes.n > 0) {
        linear_lay_out(&bytes, m, k, r->arena + s->bytes);
    }
    linear_run(r->kernels, w, &bytes, a, k, m, c, n, act, residual, n);
}

int plan_strip_rows(size_t row_floats, int least, int most)
{
    size_t rows = STRIP_FLOATS / (row_floats ? row_floats : 1);
    if (rows < (size_t)least) {
        return least;
    }
    return rows > (size_t)most ? most : (int)rows;
}

size_t plan_strip_floats(size_t row_floats, int least, int most)
{
    size_t floats = (size_t)least * row_floats > STRIP_FLOATS ? (size_t)least * row_floats : STRIP_FLOATS;
    return floats < (size_t)most * row_floats ? floats : (size_t)most * row_floats;
}
