/* plan - the image half of the network as a list of steps with fixed places in one arena.
 *
 * A plan is written once for each input size: backbone.c and bifpn.c append steps, each with its weights, inputs and
 * output, and take room for maps as from a stack. Afterwards the hot loop only walks the list. Writing a plan needs no
 * arena: `peak` then says how many floats the arena must have. All sizes grow with the input's, so the arena of the
 * largest input fits every smaller one.
 *
 * Maps are channels-last, [h, w, c] floats.
 * Ownership: the caller owns steps and arena; a plan holds no memory. Weights are borrowed.
 * Threads:   one owner. */
#ifndef ENGINE_MODEL_PLAN_H
#define ENGINE_MODEL_PLAN_H

#include "engine/base/arena.h"
#include "engine/kernels/kernels.h"
#include "engine/model/load/bind.h"

struct plan_map {
    int h, w, c;
    size_t at; /* floats from the start of the arena */
};

/* A part handed out by a struct arena. */
struct plan_room {
    size_t at; /* floats from the start of the arena */
    size_t bytes;
};

/* What a step runs on. */
struct plan_run {
    const struct kernels *kernels;
    float *arena;
    const float *pixels; /* [h, w, 3] */
};

struct plan_step {
    const char *name;
    void (*run)(const struct plan_step *s, const struct plan_run *r);
    union {
        const struct gemm_weights *gemm;
        const struct bind_linear *linear;
        const struct bind_filter *filter;
        const struct bind_block *block;
        const struct bind_node *node;
    };
    struct plan_map in[3];
    struct plan_map out;
    struct conv_shape conv;
    enum act act;
    int strip;      /* rows of `out` computed at a time */
    size_t scratch; /* places of the step's own */
    size_t scratch2;
    struct plan_room bytes; /* what a layer in 8 bits reads */
    size_t channel_sum;     /* [channels]: means, then scales of squeeze-excite */
};

struct plan {
    struct plan_step *steps;
    int n_steps, max_steps;
    size_t top, peak; /* floats */
};

void plan_init(struct plan *p, struct plan_step *steps, int max_steps);
/* Room for n floats, 64-byte aligned relative to the arena. */
size_t plan_take(struct plan *p, size_t n);
struct plan_map plan_map(struct plan *p, int h, int w, int c);
/* Gives back everything taken since `mark` (the value of p->top then). */
void plan_release(struct plan *p, size_t mark);
/* The next step, zeroed but for its name and function. */
struct plan_step *plan_add(struct plan *p, const char *name,
                           void (*run)(const struct plan_step *, const struct plan_run *));
/* Runs steps first .. end - 1. */
void plan_execute(const struct plan *p, const struct plan_run *r, int first, int end);

static inline float *plan_at(const struct plan_run *r, struct plan_map m)
{
    return r->arena + m.at;
}
static inline size_t plan_floats(struct plan_map m)
{
    return (size_t)m.h * (size_t)m.w * (size_t)m.c;
}
/* Takes room for what a measuring arena counted; then sets up that room for use. */
struct plan_room plan_room(struct plan *p, const struct arena *measured);
struct arena plan_room_arena(struct plan_room room, float *arena);
/* Takes room for the bytes of `rows` rows that w reads, none if w is in floats; then runs w on m dense rows of a step
 * that has such room. */
struct plan_room plan_room_linear(struct plan *p, const struct bind_linear *w, size_t rows);
void plan_linear(const struct plan_step *s, const struct plan_run *r, const struct bind_linear *w, const float *a,
                 size_t m, float *c, enum act act, const float *residual);
/* How many rows of `row_floats` floats a strip may have and still fit the cache, within min..max; and how many floats
 * to take for it, which holds at least that many rows and grows with row_floats and max. */
int plan_strip_rows(size_t row_floats, int min, int max);
size_t plan_strip_floats(size_t row_floats, int min, int max);

#endif
