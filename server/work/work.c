#include "server/work/work.h"

#include "engine/answer/answer_dump.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/gate/admission.h"
#include "server/http/stream.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- life ---- */

static void destroy(struct work *w)
{
    struct desk *d = w->desk;
    if (w->kind && w->kind->release) {
        w->kind->release(w);
    }
    work_round_release(w);
    input_release(&w->input);
    buf_release(&w->body);
    if (w->stream) {
        LIST_REMOVE(w, streaming);
        stream_drop(w->stream);
    }
    if (w->service) {
        service_drop(w->service);
    }
    gate_upload_end(d->gate, &w->upload);
    for (int i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        gate_bytes_give(d->gate, w->caller.client, (enum ledger_account)i, w->held[i]);
    }
    *(w->previous ? &w->previous->next : &d->first) = w->next;
    if (w->next) {
        w->next->previous = w->previous;
    }
    d->n--;
    mem_free(w);
}

/* Of a body, which goes back to the system page by page: 20 MB at once take the loop two milliseconds. */
enum { CLEARED_A_TURN = 2 << 20 };

/* Where its bytes are now. */
static struct buf *body_of(struct work *w)
{
    return w->input.body.bytes ? &w->input.body : &w->body;
}

/* An answer of so many texts, pairs of best answers or weights is made, printed and freed on the side thread. */
enum { LARGE_TEXTS = 256, LARGE_TEXT_BYTES = 65536 };

int work_top_k(const struct work *w, enum job_task task)
{
    enum { DEFAULT_TOP_K = 5 };
    return task == JOB_VQA && w->input.top_k ? w->input.top_k : DEFAULT_TOP_K;
}

bool work_is_large(const struct work *w)
{
    size_t n_bytes = 0, n_texts = (size_t)w->input.n_texts;
    for (size_t i = 0; i < n_texts; i++) {
        n_bytes += w->input.text_bytes[i];
    }
    size_t images = w->input.n_images > 0 ? (size_t)w->input.n_images : 1;
    size_t each = w->kind && w->kind->task == JOB_VQA ? 1 + (size_t)work_top_k(w, JOB_VQA) / 2 : 1;
    bool has_weights = w->input.explain || w->input.occlusion;
    return images * n_texts * each > (has_weights ? LARGE_TEXTS / 4 : LARGE_TEXTS) ||
           images * n_bytes > LARGE_TEXT_BYTES;
}

static void clear_run(struct side_task *t)
{
    struct work *w = (struct work *)((char *)t - offsetof(struct work, clearing));
    work_round_clear(w);
}

static void clear_done(struct side_task *t)
{
    struct work *w = (struct work *)((char *)t - offsetof(struct work, clearing));
    w->n_out--;
    work_settle(w);
}

static void clear_elsewhere(struct work *w)
{
    w->clearing = (struct side_task){.run = clear_run, .on_done = clear_done, .client = w->caller.client};
    w->n_out++;
    side_add(w->desk->side, &w->clearing);
}

bool work_settle(struct work *w)
{
    if (w->x || w->n_out > 0) {
        return false;
    }
    if (w->has_place) {
        gate_leave(w->desk->gate, clock_us(), &w->place, w->end);
        w->has_place = false;
    }
    if (w->round.items && work_is_large(w)) {
        clear_elsewhere(w);
        return false;
    }
    if (buf_held(body_of(w)) > CLEARED_A_TURN) {
        w->next_cleared = w->desk->cleared;
        w->desk->cleared = w;
        return false;
    }
    destroy(w);
    return true;
}

bool work_clear(struct desk *d, bool all)
{
    struct work *w;
    while ((w = d->cleared) != NULL) {
        size_t held = buf_held(body_of(w));
        if (!all && held > CLEARED_A_TURN) {
            buf_shrink(body_of(w), held - CLEARED_A_TURN);
            if (buf_held(body_of(w)) < held) {
                return true;
            }
        }
        d->cleared = w->next_cleared;
        destroy(w);
        if (!all) {
            break;
        }
    }
    return d->cleared != NULL;
}

/* Lets go of the exchange. */
static struct exchange *detach(struct work *w)
{
    struct exchange *x = w->x;
    x->timings = w->timings;
    x->work = NULL;
    x->on_abandon = NULL;
    w->x = NULL;
    w->phase = WORK_FINISHED;
    return x;
}

void work_finish(struct work *w)
{
    bool is_late = w->deadline_us && clock_us() > w->deadline_us;
    w->end = is_late ? GATE_LATE : GATE_DONE;
    http_ready(detach(w));
    work_settle(w);
}

static void abandon(struct exchange *x, const char *why)
{
    struct work *w = x->work;
    w->end = strcmp(why, "deadline") == 0 ? GATE_LATE : GATE_ABANDONED;
    detach(w);
    work_round_cancel(w);
    if (w->kind && w->kind->abandon) {
        w->kind->abandon(w);
    }
    if (w->service) {
        service_leave_line(w->service, &w->in_line);
    }
    services_leave(w->desk->services, &w->for_model);
    if (w->stream) {
        stream_end(w->stream);
    }
    work_settle(w);
}

struct work *work_create(struct desk *d, struct exchange *x)
{
    struct work *w;
    const char *control = x->headers[HEADER_CACHE_CONTROL], *accept = x->headers[HEADER_ACCEPT];
    if (mem_alloc(&w, sizeof(*w))) {
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
        return NULL;
    }
    *w = (struct work){.desk = d, .x = x, .caller = x->caller, .began_us = x->began_us, .deadline_us = x->deadline_us};
    snprintf(w->path, sizeof(w->path), "%s", x->path);
    snprintf(w->id, sizeof(w->id), "%s", x->request_id);
    w->priority = exchange_priority(x);
    w->no_store = control && strcasestr(control, "no-store");
    w->accepts_stream = accept && strncasecmp(accept, "text/event-stream", 17) == 0;
    w->end = GATE_ABANDONED;
    buf_init(&w->body, d->config->limits.body_bytes);
    x->work = w;
    x->on_abandon = abandon;
    w->next = d->first;
    if (w->next) {
        w->next->previous = w;
    }
    d->first = w;
    d->n++;
    return w;
}

bool work_stream(struct work *w, size_t n_bytes)
{
    if (stream_create(&w->stream, n_bytes)) {
        reply_error(w->x, FAULT_INTERNAL, NULL, "out of memory");
        return false;
    }
    LIST_INSERT_HEAD(&w->desk->streaming, w, streaming);
    w->x->stream = w->stream;
    return true;
}

/* ---- memory ---- */

static enum gate_verdict take(struct work *w, enum ledger_account account, size_t n)
{
    enum gate_verdict v = gate_bytes_take(w->desk->gate, w->caller.client, account, n);
    w->held[account] += v == GATE_ACCEPTED ? n : 0;
    return v;
}

bool work_charge(struct work *w, enum ledger_account account, size_t n)
{
    enum gate_verdict v = take(w, account, n);
    if (v != GATE_ACCEPTED) {
        reply_retry(w->x, FAULT_OVERLOADED, 1000000, "%s for %s",
                    v == GATE_SHARE_USED ? "your other requests use up your share of the memory"
                                         : "the requests under way use all the memory there is",
                    ledger_account_name(account));
    }
    return v == GATE_ACCEPTED;
}

bool work_take(struct work *w, enum ledger_account account, size_t n)
{
    return take(w, account, n) == GATE_ACCEPTED;
}

void work_give_back(struct work *w, enum ledger_account account, size_t n)
{
    gate_bytes_give(w->desk->gate, w->caller.client, account, n);
    w->held[account] -= n;
}

/* ---- the body ---- */

void work_body(struct work *w, const char *bytes, size_t n)
{
    struct exchange *x = w->x;
    if (w->body.n + n > w->desk->config->limits.body_bytes) {
        admission_too_large(x, w->desk->config->limits.body_bytes);
        abandon(x, "refused");
        return;
    }
    enum gate_verdict verdict = gate_upload_take(w->desk->gate, &w->upload, w->caller.client, n);
    if (verdict != GATE_ACCEPTED && w->desk->cleared) {
        work_clear(w->desk, true);
        verdict = gate_upload_take(w->desk->gate, &w->upload, w->caller.client, n);
    }
    if (verdict == GATE_FULL && w->desk->make_room && w->desk->make_room(w->desk->user, x)) {
        verdict = gate_upload_take(w->desk->gate, &w->upload, w->caller.client, n);
    }
    if (verdict != GATE_ACCEPTED) {
        admission_refuse(x, verdict, 1000000);
        abandon(x, "refused");
        return;
    }
    if (w->body.n == 0 && x->content_length > 0) { /* pages count when they are written, so this takes nothing yet */
        buf_reserve(&w->body, x->content_length);
    }
    buf_append(&w->body, bytes, n);
    w->body_bytes = w->body.n;
    if (w->body.err) {
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
        abandon(x, "refused");
    }
}

/* ---- answers ---- */

static void reply_late(struct work *w)
{
    reply_error(w->x, FAULT_DEADLINE, NULL,
                "the deadline passed after %llu ms; allow more (timeout_ms), or ask for less",
                (unsigned long long)((w->deadline_us - w->began_us) / 1000));
}

/* An answer that is printed on the side thread. */
struct printing {
    struct side_task task; /* the first member */
    struct work *work;
    json_t *object; /* NULL: to be made */
    json_t *(*make)(const struct work *w);
    struct buf text;
    int status;
};

static void print_run(struct side_task *t)
{
    struct printing *e = (struct printing *)t;
    json_t *object = e->make ? e->make(e->work) : e->object;
    if (object) {
        answer_dump(object, &e->text);
        buf_text(&e->text, "\n");
        json_decref(object);
    } else {
        e->text.err = ERR_NOMEM;
    }
}

static void print_done(struct side_task *t)
{
    struct printing *e = (struct printing *)t;
    struct work *w = e->work;
    w->n_out--;
    if (!work_settle(w) && w->x) {
        if (e->text.err) {
            reply_error(w->x, FAULT_INTERNAL, NULL, "out of memory");
        } else {
            reply_printed(w->x, e->status, "application/json", &e->text);
        }
        work_finish(w);
    }
    buf_release(&e->text);
    mem_free(e);
}

/* A late answer is none. */
static bool is_late(struct work *w)
{
    bool is_over = w->deadline_us && clock_us() > w->deadline_us;
    if (is_over) {
        reply_late(w);
        work_finish(w);
    }
    return is_over;
}

void work_answer_text(struct work *w, const char *content_type, struct buf *text)
{
    if (is_late(w)) {
        buf_release(text);
        return;
    }
    if (text->err) {
        buf_release(text);
        reply_error(w->x, FAULT_INTERNAL, NULL, "out of memory");
    } else {
        reply_printed(w->x, 200, content_type, text);
    }
    work_finish(w);
}

/* False: no memory. */
static bool answer_elsewhere(struct work *w, int status, json_t *object, json_t *(*make)(const struct work *w))
{
    struct printing *e;
    if (mem_alloc(&e, sizeof(*e))) {
        return false;
    }
    e->task = (struct side_task){
        .run = print_run, .on_done = print_done, .client = w->caller.client, .cost = w->held[LEDGER_RESULTS]};
    e->work = w;
    e->object = object;
    e->make = make;
    e->status = status;
    buf_init(&e->text, EXCHANGE_ANSWER_MAX);
    w->n_out++;
    side_add(w->desk->side, &e->task);
    return true;
}

void work_answer(struct work *w, int status, json_t *object)
{
    if (is_late(w)) {
        json_decref(object);
    } else if (!object || !work_is_large(w) || !answer_elsewhere(w, status, object, NULL)) {
        reply_json(w->x, status, object);
        work_finish(w);
    }
}

void work_answer_made(struct work *w, int status, json_t *(*make)(const struct work *w))
{
    if (!work_is_large(w)) {
        work_answer(w, status, make(w));
    } else if (!is_late(w) && !answer_elsewhere(w, status, NULL, make)) {
        reply_json(w->x, status, NULL);
        work_finish(w);
    }
}

/* ---- time ---- */

static bool is_waiting(const struct work *w)
{
    return w->x && w->x->status == 0 && w->phase != WORK_ARRIVING;
}

static void give_up(struct work *w, const char *why)
{
    struct exchange *x = w->x;
    x->cancel_reason = why;
    abandon(x, why);
}

uint64_t work_sweep(struct desk *d, uint64_t now_us)
{
    enum { SLICE_US = 1000 };
    uint64_t wait_us = UINT64_MAX, until_us = clock_us() + SLICE_US;
    for (struct work *w = d->first, *next; w; w = next) {
        next = w->next;
        if (!is_waiting(w) || !w->deadline_us) {
            continue;
        }
        if (now_us >= w->deadline_us) {
            struct exchange *x = w->x;
            reply_late(w);
            give_up(w, "deadline");
            http_ready(x);
            if (clock_us() >= until_us) { /* many at once: others wait */
                return 0;
            }
        } else if (w->deadline_us - now_us < wait_us) {
            wait_us = w->deadline_us - now_us;
        }
    }
    return wait_us;
}

void work_pump(struct desk *d)
{
    struct work *w;
    LIST_FOREACH(w, &d->streaming, streaming)
    {
        if (w->x && !stream_is_empty(w->stream)) {
            if (!w->x->status) {
                w->x->is_streaming = true;
                exchange_answer(w->x, 200, "text/event-stream");
            }
            http_ready(w->x);
        }
    }
}

void work_cut_all(struct desk *d)
{
    for (struct work *w = d->first, *next; w; w = next) {
        next = w->next;
        struct exchange *x = w->x;
        if (!x || w->phase == WORK_ARRIVING) {
            continue;
        }
        bool has_begun = x->status != 0;
        give_up(w, "drain");
        if (!has_begun) {
            reply_retry(x, FAULT_DRAINING, 1000000, "the service is shutting down; another replica will answer");
        }
        http_ready(x);
    }
}
