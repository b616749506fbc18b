#include "engine/model/plan.h"

#include "engine/kernels/trace.h"
#include "engine/model/linear.h"

enum {
    ALIGN_FLOATS = ARENA_ALIGN / sizeof(float),
    STRIP_FLOATS = 32 * 1024
}; /* 128 KB: a step works on three of them */

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

struct plan_room plan_room(struct plan *p, const struct arena *measured)
{
    size_t bytes = arena_needed(measured);
    return (struct plan_room){.at = plan_take(p, bytes / sizeof(float)), .bytes = bytes};
}

struct arena plan_room_arena(struct plan_room room, float *arena)
{
    struct arena a;
    arena_init(&a, arena + room.at, room.bytes);
    return a;
}

struct plan_room plan_room_linear(struct plan *p, const struct bind_linear *w, size_t rows)
{
    struct linear_scratch measured;
    struct arena a;
    arena_init(&a, NULL, 0);
    if (w->bytes.n > 0) {
        linear_place(&measured, &a, rows, w->bytes.k);
    }
    return plan_room(p, &a);
}

void plan_linear(const struct plan_step *s, const struct plan_run *r, const struct bind_linear *w, const float *a,
                 size_t m, float *c, enum act act, const float *residual)
{
    struct linear_scratch bytes = {NULL, NULL};
    size_t n = linear_n(w), k = linear_k(w);
    if (w->bytes.n > 0) {
        struct arena room = plan_room_arena(s->bytes, r->arena);
        linear_place(&bytes, &room, m, k);
    }
    linear_run(r->kernels, w, &bytes, a, k, m, c, n, act, residual, n);
}

int plan_strip_rows(size_t row_floats, int min, int max)
{
    size_t rows = STRIP_FLOATS / (row_floats ? row_floats : 1);
    if (rows < (size_t)min) {
        return min;
    }
    return rows > (size_t)max ? max : (int)rows;
}

size_t plan_strip_floats(size_t row_floats, int min, int max)
{
    size_t floats = (size_t)min * row_floats > STRIP_FLOATS ? (size_t)min * row_floats : STRIP_FLOATS;
    return floats < (size_t)max * row_floats ? floats : (size_t)max * row_floats;
}
