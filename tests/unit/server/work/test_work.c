/* Work from its headers to its end, whatever happens in between, over fakes of gate, input, engine and HTTP. What every
 * test ends with: nothing is held any more. */
#include "server/work/service.c"
#include "server/work/work.c"
#include "server/work/work_round.c"
#include "server/work/work_run.c"

#include "tests/support/check.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"

/* ---- what stands around it ---- */

static struct ledger ledger;

static struct {
    int n_ready;               /* http_ready */
    enum gate_verdict verdict; /* of gate_enter */
    int n_inside;
    enum gate_end end; /* of the last gate_leave */
    uint64_t upload_limit, uploaded;
    size_t weight; /* of the input */
    bool is_bad;
    int n_images, n_texts, bad_image;
    struct side_task *side;
    struct service *service;
} fake;

void loop_wake(struct loop *l)
{
    (void)l;
}

void http_ready(struct exchange *x)
{
    (void)x;
    fake.n_ready++;
}

struct service *services_current(const struct services *s)
{
    (void)s;
    return fake.service;
}

void services_leave(struct services *s, struct services_waiter *w)
{
    (void)s, (void)w;
}

void side_add(struct side *s, struct side_task *t)
{
    (void)s;
    BUG_ON(fake.side != NULL);
    fake.side = t;
}

static void run_side(void)
{
    struct side_task *t = fake.side;
    fake.side = NULL;
    t->run(t);
    t->on_done(t);
}

enum gate_verdict gate_upload_take(struct gate *g, struct gate_upload *u, uint64_t client, uint64_t n_bytes)
{
    (void)g, (void)client;
    if (fake.uploaded + n_bytes > fake.upload_limit) {
        return GATE_FULL;
    }
    fake.uploaded += n_bytes;
    u->_held += n_bytes;
    return GATE_ACCEPTED;
}

void gate_upload_end(struct gate *g, struct gate_upload *u)
{
    (void)g;
    fake.uploaded -= u->_held;
    u->_held = 0;
}

enum gate_verdict gate_bytes_take(struct gate *g, uint64_t client, enum ledger_account a, uint64_t n_bytes)
{
    (void)g, (void)client;
    return ledger_take(&ledger, a, n_bytes) ? GATE_ACCEPTED : GATE_FULL;
}

void gate_bytes_give(struct gate *g, uint64_t client, enum ledger_account a, uint64_t n_bytes)
{
    (void)g, (void)client;
    ledger_give(&ledger, a, n_bytes);
}

enum gate_verdict gate_enter(struct gate *g, uint64_t now_us, const struct gate_request *r, struct gate_place *p,
                             uint64_t *retry_after_us)
{
    (void)g, (void)now_us, (void)p;
    CHECK_INT(r->images + r->known, fake.n_images);
    *retry_after_us = 5000;
    fake.n_inside += fake.verdict == GATE_ACCEPTED;
    return fake.verdict;
}

void gate_progress(struct gate *g, uint64_t now_us, struct gate_place *p, int n)
{
    (void)g, (void)now_us, (void)p, (void)n;
}

void gate_leave(struct gate *g, uint64_t now_us, struct gate_place *p, enum gate_end end)
{
    (void)g, (void)now_us, (void)p;
    fake.n_inside--;
    fake.end = end;
}

void admission_refuse(struct exchange *x, enum gate_verdict verdict, uint64_t after_us)
{
    (void)after_us;
    reply_error(x, verdict == GATE_TOO_LATE ? FAULT_DEADLINE_UNREACHABLE : FAULT_OVERLOADED, NULL, "refused");
}

void admission_too_large(struct exchange *x, uint64_t max)
{
    CHECK_INT(max, 3);
    reply_error(x, FAULT_BODY_TOO_LARGE, NULL, "too large");
}

/* ---- input ---- */

void input_limits_of(struct input_limits *out, const struct config *c)
{
    (void)c;
    *out = (struct input_limits){.images = 16};
}

size_t input_need_bytes(const struct input_source *s)
{
    (void)s;
    return 100;
}

size_t input_weight(const struct input_source *s)
{
    (void)s;
    return fake.weight;
}

bool input_parse(struct input *in, const struct input_source *s, struct input_fault *fault)
{
    static struct input_image images[16];
    static struct input_fault unreadable = {.fault = FAULT_BAD_REQUEST, .text = {.text = "not base64"}};
    static const char *texts[] = {"a cat", "a dog"};
    static size_t bytes[] = {5, 5};
    *in = (struct input){.images = images,
                         .n_images = fake.n_images,
                         .texts = texts,
                         .text_bytes = bytes,
                         .n_texts = fake.n_texts,
                         .body = *s->body};
    buf_init(s->body, 0);
    for (int i = 0; i < 16; i++) {
        images[i].bytes = (const uint8_t *)"picture";
        images[i].fault = i == fake.bad_image ? &unreadable : NULL;
    }
    fault->fault = FAULT_BAD_REQUEST;
    snprintf(fault->text.text, sizeof(fault->text.text), "no image");
    return !fake.is_bad;
}

size_t input_bytes(const struct input *in)
{
    return in->body.n + 40;
}

void input_release(struct input *in)
{
    buf_release(&in->body);
}

enum err input_source_copy(struct input_source **out, const struct input_source *s)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        struct buf *body;
        rc = mem_alloc(&body, sizeof(*body));
        **out = *s;
        *body = *s->body;
        (*out)->body = body;
        buf_init(s->body, 0);
    }
    return rc;
}

void input_source_destroy(struct input_source *s)
{
    if (s) {
        buf_release(s->body);
        mem_free(s->body);
        mem_free(s);
    }
}

/* ---- one kind of work ---- */

static int n_begun, n_done, n_released;

static json_t *add_item(struct work *w, const struct job *job, int index)
{
    (void)w;
    return json_pack("{s:s, s:i}", "caption", job->result.captions[0].text, "index", index);
}

static void round_done(struct work *w)
{
    json_t *list = json_array();
    n_done++;
    for (int i = 0; i < w->round.n_items; i++) {
        json_array_append(list, w->round.items[i]);
    }
    work_answer(w, 200, json_pack("{s:o}", "results", list));
}

static void begin_round(struct work *w)
{
    n_begun++;
    work_round_begin(w, JOB_CAPTION, w->input.n_images, add_item, round_done);
}

static void on_release(struct work *w)
{
    (void)w;
    n_released++;
}

static const struct work_kind kind = {
    .input = INPUT_CAPTION, .task = JOB_CAPTION, .begin = begin_round, .release = on_release};

/* ---- a scene ---- */

static struct config config;
static struct desk desk;
static struct exchange exchange;

static void set_scene(int n_slots)
{
    struct errbuf e;
    struct ledger_limits limits = {.total = UINT64_MAX};
    struct engine_options o = {.model_dir = "a", .max_jobs = n_slots};
    for (int i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        limits.account[i] = 1000000;
    }
    ledger_init(&ledger, &limits);
    memset(&fake, 0, sizeof(fake));
    fake_now_us = 1000;
    fake.upload_limit = 1000000;
    fake.n_images = 1;
    fake.bad_image = -1;
    n_begun = n_done = n_released = 0;
    CHECK_INT(service_open(&fake.service, &o, NULL, &e), OK);
    service_hold(fake.service);
    config_defaults(&config);
    desk = (struct desk){.config = &config, .ledger = &ledger};
    exchange = (struct exchange){.method = "POST", .path = "/caption", .began_us = 1000, .deadline_us = 2001000};
    buf_init(&exchange.answer, 1 << 20);
}

static struct work *arrive(const char *body)
{
    struct work *w = work_create(&desk, &exchange);
    CHECK(w && exchange.work == w);
    work_body(w, body, strlen(body));
    return w;
}

/* Nothing is left of the request, whatever became of it. */
static void end_scene(void)
{
    struct ledger_figures f;
    ledger_figures(&ledger, &f);
    CHECK_INT(f.total, 0);
    CHECK_INT(fake.uploaded, 0);
    CHECK_INT(fake.n_inside, 0);
    CHECK_INT(desk.n, 0);
    CHECK(desk.first == NULL && exchange.work == NULL && exchange.on_abandon == NULL);
    CHECK_INT(fake.service->references, 1);
    CHECK_INT(fake.service->n_free, fake.service->n_slots);
    CHECK(fake.service->waiting == NULL);
    buf_release(&exchange.answer);
    service_drop(fake.service);
    service_close(fake.service);
}

static bool answer_has(const char *text)
{
    return exchange.answer.bytes && strstr(exchange.answer.bytes, text);
}

/* ---- tests ---- */

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

/* The client leaves in each phase. The exchange may be freed at once; what is out comes home to nobody. */
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
    CHECK_INT(fake.n_inside, 1); /* the place is taken until the job is home */
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
        w->input.text_bytes[0] = LARGE_TEXT_BYTES;
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
        size_t *n_bytes = w->input.text_bytes;
        *n_bytes = 5;
        CHECK(leaves || answer_has("\"index\":0"));
        end_scene();
    }
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
    test_two_rounds();
    return check_result();
}
