#include "server/work/predict.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/http/stream.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static struct predict *waiting, *waiting_last; /* for free slots, first come first */

/* ---- life ---- */

static void abandon(struct exchange *x, const char *why)
{
    struct predict *p = x->work;
    (void)why;
    x->work = NULL;
    x->on_abandon = NULL;
    p->x = NULL;
    for (int i = 0; i < p->next_item; i++) {
        if (p->running[i]) {
            job_cancel(p->running[i]->job);
        }
    }
    if (p->stream) {
        stream_end(p->stream);
    }
    if (p->n_running == 0 && !p->is_waiting) {
        predict_destroy(p);
    }
}

struct predict *predict_create(struct app *a, struct exchange *x, struct input *in, enum job_task task, int n_items)
{
    struct predict *p;
    size_t n_scores = (size_t)n_items * (size_t)(in->n_texts > 0 ? in->n_texts : 1), n = (size_t)n_items;
    if (mem_alloc(&p, sizeof(*p))) {
        input_release(in);
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
        return NULL;
    }
    *p = (struct predict){.app = a, .x = x, .service = a->service, .input = *in, .task = task, .n_items = n_items};
    if (mem_array(&p->running, n, sizeof(*p->running)) || mem_array(&p->items, n, sizeof(*p->items)) ||
        mem_array(&p->has_failed, n, sizeof(*p->has_failed)) || mem_array(&p->scores, n_scores, sizeof(*p->scores))) {
        predict_destroy(p);
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
        return NULL;
    }
    p->is_counted = x->is_counted;
    p->reserved_bytes = x->reserved_bytes;
    x->is_counted = false;
    x->reserved_bytes = 0;
    x->work = p;
    x->on_abandon = abandon;
    x->n_images = n_items;
    x->n_texts = in->n_texts;
    return p;
}

struct predict *predict_follow(struct predict *first, struct input *in, enum job_task task, int n_items)
{
    struct exchange *x = first->x;
    int n_images = x->n_images, n_texts = x->n_texts;
    struct predict *p = predict_create(first->app, x, in, task, n_items);
    if (p) {
        p->service = first->service;
        p->is_counted = first->is_counted;
        p->reserved_bytes = first->reserved_bytes;
        first->is_counted = false;
        first->reserved_bytes = 0;
        x->n_images = n_images;
        x->n_texts = n_texts;
    }
    return p;
}

void predict_destroy(struct predict *p)
{
    if (p->x && p->x->work == p) {
        p->x->work = NULL;
        p->x->on_abandon = NULL;
    }
    if (p->release) {
        p->release(p);
    }
    for (int i = 0; p->items && i < p->n_items; i++) {
        json_decref(p->items[i]);
    }
    if (p->stream) {
        stream_drop(p->stream);
    }
    p->app->n_counted -= p->is_counted;
    p->app->body_bytes -= p->reserved_bytes;
    input_release(&p->input);
    mem_free(p->running);
    mem_free(p->items);
    mem_free(p->has_failed);
    mem_free(p->scores);
    mem_free(p->features);
    mem_free(p);
}

/* ---- jobs ---- */

static void keep_times(struct exchange *x, const struct job_result *r)
{
    static const char *const cache_names[] = {"miss", "regions", "coalesced"};
    x->decode_us = r->decode_us > x->decode_us ? r->decode_us : x->decode_us;
    x->queue_us = r->queue_us > x->queue_us ? r->queue_us : x->queue_us;
    x->regions_us = r->regions_us > x->regions_us ? r->regions_us : x->regions_us;
    x->fusion_us = r->fusion_us > x->fusion_us ? r->fusion_us : x->fusion_us;
    x->regions_batch = r->regions_batch > x->regions_batch ? r->regions_batch : x->regions_batch;
    x->fusion_batch = r->fusion_batch > x->fusion_batch ? r->fusion_batch : x->fusion_batch;
    x->cache = cache_names[r->cache];
}

static void keep_error(struct predict *p, int index, enum err rc, const struct errbuf *text, const char *stage)
{
    enum fault f = reply_fault(rc);
    const char *message = f == FAULT_INTERNAL ? "internal error" : errbuf_text(text, rc);
    bool may_retry = f == FAULT_OVERLOADED || f == FAULT_DRAINING;
    json_t *inner = reply_error_object(p->x, f, message, NULL, stage, may_retry ? 1000000 : 0);
    p->has_failed[index] = true;
    p->items[index] = inner ? json_pack("{s:o}", "error", inner) : NULL;
    p->x->error_code = p->n_items == 1 ? reply_fault_code(f) : p->x->error_code;
    if (p->n_items == 1 && !p->stream) {
        struct exchange *x = p->x;
        json_t *object = json_incref(p->items[0]);
        if (may_retry) {
            exchange_out(x, "Retry-After", "1");
        }
        reply_json(x, reply_fault_status(f), object);
    }
}

static void advance(struct predict *p)
{
    if (!p->x) {
        if (p->n_running == 0 && !p->is_waiting) {
            predict_destroy(p);
        }
        return;
    }
    if (p->n_done == p->n_items) {
        struct exchange *x = p->x;
        if (!x->status || x->is_streaming) {
            p->finish(p);
        }
        predict_destroy(p);
        http_ready(x);
    }
}

static void on_home(struct service_slot *slot)
{
    struct predict *p = slot->owner;
    const struct job_result *r = &slot->job->result;
    int index = slot->index;
    if (p->x) {
        keep_times(p->x, r);
        if (r->err) {
            keep_error(p, index, r->err, &r->error, r->stage);
        } else if (p->item) {
            p->items[index] = p->item(p, slot->job, index);
        } else {
            memcpy(p->scores + (size_t)index * (size_t)p->input.n_texts, r->scores,
                   (size_t)p->input.n_texts * sizeof(*p->scores));
        }
    }
    p->running[index] = NULL;
    p->n_running--;
    p->n_done++;
    service_give(slot);
    advance(p);
}

static void fill_request(struct predict *p, struct service_slot *slot, int index)
{
    const struct input *in = &p->input;
    struct job_request *r = &slot->job->request;
    r->task = p->task;
    if (p->features) {
        r->features = p->features[index];
    } else {
        r->image = in->images[index].bytes;
        r->image_bytes = in->images[index].n_bytes;
        r->id = in->images[index].id;
        exchange_mask_id(p->x, r->id.bytes);
    }
    const char *control = p->x->headers[HEADER_CACHE_CONTROL];
    r->no_store = control && strcasestr(control, "no-store");
    r->id_key = p->x->has_id_key ? p->x->id_key : NULL;
    r->tolerate_truncated = in->tolerate_truncated;
    r->explain = in->explain;
    if (p->task == JOB_VQA || p->task == JOB_RETRIEVE) {
        r->texts = in->texts;
        r->text_bytes = in->text_bytes;
        r->n_texts = in->n_texts;
    }
    r->top_k = p->task == JOB_VQA && in->top_k ? in->top_k : 5;
    r->num_beams = in->num_beams;
    r->num_captions = in->num_captions;
    r->max_tokens = in->max_tokens;
    r->length_penalty = in->length_penalty;
    r->priority = exchange_priority(p->x);
    r->client = p->x->client;
    r->deadline_us = p->x->deadline_us;
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
        reply_dump(event, &b);
        buf_text(&b, "\n\n");
        json_decref(event);
    }
    if (!b.err) {
        stream_add(slot->stream, b.bytes, b.n);
        loop_wake(slot->service->loop);
    }
    buf_release(&b);
}

/* A picture that could not be read from the request: its fault stands in its place. */
static void keep_fault(struct predict *p, int index, const struct input_fault *f)
{
    json_t *inner = reply_error_object(p->x, f->fault, f->text.text, f->param[0] ? f->param : NULL, NULL, 0);
    p->has_failed[index] = true;
    p->items[index] = inner ? json_pack("{s:o}", "error", inner) : NULL;
}

/* False: the job could not be taken; its error stands in the item's place. */
static bool submit(struct predict *p, struct service_slot *slot)
{
    struct errbuf why;
    int index = p->next_item++;
    if (!p->features && p->input.images[index].fault) {
        keep_fault(p, index, p->input.images[index].fault);
        service_give(slot);
        p->n_done++;
        return false;
    }
    slot->owner = p;
    slot->on_home = on_home;
    slot->index = index;
    fill_request(p, slot, index);
    if (p->stream) {
        slot->stream = p->stream;
        slot->job->request.on_token = on_token;
    }
    errbuf_clear(&why);
    enum err rc = engine_submit(p->service->engine, slot->job, &why);
    if (rc) {
        service_give(slot);
        keep_error(p, index, rc, &why, NULL);
        p->n_done++;
        return false;
    }
    p->running[index] = slot;
    p->n_running++;
    return true;
}

static void wait_for_slot(struct predict *p)
{
    p->is_waiting = true;
    p->next_waiting = NULL;
    *(waiting ? &waiting_last->next_waiting : &waiting) = p;
    waiting_last = p;
}

static void run(struct predict *p)
{
    while (p->x && p->next_item < p->n_items) {
        struct service_slot *slot = service_take(p->service);
        if (!slot) {
            wait_for_slot(p);
            return;
        }
        submit(p, slot);
    }
}

void predict_begin(struct predict *p)
{
    struct exchange *x = p->x;
    run(p);
    if (p->n_done == p->n_items) { /* nothing could be submitted */
        if (!x->status) {
            p->finish(p);
        }
        predict_destroy(p);
    }
}

void predict_resume(struct app *a)
{
    struct predict *list = waiting;
    waiting = waiting_last = NULL;
    (void)a;
    while (list) {
        struct predict *p = list;
        list = p->next_waiting;
        p->is_waiting = false;
        run(p);
        advance(p);
    }
}
