/* bench_tail - p99 over p50 at a part of the capacity, of the engine's real line and steps with given times: what a
 * perfect machine would give, and what is left to gain. Simulated, so that no neighbour is in the way.
 *
 *     bench_tail [LOAD [DECODE IMAGE STEP ROW]]     LOAD of the capacity, 0.7; microseconds
 *
 * For questions, greedy captions and captions of three beams: the capacity with 32 connections that ask again at
 * once, then Poisson arrivals at LOAD times that. Beside it two servers with a constant service time and one line. In
 * brackets where 90 of 100 rounds of ROUND arrivals lie, which is what a measurement of ten seconds sees. */
#include "tests/support/engine_sim.h"

#include <math.h>

enum { ROUND = 1000, ROUNDS = 200, ARRIVALS = ROUND * (ROUNDS + 1), CLOSED = 32 }; /* the first round warms up */
static const uint64_t never_us = (uint64_t)1 << 60;

struct tail {
    double p50_ms, p99_ms, low, high; /* of p99 over p50 of the rounds */
};

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static struct tail tail_of(double *ms)
{
    double ratios[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        double *of = ms + (ptrdiff_t)(i + 1) * ROUND;
        qsort(of, ROUND, sizeof(*of), by_size);
        ratios[i] = of[ROUND * 99 / 100] / of[ROUND / 2];
    }
    qsort(ratios, ROUNDS, sizeof(*ratios), by_size);
    ms += ROUND;
    qsort(ms, (size_t)ROUND * ROUNDS, sizeof(*ms), by_size);
    return (struct tail){ms[ROUND * ROUNDS / 2], ms[ROUND * ROUNDS / 100 * 99], ratios[ROUNDS / 20],
                         ratios[ROUNDS - 1 - ROUNDS / 20]};
}

static double exponential(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return -log(((double)(*seed >> 11) + 0.5) / (double)(1ULL << 53));
}

/* Answers a second. */
static double capacity(struct group g)
{
    enum { SECONDS = 20 };
    int before = 0;
    g.n = CLOSED;
    open_sim(&g, 1);
    for (uint64_t from_us = sim.now_us; sim.now_us < from_us + (SECONDS + 1) * 1000000ULL;) {
        before = sim.now_us < from_us + 1000000 ? sim.n_answers[0] : before;
        begin_all();
        next_event();
        end_all();
    }
    int n = sim.n_answers[0] - before;
    close_sim();
    return (double)n / SECONDS;
}

/* Poisson arrivals: one connection is always the next one that asks, and each asks but once until it is free again. */
static struct tail open_loop(struct group g, double rate, double *ms)
{
    uint64_t seed = 1;
    static uint64_t asked_us[MAX_CONNECTIONS];
    int n = 0, next = -1;
    g.n = MAX_CONNECTIONS;
    g.pause_us = never_us;
    open_sim(&g, 1);
    double at_us = (double)sim.now_us;
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        sim.connections[i].ask_us = never_us;
        asked_us[i] = 0;
    }
    while (n < ARRIVALS) {
        for (int i = 0; i < MAX_CONNECTIONS && next < 0; i++) {
            next = sim.connections[i].ask_us >= never_us ? i : -1;
        }
        CHECK(next >= 0);
        if (sim.connections[next].ask_us >= never_us) {
            at_us += exponential(&seed) * 1e6 / rate;
            sim.connections[next].ask_us = asked_us[next] = (uint64_t)at_us;
        }
        begin_all();
        next = sim.connections[next].ask_us == 0 ? -1 : next;
        next_event();
        end_all();
        for (int i = 0; i < MAX_CONNECTIONS; i++) {
            if (i != next && asked_us[i] && sim.connections[i].ask_us >= never_us) {
                ms[n++] = (double)(sim.now_us - asked_us[i]) / 1000;
                asked_us[i] = 0;
            }
        }
    }
    close_sim();
    return tail_of(ms);
}

/* Two servers, each busy for 1 with a request. */
static struct tail constant(double load, double *ms)
{
    uint64_t seed = 1;
    double free_at[2] = {0.0, 0.0}, at = 0.0;
    for (int i = 0; i < ARRIVALS; i++) {
        at += exponential(&seed) / (2.0 * load);
        double *server = free_at[0] <= free_at[1] ? &free_at[0] : &free_at[1];
        *server = (*server > at ? *server : at) + 1.0;
        ms[i] = *server - at;
    }
    return tail_of(ms);
}

static void print(const char *name, double rate, struct tail t)
{
    printf("%-28s %8.1f /s  p50 %6.1f  p99 %6.1f  x%.2f (%.2f to %.2f)\n", name, rate, t.p50_ms, t.p99_ms,
           t.p99_ms / t.p50_ms, t.low, t.high);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        struct group group;
    } kinds[] = {{"questions", {.task = JOB_VQA, .texts = 1, .priority = 3}},
                 {"greedy captions", {.task = JOB_CAPTION, .beams = 1, .priority = 3}},
                 {"captions of three beams", {.task = JOB_CAPTION, .beams = 3, .priority = 3}}};
    static double ms[ARRIVALS];
    double load = argc > 1 ? strtod(argv[1], NULL) : 0.7;
    sim_times = (struct sim_times){.decode_us = 100, /* its time is in the image: decoding shares the cores */
                                   .image_us = 7300,
                                   .step_us = 220,
                                   .row_us = 45,
                                   .first_rows = 70,
                                   .rows = 1,
                                   .words = 9};
    if (argc == 6) {
        uint64_t *of[] = {&sim_times.decode_us, &sim_times.image_us, &sim_times.step_us, &sim_times.row_us};
        for (int i = 0; i < 4; i++) {
            *of[i] = strtoull(argv[i + 2], NULL, 10);
        }
    }
    print("constant, 1 ms each", 2000.0 * load, constant(load, ms));
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        double rate = load * capacity(kinds[i].group);
        print(kinds[i].name, rate, open_loop(kinds[i].group, rate, ms));
    }
    return check_result();
}
