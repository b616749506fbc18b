/* The image half in 8 bits, as it runs by default where the file has its matrices so, against the reference in double
 * precision: on every instruction set each map is as far from the reference's as rounding alone can bring it, which is
 * a byte of a layer here and there; and a wrong scale, wherever it is planted, is seen. */
#include "tests/support/check.h"
#include "tests/support/golden.h"

static const char *const models[] = {"tiny-lite", "tiny-cells"};
static const double most_apart =
    2e-3; /* of the length of a map; the reference's own floats are off by up to half of it */

struct subject {
    struct golden golden;
    double worst;
    char worst_name[64];
};

/* Channels-last as the reference has it, channels-first. */
static double apart(const float *map, const float *expected, size_t cells, size_t channels)
{
    double difference = 0.0, length = 0.0;
    for (size_t i = 0; i < cells * channels; i++) {
        double want = expected[i % channels * cells + i / channels], d = map[i] - want;
        difference += d * d;
        length += want * want;
    }
    return sqrt(difference / length);
}

static void look_at(struct subject *s, const char *part, struct plan_map m)
{
    char name[128];
    size_t n;
    golden_name(&s->golden, part, name);
    const float *expected = golden_expected(&s->golden, part, &n);
    CHECK_INT(n, plan_floats(m));
    if (n == plan_floats(m)) {
        double d = apart(s->golden.session->arena + m.at, expected, (size_t)m.h * (size_t)m.w, (size_t)m.c);
        if (!(d <= s->worst)) {
            s->worst = d;
            snprintf(s->worst_name, sizeof(s->worst_name), "%.60s", name);
        }
    }
}

/* All maps of all pictures: the one that is furthest off. */
static double look(struct subject *s)
{
    struct golden *g = &s->golden;
    const char *picture;
    json_t *about;
    s->worst = 0.0;
    json_object_foreach(g->pictures, picture, about)
    {
        struct tee *t = &g->session->tee;
        char part[32];
        CHECK(golden_prepare(g, picture));
        tee_plan(t, g->input.padded_height, g->input.padded_width);
        struct plan_run run = {g->model->kernels, g->session->arena, g->pixels};
        plan_execute(&t->plan, &run, 0, t->plan.n_steps);
        for (int i = 0; i < MODEL_TAPS; i++) {
            snprintf(part, sizeof(part), "tap%d", i + 2);
            look_at(s, part, t->taps[i]);
        }
        for (int i = 0; i < MODEL_LEVELS; i++) {
            snprintf(part, sizeof(part), "pyramid%d", i + 2);
            look_at(s, part, t->pyramid[i]);
        }
        if (model_config(g->model)->context.channels > 0) {
            look_at(s, "cells.map", t->cells);
        }
    }
    return s->worst;
}

/* The scales of one layer a twentieth too large. */
static void check_planted(struct subject *s, const char *what, const float *scale, size_t n)
{
    const float by = 1.05F;
    for (size_t i = 0; i < n; i++) {
        ((float *)scale)[i] *= by;
    }
    double d = look(s);
    if (!(d > most_apart)) {
        fprintf(stderr, "%s: %s, planted, is only %.5f off\n", model_config(s->golden.model)->name, what, d);
    }
    CHECK(d > most_apart);
    for (size_t i = 0; i < n; i++) {
        ((float *)scale)[i] /= by;
    }
}

static void plant(struct subject *s)
{
    const struct bind *b = s->golden.model->bound;
    const struct bind_block *block = b->tee.blocks;
    const struct gemm8_weights *lateral = &b->tee.lateral[3].bytes, *node = &b->tee.cells[0].nodes[3].pointwise.bytes,
                               *head = &b->cells.head.bytes;
    while (!block->bytes.filter.packed || block->bytes.expand.n == 0) { /* some have widths that bytes cannot have */
        block++;
    }
    CHECK(block < b->tee.blocks + b->tee.n_blocks);
    check_planted(s, "a widening", block->bytes.expand.scale, block->bytes.expand.n);
    check_planted(s, "a filter", block->bytes.filter.scale, (size_t)block->wide);
    check_planted(s, "a narrowing", block->project.bytes.scale, block->project.bytes.n);
    check_planted(s, "a lateral", lateral->scale, lateral->n);
    check_planted(s, "a node", node->scale, node->n);
    if (head->n > 0) {
        check_planted(s, "the cells' own", head->scale, head->n);
    }
}

static void test(const char *name, enum isa isa)
{
    char model[64];
    snprintf(model, sizeof(model), "tests/data/%s", name);
    struct golden_place place = {
        .model = model, .golden = "tests/golden", .images = "tests/data/images", .suffix = "-image"};
    struct subject s = {.worst = 0.0};
    bool is_open = golden_open(&s.golden, &place, isa, GEMM_NATIVE, 64);
    CHECK(is_open);
    if (is_open) {
        double d = look(&s);
        printf("%s %s: at most %.5f apart (%s)\n", name, isa_name(isa), d, s.worst_name);
        CHECK(d < most_apart);
        plant(&s);
    }
    golden_close(&s.golden);
}

int main(void)
{
    for (int isa = 0; isa <= (int)isa_best(); isa++) {
        for (size_t i = 0; isa_can_run((enum isa)isa) && i < sizeof(models) / sizeof(models[0]); i++) {
            test(models[i], (enum isa)isa);
        }
    }
    return check_result();
}
