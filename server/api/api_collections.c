/* Collections over HTTP: each request is a task of the archive, some with a round of the engine before or after. */
#include "engine/answer/answer.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "server/api/api.h"
#include "server/http/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_DEFAULT = 100, PUT_TRIES = 3 };

/* w->state of every kind here. */
struct visit {
    struct archive_task *task; /* under way; NULL: none */
    int limit;
    char after[COLLECTION_KEY_MAX + 2];
    /* a put */
    struct buf words;
    struct collection_image image; /* features are the visit's */
    struct collection_model model; /* whose features they are */
    int n_tries;
    /* a search */
    struct collection_hits hits;
    const struct features **features;
};

/* ---- life ---- */

void api_collection_release(struct work *w)
{
    struct visit *v = w->state;
    if (v) {
        buf_release(&v->words);
        mem_free((void *)(uintptr_t)v->image.features);
        collection_hits_release(&v->hits);
        mem_free(v->features);
        mem_free(v);
        w->state = NULL;
    }
}

void api_collection_abandon(struct work *w)
{
    const struct visit *v = w->state;
    if (v && v->task) {
        archive_cancel(api_of(w)->archive, v->task);
    }
}

/* NULL when it has answered. */
static struct visit *make_visit(struct work *w)
{
    struct visit *v = NULL;
    if (api_collection_path_is_served(api_of(w), w->x) && mem_alloc(&v, sizeof(*v))) {
        reply_error(w->x, FAULT_INTERNAL, NULL, "out of memory");
    }
    if (v) {
        buf_init(&v->words, COLLECTION_WORDS_MAX);
        w->state = v;
        return v;
    }
    work_finish(w);
    return NULL;
}

/* ---- tasks ---- */

static struct collection_model model_of(const struct service *s)
{
    struct collection_model m = {.features_bytes = s ? s->info.features_bytes : 0};
    snprintf(m.sha256, sizeof(m.sha256), "%s", s ? s->info.model_identity : "");
    return m;
}

static void answer_error(struct work *w, enum err rc, const struct errbuf *e)
{
    if (rc == ERR_UNAVAILABLE || rc == ERR_DISK_FULL || rc == ERR_BUSY) { /* the reason names files of the service */
        log_limited(LOG_WARN, LOG_HERE, "collections unavailable", LOG_STR("reason", errbuf_text(e, rc)));
        reply_retry(w->x, reply_fault(rc), 1000000, "%s",
                    rc == ERR_BUSY ? "another process has locked the collections; try again" : err_text(rc));
    } else if (rc == ERR_OVERLOADED) {
        reply_retry(w->x, reply_fault(rc), 1000000, "%.400s", errbuf_text(e, rc));
    } else if (rc == ERR_IO || rc == ERR_NOMEM) {
        log_limited(LOG_WARN, LOG_HERE, "collections unavailable", LOG_STR("reason", errbuf_text(e, rc)));
        reply_error(w->x, rc == ERR_IO ? FAULT_INTERNAL : reply_fault(rc), NULL,
                    rc == ERR_IO ? "the collection could not be read or written" : "out of memory");
    } else {
        reply_error(w->x, reply_fault(rc), NULL, "%.400s", errbuf_text(e, rc));
    }
    work_finish(w);
}

/* For archive_request.on_done: true if w still waits for it and it went well. */
static bool is_welcome(struct archive_task *t)
{
    struct work *w = t->user;
    struct visit *v = w->state;
    v->task = NULL;
    w->n_out--;
    if (work_settle(w) || !w->x) {
        return false;
    }
    if (t->err) {
        answer_error(w, t->err, &t->error);
        return false;
    }
    return true;
}

/* Name and key come out of the path where the request has none. */
static void submit(struct work *w, struct archive_request *r, archive_on_done *on_done)
{
    struct visit *v = w->state;
    struct errbuf e;
    struct api_collection_path p;
    if (!r->name.text) {
        api_collection_path_of(&p, w->path);
        r->name = collection_text(p.name);
        r->key = collection_text(r->kind == ARCHIVE_LIST ? v->after : p.key);
    }
    r->client = w->caller.client;
    r->deadline_us = w->deadline_us;
    r->on_done = on_done;
    r->user = w;
    errbuf_clear(&e);
    if (!work_charge(w, LEDGER_COLLECTIONS, archive_request_bytes(r))) {
        work_finish(w);
        return;
    }
    enum err rc = archive_submit(api_of(w)->archive, r, &v->task, &e);
    if (rc) {
        answer_error(w, rc, &e);
        return;
    }
    w->n_out++;
}

static void answer_unknown(struct work *w)
{
    reply_error(w->x, FAULT_NOT_FOUND, "collection",
                "there is no collection with this name; GET /collections lists the names");
    work_finish(w);
}

/* ---- GET /collections ---- */

static void on_names(struct archive_task *t)
{
    struct work *w = t->user;
    if (!is_welcome(t)) {
        return;
    }
    json_t *list = json_array();
    for (int i = 0; i < t->n_names; i++) {
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", t->names[i].name, "images",
                                              (json_int_t)t->names[i].count.n_images, "stale",
                                              (json_int_t)t->names[i].count.n_stale));
    }
    work_answer(w, 200, json_pack("{s:o}", "collections", list));
}

static void names_begin(struct work *w)
{
    struct archive_request r = {.kind = ARCHIVE_NAMES, .model = model_of(services_current(w->desk->services))};
    if (make_visit(w)) {
        submit(w, &r, on_names);
    }
}

/* ---- GET /collections/{name} ---- */

static json_t *entry_object(const struct archive_entry *e)
{
    char id[SHA256_HEX];
    sha256_hex(e->id, id);
    return json_pack("{s:s%, s:s, s:i, s:i, s:b}", "key", e->key, e->n_key, "id", id, "width", e->width, "height",
                     e->height, "stale", e->is_stale);
}

static void on_list(struct archive_task *t)
{
    struct work *w = t->user;
    if (!is_welcome(t)) {
        return;
    }
    if (!t->count.found) {
        answer_unknown(w);
        return;
    }
    json_t *list = json_array();
    for (int i = 0; i < t->n_entries; i++) {
        json_array_append_new(list, entry_object(&t->entries[i]));
    }
    const struct archive_entry *last = t->n_entries > 0 ? &t->entries[t->n_entries - 1] : NULL;
    bool is_more = last && t->n_entries == ((struct visit *)w->state)->limit;
    json_t *next = is_more ? json_stringn(last->key, last->n_key) : json_null();
    work_answer(w, 200,
                json_pack("{s:s, s:I, s:I, s:o, s:o}", "name", t->name, "size", (json_int_t)t->count.n_images, "stale",
                          (json_int_t)t->count.n_stale, "images", list, "next", next));
}

static void list_begin(struct work *w)
{
    const char *after = exchange_query(w->x, "after"), *limit = exchange_query_given(w->x, "limit");
    uint64_t n = LIST_DEFAULT;
    if (limit && !value_whole(limit, 1, ARCHIVE_LIST_MAX, &n)) {
        reply_error(w->x, FAULT_BAD_REQUEST, "limit", "limit must be a whole number from 1 to %d", ARCHIVE_LIST_MAX);
        work_finish(w);
        return;
    }
    struct visit *v = make_visit(w);
    if (v) {
        struct archive_request r = {
            .kind = ARCHIVE_LIST, .model = model_of(services_current(w->desk->services)), .limit = (int)n};
        snprintf(v->after, sizeof(v->after), "%s", after ? after : "");
        v->limit = (int)n;
        submit(w, &r, on_list);
    }
}

/* ---- DELETE ---- */

static void on_removed(struct archive_task *t)
{
    struct work *w = t->user;
    if (!is_welcome(t)) {
        return;
    }
    if (!t->found) {
        reply_error(w->x, FAULT_NOT_FOUND, NULL, "there is nothing of this name");
        work_finish(w);
    } else {
        work_answer(w, 200, json_pack("{s:b}", "removed", 1));
    }
}

static void drop_begin(struct work *w)
{
    struct archive_request r = {.kind = ARCHIVE_DROP};
    if (make_visit(w)) {
        submit(w, &r, on_removed);
    }
}

static void remove_begin(struct work *w)
{
    struct archive_request r = {.kind = ARCHIVE_REMOVE};
    if (make_visit(w)) {
        submit(w, &r, on_removed);
    }
}

/* ---- PUT /collections/{name}/images/{key} ---- */

static void on_put(struct archive_task *t)
{
    struct work *w = t->user;
    char id[SHA256_HEX];
    if (!is_welcome(t)) {
        return;
    }
    sha256_hex(t->image.id, id);
    work_answer(w, t->replaced ? 200 : 201,
                json_pack("{s:s, s:s, s:b, s:{s:s, s:i, s:i}}", "collection", t->name, "key", t->key, "replaced",
                          t->replaced, "image", "id", id, "width", t->image.width, "height", t->image.height));
}

/* What the first pass of a search will find it by: its caption and the labels of its regions. */
static json_t *put_item(struct work *w, const struct job *job, int index)
{
    struct visit *v = w->state;
    const struct job_result *r = &job->result;
    void *features = (void *)(uintptr_t)v->image.features;
    (void)index;
    mem_free(features);
    v->image.features = NULL;
    v->model = model_of(w->service);
    if (mem_alloc(&features, v->model.features_bytes)) {
        return NULL;
    }
    memcpy(features, r->features, v->model.features_bytes);
    v->image = (struct collection_image){
        .width = r->width, .height = r->height, .features = features, .features_bytes = v->model.features_bytes};
    memcpy(v->image.id, r->id.bytes, sizeof(v->image.id));
    caller_mask_id(&w->caller, v->image.id);
    buf_reset(&v->words);
    for (int i = 0; i < r->n_captions; i++) {
        buf_printf(&v->words, "%s\n", r->captions[i].text);
    }
    for (int i = 0; i < r->n_regions; i++) {
        buf_printf(&v->words, "%s\n", r->regions[i].label);
    }
    return v->words.err ? NULL : json_null();
}

static void put_done(struct work *w);

static void put_round(struct work *w)
{
    ((struct visit *)w->state)->n_tries++;
    work_round_begin(w, JOB_CAPTION, 1, put_item, put_done);
}

/* A model that was replaced meanwhile has made features that no search would use: the picture is read again. */
static void put_done(struct work *w)
{
    struct visit *v = w->state;
    enum fault f = work_round_fault(w);
    if (f != FAULT_COUNT) {
        w->x->error_code = reply_fault_code(f);
        reply_json(w->x, reply_fault_status(w->x, f), json_incref(w->round.items[0]));
        work_finish(w);
        return;
    }
    struct collection_model now = model_of(services_current(w->desk->services));
    if (!collection_model_equal(&v->model, &now) && v->n_tries < PUT_TRIES) {
        work_hold_current_service(w);
        put_round(w);
        return;
    }
    v->image.words = (struct collection_text){v->words.bytes ? v->words.bytes : "", v->words.n};
    struct archive_request r = {.kind = ARCHIVE_PUT,
                                .model = v->model,
                                .image = &v->image,
                                .max_images = (uint64_t)w->desk->config->collections.max_images};
    if (!work_charge(w, LEDGER_COLLECTIONS, v->model.features_bytes)) { /* ours, beside the archive's copy */
        work_finish(w);
        return;
    }
    submit(w, &r, on_put);
}

static void put_begin(struct work *w)
{
    if (make_visit(w)) {
        put_round(w);
    }
}

/* ---- POST /retrieve with a collection ---- */

static int by_score(const void *left, const void *right, void *user)
{
    const struct work *w = user;
    int a = *(const int *)left, b = *(const int *)right;
    if (w->round.scores[a] != w->round.scores[b]) {
        return w->round.scores[a] < w->round.scores[b] ? 1 : -1;
    }
    return a - b; /* the first pass's order */
}

static json_t *hit_object(const struct collection_hit *h, float score)
{
    char id[SHA256_HEX];
    sha256_hex(h->id, id);
    return json_pack("{s:s%, s:f, s:f, s:{s:s, s:i, s:i}}", "key", h->key, h->n_key, "score", (double)score,
                     "relevance_score", (double)score, "image", "id", id, "width", h->width, "height", h->height);
}

static void answer_search(struct work *w, json_t *results, int n_reranked)
{
    const struct collection_hits *h = &((struct visit *)w->state)->hits;
    json_t *object =
        json_pack("{s:o, s:I, s:i, s:I, s:{s:i, s:i}, s:o}", "results", results, "scanned", (json_int_t)h->n_images,
                  "reranked", n_reranked, "stale", (json_int_t)h->n_stale, "candidates", "by_words", h->n_by_words,
                  "by_sample", h->n_by_sample, "model", answer_model(&w->service->info));
    answer_add_warnings(object, w->round.warnings);
    work_answer(w, 200, object);
}

static void search_done(struct work *w)
{
    const struct visit *v = w->state;
    int *order, n = 0;
    enum fault f = work_round_fault(w);
    if (f == FAULT_DEADLINE || f == FAULT_TEXT_TOO_LONG) {
        if (f == FAULT_DEADLINE) {
            reply_error(w->x, f, NULL,
                        "the deadline passed before all candidates were scored; allow more (timeout_ms)");
        } else {
            reply_item_error(w->x, f, w->round.items[0]);
        }
        work_finish(w);
        return;
    }
    if (mem_array(&order, (size_t)w->round.n_items, sizeof(*order))) {
        work_answer(w, 200, NULL);
        return;
    }
    for (int i = 0; i < w->round.n_items; i++) {
        if (w->round.faults[i] == FAULT_COUNT) {
            order[n++] = i;
        }
    }
    qsort_r(order, (size_t)n, sizeof(*order), by_score, w);
    json_t *results = json_array();
    for (int i = 0; i < n && (!w->input.top_k || i < w->input.top_k); i++) {
        json_array_append_new(results, hit_object(&v->hits.hits[order[i]], w->round.scores[order[i]]));
    }
    mem_free(order);
    answer_search(w, results, n);
}

/* The candidates are there: the engine scores them, the one whose model they belong to. */
static void on_candidates(struct archive_task *t)
{
    struct work *w = t->user;
    struct visit *v = w->state;
    if (!is_welcome(t)) {
        return;
    }
    v->hits = t->hits;
    t->hits = (struct collection_hits){.n = 0};
    if (!v->hits.found) {
        answer_unknown(w);
    } else if (v->hits.n == 0) {
        answer_search(w, json_array(), 0);
    } else if (mem_array(&v->features, (size_t)v->hits.n, sizeof(*v->features))) {
        work_answer(w, 200, NULL);
    } else if (!work_enter(w, v->hits.n)) {
        work_finish(w);
    } else {
        for (int i = 0; i < v->hits.n; i++) {
            v->features[i] = v->hits.hits[i].features;
        }
        work_round_features(w, JOB_RETRIEVE, v->hits.n, v->features, NULL, search_done);
    }
}

void api_collection_search(struct work *w)
{
    struct archive_request r = {
        .kind = ARCHIVE_SEARCH,
        .model = model_of(w->service),
        .name = collection_text(w->input.collection),
        .query = {w->input.texts[0], w->input.text_bytes[0]},
        .limit = (int)w->desk->config->collections.rerank,
    };
    if (make_visit(w)) {
        submit(w, &r, on_candidates);
    }
}

/* ---- the handlers ---- */

#define COLLECTION_KIND(input_, begin_)                                                                                \
    {                                                                                                                  \
        .input = (input_), .task = JOB_CAPTION, .begin = (begin_), .abandon = api_collection_abandon,                  \
        .release = api_collection_release                                                                              \
    }
static const struct work_kind names_kind = COLLECTION_KIND(0, names_begin);
static const struct work_kind list_kind = COLLECTION_KIND(0, list_begin);
static const struct work_kind drop_kind = COLLECTION_KIND(0, drop_begin);
static const struct work_kind remove_kind = COLLECTION_KIND(0, remove_begin);
static const struct work_kind put_kind = COLLECTION_KIND(INPUT_STORE, put_begin);

/* Requests to the archive alone come without a place at the gate, so their work begins here. */
static void run_plain(struct api *a, struct exchange *x, const struct work_kind *kind)
{
    struct work *w = work_create(&a->desk, x);
    if (w) {
        work_run_plain(w, kind);
    }
}

void api_collections_list(struct api *a, struct exchange *x)
{
    run_plain(a, x, &names_kind);
}

void api_collection_show(struct api *a, struct exchange *x)
{
    run_plain(a, x, &list_kind);
}

void api_collection_drop(struct api *a, struct exchange *x)
{
    run_plain(a, x, &drop_kind);
}

void api_collection_remove(struct api *a, struct exchange *x)
{
    run_plain(a, x, &remove_kind);
}

void api_collection_put(struct api *a, struct exchange *x)
{
    (void)a;
    work_run(x->work, &put_kind);
}
