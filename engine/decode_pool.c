#include "engine/decode_pool.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/base/thread.h"
#include "engine/engine_private.h"
#include "engine/figures.h"

#include <string.h>

/* Memory that a decoder keeps between pictures: enough for a photograph of ordinary size. */
enum { KEPT_BYTES = 8 << 20 };

struct worker {
    struct engine *engine;
    pthread_t thread;
    bool is_started;
    struct image_decoder *decoder;
    struct preprocessor *preprocessor;
};

struct decode_pool {
    int n;
    struct worker workers[];
};

/* ---- preparing: what needs no decoding ---- */

/* Outside. */
static void name_image(struct job *job)
{
    const struct job_request *r = &job->request;
    if (!r->image) {
        job->result.id = r->features ? (struct image_id){{0}} : r->id;
    } else if (r->id_key) {
        sha256_hmac(r->id_key, SHA256_BYTES, r->image, r->image_bytes, job->result.id.bytes);
    } else {
        sha256(r->image, r->image_bytes, job->result.id.bytes);
    }
}

/* Inside, but while copying. True: the job has its features. */
static bool copy_from_cache(struct scheduler *s, struct job_private *j)
{
    struct job_result *r = &j->job->result;
    struct feature_cache_entry *entry = feature_cache_get(s->cache, &r->id);
    if (!entry) {
        return false;
    }
    bool may_use = !(feature_cache_warnings(entry) & IMAGE_WARN_TRUNCATED) || j->job->request.tolerate_truncated;
    if (may_use) {
        scheduler_leave(s);
        memcpy(j->own, feature_cache_block(entry), features_bytes(j->engine->config));
        scheduler_enter(s);
        j->features = j->own;
        r->cache = JOB_CACHE_HIT;
        r->warnings = feature_cache_warnings(entry);
        s->totals.cache_hits++;
    }
    feature_cache_unpin(s->cache, entry);
    return may_use;
}

/* Inside: the job has only an id, and the cache does not have it. */
static void route_id(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving)
{
    struct job_result *r = &j->job->result;
    if (flight_find(&s->flights, &r->id, j->job->request.tolerate_truncated)) {
        scheduler_route(s, j, true);
        return;
    }
    if (feature_cache_has(s->cache, &r->id)) { /* it is there, but not for this job */
        scheduler_fail(j, ERR_CORRUPT_IMAGE, "decode");
        err_set(&r->error, ERR_CORRUPT_IMAGE,
                "the image is cut short; send the whole file, or take it as it is with tolerate_truncated=true");
    } else {
        s->totals.cache_misses++;
        scheduler_fail(j, ERR_IMAGE_NOT_CACHED, "decode");
    }
    scheduler_finish(s, j, now_us, leaving);
}

static struct image_limits limits_of(const struct engine *e, const struct job_request *r)
{
    return (struct image_limits){.max_pixels = e->options.max_pixels,
                                 .max_progressive_pixels = e->options.max_progressive_pixels,
                                 .tolerate_truncated = r->tolerate_truncated,
                                 .min_side = engine_min_side(&e->options, &e->preprocess)};
}

/* Outside. The header alone: what decoding will take, and whether it can ever be had. */
static enum err look_at_header(struct job_private *j)
{
    const struct engine *e = j->engine;
    const struct job_request *r = &j->job->request;
    struct errbuf *error = &j->job->result.error;
    struct image_limits limits = limits_of(e, r);
    struct image_info info;
    enum err rc = image_probe(r->image, r->image_bytes, &limits, &info, error);
    size_t budget = e->scheduler.decode_budget;
    if (!rc && info.decode_bytes > budget) {
        rc = err_set(error, ERR_IMAGE_TOO_LARGE,
                     "decoding this image of %dx%d pixels takes %llu MB and limits.decode_memory_bytes allows %zu; "
                     "send a smaller copy, or raise that limit",
                     info.width, info.height, (unsigned long long)(info.decode_bytes >> 20) + 1, budget >> 20);
    }
    j->decode_bytes = rc ? 0 : (size_t)info.decode_bytes;
    return rc;
}

/* Inside: the job has bytes whose features nobody has. */
static void route_bytes(struct scheduler *s, struct job_private *j, enum err rc, uint64_t now_us,
                        struct job_list *leaving)
{
    if (rc) {
        scheduler_fail(j, rc, "decode");
        scheduler_finish(s, j, now_us, leaving);
        return;
    }
    /* Known, but truncated: this job wants to see the error, which must not be mixed up with what is known. */
    bool may_share = j->job->request.task != JOB_CHECK && !feature_cache_has(s->cache, &j->job->result.id);
    scheduler_route(s, j, may_share);
}

/* Inside, but for the work. */
static void prepare(struct scheduler *s, struct job_private *j, struct job_list *leaving)
{
    const struct job_request *r = &j->job->request;
    scheduler_leave(s);
    uint64_t from_us = clock_us();
    enum err rc = job_tokenize(j);
    rc = rc ? rc : job_check_features(j);
    name_image(j->job);
    j->features = rc ? NULL : r->features;
    scheduler_enter(s);
    if (rc) {
        route_bytes(s, j, rc, clock_us(), leaving);
        return;
    }
    if (j->features) {
        j->job->result.cache = JOB_CACHE_HIT;
    }
    if (j->features || (r->task != JOB_CHECK && copy_from_cache(s, j))) {
        scheduler_leave(s);
        job_present(j);
        uint64_t now_us = clock_us();
        j->job->result.decode_us = now_us - from_us;
        scheduler_enter(s);
        scheduler_enter_fusion(s, j, now_us, leaving);
        return;
    }
    if (r->image) {
        scheduler_leave(s);
        rc = look_at_header(j);
        scheduler_enter(s);
    }
    uint64_t now_us = clock_us();
    j->job->result.decode_us = now_us - from_us;
    if (r->image) {
        route_bytes(s, j, rc, now_us, leaving);
    } else {
        route_id(s, j, now_us, leaving);
    }
}

/* ---- decoding ---- */

/* Outside. */
static enum err decode_picture(struct worker *w, const struct job_request *r, struct image *image,
                               struct preprocess_shape *shape, struct errbuf *error)
{
    const struct engine *e = w->engine;
    struct image_limits limits = limits_of(e, r);
    enum err rc = image_decode(w->decoder, r->image, r->image_bytes, &limits, image, error);
    if (rc) {
        return rc;
    }
    preprocess_shape(&e->preprocess, image->info.width, image->info.height, shape);
    size_t floats = (size_t)shape->padded_width * (size_t)shape->padded_height * 3;
    if (shape->padded_width > e->max_side || shape->padded_height > e->max_side || floats > e->slot_floats) {
        return err_set(error, ERR_IMAGE_TOO_LARGE,
                       "the image is too narrow for its length: %d x %d pixels; send a wider part of it",
                       image->info.width, image->info.height);
    }
    return OK;
}

/* Outside. */
static enum err decode_into_slot(struct worker *w, struct flight *f, struct errbuf *error)
{
    struct image image;
    enum err rc = decode_picture(w, &f->leader->job->request, &image, &f->shape, error);
    if (rc) {
        return rc;
    }
    f->width = image.info.width;
    f->height = image.info.height;
    f->warnings = image.info.warnings;
    return preprocessor_run(w->preprocessor, &image, &f->shape, engine_slot(w->engine, f->slot));
}

/* Outside: decodes to see that it can be done. */
static enum err check(struct worker *w, struct job *job)
{
    struct job_result *r = &job->result;
    struct image image;
    struct preprocess_shape shape;
    enum err rc = decode_picture(w, &job->request, &image, &shape, &r->error);
    if (!rc) {
        r->width = image.info.width;
        r->height = image.info.height;
        r->warnings = image.info.warnings;
        r->format = image_format_name(image.info.format);
        r->orientation = image.info.orientation;
        r->is_progressive = image.info.progressive;
    }
    return rc;
}

/* Inside: its one member is returned. */
static void end_check(struct scheduler *s, struct flight *f, enum err rc, uint64_t took_us, uint64_t now_us,
                      struct job_list *leaving)
{
    struct job_list members = TAILQ_HEAD_INITIALIZER(members);
    scheduler_land(s, f, &members);
    struct job_private *j = TAILQ_FIRST(&members);
    TAILQ_REMOVE(&members, j, queue);
    j->job->result.decode_us += took_us;
    if (rc) {
        scheduler_fail(j, rc, "decode");
    }
    scheduler_finish(s, j, now_us, leaving);
}

/* Inside: all members share the error of their picture. */
static void fail_flight(struct scheduler *s, struct flight *f, enum err rc, const struct errbuf *error, uint64_t now_us,
                        struct job_list *leaving)
{
    struct job_list members = TAILQ_HEAD_INITIALIZER(members);
    struct job_private *j;
    scheduler_land(s, f, &members);
    while ((j = TAILQ_FIRST(&members))) {
        TAILQ_REMOVE(&members, j, queue);
        scheduler_fail(j, rc, "decode");
        j->job->result.error = *error;
        scheduler_finish(s, j, now_us, leaving);
    }
}

/* Inside, but for the work. */
static void decode(struct worker *w, struct flight *f, struct job_list *leaving)
{
    struct scheduler *s = &w->engine->scheduler;
    struct errbuf error = {{0}};
    uint64_t from_us = clock_us();
    figures_begin(s, ENGINE_DECODE, from_us);
    scheduler_leave(s);
    enum err rc = f->is_check ? check(w, f->leader->job) : decode_into_slot(w, f, &error);
    image_decoder_trim(w->decoder, KEPT_BYTES);
    uint64_t now_us = clock_us();
    scheduler_enter(s);
    figures_end(s, ENGINE_DECODE, 1, from_us, now_us);
    if (f->is_check) {
        end_check(s, f, rc, now_us - from_us, now_us, leaving);
        return;
    }
    if (rc) {
        fail_flight(s, f, rc, &error, now_us, leaving);
        return;
    }
    f->decode_us = now_us - from_us;
    forecast_add(&s->forecast.decode, 1, (double)f->decode_us);
    s->totals.decoded_pixels += (uint64_t)f->width * (uint64_t)f->height;
    scheduler_decoded(s, f, now_us);
}

/* ---- threads ---- */

static void *run_thread(void *arg)
{
    struct worker *w = arg;
    struct scheduler *s = &w->engine->scheduler;
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    thread_yield_to_others(w->engine->options.nice);
    scheduler_enter(s);
    while (!s->is_stopping) {
        scheduler_sweep(s, clock_us(), &leaving);
        if (!TAILQ_EMPTY(&leaving)) {
            scheduler_deliver(s, &leaving);
            continue;
        }
        struct job_private *j = scheduler_pop_prepare(s);
        struct flight *f = j ? NULL : scheduler_pop_decode(s);
        if (j) {
            prepare(s, j, &leaving);
        } else if (f) {
            decode(w, f, &leaving);
        } else {
            scheduler_wait_decode(s);
        }
        scheduler_deliver(s, &leaving);
    }
    scheduler_leave(s);
    return NULL;
}

static enum err start(struct worker *w, struct engine *e, int index)
{
    char name[32];
    w->engine = e;
    snprintf(name, sizeof(name), "decode-%d", index);
    enum err rc = image_decoder_create(&w->decoder);
    rc = rc ? rc : preprocessor_create(&w->preprocessor, &e->preprocess);
    rc = rc ? rc : thread_start(&w->thread, name, run_thread, w);
    w->is_started = !rc;
    return rc;
}

enum err decode_pool_open(struct decode_pool **out, struct engine *e, int n_threads)
{
    struct decode_pool *p = NULL;
    *out = NULL;
    n_threads = n_threads > 1 ? n_threads : 2; /* one lane stays free of large pictures: scheduler.c */
    enum err rc = mem_alloc(&p, sizeof(*p) + (size_t)n_threads * sizeof(p->workers[0]));
    if (rc) {
        return rc;
    }
    *out = p; /* closed by the engine when a worker cannot start */
    for (int i = 0; !rc && i < n_threads; i++) {
        p->n++;
        rc = start(&p->workers[i], e, i);
    }
    return rc;
}

void decode_pool_close(struct decode_pool *p)
{
    for (int i = 0; p && i < p->n; i++) {
        struct worker *w = &p->workers[i];
        if (w->is_started) {
            thread_join(w->thread);
        }
        preprocessor_destroy(w->preprocessor);
        image_decoder_destroy(w->decoder);
    }
    mem_free(p);
}
