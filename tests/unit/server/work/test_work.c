/* Work from its headers to its end, whatever happens in between, over fakes of gate, input, engine and HTTP. What every
 * test ends with: nothing is held any more. */
#include "server/work/service.c"
#include "server/work/work.c"
#include "server/work/work_round.c"
#include "server/work/work_run.c"

#include "tests/unit/server/work/test_work.h"

static void test_ordinary(void)
{
    set_scene(2);
    fake.n_images = 3;
    struct work *w = arrive("body");
    CHECK_INT(fake.uploaded, 4);
    work_run(w, &kind);
    CHECK_INT(fake_engine.n, 2); /* as many as there are slots */
    CHECK(w->in_line.is_waiting);
    for (int i = 0; i < 3; i++) {
        fake_now_us += 100;
        fake_engine_finish(OK);
        service_reap(fake.service, UINT64_MAX);
    }
    CHECK_INT(n_done, 1);
    CHECK_INT(exchange.status, 200);
    CHECK(answer_has("\"index\":0") && answer_has("\"index\":2"));
    CHECK_INT(exchange.timings.fusion_us, 3);
    CHECK_INT(exchange.timings.n_images, 3);
    CHECK_INT(fake.end, GATE_DONE);
    CHECK_INT(n_released, 1);
    end_scene();
}

/* Parsed elsewhere: the ledger holds what the input needs, and the rest goes back. */
static void test_heavy(void)
{
    struct ledger_figures f;
    set_scene(2);
    fake.weight = INPUT_WEIGHT_MAX + 1;
    struct work *w = arrive("body");
    work_run(w, &kind);
    CHECK_INT(n_begun, 0);
    ledger_figures(&ledger, &f);
    CHECK_INT(f.held[LEDGER_PARSING], 100);
    run_side();
    CHECK_INT(n_begun, 1);
    ledger_figures(&ledger, &f);
    CHECK_INT(f.held[LEDGER_PARSING], 40);
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    CHECK_INT(exchange.status, 200);
    end_scene();
}

/* Many that are light are together as heavy as one that goes elsewhere. */
static void test_light_ones_together(void)
{
    struct desk d = {.first = NULL};
    fake_now_us = 5000;
    CHECK(may_parse_here(&d, INPUT_WEIGHT_MAX / 2) && may_parse_here(&d, INPUT_WEIGHT_MAX / 2));
    fake_now_us += 999;
    CHECK(!may_parse_here(&d, 1));
    fake_now_us++;
    CHECK(may_parse_here(&d, INPUT_WEIGHT_MAX) && may_parse_here(&d, 0));
}

static void test_refused(void)
{
    static const struct {
        bool is_bad;
        enum gate_verdict verdict;
        int status;
    } rows[] = {{true, GATE_ACCEPTED, 400}, {false, GATE_FULL, 429}, {false, GATE_TOO_LATE, 429}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_scene(1);
        fake.is_bad = rows[i].is_bad;
        fake.verdict = rows[i].verdict;
        work_run(arrive("body"), &kind);
        CHECK_INT(exchange.status, rows[i].status);
        CHECK_INT(n_begun, 0);
        end_scene();
    }
    set_scene(1); /* no memory for the body */
    fake.upload_limit = 3;
    arrive("body");
    CHECK_INT(exchange.status, 429);
    end_scene();
    set_scene(1); /* no memory for parsing */
    struct ledger_limits limits = {.total = 50};
    ledger_set_limits(&ledger, &limits);
    work_run(arrive("body"), &kind);
    CHECK_INT(exchange.status, 429);
    end_scene();
    set_scene(1);
    config.limits.body_bytes = 3;
    arrive("body");
    CHECK_INT(exchange.status, 413);
    end_scene();
}

/* The client leaves in each phase. The exchange may be freed at once; what was handed out comes back to nobody. */
static void test_abandoned(void)
{
    set_scene(1); /* while the body arrives */
    arrive("body");
    exchange.on_abandon(&exchange, "client_gone");
    end_scene();

    set_scene(1); /* while it is parsed */
    fake.weight = INPUT_WEIGHT_MAX + 1;
    work_run(arrive("body"), &kind);
    exchange.on_abandon(&exchange, "client_gone");
    CHECK_INT(desk.n, 1);
    CHECK_INT(exchange.answer.n, 0);
    run_side();
    CHECK_INT(n_begun, 0);
    end_scene();

    set_scene(1); /* one job out, one in line */
    fake.n_images = 2;
    work_run(arrive("body"), &kind);
    exchange.on_abandon(&exchange, "client_gone");
    CHECK(fake_engine.jobs[0]->_private->is_cancelled);
    CHECK(fake.service->waiting == NULL);
    CHECK_INT(fake.n_inside, 1); /* the place is taken until the job is back */
    CHECK_INT(fake.uploaded, 4); /* and so are the bytes it reads */
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    CHECK_INT(fake.end, GATE_ABANDONED);
    CHECK_INT(n_done, 0);
    end_scene();
}

static void test_deadline(void)
{
    set_scene(1);
    work_run(arrive("body"), &kind);
    CHECK_INT(work_sweep(&desk, 2000000), 1000);
    CHECK_INT(exchange.status, 0);
    fake_now_us = 2001000;
    work_sweep(&desk, fake_now_us);
    CHECK_INT(exchange.status, 504);
    CHECK_STR(exchange.cancel_reason, "deadline");
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    CHECK_INT(fake.end, GATE_LATE);
    end_scene();

    set_scene(1); /* done, but too late: no 200 */
    work_run(arrive("body"), &kind);
    fake_now_us = 2001001;
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    CHECK_INT(exchange.status, 504);
    CHECK_INT(fake.end, GATE_LATE);
    end_scene();
}

static void test_faults_of_parts(void)
{
    set_scene(4); /* the engine takes nothing */
    fake.n_images = 2;
    fake_engine.refuse = ERR_DRAINING;
    work_run(arrive("body"), &kind);
    fake_engine.refuse = OK;
    CHECK_INT(n_done, 1);
    CHECK(answer_has("draining"));
    end_scene();

    set_scene(4); /* one picture is unreadable, one fails */
    fake.n_images = 3;
    fake.bad_image = 1;
    struct work *w = arrive("body");
    work_run(w, &kind);
    CHECK_INT(fake_engine.n, 2);
    fake_engine_finish(ERR_CORRUPT_IMAGE);
    service_reap(fake.service, UINT64_MAX);
    CHECK_INT(work_round_fault(w), FAULT_CORRUPT_IMAGE);
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    CHECK(answer_has("not base64") && answer_has("it went wrong") && answer_has("\"index\":2"));
    end_scene();
}

static void test_cut(void)
{
    set_scene(1);
    work_run(arrive("body"), &kind);
    work_cut_all(&desk);
    CHECK_INT(exchange.status, 503);
    CHECK_INT(fake.n_ready, 1);
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    end_scene();
}

/* A large answer is made, printed and freed elsewhere; the client may leave meanwhile. */
static void test_large_answer(void)
{
    for (int leaves = 0; leaves < 3; leaves++) { /* never; while it is printed; while it is made */
        set_scene(1);
        struct work *w = arrive("body");
        work_run(w, &kind);
        w->input.n_texts = 2;
        size_t *n_bytes = w->input.text_bytes; /* the scene's, put right again below */
        *n_bytes = LARGE_TEXT_BYTES;
        fake_engine_finish(OK);
        service_reap(fake.service, UINT64_MAX);
        CHECK_INT(exchange.status, 0);
        for (int step = 2; step > 0; step--) {
            if (step == leaves) {
                exchange.on_abandon(&exchange, "client_gone");
            }
            if (step == 2 || leaves < 2) {
                CHECK_INT(fake.service->n_free, step == 2 ? 0 : 1); /* its slot is lent until it is made */
                run_side();
            }
        }
        CHECK_INT(exchange.status, leaves ? 0 : 200);
        CHECK_INT(desk.n, 1);
        run_side(); /* what it was made of is freed there too */
        *n_bytes = 5;
        CHECK(leaves || answer_has("\"index\":0"));
        end_scene();
    }
}

/* The bytes of a large body go a part in each turn, whatever became of the request, or at once when others need the
 * room; its place is free meanwhile, its memory not yet. */
static void test_large_body(void)
{
    enum { LARGE = 5 << 20 };
    static char body[LARGE];
    for (int leaves = 0; leaves < 3; leaves++) { /* never; before it is whole; and another body comes */
        set_scene(1);
        fake.upload_limit = LARGE;
        struct work *w = work_create(&desk, &exchange);
        work_body(w, body, LARGE);
        if (leaves) {
            exchange.on_abandon(&exchange, "client_gone");
        } else {
            work_run(w, &kind);
            fake_engine_finish(OK);
            service_reap(fake.service, UINT64_MAX);
            CHECK_INT(exchange.status, 200);
        }
        CHECK_INT(desk.n, 1);
        CHECK_INT(fake.n_inside, 0);
        CHECK_INT(fake.uploaded, LARGE);
        if (leaves == 2) {
            arrive("body");
            CHECK_INT(exchange.status, 0);
            CHECK_INT(fake.uploaded, 4);
            exchange.on_abandon(&exchange, "client_gone");
        } else {
            CHECK(work_clear(&desk, false));
            CHECK_INT(buf_held(body_of(w)), LARGE + 1 - CLEARED_A_TURN);
            CHECK(work_clear(&desk, false));
            CHECK(!work_clear(&desk, false));
        }
        end_scene();
    }
}

/* Of questions each of the best answers counts: 5 for each of 24 are made here, 20 are not. */
static void test_many_answers(void)
{
    static const struct work_kind questions = {.task = JOB_VQA}, sentences = {.task = JOB_RETRIEVE};
    size_t text_bytes[24] = {0};
    struct work w = {.kind = &questions, .input = {.n_images = 1, .n_texts = 24, .text_bytes = text_bytes}};
    CHECK(!work_is_large(&w));
    w.input.top_k = 20;
    CHECK(work_is_large(&w));
    w.kind = &sentences;
    CHECK(!work_is_large(&w));
}

/* A second round of the same work, on given features. */
static const struct features *given[2];

static void second_done(struct work *w)
{
    CHECK_NEAR(w->round.scores[3], 0.25F, 0);
    work_answer(w, 200, json_object());
}

static void first_done(struct work *w)
{
    work_round_features(w, JOB_RETRIEVE, 2, given, NULL, second_done);
}

static void begin_two_rounds(struct work *w)
{
    work_round_begin(w, JOB_CAPTION, 1, add_item, first_done);
}

static void test_two_rounds(void)
{
    static const struct work_kind two = {.input = INPUT_CAPTION, .task = JOB_CAPTION, .begin = begin_two_rounds};
    set_scene(2);
    fake.n_texts = 2;
    work_run(arrive("body"), &two);
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    CHECK_INT(fake_engine.n, 2);
    CHECK_INT(fake_engine.jobs[0]->request.task, JOB_RETRIEVE);
    fake_engine_finish(OK);
    fake_engine_finish(OK);
    service_reap(fake.service, UINT64_MAX);
    CHECK_INT(exchange.status, 200);
    end_scene();
}

int main(void)
{
    test_ordinary();
    test_heavy();
    test_light_ones_together();
    test_refused();
    test_abandoned();
    test_deadline();
    test_faults_of_parts();
    test_cut();
    test_large_answer();
    test_large_body();
    test_many_answers();
    test_two_rounds();
    return check_result();
}
