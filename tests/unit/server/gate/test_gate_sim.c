/* The promise of the gate against made-up engines and clients: what is accepted is answered in time, the engine is kept
 * at work, and a polite client keeps its part. Rows that miss it under a planted fault show that the test would see
 * it. */
#include "tests/support/check.h"
#include "tests/unit/server/gate/gate_sim.h"

/* One picture leaves no excuse; of sixteen, one request more or less is two in a hundred. */
static const double min_goodput_1 = 0.97, min_goodput = 0.95;
static const double factors[] = {1.5, 2, 5, 10}, timeouts_s[] = {1, 2, 5, 30};

enum { SECONDS = 25, WARM_UP = 5 };

static struct sim_options options_of(double scale, double noise, double hidden)
{
    return (struct sim_options){.seconds = SECONDS,
                                .warm_up = WARM_UP,
                                .scale = scale,
                                .noise = noise,
                                .hidden = hidden,
                                .stall_every = 3,
                                .stall_us = 30000,
                                .seed = 11,
                                .n_groups = 1};
}

/* Pictures a second with as many clients as it takes. */
static double capacity(struct sim_options o, int images)
{
    o.groups[0] = (struct sim_group){.n = images == 1 ? 64 : 12,
                                     .n_clients = 1,
                                     .wait_us = 20000,
                                     .images = images,
                                     .decode = 1,
                                     .timeout_us = 30e6};
    return sim_run(&o).goodput;
}

struct totals {
    int rows, late_rows, poor_rows;
};

/* All rows of the table for one kind of machine. */
static struct totals run_table(struct sim_options o, int images, double min_timeout_s)
{
    struct totals t = {0};
    enum sim_fault fault = o.fault;
    o.fault = SIM_NO_FAULT;
    double full = capacity(o, images);
    o.fault = fault;
    for (size_t i = 0; i < sizeof(timeouts_s) / sizeof(timeouts_s[0]); i++) {
        for (size_t f = 0; timeouts_s[i] >= min_timeout_s && f < sizeof(factors) / sizeof(factors[0]); f++) {
            /* At equal distances where a request is long beside its deadline: else chance alone leaves holes. */
            o.groups[0] = (struct sim_group){.rate = factors[f] * full / images,
                                             .is_regular = images > 1,
                                             .images = images,
                                             .decode = 1,
                                             .timeout_us = timeouts_s[i] * 1e6};
            struct sim_result r = sim_run(&o);
            bool is_late = r.in_time < 0.99, is_poor = r.goodput < (images == 1 ? min_goodput_1 : min_goodput) * full;
            t.rows++;
            t.late_rows += is_late;
            t.poor_rows += is_poor;
            if (o.fault == SIM_NO_FAULT && (is_late || is_poor)) {
                fprintf(stderr, "%d pictures, %.0f s, %.1fx: %.2f %% in time, goodput %.1f %%\n", images, timeouts_s[i],
                        factors[f], 100 * r.in_time, 100 * r.goodput / full);
            }
        }
    }
    return t;
}

static void check_table(struct sim_options o, int images, double min_timeout_s)
{
    struct totals t = run_table(o, images, min_timeout_s);
    CHECK(t.rows > 0);
    CHECK_INT(t.late_rows, 0);
    CHECK_INT(t.poor_rows, 0);
}

/* ---- overload ---- */

static void test_one_picture(void)
{
    check_table(options_of(1, 0.3, 0), 1, 1);
    check_table(options_of(2.7, 1, 0), 1, 1);
    check_table(options_of(2.7, 0.3, 0.5), 1, 1); /* statistics tell half of the truth */
    check_table(options_of(1, 0.3, -1), 1, 1);    /* and twice as much */
}

static void test_sixteen_pictures(void)
{
    check_table(options_of(1, 0.3, 0), 16, 1);
    check_table(options_of(1.5, 0.3, 0), 16, 1);
    check_table(options_of(1, 0.3, 0.5), 16, 1);
    check_table(options_of(1, 0.3, -1), 16, 1);
    check_table(options_of(2.7, 0.3, 0.5), 16,
                2); /* a request takes a third of a second: with 1 s left hardly two fit */
}

/* The machine gets slower at once: what was inside with little time left is lost, then the gate has learnt it. */
static void test_step(void)
{
    struct sim_options o = options_of(2.7, 0.3, 0);
    o.speed_at = 15;
    o.speed = 0.4;
    o.groups[0] = (struct sim_group){.rate = 200, .images = 1, .decode = 1, .timeout_us = 1e6};
    struct sim_result r = sim_run(&o);
    CHECK(r.in_time > 0.9);
    o.warm_up = 18;
    r = sim_run(&o);
    CHECK(r.in_time > 0.99);
    CHECK(r.goodput > 0.75 * o.speed * capacity(options_of(2.7, 0.3, 0), 1));
}

/* Other programs come and go. */
static void test_weather(void)
{
    struct sim_options o = options_of(2.7, 0.3, 0);
    o.seconds = 45;
    o.weather = 0.6;
    o.groups[0] = (struct sim_group){.rate = 150, .images = 1, .decode = 1, .timeout_us = 2e6};
    CHECK(sim_run(&o).in_time > 0.99);
}

static void test_planted_faults(void)
{
    struct sim_options o = options_of(2.7, 0.3, 0.45);
    o.fault = SIM_NO_FEEDBACK;
    CHECK(run_table(o, 1, 1).late_rows > 8);
    CHECK(run_table(o, 16, 2).late_rows > 3);
    o = options_of(2.7, 0.3, 0);
    o.fault = SIM_WEIGHT_ONE;
    struct totals t = run_table(o, 16, 1);
    CHECK(t.late_rows + t.poor_rows > 1);
    o = options_of(2.7, 0.3, 0);
    o.seconds = 45;
    o.weather = 0.7;
    o.groups[0] = (struct sim_group){.rate = 12, .is_regular = true, .images = 16, .decode = 1, .timeout_us = 1e6};
    double with_margin = sim_run(&o).in_time;
    o.fault = SIM_NO_MARGIN;
    CHECK(sim_run(&o).in_time < with_margin);
}

/* ---- fairness ---- */

static const struct sim_group polite_client = {
    .n = 1, .n_clients = 1, .pause_us = 200000, .wait_us = 200000, .images = 1, .decode = 1, .timeout_us = 30e6};

/* What a polite client gets beside this group, as a part of what it gets alone. */
static double part_beside(const struct sim_group *greedy, double timeout_us, enum sim_fault fault)
{
    struct sim_options o = options_of(2.7, 0.3, 0);
    o.warm_up = 10;
    o.seconds = 40;
    o.groups[0] = polite_client;
    o.groups[0].timeout_us = timeout_us;
    int alone = sim_run(&o).groups[0].in_time;
    o.fault = fault;
    o.groups[1] = *greedy;
    o.n_groups = 2;
    struct sim_result r = sim_run(&o);
    CHECK(r.in_time > 0.99);
    return (double)r.groups[0].in_time / alone;
}

static void test_fairness(void)
{
    const struct sim_group greedy[] = {
        {.n = 500, .n_clients = 1, .images = 1, .decode = 1},              /* busy connections */
        {.n = 500, .n_clients = 10, .images = 1, .decode = 1},             /* of ten addresses */
        {.n = 500, .n_clients = 1, .images = 16, .decode = 1},             /* 16 pictures each */
        {.n = 500, .n_clients = 1, .images = 1, .decode = 1, .texts = 60}, /* 60 sentences */
        {.n = 40, .n_clients = 40, .images = 1, .decode = 1, .texts = 100} /* 100, of forty addresses */
    };
    for (size_t i = 0; i < sizeof(greedy) / sizeof(greedy[0]); i++) {
        struct sim_group g = greedy[i];
        g.wait_us = 500000;
        g.timeout_us = 30e6;
        CHECK(part_beside(&g, 30e6, SIM_NO_FAULT) > 0.5);
        CHECK(part_beside(&g, 2e6, SIM_NO_FAULT) > 0.5);
    }
    /* Forty addresses that fill all places with 16 pictures each and ask again at once. */
    struct sim_group many = {
        .n = 40, .n_clients = 40, .images = 16, .decode = 1, .wait_us = 500000, .timeout_us = 30e6};
    CHECK(part_beside(&many, 30e6, SIM_NO_FAULT) > 0.4);
    /* Pictures that take more than a second to decode have a lane of their own. */
    struct sim_group bombs = {
        .n = 500, .n_clients = 1, .images = 1, .decode = 120, .wait_us = 500000, .timeout_us = 30e6};
    CHECK(part_beside(&bombs, 1e6, SIM_NO_FAULT) > 0.8);
}

/* Short deadlines are no way past others, and a crowd of newcomers makes nobody late who was let in before. */
static void test_short_deadlines(void)
{
    const struct sim_group hasty = {
        .n = 300, .n_clients = 1, .images = 1, .decode = 1, .wait_us = 500000, .timeout_us = 700000};
    CHECK(part_beside(&hasty, 30e6, SIM_NO_FAULT) > 0.8);
    struct sim_options o = options_of(2.7, 0.3, 0);
    o.warm_up = 10;
    o.seconds = 40;
    o.groups[0] = hasty;
    o.groups[1] = polite_client;
    o.groups[1].n = o.groups[1].n_clients = 20;
    o.n_groups = 2;
    struct sim_result r = sim_run(&o);
    CHECK(r.in_time > 0.99);
    CHECK(r.groups[0].in_time > 30 && r.groups[1].in_time > 30 * 20);
}

/* More clients than there are places, and those who have one ask again at once: a newcomer gets what they get. */
static void test_newcomers(void)
{
    enum { CROWD = 500 };
    struct sim_options o = options_of(1, 0.3, 0);
    o.warm_up = 10;
    o.seconds = 40;
    o.groups[0] = polite_client;
    o.groups[1] = (struct sim_group){
        .n = CROWD, .n_clients = CROWD, .images = 1, .decode = 1, .wait_us = 500000, .timeout_us = 30e6};
    o.n_groups = 2;
    struct sim_result r = sim_run(&o);
    CHECK(r.in_time > 0.99);
    CHECK(r.groups[0].in_time * CROWD >= r.groups[1].in_time / 2);
}

/* A client alone may use nearly all of the room; a second one always finds some. */
static void test_work_conserving(void)
{
    struct sim_options o = options_of(2.7, 0.3, 0);
    o.groups[0] =
        (struct sim_group){.n = 150, .n_clients = 1, .wait_us = 500000, .images = 1, .decode = 1, .timeout_us = 30e6};
    struct sim_result r = sim_run(&o);
    CHECK_INT(r.all.offered - r.all.accepted, 0); /* 150 connections at once are no overload */
    CHECK_INT(r.all.late, 0);
}

int main(void)
{
    test_one_picture();
    test_sixteen_pictures();
    test_step();
    test_weather();
    test_planted_faults();
    test_fairness();
    test_short_deadlines();
    test_newcomers();
    test_work_conserving();
    return check_result();
}
