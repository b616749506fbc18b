/* Body complete: it is parsed, here or on the side thread; then a place at the gate, the service, and the work runs. */
#include "server/work/work.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/gate/admission.h"

/* ---- entering ---- */

/* Pictures that come as ids. */
static int count_known(const struct input *in)
{
    int n = 0;
    for (int i = 0; i < in->n_images; i++) {
        n += !in->images[i].bytes;
    }
    return n;
}

/* Of all pictures that come as bytes; 0 when a header does not say. One over the limit is refused unread. */
static uint64_t count_pixels(const struct input *in, uint64_t max)
{
    uint64_t sum = 0;
    for (int i = 0; i < in->n_images; i++) {
        uint64_t pixels = in->images[i].bytes ? engine_pixels(in->images[i].bytes, in->images[i].n_bytes) : 0;
        if (in->images[i].bytes && pixels == 0) {
            return 0;
        }
        sum += pixels <= max ? pixels : 1;
    }
    return sum;
}

bool work_enter(struct work *w, int n_known)
{
    struct desk *d = w->desk;
    const struct input *in = &w->input;
    const struct service *s = w->service;
    uint64_t now = clock_us(), after_us = 0;
    n_known += count_known(in);
    const struct gate_request r = {
        .client = w->caller.client,
        .task = w->kind->task,
        .images = in->n_images - count_known(in),
        .known = n_known,
        .texts = in->n_texts,
        .beams = in->num_beams ? in->num_beams : s->info.num_beams,
        .tokens = in->max_tokens ? in->max_tokens : s->info.max_tokens,
        .pixels = count_pixels(in, (uint64_t)d->config->limits.pixels),
        .deadline_us = w->deadline_us,
    };
    enum gate_verdict verdict = gate_enter(d->gate, now, &r, &w->place, &after_us);
    w->has_place = verdict == GATE_ACCEPTED;
    if (!w->has_place) {
        admission_refuse(w->x, verdict, after_us);
    }
    return w->has_place;
}

void work_hold_current_service(struct work *w)
{
    struct service *old = w->service;
    w->service = service_hold(services_current(w->desk->services));
    service_drop(old);
}

static void begin(struct work *w, bool is_good, const struct input_fault *fault)
{
    if (!is_good) {
        reply_error(w->x, fault->fault, fault->param[0] ? fault->param : NULL, "%s", fault->text.text);
        work_finish(w);
        return;
    }
    uint64_t asked_us = w->input.timeout_ms * 1000;
    if (asked_us && w->began_us + asked_us < w->deadline_us) {
        w->deadline_us = w->began_us + asked_us;
    }
    if (w->kind->refine) {
        w->kind = w->kind->refine(&w->input);
    }
    w->timings.n_images = w->input.n_images;
    w->timings.n_texts = w->input.n_texts;
    w->service = service_hold(services_current(w->desk->services));
    w->phase = WORK_RUNNING;
    if (w->input.collection || work_enter(w, 0)) {
        w->kind->begin(w);
    } else {
        work_finish(w);
    }
}

/* ---- parsing ---- */

/* What was reserved for parsing and is not needed now that the input is there. */
static void keep_what_is_held(struct work *w)
{
    size_t held = w->held[LEDGER_PARSING], all = input_bytes(&w->input);
    size_t needed = all > w->body_bytes ? all - w->body_bytes : 0;
    if (held > needed) {
        work_give_back(w, LEDGER_PARSING, held - needed);
    }
}

/* A body that is parsed on the side thread. */
struct parsing {
    struct side_task task; /* the first member */
    struct work *work;
    struct input_source *source;
    struct input_fault fault;
    bool is_good;
};

static void parse_run(struct side_task *t)
{
    struct parsing *e = (struct parsing *)t;
    e->is_good = input_parse(&e->work->input, e->source, &e->fault);
}

static void parse_done(struct side_task *t)
{
    struct parsing *e = (struct parsing *)t;
    struct work *w = e->work;
    input_source_destroy(e->source);
    w->n_out--;
    if (!work_settle(w) && w->x) {
        keep_what_is_held(w);
        begin(w, e->is_good, &e->fault);
    }
    mem_free(e);
}

static bool parse_elsewhere(struct work *w, const struct input_source *source)
{
    struct parsing *e;
    if (mem_alloc(&e, sizeof(*e))) {
        return false;
    }
    if (input_source_copy(&e->source, source)) {
        mem_free(e);
        return false;
    }
    e->task =
        (struct side_task){.run = parse_run, .on_done = parse_done, .client = w->caller.client, .cost = w->body_bytes};
    e->work = w;
    w->n_out++;
    side_add(w->desk->side, &e->task);
    return true;
}

/* What is parsed here holds others up: as much within a millisecond as one request may have at most. */
static bool may_parse_here(struct desk *d, size_t weight)
{
    enum { WINDOW_US = 1000 };
    uint64_t now = clock_us();
    if (now - d->parsing_since_us >= WINDOW_US) {
        d->parsing_since_us = now;
        d->parsed_weight = 0;
    }
    d->parsed_weight += weight;
    return d->parsed_weight <= INPUT_WEIGHT_MAX;
}

void work_run(struct work *w, const struct work_kind *kind)
{
    const struct exchange *x = w->x;
    struct input_fault fault = {.fault = FAULT_INTERNAL};
    struct input_source source = {.route = kind->input,
                                  .dialect = kind->dialect,
                                  .content_type = x->headers[HEADER_CONTENT_TYPE],
                                  .content_encoding = x->headers[HEADER_CONTENT_ENCODING],
                                  .json_bytes = x->headers[HEADER_INFERENCE_LENGTH],
                                  .query = x->query,
                                  .n_query = x->n_query,
                                  .body = &w->body};
    w->kind = kind;
    w->phase = WORK_PARSING;
    input_limits_of(&source.limits, w->desk->config);
    if (!work_charge(w, LEDGER_PARSING, input_need_bytes(&source))) {
        work_finish(w);
    } else if (may_parse_here(w->desk, input_weight(&source))) {
        bool is_good = input_parse(&w->input, &source, &fault);
        keep_what_is_held(w);
        begin(w, is_good, &fault);
    } else if (!parse_elsewhere(w, &source)) {
        reply_error(w->x, FAULT_INTERNAL, NULL, "out of memory");
        work_finish(w);
    }
}

void work_run_plain(struct work *w, const struct work_kind *kind)
{
    w->kind = kind;
    w->phase = WORK_RUNNING;
    kind->begin(w);
}
