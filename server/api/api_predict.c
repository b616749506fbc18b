#include "engine/answer/answer.h"
#include "engine/answer/answer_dump.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "server/api/api.h"
#include "server/api/occlusion.h"
#include "server/http/stream.h"

#include <string.h>

/* ---- how answers end ---- */

/* The id of the first picture that has one, as the caller sees it. */
static const char *first_id(const struct work_round *r)
{
    const char *id = NULL;
    for (int i = 0; i < r->n_items && !id; i++) {
        const json_t *image = json_object_get(r->items[i], "image");
        id = json_string_value(json_object_get(image ? image : r->items[i], "id"));
    }
    return id;
}

void api_predict_headers(struct work *w)
{
    const char *id = first_id(&w->round);
    if (id && w->timings.cache) { /* for balancers: who made it can use it again */
        exchange_out(w->x, "X-Image-Id", "%s", id);
    }
    const char *warning = json_string_value(json_array_get(w->round.warnings, 0));
    if (warning) { /* some shapes of answers have no other place */
        exchange_out(w->x, "X-Text-Warning", "%s", warning);
    }
    if (w->timings.cache) {
        exchange_out(w->x, "X-Cache", "%s", w->timings.cache);
    }
}

bool api_predict_fault(struct work *w)
{
    const struct work_round *r = &w->round;
    enum fault f = work_round_fault(w);
    if (f == FAULT_COUNT) {
        return false;
    }
    int at = 0;
    for (int i = 0; i < r->n_items; i++) {
        f = r->faults[i] == FAULT_DEADLINE ? FAULT_DEADLINE : f;
        at = r->faults[i] == FAULT_TEXT_TOO_LONG ? i : at;
    }
    if (r->faults[at] == FAULT_TEXT_TOO_LONG) { /* the same texts for all pictures */
        reply_item_error(w->x, FAULT_TEXT_TOO_LONG, r->items[at]);
    } else if (f == FAULT_DEADLINE && r->n_items > 1) {
        reply_error(w->x, f, NULL,
                    "the deadline passed before all %d images were done; send fewer, or allow more (timeout_ms)",
                    r->n_items);
    } else if (r->n_items > 1) {
        return false;
    } else {
        if (f == FAULT_OVERLOADED || f == FAULT_DRAINING) {
            exchange_out(w->x, "Retry-After", "1");
        }
        reply_item_error(w->x, f, r->items[0]);
    }
    work_finish(w);
    return true;
}

static void answer(struct work *w, json_t *object)
{
    api_predict_headers(w);
    if (w->input.occlusion && object) {
        occlusion_begin(w, object, w->round.items[0]);
    } else {
        work_answer(w, 200, object);
    }
}

/* ---- caption, vqa and check ---- */

/* One image sent alone is the answer; a list gives results[]. */
static void items_done(struct work *w)
{
    json_t *object;
    if (api_predict_fault(w)) {
        return;
    }
    if (w->round.n_items == 1 && !w->input.has_image_list) {
        object = json_incref(w->round.items[0]);
    } else {
        json_t *list = json_array();
        for (int i = 0; i < w->round.n_items; i++) {
            json_array_append(list, w->round.items[i]);
        }
        object = json_pack("{s:o}", "results", list);
    }
    answer_add_warnings(object, w->round.warnings);
    if (object) {
        json_object_set_new(object, "model", answer_model(&w->service->info));
    }
    answer(w, object);
}

/* ---- streams ---- */

/* What waits of a stream at most: the text so far after each token, quotes escaped, and the whole answer. */
static size_t stream_bytes(const struct work *w)
{
    enum { EVENT_BYTES = 2 * JOB_CAPTION_BYTES + 64 };
    const struct input *in = &w->input;
    const struct engine_info *info = &w->service->info;
    const struct answer_view v = {.with_regions = in->regions || in->explain, .with_weights = in->explain};
    size_t tokens = (size_t)(in->max_tokens ? in->max_tokens : info->max_tokens);
    return tokens * EVENT_BYTES + answer_max_bytes(&v, JOB_CAPTION, 0, 1, info->max_regions);
}

/* The last event: the whole answer, or the error. */
static void stream_done(struct work *w)
{
    struct exchange *x = w->x;
    struct buf b;
    json_t *item = w->round.items[0];
    bool has_failed = work_round_fault(w) != FAULT_COUNT;
    if (x->status == 0 && has_failed) { /* nothing was sent yet: an ordinary error */
        api_predict_fault(w);
        return;
    }
    buf_init(&b, stream_bytes(w));
    buf_text(&b, has_failed ? "event: error\ndata: " : "event: done\ndata: ");
    if (item) {
        json_object_set_new(item, "model", answer_model(&w->service->info));
        answer_dump(item, &b);
    }
    buf_text(&b, "\n\n");
    if (!b.err) {
        stream_add(w->stream, b.bytes, b.n);
    }
    stream_end(w->stream);
    buf_release(&b);
    if (x->status == 0) {
        api_predict_headers(w);
        x->is_streaming = true;
        exchange_answer(x, 200, "text/event-stream");
    }
    work_finish(w);
}

static bool begin_stream(struct work *w)
{
    const struct input *in = &w->input;
    if (in->num_beams > 1 || in->num_captions > 1 || in->n_images > 1 || in->occlusion) {
        reply_error(w->x, FAULT_BAD_REQUEST, "stream",
                    "stream works with one image, num_beams=1 and without explain=occlusion");
        return false;
    }
    w->input.num_beams = 1;
    if (!work_charge(w, LEDGER_STREAMS, stream_bytes(w))) {
        return false;
    }
    if (!work_stream(w, stream_bytes(w))) {
        return false;
    }
    exchange_out(w->x, "Cache-Control", "no-cache");
    exchange_out(w->x, "X-Accel-Buffering", "no");
    return true;
}

/* ---- retrieve ---- */

static json_t *make_retrieved(const struct work *w)
{
    const struct work_round *r = &w->round;
    json_t *object = answer_retrieve(r->items, r->scores, r->n_items, r->n_texts, w->input.top_k);
    answer_add_warnings(object, r->warnings);
    if (object) {
        json_object_set_new(object, "model", answer_model(&w->service->info));
    }
    return object;
}

static void retrieve_done(struct work *w)
{
    if (api_predict_fault(w)) {
        return;
    }
    if (w->input.occlusion) {
        answer(w, make_retrieved(w));
    } else {
        api_predict_headers(w);
        work_answer_made(w, 200, make_retrieved);
    }
}

/* ---- beginning ---- */

void api_predict_bound_tokens(struct work *w)
{
    if (w->input.max_tokens > w->service->info.longest_caption) {
        w->input.max_tokens = 0;
    }
}

/* What only this model can say about the parameters. Answers when something is wrong. */
static bool check_parameters(struct work *w, bool has_stream)
{
    struct input *in = &w->input;
    const struct engine_info *info = &w->service->info;
    if (in->num_captions > 0 && in->num_beams == 0 && in->num_captions > info->num_beams) {
        in->num_beams = in->num_captions;
    }
    if (in->max_tokens > info->longest_caption) {
        reply_error(w->x, FAULT_BAD_REQUEST, "max_tokens", "max_tokens is %d; this model allows 1 to %d",
                    in->max_tokens, info->longest_caption);
        return false;
    }
    long long n_texts = in->n_texts > 0 ? in->n_texts : 1, runs = n_texts * (info->max_regions + 1);
    if (in->occlusion && !has_stream && runs > w->desk->config->limits.pairs) {
        reply_error(w->x, FAULT_TOO_MANY_INPUTS, "explain",
                    "explain=occlusion asks once more for each region: up to %lld runs, and %lld pairs are allowed",
                    runs, w->desk->config->limits.pairs);
        return false;
    }
    return true;
}

static void begin(struct work *w, json_t *(*item)(struct work *, const struct job *, int), void (*done)(struct work *))
{
    bool has_stream = w->input.stream || (w->kind->input == INPUT_CAPTION && w->accepts_stream);
    if (!check_parameters(w, has_stream) || (has_stream && !begin_stream(w))) {
        work_finish(w);
        return;
    }
    work_round_begin(w, w->kind->task, w->input.n_images, item, has_stream ? stream_done : done);
}

static void caption_begin(struct work *w)
{
    begin(w, api_result_caption, items_done);
}

static void vqa_begin(struct work *w)
{
    begin(w, api_result_vqa, items_done);
}

static void check_begin(struct work *w)
{
    begin(w, api_result_check, items_done);
}

static void retrieve_begin(struct work *w)
{
    if (w->input.collection) {
        api_collection_search(w);
    } else {
        begin(w, api_result_retrieve, w->input.is_rerank ? api_rerank_done : retrieve_done);
    }
}

static void release(struct work *w)
{
    occlusion_release(w);
}

static void abandon_retrieve(struct work *w)
{
    if (w->input.collection) {
        api_collection_abandon(w);
    }
}

static void release_retrieve(struct work *w)
{
    if (w->input.collection) {
        api_collection_release(w);
    } else {
        occlusion_release(w);
    }
}

static const struct work_kind caption_kind = {
    .input = INPUT_CAPTION, .task = JOB_CAPTION, .begin = caption_begin, .release = release};
static const struct work_kind vqa_kind = {.input = INPUT_VQA, .task = JOB_VQA, .begin = vqa_begin, .release = release};
static const struct work_kind check_kind = {.input = INPUT_CHECK, .task = JOB_CHECK, .begin = check_begin};
static const struct work_kind retrieve_kind = {.input = INPUT_RETRIEVE,
                                               .task = JOB_RETRIEVE,
                                               .begin = retrieve_begin,
                                               .abandon = abandon_retrieve,
                                               .release = release_retrieve};

/* ---- the handlers ---- */

void api_caption(struct api *a, struct exchange *x)
{
    (void)a;
    work_run(x->work, &caption_kind);
}

void api_vqa(struct api *a, struct exchange *x)
{
    (void)a;
    work_run(x->work, &vqa_kind);
}

void api_retrieve(struct api *a, struct exchange *x)
{
    (void)a;
    work_run(x->work, &retrieve_kind);
}

void api_image_check(struct api *a, struct exchange *x)
{
    (void)a;
    work_run(x->work, &check_kind);
}

void api_image_known(struct api *a, struct exchange *x)
{
    char text[80];
    struct image_id id;
    struct service *s = services_current(a->desk.services);
    if (!route_segment(x->path, 1, text, sizeof(text)) || !sha256_from_hex(text, id.bytes)) {
        reply_error(x, FAULT_BAD_REQUEST, "id", "an image id has 64 hexadecimal digits");
        return;
    }
    caller_mask_id(&x->caller, id.bytes);
    if (!s || !engine_cache_has(s->engine, &id)) {
        reply_error(x, FAULT_IMAGE_NOT_CACHED, "id", "%s", reply_unknown_image);
    } else {
        reply_text(x, 200, "application/json", "");
    }
}
