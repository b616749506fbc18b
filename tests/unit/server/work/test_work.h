/* test_work - what stands around a piece of work in its tests: fakes of gate, input, engine and HTTP, one kind of work,
 * and a scene that begins and ends with nothing held.
 *
 * Include it after the .c files of work and service. Threads: one. */
#ifndef TESTS_UNIT_SERVER_WORK_TEST_WORK_H
#define TESTS_UNIT_SERVER_WORK_TEST_WORK_H

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

#endif
