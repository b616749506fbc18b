/* Collections over HTTP: each request is a task of the archive thread, some with engine work before or after. */
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "server/api/api.h"
#include "server/collections/archive.h"
#include "server/gate/route.h"
#include "server/work/predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_DEFAULT = 100, LIST_MAX = 1000, WORDS_MAX = 16384 };

/* What a request needs while the archive works for it. */
struct task {
    struct app *app;
    struct exchange *x;            /* NULL: abandoned */
    struct archive_task *archived; /* NULL: not there */
    void (*reply)(struct task *t); /* answers x */
    char name[COLLECTION_NAME_MAX + 2];
    char key[COLLECTION_KEY_MAX + 2];
    struct archive_request request;
    struct collection_image image;
    struct buf words;
    struct collection_hits hits;
    struct input input; /* of a search, until the predict takes it */
    bool has_input;
};

/* ---- life ---- */

static void task_destroy(struct task *t)
{
    buf_release(&t->words);
    mem_free((void *)(uintptr_t)t->image.features);
    collection_hits_release(&t->hits);
    if (t->has_input) {
        input_release(&t->input);
    }
    mem_free(t);
}

static void abandon(struct exchange *x, const char *why)
{
    struct task *t = x->work;
    (void)why;
    t->x = NULL;
    x->work = NULL;
    x->on_abandon = NULL;
    archive_cancel(t->app->archive, t->archived);
}

static void answer(struct task *t, const struct archive_task *from)
{
    if (from->err == ERR_BUSY || from->err == ERR_UNAVAILABLE) {
        reply_retry(t->x, FAULT_NOT_READY, 1000000, "%.400s", err_text(from->err));
    } else if (from->err == ERR_IO) {
        reply_error(t->x, FAULT_INTERNAL, NULL, "the collection could not be read or written");
    } else if (from->err) {
        reply_error(t->x, reply_fault(from->err), NULL, "%.400s", errbuf_text(&from->error, from->err));
    } else {
        t->reply(t);
    }
}

static void on_done(struct archive_task *from)
{
    struct task *t = from->user;
    struct exchange *x = t->x;
    if (x) {
        x->work = NULL;
        x->on_abandon = NULL;
        t->hits = from->hits;
        from->hits = (struct collection_hits){.n = 0};
        answer(t, from);
        if (x->status) {
            http_ready(x);
        }
    }
    task_destroy(t);
}

/* NULL when it has answered. */
static struct task *task_create(struct app *a, struct exchange *x, void (*reply)(struct task *))
{
    struct task *t;
    if ((!a->archive || !a->service) && a->config.collections.path[0]) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "the collections are opened when the model is loaded; see /startupz");
        return NULL;
    }
    if (!a->archive) {
        reply_error(x, FAULT_NOT_FOUND, NULL, "this service keeps no collections; start it with collections.path");
        return NULL;
    }
    if (mem_alloc(&t, sizeof(*t))) {
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
        return NULL;
    }
    *t = (struct task){.app = a, .x = x, .reply = reply};
    buf_init(&t->words, WORDS_MAX);
    return t;
}

static struct collection_model model_of(const struct service *s)
{
    struct collection_model m = {.features_bytes = s->info.features_bytes};
    snprintf(m.sha256, sizeof(m.sha256), "%s", s->info.model_sha256);
    return m;
}

static void task_begin(struct task *t, enum archive_kind kind, const struct service *s)
{
    struct exchange *x = t->x;
    struct errbuf e = {""};
    t->request.kind = kind;
    t->request.model = model_of(s);
    t->request.name = collection_text(t->name);
    t->request.key = collection_text(t->key);
    t->request.client = x->client;
    t->request.deadline_us = x->deadline_us;
    t->request.on_done = on_done;
    t->request.user = t;
    enum err rc = archive_submit(t->app->archive, &t->request, &t->archived, &e);
    if (rc != OK) {
        task_destroy(t);
        reply_error(x, reply_fault(rc), NULL, "%.400s", errbuf_text(&e, rc));
        return;
    }
    x->work = t;
    x->on_abandon = abandon;
}

static void take_name(struct task *t, const char *path)
{
    if (!route_segment(path, 1, t->name, sizeof(t->name))) {
        t->name[0] = '\0'; /* too long: collections refuses it like every bad name */
    }
}

/* /collections/NAME/images/KEY: the key is all the rest. */
static void take_key(struct task *t, const char *path)
{
    const char *at = strstr(path + 1 + strlen("collections/"), "/images/");
    snprintf(t->key, sizeof(t->key), "%s", at ? at + strlen("/images/") : "");
}

static void reply_unknown(struct task *t)
{
    reply_error(t->x, FAULT_NOT_FOUND, "collection", "there is no collection of this name");
}

/* ---- GET /collections ---- */

static void names_reply(struct task *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->archived->n_names; i++) {
        const struct archive_name *n = &t->archived->names[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", n->name, "images",
                                              (json_int_t)n->count.n_images, "stale", (json_int_t)n->count.n_stale));
    }
    reply_json(t->x, 200, json_pack("{s:o}", "collections", list));
}

void api_collections_list(struct app *a, struct exchange *x)
{
    struct task *t = task_create(a, x, names_reply);
    if (t) {
        task_begin(t, ARCHIVE_NAMES, a->service);
    }
}

/* ---- GET /collections/{name} ---- */

static json_t *entry_object(const struct archive_entry *entry)
{
    char id[SHA256_HEX];
    sha256_hex(entry->id, id);
    return json_pack("{s:s%, s:s, s:i, s:i, s:b}", "key", entry->key, entry->n_key, "id", id, "width", entry->width,
                     "height", entry->height, "stale", entry->is_stale);
}

static void list_reply(struct task *t)
{
    const struct archive_task *from = t->archived;
    if (!from->found) {
        reply_unknown(t);
        return;
    }
    json_t *list = json_array();
    for (int i = 0; i < from->n_entries; i++) {
        json_array_append_new(list, entry_object(&from->entries[i]));
    }
    json_t *last = from->n_entries && from->n_entries == t->request.limit
                       ? json_stringn(from->entries[from->n_entries - 1].key, from->entries[from->n_entries - 1].n_key)
                       : json_null();
    reply_json(t->x, 200,
               json_pack("{s:s, s:I, s:I, s:o, s:o}", "name", t->name, "size", (json_int_t)from->count.n_images,
                         "stale", (json_int_t)from->count.n_stale, "images", list, "next", last));
}

void api_collection_show(struct app *a, struct exchange *x)
{
    const char *after = exchange_query(x, "after"), *limit = exchange_query(x, "limit");
    uint64_t n = LIST_DEFAULT;
    if (limit && !exchange_parse_uint(limit, 1, LIST_MAX, &n)) {
        reply_error(x, FAULT_BAD_REQUEST, "limit", "limit must be a whole number from 1 to %d", LIST_MAX);
        return;
    }
    struct task *t = task_create(a, x, list_reply);
    if (t) {
        take_name(t, x->path);
        snprintf(t->key, sizeof(t->key), "%s", after ? after : "");
        t->request.limit = (int)n;
        task_begin(t, ARCHIVE_LIST, a->service);
    }
}

/* ---- DELETE ---- */

static void removed_reply(struct task *t)
{
    if (!t->archived->found) {
        reply_error(t->x, FAULT_NOT_FOUND, NULL, "there is nothing of this name");
    } else {
        reply_json(t->x, 200, json_pack("{s:b}", "removed", 1));
    }
}

void api_collection_drop(struct app *a, struct exchange *x)
{
    struct task *t = task_create(a, x, removed_reply);
    if (t) {
        take_name(t, x->path);
        task_begin(t, ARCHIVE_DROP, a->service);
    }
}

void api_collection_remove(struct app *a, struct exchange *x)
{
    struct task *t = task_create(a, x, removed_reply);
    if (t) {
        take_name(t, x->path);
        take_key(t, x->path);
        task_begin(t, ARCHIVE_REMOVE, a->service);
    }
}

/* ---- PUT /collections/{name}/images/{key} ---- */

static void put_reply(struct task *t)
{
    char id[SHA256_HEX];
    sha256_hex(t->image.id, id);
    reply_json(t->x, t->archived->replaced ? 200 : 201,
               json_pack("{s:s, s:s, s:b, s:{s:s, s:i, s:i}}", "collection", t->name, "key", t->key, "replaced",
                         t->archived->replaced, "image", "id", id, "width", t->image.width, "height", t->image.height));
}

/* What the first pass of a search will find it by: its caption and the labels of its regions. */
static json_t *put_item(struct predict *p, const struct job *job, int index)
{
    struct task *t = p->user;
    const struct job_result *r = &job->result;
    void *features;
    (void)index;
    if (mem_alloc(&features, p->service->info.features_bytes)) {
        return NULL;
    }
    memcpy(features, r->features, p->service->info.features_bytes);
    t->image.features = features;
    t->image.features_bytes = p->service->info.features_bytes;
    t->image.width = r->width;
    t->image.height = r->height;
    memcpy(t->image.id, r->id.bytes, sizeof(t->image.id));
    exchange_mask_id(p->x, t->image.id);
    for (int i = 0; i < r->n_captions; i++) {
        buf_printf(&t->words, "%s\n", r->captions[i].text);
    }
    for (int i = 0; i < r->n_regions; i++) {
        buf_printf(&t->words, "%s\n", r->regions[i].label);
    }
    return json_null();
}

static void put_finish(struct predict *p)
{
    struct task *t = p->user;
    p->user = NULL;
    if (!t->image.features || t->words.err) {
        reply_error(p->x, FAULT_INTERNAL, NULL, "out of memory");
        task_destroy(t);
        return;
    }
    t->image.words = (struct collection_text){t->words.bytes ? t->words.bytes : "", t->words.n};
    t->request.image = &t->image;
    t->request.max_images = (uint64_t)t->app->config.collections.max_images;
    task_begin(t, ARCHIVE_PUT, p->service);
}

static void put_release(struct predict *p)
{
    if (p->user) {
        task_destroy(p->user);
    }
}

void api_collection_put(struct app *a, struct exchange *x)
{
    struct input in;
    struct input_fault fault;
    struct task *t = task_create(a, x, put_reply);
    if (!t) {
        return;
    }
    take_name(t, x->path);
    take_key(t, x->path);
    if (!input_take(&in, INPUT_STORE, x, &a->config, &fault)) {
        reply_error(x, fault.fault, fault.param[0] ? fault.param : NULL, "%s", fault.text.text);
        input_release(&in);
        task_destroy(t);
        return;
    }
    exchange_take_timeout(x, in.timeout_ms);
    struct predict *p = predict_create(a, x, &in, JOB_CAPTION, 1);
    if (!p) {
        task_destroy(t);
        return;
    }
    p->user = t;
    p->item = put_item;
    p->finish = put_finish;
    p->release = put_release;
    predict_begin(p);
}

/* ---- POST /retrieve with a collection ---- */

struct found {
    struct collection_hits hits;
};

static int by_score(const void *left, const void *right, void *user)
{
    const struct predict *p = user;
    int a = *(const int *)left, b = *(const int *)right;
    if (p->scores[a] != p->scores[b]) {
        return p->scores[a] < p->scores[b] ? 1 : -1;
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

static void search_finish(struct predict *p)
{
    struct found *f = p->user;
    int *order, n = 0;
    if (mem_array(&order, (size_t)p->n_items, sizeof(*order))) {
        reply_error(p->x, FAULT_INTERNAL, NULL, "out of memory");
        return;
    }
    for (int i = 0; i < p->n_items; i++) {
        if (!p->has_failed[i]) {
            order[n++] = i;
        }
    }
    qsort_r(order, (size_t)n, sizeof(*order), by_score, p);
    json_t *results = json_array();
    for (int i = 0; i < n && (!p->input.top_k || i < p->input.top_k); i++) {
        json_array_append_new(results, hit_object(&f->hits.hits[order[i]], p->scores[order[i]]));
    }
    mem_free(order);
    reply_json(p->x, 200,
               json_pack("{s:o, s:I, s:i, s:I, s:o}", "results", results, "scanned", (json_int_t)f->hits.n_scanned,
                         "reranked", n, "stale", (json_int_t)f->hits.n_stale, "model", api_result_model(p->service)));
}

static void search_release(struct predict *p)
{
    struct found *f = p->user;
    if (f) {
        collection_hits_release(&f->hits);
        mem_free(f);
    }
}

static void reply_nothing(struct task *t)
{
    reply_json(t->x, 200,
               json_pack("{s:[], s:I, s:i, s:I, s:o}", "results", "scanned", (json_int_t)t->hits.n_scanned, "reranked",
                         0, "stale", (json_int_t)t->hits.n_stale, "model", api_result_model(t->app->service)));
}

static bool take_features(struct predict *p, struct found *f)
{
    if (mem_array(&p->features, (size_t)f->hits.n, sizeof(*p->features))) {
        return false;
    }
    for (int i = 0; i < f->hits.n; i++) {
        p->features[i] = f->hits.hits[i].features;
    }
    return true;
}

/* The candidates are there: the engine scores them. */
static void search_reply(struct task *t)
{
    struct found *f = NULL;
    struct exchange *x = t->x;
    if (!t->hits.found) {
        reply_unknown(t);
        return;
    }
    if (t->hits.n == 0) {
        reply_nothing(t);
        return;
    }
    struct collection_model model = model_of(t->app->service);
    if (!collection_model_equal(&model, &t->hits.model)) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "the model was replaced meanwhile; try again");
        return;
    }
    struct predict *p = predict_create(t->app, x, &t->input, JOB_RETRIEVE, t->hits.n);
    t->has_input = false;
    if (!p) {
        return;
    }
    p->finish = search_finish;
    p->release = search_release;
    if (!mem_alloc(&f, sizeof(*f))) {
        *f = (struct found){.hits = t->hits};
        t->hits = (struct collection_hits){.n = 0};
    }
    p->user = f;
    if (!f || !take_features(p, f)) {
        predict_destroy(p);
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
        return;
    }
    predict_begin(p);
}

void api_collection_search(struct app *a, struct exchange *x, struct input *in)
{
    struct task *t = task_create(a, x, search_reply);
    if (!t) {
        input_release(in);
        return;
    }
    snprintf(t->name, sizeof(t->name), "%s", in->collection);
    t->request.limit = (int)a->config.collections.rerank;
    t->input = *in;
    t->has_input = true;
    t->request.query = (struct collection_text){t->input.texts[0], t->input.text_bytes[0]};
    task_begin(t, ARCHIVE_SEARCH, a->service);
}
