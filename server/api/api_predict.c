#include "server/api/api.h"

#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "server/api/occlusion.h"
#include "server/gate/route.h"
#include "server/http/stream.h"
#include "server/work/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { STREAM_MAX = 1 << 20 };

/* ---- headers of every answer ---- */

static void add_headers(struct predict *p)
{
    struct exchange *x = p->x;
    if (x->cache) {
        exchange_out(x, "X-Cache", "%s", x->cache);
    }
    x->n_texts = p->input.n_texts;
}

static void answer(struct predict *p, json_t *object)
{
    add_headers(p);
    if (p->input.occlusion && object) {
        occlusion_begin(p, object, p->items[0]);
    } else {
        reply_json(p->x, 200, object);
    }
}

/* ---- caption and vqa ---- */

/* One image sent alone is the answer; a list gives results[]. */
static void finish_items(struct predict *p)
{
    json_t *object;
    if (p->n_items == 1 && !p->input.has_image_list) {
        object = json_incref(p->items[0]);
    } else {
        json_t *list = json_array();
        for (int i = 0; i < p->n_items; i++) {
            json_array_append(list, p->items[i]);
        }
        object = json_pack("{s:o}", "results", list);
    }
    if (object) {
        json_object_set_new(object, "model", api_result_model(p->service));
    }
    answer(p, object);
}

/* The last event of a stream: the whole answer, or the error. */
static void finish_stream(struct predict *p)
{
    struct exchange *x = p->x;
    struct buf b;
    bool has_failed = p->has_failed[0];
    if (x->status == 0 && has_failed) { /* nothing was sent yet: an ordinary error */
        const json_t *code = json_object_get(json_object_get(p->items[0], "error"), "code");
        for (int f = 0; f < FAULT_COUNT; f++) {
            if (json_is_string(code) && strcmp(reply_fault_code((enum fault)f), json_string_value(code)) == 0) {
                reply_json(x, reply_fault_status((enum fault)f), json_incref(p->items[0]));
                return;
            }
        }
        reply_error(x, FAULT_INTERNAL, NULL, "internal error");
        return;
    }
    buf_init(&b, (size_t)1 << 20);
    buf_text(&b, has_failed ? "event: error\ndata: " : "event: done\ndata: ");
    if (p->items[0]) {
        json_object_set_new(p->items[0], "model", api_result_model(p->service));
        reply_dump(p->items[0], &b);
    }
    buf_text(&b, "\n\n");
    if (!b.err) {
        stream_add(p->stream, b.bytes, b.n);
    }
    stream_end(p->stream);
    buf_release(&b);
    if (x->status == 0) {
        add_headers(p);
        x->is_streaming = true;
        exchange_answer(x, 200, "text/event-stream");
    }
}

static bool wants_stream(const struct exchange *x, const struct input *in)
{
    const char *accept = x->headers[HEADER_ACCEPT];
    return in->stream || (in->route == INPUT_CAPTION && accept && strncasecmp(accept, "text/event-stream", 17) == 0);
}

static bool begin_stream(struct predict *p)
{
    if (p->input.num_beams > 1 || p->input.num_captions > 1 || p->n_items > 1 || p->input.occlusion) {
        reply_error(p->x, FAULT_BAD_REQUEST, "stream",
                    "stream works with one image, num_beams=1 and without explain=occlusion");
        return false;
    }
    p->input.num_beams = 1;
    if (stream_create(&p->stream, STREAM_MAX)) {
        reply_error(p->x, FAULT_INTERNAL, NULL, "out of memory");
        return false;
    }
    p->x->stream = p->stream;
    exchange_out(p->x, "Cache-Control", "no-cache");
    p->finish = finish_stream;
    return true;
}

/* ---- retrieve ---- */

struct hit {
    int image, text;
    float score;
};

/* Best first; equal scores by place in the request. */
static int by_score(const void *left, const void *right)
{
    const struct hit *a = left, *b = right;
    if (a->score != b->score) {
        return a->score < b->score ? 1 : -1;
    }
    return a->image != b->image ? a->image - b->image : a->text - b->text;
}

static struct hit *sort_hits(const struct predict *p, int *n_out)
{
    struct hit *hits;
    int n = 0, n_texts = p->input.n_texts;
    if (mem_array(&hits, (size_t)p->n_items * (size_t)n_texts, sizeof(*hits))) {
        return NULL;
    }
    for (int i = 0; i < p->n_items; i++) {
        for (int t = 0; t < n_texts && !p->has_failed[i]; t++) {
            hits[n++] = (struct hit){i, t, p->scores[i * n_texts + t]};
        }
    }
    qsort(hits, (size_t)n, sizeof(*hits), by_score);
    *n_out = p->input.top_k && p->input.top_k < n ? p->input.top_k : n;
    return hits;
}

static json_t *score_table(const struct predict *p)
{
    json_t *table = json_array();
    for (int i = 0; i < p->n_items; i++) {
        json_t *row = p->has_failed[i] ? json_null() : json_array();
        for (int t = 0; t < p->input.n_texts && !p->has_failed[i]; t++) {
            json_array_append_new(row, json_real((double)p->scores[i * p->input.n_texts + t]));
        }
        json_array_append_new(table, row);
    }
    return table;
}

static void finish_retrieve(struct predict *p)
{
    int n = 0;
    struct hit *hits = sort_hits(p, &n);
    json_t *results = json_array(), *images = json_array();
    for (int i = 0; hits && i < n; i++) {
        json_array_append_new(results,
                              json_pack("{s:i, s:i, s:f, s:f}", "image", hits[i].image, "text", hits[i].text, "score",
                                        (double)hits[i].score, "relevance_score", (double)hits[i].score));
    }
    for (int i = 0; i < p->n_items; i++) {
        json_array_append(images, p->items[i]);
    }
    answer(p, hits ? json_pack("{s:o, s:o, s:o, s:o}", "scores", score_table(p), "results", results, "images", images,
                               "model", api_result_model(p->service))
                   : NULL);
    mem_free(hits);
}

/* Answers in the shape of the question: index of the document and its score. */
static void finish_rerank(struct predict *p)
{
    int n = 0;
    struct hit *hits = sort_hits(p, &n);
    json_t *results = json_array();
    for (int i = 0; hits && i < n; i++) {
        int document = p->input.has_image_documents ? hits[i].image : hits[i].text;
        json_t *result = json_pack("{s:i, s:f}", "index", document, "relevance_score", (double)hits[i].score);
        if (result && p->input.return_documents) {
            json_t *given = json_incref(json_array_get(p->input.documents, (size_t)document));
            const json_t *image = p->input.has_image_documents ? json_object_get(p->items[document], "id") : NULL;
            if (image) {
                json_object_set_new(given, "image", json_pack("{s:O}", "id", image));
            }
            json_object_set_new(result, "document", given);
        }
        json_array_append_new(results, result);
    }
    add_headers(p);
    reply_json(p->x, 200,
               hits ? json_pack("{s:o, s:o}", "results", results, "model", api_result_model(p->service)) : NULL);
    mem_free(hits);
}

/* ---- the handlers ---- */

struct input_source api_source(const struct app *a, struct exchange *x, enum input_route route)
{
    struct input_source s = {.route = route,
                             .content_type = x->headers[HEADER_CONTENT_TYPE],
                             .content_encoding = x->headers[HEADER_CONTENT_ENCODING],
                             .query = x->query,
                             .n_query = x->n_query,
                             .body = &x->body};
    input_limits_of(&s.limits, &a->config);
    return s;
}

static void begin(struct app *a, struct exchange *x, enum input_route route, enum job_task task,
                  json_t *(*item)(struct predict *, const struct job *, int), void (*finish)(struct predict *))
{
    struct input in;
    struct input_fault fault;
    struct input_source source = api_source(a, x, route);
    if (!input_parse(&in, &source, &fault)) {
        reply_error(x, fault.fault, fault.param[0] ? fault.param : NULL, "%s", fault.text.text);
        input_release(&in);
        return;
    }
    exchange_take_timeout(x, in.timeout_ms);
    if (in.num_captions > 0 && in.num_beams == 0 && in.num_captions > a->service->info.num_beams) {
        in.num_beams = in.num_captions;
    }
    if (in.max_tokens > a->service->info.most_tokens) {
        reply_error(x, FAULT_BAD_REQUEST, "max_tokens", "max_tokens is %d; this model allows 1 to %d", in.max_tokens,
                    a->service->info.most_tokens);
        input_release(&in);
        return;
    }
    bool has_stream = wants_stream(x, &in);
    long long n_texts = in.n_texts > 0 ? in.n_texts : 1, runs = n_texts * (a->service->info.max_regions + 1);
    if (in.occlusion && !has_stream && runs > a->config.limits.pairs) {
        reply_error(x, FAULT_TOO_MANY_INPUTS, "explain",
                    "explain=occlusion asks once more for each region: up to %lld runs, and %lld pairs are allowed",
                    runs, a->config.limits.pairs);
        input_release(&in);
        return;
    }
    if (in.collection) {
        api_collection_search(a, x, &in);
        return;
    }
    struct predict *p = predict_create(a, x, &in, task, in.n_images);
    if (!p) {
        return;
    }
    p->item = item;
    p->finish = p->input.is_rerank ? finish_rerank : finish;
    if (has_stream && !begin_stream(p)) {
        predict_destroy(p);
        return;
    }
    predict_begin(p);
}

void api_caption(struct app *a, struct exchange *x)
{
    begin(a, x, INPUT_CAPTION, JOB_CAPTION, api_result_caption, finish_items);
}

void api_vqa(struct app *a, struct exchange *x)
{
    begin(a, x, INPUT_VQA, JOB_VQA, api_result_vqa, finish_items);
}

void api_retrieve(struct app *a, struct exchange *x)
{
    begin(a, x, INPUT_RETRIEVE, JOB_RETRIEVE, api_result_retrieve, finish_retrieve);
}

void api_image_check(struct app *a, struct exchange *x)
{
    begin(a, x, INPUT_CHECK, JOB_CHECK, api_result_check, finish_items);
}

void api_image_known(struct app *a, struct exchange *x)
{
    char text[80];
    struct image_id id;
    if (!route_segment(x->path, 1, text, sizeof(text)) || !sha256_from_hex(text, id.bytes)) {
        reply_error(x, FAULT_BAD_REQUEST, "id", "an image id has 64 hexadecimal digits");
        return;
    }
    exchange_mask_id(x, id.bytes);
    if (!a->service || !engine_cache_has(a->service->engine, &id)) {
        reply_error(x, FAULT_IMAGE_NOT_CACHED, "id", "this image is not known; send its bytes");
    } else {
        reply_text(x, 200, "application/json", "");
    }
}
