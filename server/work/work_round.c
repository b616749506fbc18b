/* Rounds: the jobs of one piece of work, submitted while slots are free, gathered as they come back. */
#include "server/work/work.h"

#include "engine/answer/answer.h"
#include "engine/answer/answer_dump.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/http/stream.h"

#include <string.h>

enum { HIT_BYTES = 1536 /* of an answer, for an item of a search */ };

/* ---- memory ---- */

static enum err make_round(struct work_round *r)
{
    size_t n = (size_t)r->n_items, n_scores = n * (size_t)(r->n_texts > 0 ? r->n_texts : 1);
    enum err rc = mem_array(&r->running, n, sizeof(*r->running));
    rc = rc ? rc : mem_array(&r->items, n, sizeof(*r->items));
    rc = rc ? rc : mem_array(&r->faults, n, sizeof(*r->faults));
    rc = rc ? rc : mem_array(&r->scores, n_scores, sizeof(*r->scores));
    for (int i = 0; !rc && i < r->n_items; i++) {
        r->faults[i] = FAULT_COUNT;
    }
    return rc;
}

void work_round_clear(struct work *w)
{
    struct work_round *r = &w->round;
    for (int i = 0; r->items && i < r->n_items; i++) {
        json_decref(r->items[i]);
    }
    mem_free(r->items);
    r->items = NULL;
}

void work_round_release(struct work *w)
{
    struct work_round *r = &w->round;
    BUG_ON(r->n_running > 0);
    work_round_clear(w);
    json_decref(r->warnings);
    mem_free(r->running);
    mem_free(r->faults);
    mem_free(r->scores);
    *r = (struct work_round){.n_items = 0};
}

/* ---- results ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void keep_times(struct timings *t, const struct job_result *r)
{
    static const char *const cache_names[] = {"miss", "regions", "coalesced"};
    t->decode_us = larger(t->decode_us, r->decode_us);
    t->queue_us = larger(t->queue_us, r->queue_us);
    t->regions_us = larger(t->regions_us, r->regions_us);
    t->fusion_us = larger(t->fusion_us, r->fusion_us);
    t->regions_batch = r->regions_batch > t->regions_batch ? r->regions_batch : t->regions_batch;
    t->fusion_batch = r->fusion_batch > t->fusion_batch ? r->fusion_batch : t->fusion_batch;
    t->cache = cache_names[r->cache];
}

static void keep_error(struct work *w, int index, enum err rc, const struct errbuf *text, const char *stage)
{
    struct work_round *r = &w->round;
    enum fault f = reply_fault(rc);
    bool is_ours = f == FAULT_INTERNAL && rc != ERR_NOMEM;
    const char *message = is_ours                       ? "internal error"
                          : f == FAULT_IMAGE_NOT_CACHED ? reply_unknown_image
                                                        : errbuf_text(text, rc);
    bool may_retry = f == FAULT_OVERLOADED || f == FAULT_DRAINING;
    const char *param = f == FAULT_TEXT_TOO_LONG ? (r->task == JOB_VQA ? "question" : "texts") : NULL;
    json_t *inner = reply_error_object(w->x, f, message, param, stage, may_retry ? 1000000 : 0);
    r->faults[index] = f;
    r->items[index] = inner ? json_pack("{s:o}", "error", inner) : NULL;
}

/* A picture that could not be read out of the body. */
static void keep_input_fault(struct work *w, int index, const struct input_fault *f)
{
    struct work_round *r = &w->round;
    json_t *inner = reply_error_object(w->x, f->fault, f->text.text, f->param[0] ? f->param : NULL, "parse", 0);
    r->faults[index] = f->fault;
    r->items[index] = inner ? json_pack("{s:o}", "error", inner) : NULL;
    r->next_item++;
    r->n_done++;
}

enum fault work_round_fault(const struct work *w)
{
    for (int i = 0; i < w->round.n_items; i++) {
        if (w->round.faults[i] != FAULT_COUNT) {
            return w->round.faults[i];
        }
    }
    return FAULT_COUNT;
}

static bool is_over(const struct work_round *r)
{
    return r->n_done == r->n_items;
}

/* What a job brought back, but for its item. */
static void keep_result(struct work *w, const struct job *job, int index)
{
    struct work_round *r = &w->round;
    const struct job_result *result = &job->result;
    keep_times(&w->timings, result);
    if (!r->warnings && !result->err) { /* the same texts for all pictures */
        r->warnings = answer_text_warnings(job);
    }
    if (result->err) {
        keep_error(w, index, result->err, &result->error, result->stage);
    } else if (!r->item) {
        memcpy(r->scores + (size_t)index * (size_t)r->n_texts, result->scores, (size_t)r->n_texts * sizeof(*r->scores));
    }
}

static void keep_item(struct work_round *r, int index, json_t *item)
{
    r->items[index] = item;
    r->faults[index] = item ? FAULT_COUNT : FAULT_INTERNAL;
}

static void end_job(struct service_slot *slot)
{
    struct work *w = slot->owner;
    struct work_round *r = &w->round;
    r->running[slot->index] = NULL;
    r->n_running--;
    r->n_done++;
    w->n_out--;
    gate_progress(w->desk->gate, clock_us(), &w->place, 1);
    service_give(slot);
    if (!work_settle(w) && w->x && is_over(r)) {
        r->done(w);
    }
}

/* ---- items that take long to make ---- */

static struct service_slot *slot_of(struct side_task *t)
{
    return (struct service_slot *)((char *)t - offsetof(struct service_slot, making));
}

static void make_run(struct side_task *t)
{
    struct service_slot *slot = slot_of(t);
    struct work *w = slot->owner;
    slot->made = w->round.item(w, slot->job, slot->index);
}

static void make_done(struct side_task *t)
{
    struct service_slot *slot = slot_of(t);
    struct work *w = slot->owner;
    keep_item(&w->round, slot->index, slot->made);
    end_job(slot);
}

static void make_elsewhere(struct work *w, struct service_slot *slot)
{
    slot->making = (struct side_task){.run = make_run,
                                      .on_done = make_done,
                                      .client = w->caller.client,
                                      .cost = w->held[LEDGER_RESULTS] / (size_t)w->round.n_items};
    side_add(w->desk->side, &slot->making);
}

static void on_home(struct service_slot *slot)
{
    struct work *w = slot->owner;
    struct work_round *r = &w->round;
    if (w->x) {
        keep_result(w, slot->job, slot->index);
    }
    if (w->x && r->item && !slot->job->result.err) {
        if (work_is_large(w) && !w->input.occlusion) { /* its second round needs the ledger */
            make_elsewhere(w, slot);
            return;
        }
        keep_item(r, slot->index, r->item(w, slot->job, slot->index));
    }
    end_job(slot);
}

/* ---- jobs ---- */

static void fill_request(struct work *w, struct job_request *q, int index)
{
    const struct input *in = &w->input;
    const struct work_round *r = &w->round;
    q->task = r->task;
    if (r->features) {
        q->features = r->features[index];
    } else {
        q->image = in->images[index].bytes;
        q->image_bytes = in->images[index].n_bytes;
        q->id = in->images[index].id;
        caller_mask_id(&w->caller, q->id.bytes);
    }
    q->no_store = w->no_store;
    q->id_key = w->caller.has_id_key ? w->caller.id_key : NULL;
    q->tolerate_truncated = in->tolerate_truncated;
    q->whole_texts = !in->truncate;
    q->explain = in->explain;
    if (r->task == JOB_VQA || r->task == JOB_RETRIEVE) {
        q->texts = in->texts;
        q->text_bytes = in->text_bytes;
        q->n_texts = in->n_texts;
    }
    q->top_k = work_top_k(w, r->task);
    q->num_beams = in->num_beams;
    q->num_captions = in->num_captions;
    q->max_tokens = in->max_tokens;
    q->length_penalty = in->length_penalty;
    q->priority = w->priority;
    q->client = w->caller.client;
    q->deadline_us = w->deadline_us;
}

/* Text so far, as one server-sent event. Engine thread. */
static void on_token(struct job_request *request, const char *text, size_t n_bytes)
{
    struct service_slot *slot = request->user;
    struct buf b;
    buf_init(&b, 8192);
    json_t *event = json_pack("{s:s#}", "text", text, (int)n_bytes);
    if (event) {
        buf_text(&b, "data: ");
        answer_dump(event, &b);
        buf_text(&b, "\n\n");
        json_decref(event);
    }
    if (!b.err) {
        stream_add(slot->stream, b.bytes, b.n);
        loop_wake(slot->service->loop);
    }
    buf_release(&b);
}

/* A job that is not taken leaves its error in the item's place. */
static void submit(struct work *w, struct service_slot *slot)
{
    struct work_round *r = &w->round;
    struct errbuf why;
    int index = r->next_item++;
    slot->owner = w;
    slot->on_home = on_home;
    slot->index = index;
    fill_request(w, &slot->job->request, index);
    if (w->stream) {
        slot->stream = w->stream;
        slot->job->request.on_token = on_token;
    }
    errbuf_clear(&why);
    enum err rc = engine_submit(w->service->engine, slot->job, &why);
    if (rc) {
        service_give(slot);
        keep_error(w, index, rc, &why, NULL);
        r->n_done++;
        return;
    }
    r->running[index] = slot;
    r->n_running++;
    w->n_out++;
}

static void go_on(struct work *w)
{
    struct work_round *r = &w->round;
    while (r->next_item < r->n_items) {
        const struct input_fault *fault = r->features ? NULL : w->input.images[r->next_item].fault;
        if (fault) {
            keep_input_fault(w, r->next_item, fault);
            continue;
        }
        struct service_slot *slot = service_take(w->service);
        if (!slot) {
            service_wait(w->service, &w->in_line);
            return;
        }
        submit(w, slot);
    }
    if (is_over(r)) { /* nothing could be submitted */
        r->done(w);
    }
}

static void on_free(struct service_waiter *in_line)
{
    go_on((struct work *)((char *)in_line - offsetof(struct work, in_line)));
}

/* ---- beginning and ending ---- */

/* What the round may gather: scores, and for each item its part of the answer. */
static size_t max_bytes(const struct work *w, const struct work_round *r)
{
    const struct input *in = &w->input;
    const size_t n = (size_t)r->n_items, n_texts = (size_t)(r->n_texts > 0 ? r->n_texts : 1);
    const bool explains = in->explain || in->occlusion;
    const struct answer_view v = {.texts = in->texts,
                                  .text_bytes = in->text_bytes,
                                  .n_texts = in->n_texts,
                                  .with_regions = in->regions || explains,
                                  .with_weights = explains};
    size_t item = sizeof(*r->running) + sizeof(*r->items) + sizeof(*r->faults) + n_texts * sizeof(*r->scores);
    if (!r->features) {
        int captions = in->num_captions ? in->num_captions : 1;
        item += answer_max_bytes(&v, r->task, work_top_k(w, r->task), captions, w->service->info.max_regions);
    } else if (!r->item) {
        item += HIT_BYTES;
    }
    return n * item + (in->return_documents ? w->held[LEDGER_PARSING] : 0); /* printed once more */
}

static bool start_round(struct work *w, const struct work_round *r)
{
    work_round_release(w);
    w->round = *r;
    if (!work_charge(w, LEDGER_RESULTS, max_bytes(w, r))) {
        work_finish(w);
        return false;
    }
    if (make_round(&w->round)) {
        reply_error(w->x, FAULT_INTERNAL, NULL, "out of memory");
        work_finish(w);
        return false;
    }
    w->in_line.on_free = on_free;
    go_on(w);
    return true;
}

bool work_round_begin(struct work *w, enum job_task task, int n_items,
                      json_t *(*item)(struct work *, const struct job *, int), void (*done)(struct work *))
{
    const struct work_round r = {
        .task = task, .n_items = n_items, .n_texts = w->input.n_texts, .item = item, .done = done};
    return start_round(w, &r);
}

bool work_round_features(struct work *w, enum job_task task, int n_items, const struct features *const *features,
                         json_t *(*item)(struct work *, const struct job *, int), void (*done)(struct work *))
{
    const struct work_round r = {.task = task,
                                 .n_items = n_items,
                                 .n_texts = w->input.n_texts,
                                 .item = item,
                                 .done = done,
                                 .features = features};
    return start_round(w, &r);
}

void work_round_cancel(struct work *w)
{
    struct work_round *r = &w->round;
    for (int i = 0; r->running && i < r->next_item; i++) {
        if (r->running[i]) {
            job_cancel(r->running[i]->job);
        }
    }
}
