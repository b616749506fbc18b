#include "server/gate/gate_private.h"
#include "tests/support/check.h"

static const uint64_t second = 1000000, begin = 1000 * 1000000ull, mb = 1 << 20;

static struct ledger ledger;
static struct gate *g;

/* 2 engine threads, prices as given: a picture 2 + 10 ms, a caption of 10 steps 20 rows, 0.5 ms a row. */
static void open_gate(int max_jobs)
{
    struct ledger_limits limits = {.total = UINT64_MAX,
                                   .account = {[LEDGER_BODIES] = 80 * mb,
                                               [LEDGER_PARSING] = 80 * mb,
                                               [LEDGER_RESULTS] = 80 * mb,
                                               [LEDGER_ANSWERS] = 80 * mb}};
    struct gate_options o = {.max_jobs = max_jobs, .ledger = &ledger};
    struct engine_info info = {.engine_threads = 2, .decode_threads = 1, .num_beams = 1, .max_tokens = 20};
    struct engine_stats s = {.busy_us = {2000 * 100, 10000 * 100, 500 * 2000},
                             .items = {100, 100, 1000},
                             .fusion_rows = 2000,
                             .decoded_pixels = 100 * 1000000ull,
                             .captions = 100,
                             .caption_first_rows = 200,
                             .caption_steps = 900,
                             .caption_rows = 1800,
                             .caption_ends = 100,
                             .caption_tokens = 1000,
                             .pairs = 10,
                             .pair_rows = 700};
    ledger_init(&ledger, &limits);
    CHECK_INT(gate_create(&g, &o), OK);
    gate_set_engine(g, &info);
    gate_learn(g, begin, &s);
    g->mean = g->ratio = 1;
    g->deviation = 0;
    g->margin = 0;
}

static struct gate_request captions(uint64_t client, int images, uint64_t deadline_us)
{
    return (struct gate_request){.client = client, .task = JOB_CAPTION, .images = images, .deadline_us = deadline_us};
}

static enum gate_verdict enter(uint64_t client, int images, uint64_t now_us, uint64_t timeout_us, struct gate_place *p)
{
    uint64_t retry_us = 0;
    struct gate_request r = captions(client, images, now_us + timeout_us);
    enum gate_verdict v = gate_enter(g, now_us, &r, p, &retry_us);
    CHECK((v == GATE_ACCEPTED) == (retry_us == 0));
    return v;
}

static void close_gate(void)
{
    struct gate_stats s;
    gate_stats(g, &s);
    CHECK_INT(s.inside, 0);
    CHECK_INT(s.jobs, 0);
    CHECK_INT(s.clients, 0);
    CHECK_INT(s.backlog_us, 0);
    CHECK_INT(s.upload_bytes, 0);
    gate_destroy(g);
}

/* ---- weights ---- */

static void test_weights(void)
{
    open_gate(256);
    struct gate_request r = captions(1, 1, 0);
    struct gate_weight w = gate_cost_weigh(&g->cost, &r);
    CHECK_NEAR(w.engine_us, 10000 + 20 * 500, 1e-9);
    CHECK_NEAR(w.decode_us, 2000, 1e-9);
    CHECK_NEAR(w.chain_us, 22000, 1e-9);
    CHECK(w.is_known);
    r.images = 16;
    CHECK_NEAR(gate_cost_weigh(&g->cost, &r).engine_us, 16 * 20000, 1e-9);
    r.beams = 3;
    CHECK_NEAR(gate_cost_weigh(&g->cost, &r).engine_us, 16 * (10000 + (2 + 9 * 3 * 2) * 500), 1e-9);
    r.tokens = 2;
    CHECK_NEAR(gate_cost_weigh(&g->cost, &r).engine_us, 16 * (10000 + (2 + 1 * 3 * 2) * 500), 1e-9);
    r = (struct gate_request){.task = JOB_RETRIEVE, .known = 4, .texts = 60};
    CHECK_NEAR(gate_cost_weigh(&g->cost, &r).engine_us, 4 * 60 * 70 * 500, 1e-6);
    CHECK_NEAR(gate_cost_weigh(&g->cost, &r).decode_us, 0, 0);
    r = (struct gate_request){.task = JOB_REGIONS, .images = 1, .pixels = 50000000};
    CHECK_NEAR(gate_cost_weigh(&g->cost, &r).decode_us, 50 * 2000, 1e-6);
    r = (struct gate_request){.task = JOB_CHECK, .images = 1};
    CHECK_NEAR(gate_cost_weigh(&g->cost, &r).engine_us, 0, 0);
    CHECK_INT(gate_forecast_us(g, JOB_CAPTION, 1, 0), 10000 + 22000 / 2); /* alone: nothing shortens its own chain */
    CHECK(gate_forecast_us(g, JOB_RETRIEVE, 0, 1) < gate_forecast_us(g, JOB_RETRIEVE, 1, 1));
    close_gate();
}

static void test_prices_follow(void)
{
    open_gate(256);
    struct engine_stats s = g->cost.last;
    for (int i = 1; i <= 30; i++) { /* three seconds at three times the price */
        s.busy_us[ENGINE_REGIONS] += 4 * 30000;
        s.items[ENGINE_REGIONS] += 4;
        gate_learn(g, begin + (uint64_t)i * 100000, &s);
    }
    CHECK(gate_cost_price(&g->cost, GATE_PRICE_REGIONS) > 24000);
    CHECK_NEAR(gate_cost_price(&g->cost, GATE_PRICE_DECODE), 2000, 1e-9);    /* nothing was decoded */
    s = (struct engine_stats){.busy_us = {0, 12000, 0}, .items = {0, 1, 0}}; /* a new engine counts from 0 */
    double before = gate_cost_price(&g->cost, GATE_PRICE_REGIONS);
    gate_learn(g, begin + 4 * second, &s);
    double after = gate_cost_price(&g->cost, GATE_PRICE_REGIONS);
    CHECK(after < before && after > 12000);
    close_gate();
}

static void test_nothing_known(void)
{
    struct ledger_limits limits = {.total = UINT64_MAX};
    struct gate_options o = {.max_jobs = 256, .ledger = &ledger};
    struct gate_place places[16] = {{._jobs = 0}};
    ledger_init(&ledger, &limits);
    CHECK_INT(gate_create(&g, &o), OK);
    CHECK_INT(gate_forecast_us(g, JOB_CAPTION, 1, 0), 0);
    int n = 0;
    while (n < 16 && enter((uint64_t)n, 1, begin, second, &places[n]) == GATE_ACCEPTED) {
        n++;
    }
    CHECK_INT(n, 4); /* a few, to learn from */
    for (int i = 0; i < n; i++) {
        gate_leave(g, begin + 1000, &places[i], GATE_DONE);
    }
    close_gate();
}

/* ---- deadlines ---- */

static void test_too_late(void)
{
    struct gate_place p = {._jobs = 0}, q = {._jobs = 0};
    open_gate(256);
    CHECK_INT(enter(1, 1, begin, 0, &p), GATE_TOO_LATE);           /* its time is over */
    CHECK_INT(enter(1, 16, begin, second, &p), GATE_ACCEPTED);     /* 160 ms of both threads */
    CHECK_INT(enter(1, 1, begin, second / 10, &q), GATE_TOO_LATE); /* behind that */
    CHECK_INT(enter(2, 1, begin, second / 10, &q), GATE_ACCEPTED); /* in turn with it */
    gate_leave(g, begin + 100, &q, GATE_DONE);
    gate_leave(g, begin + 100, &q, GATE_DONE); /* twice is fine */
    gate_progress(g, begin + 100, &p, 15);
    CHECK_INT(enter(1, 1, begin, second / 10, &q), GATE_ACCEPTED); /* only one picture is left */
    gate_leave(g, begin + 100, &p, GATE_DONE);
    gate_leave(g, begin + 100, &q, GATE_DONE);
    close_gate();
}

/* Who was let in keeps his time, also when others come who would go first by deadline. */
static void test_promises_are_kept(void)
{
    struct gate_place first = {._jobs = 0}, places[64] = {{._jobs = 0}};
    open_gate(256);
    CHECK_INT(enter(1, 40, begin, second / 2, &first), GATE_ACCEPTED); /* 400 of 500 ms */
    int n = 0;
    while (n < 64 && enter((uint64_t)n + 2, 1, begin, second / 4, &places[n]) == GATE_ACCEPTED) {
        n++;
    }
    CHECK(n >= 3 && n <= 10); /* 10 ms each of what is left */
    for (int i = 0; i < n; i++) {
        gate_leave(g, begin + 1000, &places[i], GATE_ABANDONED);
    }
    gate_leave(g, begin + 1000, &first, GATE_ABANDONED);
    close_gate();
}

static void test_glance(void)
{
    struct gate_place p = {._jobs = 0};
    uint64_t retry_us = 0;
    open_gate(64);
    CHECK_INT(gate_glance(g, begin, 1, JOB_CAPTION, 30000, begin + second, &retry_us), GATE_ACCEPTED);
    CHECK_INT(enter(1, 32, begin, 10 * second, &p), GATE_ACCEPTED);
    CHECK_INT(gate_glance(g, begin, 1, JOB_CAPTION, 30000, begin + second / 10, &retry_us), GATE_TOO_LATE);
    CHECK(retry_us >= 10000 && retry_us < second);
    CHECK_INT(gate_glance(g, begin, 1, JOB_CAPTION, 30000, begin + 10 * second, &retry_us), GATE_ACCEPTED);
    struct gate_stats s;
    gate_stats(g, &s);
    CHECK_INT(s.inside, 1); /* a glance takes nothing */
    CHECK_INT(s.refused[GATE_TOO_LATE], 1);
    gate_leave(g, begin, &p, GATE_ABANDONED);
    close_gate();
}

/* What the margin keeps free is not promised to anybody. */
static void test_margin(void)
{
    struct gate_place p = {._jobs = 0}, q = {._jobs = 0};
    open_gate(256);
    CHECK_INT(enter(1, 30, begin, 10 * second, &p), GATE_ACCEPTED); /* 300 ms, and 21 of the next one */
    g->margin = 0.5;
    CHECK_INT(enter(1, 1, begin, 6 * second / 10, &q), GATE_TOO_LATE);
    g->margin = 0.1;
    CHECK_INT(enter(1, 1, begin, 6 * second / 10, &q), GATE_ACCEPTED);
    gate_leave(g, begin, &p, GATE_DONE);
    CHECK_NEAR(g->engine_us, 20000, 1e-6); /* who leaves takes his work along */
    CHECK_NEAR(g->decode_us, 2000, 1e-6);
    gate_leave(g, begin, &q, GATE_DONE);
    close_gate();
}

/* Clients who were here a moment ago will come again, each for as much as this one. */
static void test_others_come_again(void)
{
    struct gate_place p = {._jobs = 0}, q = {._jobs = 0};
    open_gate(256);
    for (uint64_t other = 100; other < 120; other++) {
        CHECK_INT(enter(other, 1, begin, second, &p), GATE_ACCEPTED);
        gate_leave(g, begin, &p, GATE_DONE);
    }
    g->mean = g->ratio = 1;
    gate_learn(g, begin + 1000, &g->cost.last);
    CHECK_INT(enter(1, 2, begin + 1000, second / 2, &p), GATE_ACCEPTED); /* nobody is inside */
    CHECK_INT(enter(1, 2, begin + 1000, second / 2, &q), GATE_FULL);     /* 40 ms and as much for each of twenty */
    gate_learn(g, begin + 2 * second, &g->cost.last);
    CHECK_INT(enter(1, 2, begin + 2 * second, second / 2, &q), GATE_ACCEPTED);
    gate_leave(g, begin + 2 * second, &p, GATE_ABANDONED);
    gate_leave(g, begin + 2 * second, &q, GATE_ABANDONED);
    close_gate();
}

/* ---- shares ---- */

static void test_places(void)
{
    static struct gate_place places[80];
    struct gate_place other = {._jobs = 0};
    open_gate(64);
    int n = 0;
    while (n < 80 && enter(1, 1, begin, 30 * second, &places[n]) == GATE_ACCEPTED) {
        n++;
    }
    CHECK_INT(n, 56); /* an eighth stays for others */
    CHECK_INT(enter(1, 1, begin, 30 * second, &places[n]), GATE_SHARE_USED);
    CHECK_INT(enter(2, 4, begin, 30 * second, &other), GATE_ACCEPTED);
    for (int i = 0; i < n; i++) {
        gate_leave(g, begin + 1000, &places[i], GATE_ABANDONED);
    }
    gate_leave(g, begin + 1000, &other, GATE_ABANDONED);
    CHECK_INT(enter(1, 1000, begin, 60 * second, &other), GATE_ACCEPTED); /* more pictures than places: half of 56 */
    CHECK_INT(other._jobs, 28);
    gate_leave(g, begin + 1000, &other, GATE_ABANDONED);
    close_gate();
}

static void test_newcomers(void)
{
    static struct gate_place places[8];
    struct gate_place small = {._jobs = 0};
    open_gate(64);
    for (uint64_t client = 1; client <= 7; client++) {
        CHECK_INT(enter(client, 8, begin, 30 * second, &places[client]), GATE_ACCEPTED);
    }
    CHECK_INT(enter(8, 8, begin, 30 * second, &small), GATE_FULL); /* the very last places are for small requests */
    CHECK_INT(enter(9, 1, begin, 30 * second, &small), GATE_ACCEPTED);
    gate_leave(g, begin + 1000, &places[1], GATE_DONE);
    CHECK_INT(enter(1, 8, begin + 1000, 30 * second, &places[1]), GATE_FULL); /* its own place, for newcomers first */
    CHECK_INT(enter(8, 8, begin + 1000, 30 * second, &places[0]), GATE_ACCEPTED);
    gate_leave(g, begin + 1000, &places[2], GATE_DONE);
    CHECK_INT(enter(1, 8, begin + 1000 + GATE_LATELY_US, 30 * second, &places[1]), GATE_ACCEPTED);
    for (int i = 0; i < 8; i++) {
        gate_leave(g, begin + 2 * second, &places[i], GATE_ABANDONED);
    }
    gate_leave(g, begin + 2 * second, &small, GATE_ABANDONED);
    close_gate();
}

/* The last places go one by one to small requests of newcomers; who has part of his fair share may have the rest. */
static void test_last_places(void)
{
    static struct gate_place places[16], more;
    open_gate(64);
    CHECK_INT(enter(1, 1, begin, 30 * second, &places[0]), GATE_ACCEPTED);
    for (uint64_t client = 2; client <= 8; client++) {
        CHECK_INT(enter(client, 8, begin, 30 * second, &places[client]), GATE_ACCEPTED);
    }
    CHECK_INT(enter(1, 1, begin, 30 * second, &places[1]), GATE_ACCEPTED);
    CHECK_INT(enter(2, 1, begin, 30 * second, &more), GATE_SHARE_USED);
    for (uint64_t client = 9; client <= 14; client++) {
        CHECK_INT(enter(client, 1, begin, 30 * second, &places[client]), GATE_ACCEPTED);
    }
    CHECK_INT(g->jobs, 64);
    CHECK_INT(enter(15, 1, begin, 30 * second, &more), GATE_FULL);
    for (int i = 0; i < 16; i++) {
        gate_leave(g, begin + 1000, &places[i], GATE_ABANDONED);
    }
    close_gate();
}

/* Who was served is known by his number, not by its bucket. */
static void test_many_newcomers(void)
{
    static struct gate_place places[8], one;
    open_gate(64);
    for (uint64_t client = 1; client <= 7; client++) {
        CHECK_INT(enter(client, client < 7 ? 8 : 4, begin, 30 * second, &places[client]), GATE_ACCEPTED);
    }
    for (uint64_t client = 100; client < 5100; client++) {
        CHECK_INT(enter(client, 8, begin, 30 * second, &one), GATE_ACCEPTED);
        gate_leave(g, begin, &one, GATE_ABANDONED);
    }
    CHECK_INT(enter(5099, 8, begin, 30 * second, &one), GATE_FULL);
    for (int i = 0; i < 8; i++) {
        gate_leave(g, begin + 1000, &places[i], GATE_ABANDONED);
    }
    close_gate();
}

static void test_uploads(void)
{
    struct gate_upload greedy[8] = {{0}}, polite = {0};
    open_gate(64);
    int n = 0;
    while (n < 8 && gate_upload_take(g, &greedy[n], 1, 20 * mb) == GATE_ACCEPTED) {
        n++;
    }
    CHECK_INT(n, 3); /* 60 of 80 MB: 20 more would leave less than an eighth */
    CHECK_INT(gate_upload_take(g, &greedy[n], 1, 20 * mb), GATE_SHARE_USED);
    CHECK_INT(gate_upload_take(g, &greedy[n], 1, 8 * mb), GATE_ACCEPTED);
    CHECK_INT(gate_upload_take(g, &polite, 2, 10 * mb), GATE_ACCEPTED);
    CHECK_INT(gate_upload_take(g, &polite, 2, 10 * mb), GATE_FULL);
    struct gate_stats s;
    gate_stats(g, &s);
    CHECK_INT(s.upload_bytes, 78 * mb);
    CHECK_INT(s.clients, 2);
    struct ledger_figures f;
    ledger_figures(&ledger, &f);
    CHECK_INT(f.held[LEDGER_BODIES], 78 * mb);
    CHECK_INT(f.refused[LEDGER_BODIES], 3); /* a share that is used twice, and a room that is full */
    for (int i = 0; i <= n; i++) {
        gate_upload_end(g, &greedy[i]);
        gate_upload_end(g, &greedy[i]);
    }
    gate_upload_end(g, &polite);
    ledger_figures(&ledger, &f);
    CHECK_INT(f.held[LEDGER_BODIES], 0);
    close_gate();
}

static void share_bytes(enum ledger_account a)
{
    open_gate(64);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(gate_bytes_take(g, 1, a, 20 * mb), GATE_ACCEPTED);
    }
    CHECK_INT(gate_bytes_take(g, 1, a, 20 * mb), GATE_SHARE_USED);
    CHECK_INT(gate_bytes_take(g, 2, a, 20 * mb), GATE_ACCEPTED); /* who holds nothing may take the last of it */
    CHECK_INT(gate_bytes_take(g, 3, a, mb), GATE_FULL);
    CHECK_INT(gate_bytes_take(g, 3, a, 0), GATE_ACCEPTED);
    struct gate_stats s;
    gate_stats(g, &s);
    CHECK_INT(s.clients, 2);
    struct gate_place place = {._jobs = 0}; /* a client is known while it holds anything at all */
    CHECK_INT(enter(2, 1, begin, 30 * second, &place), GATE_ACCEPTED);
    gate_leave(g, begin + 1000, &place, GATE_ABANDONED);
    gate_stats(g, &s);
    CHECK_INT(s.clients, 2);
    gate_bytes_give(g, 3, a, 0);
    gate_bytes_give(g, 2, a, 20 * mb);
    gate_bytes_give(g, 1, a, 60 * mb);
    struct ledger_figures f;
    ledger_figures(&ledger, &f);
    CHECK_INT(f.held[a], 0);
    CHECK_INT(f.refused[a], 2);
    close_gate();
}

/* Answers, and JSON while it is parsed: of one client's sixty large bodies and another's one. */
static void test_other_bytes(void)
{
    share_bytes(LEDGER_ANSWERS);
    share_bytes(LEDGER_PARSING);
    share_bytes(LEDGER_RESULTS);
}

/* ---- feedback ---- */

static void test_feedback(void)
{
    struct gate_place p = {._jobs = 0};
    open_gate(64);
    for (int i = 0; i < 40; i++) { /* everything takes three times as long as the model says */
        uint64_t now = begin + (uint64_t)i * second;
        CHECK_INT(enter(1, 16, now, 10 * second, &p), GATE_ACCEPTED);
        gate_leave(g, now + 3 * (160000 + 11000), &p, GATE_DONE);
    }
    CHECK_NEAR(g->ratio, 3, 0.1);
    double margin = g->margin;
    CHECK_INT(enter(1, 1, begin + 100 * second, second, &p), GATE_ACCEPTED);
    gate_leave(g, begin + 102 * second, &p, GATE_LATE);
    CHECK(g->margin > margin + 0.04);
    margin = g->margin;
    CHECK_INT(enter(1, 1, begin + 110 * second, second, &p), GATE_ACCEPTED);
    gate_leave(g, begin + 110 * second + 1000, &p, GATE_DONE);
    CHECK(g->margin < margin && g->margin > margin - 0.001);
    double ratio = g->ratio;
    CHECK_INT(enter(1, 1, begin + 120 * second, second, &p), GATE_ACCEPTED);
    gate_leave(g, begin + 150 * second, &p, GATE_ABANDONED); /* says nothing */
    CHECK(g->ratio == ratio);
    close_gate();
}

/* When most of those inside are overdue, the gate need not wait for them to know that things have become slow. */
static void test_overdue(void)
{
    static struct gate_place places[20];
    open_gate(64);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(enter((uint64_t)i, 1, begin, 10 * second, &places[i]), GATE_ACCEPTED);
    }
    struct engine_stats s = g->cost.last;
    for (int i = 1; i <= 10; i++) {
        gate_learn(g, begin + second + (uint64_t)i * 100000, &s);
    }
    CHECK(g->ratio > 2);
    for (int i = 0; i < 20; i++) {
        gate_leave(g, begin + 3 * second, &places[i], GATE_ABANDONED);
    }
    close_gate();
}

/* A crowd of one client has filled its time, then the machine is found slower: the crowd is refused, but a polite
 * client has its turn before most of what waits, however much of that is in a hurry. */
static void test_polite_beside_a_slow_crowd(void)
{
    static struct gate_place crowd[400], polite, later;
    open_gate(1000);
    int n = 0;
    while (n < 400 && enter(1, 1, begin, 10 * second, &crowd[n]) == GATE_ACCEPTED) {
        n++;
    }
    CHECK(n > 100);
    g->mean = g->ratio = 4;
    CHECK(enter(1, 1, begin, 10 * second, &later) != GATE_ACCEPTED);
    CHECK_INT(enter(2, 1, begin, 10 * second, &polite), GATE_ACCEPTED);
    gate_leave(g, begin, &polite, GATE_DONE);
    g->mean = g->ratio = 4;
    CHECK_INT(enter(2, 1, begin + 5 * second, 5 * second, &polite), GATE_ACCEPTED); /* now all of them hurry */
    gate_leave(g, begin + 5 * second, &polite, GATE_ABANDONED);
    for (int i = 0; i < n; i++) {
        gate_leave(g, begin + 6 * second, &crowd[i], GATE_ABANDONED);
    }
    close_gate();
}

int main(void)
{
    test_weights();
    test_prices_follow();
    test_nothing_known();
    test_too_late();
    test_promises_are_kept();
    test_glance();
    test_margin();
    test_others_come_again();
    test_places();
    test_newcomers();
    test_last_places();
    test_many_newcomers();
    test_uploads();
    test_other_bytes();
    test_feedback();
    test_overdue();
    test_polite_beside_a_slow_crowd();
    return check_result();
}
