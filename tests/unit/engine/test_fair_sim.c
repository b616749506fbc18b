/* What a client gets beside others. */
#include "tests/support/engine_sim.h"

struct outcome {
    double rate[GROUPS];
};

static struct outcome run(const struct group *groups, int n_groups)
{
    enum { WARM_UP = 1, SECONDS = 4 };
    struct outcome o;
    int before[GROUPS] = {0};
    open_sim(groups, n_groups);
    for (bool is_warm = false; sim.now_us < (uint64_t)(1 + WARM_UP + SECONDS) * 1000000;) {
        if (!is_warm && sim.now_us >= (uint64_t)(1 + WARM_UP) * 1000000) {
            memcpy(before, sim.n_answers, sizeof(before));
            is_warm = true;
        }
        begin_all();
        next_event();
        end_all();
    }
    for (int g = 0; g < GROUPS; g++) {
        o.rate[g] = (double)(sim.n_answers[g] - before[g]) / SECONDS;
    }
    close_sim();
    return o;
}

/* What this client gets beside these, as a part of what it gets alone. */
static double kept(struct group client, struct group others)
{
    struct group both[] = {client, others};
    double alone = run(&client, 1).rate[0];
    struct outcome o = run(both, 2);
    if (getenv("SHOW")) {
        fprintf(stderr, "%6.2f a second alone, %6.2f (%3.0f %%) beside %.2f\n", alone, o.rate[0],
                100 * o.rate[0] / alone, o.rate[1]);
    }
    return o.rate[0] / alone;
}

static const struct group crowds[] = {
    {.n = 60, .task = JOB_CAPTION, .beams = 3, .priority = 3},
    {.n = 60, .task = JOB_CAPTION, .beams = 3, .priority = 3, .has_one_picture = true},
    {.n = 60, .task = JOB_CAPTION, .beams = 3, .priority = 0},                       /* urgent, it says */
    {.n = 60, .task = JOB_CAPTION, .beams = 3, .priority = 3, .timeout_us = 500000}, /* in a hurry, it says */
    {.n = 8, .task = JOB_CAPTION, .beams = 10, .priority = 3},
    {.n = 60, .task = JOB_REGIONS, .priority = 3},
    {.n = 60, .task = JOB_VQA, .texts = 1, .priority = 3},
    {.n = 40, .task = JOB_RETRIEVE, .texts = TEXTS, .priority = 3},
    {.n = 40, .task = JOB_RETRIEVE, .texts = TEXTS, .priority = 0},
    {.n = 14, .task = JOB_CAPTION, .beams = 3, .priority = 3, .jobs = 16},
    {.n = 6, .task = JOB_VQA, .texts = 1, .priority = 0, .jobs = 40, .is_known = true}, /* occlusion */
};

static const struct group politely[] = {
    {.n = 1, .task = JOB_CAPTION, .beams = 3, .priority = 3},
    {.n = 1, .task = JOB_CAPTION, .beams = 10, .priority = 3},
    {.n = 1, .task = JOB_VQA, .texts = 1, .priority = 3},
    {.n = 1, .task = JOB_RETRIEVE, .texts = 10, .priority = 3},
    {.n = 1, .task = JOB_REGIONS, .priority = 3},
};

static void test_polite_clients(void)
{
    for (size_t i = 0; i < sizeof(crowds) / sizeof(crowds[0]); i++) {
        for (size_t k = 0; k < sizeof(politely) / sizeof(politely[0]); k++) {
            struct group client = politely[k];
            CHECK(kept(client, crowds[i]) >= 0.4); /* it asks again at once, which may be more than its part */
            client.pause_us = 200000;
            CHECK(kept(client, crowds[i]) >= 0.9);
        }
    }
}

int main(void)
{
    test_polite_clients();
    return check_result();
}
