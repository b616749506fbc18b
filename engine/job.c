#include "engine/job.h"

#include "engine/base/arena.h"
#include "engine/engine_private.h"
#include "engine/image/image.h"

#include <math.h>
#include <string.h>

/* ---- life cycle ---- */

/* The job's memory, first measured, then placed. */
static struct job *place(struct arena *a, const struct engine *e)
{
    size_t texts = (size_t)e->options.max_texts, regions = (size_t)e->config->roi.max_regions;
    struct job *job = arena_take(a, 1, sizeof(*job));
    struct job_private *j = arena_take(a, 1, sizeof(*j));
    struct job_private parts = {
        .regions = arena_take(a, regions, sizeof(*j->regions)),
        .captions = arena_take(a, JOB_MAX_CAPTIONS, sizeof(*j->captions)),
        .answers = arena_take(a, texts * JOB_MAX_TOP_K, sizeof(*j->answers)),
        .n_answers = arena_take(a, texts, sizeof(*j->n_answers)),
        .scores = arena_take(a, texts, sizeof(*j->scores)),
        .weights = arena_take(a, texts * regions, sizeof(*j->weights)),
        .tokens = arena_take(a, texts * (size_t)e->config->text.text_length, sizeof(*j->tokens)),
        .n_tokens = arena_take(a, texts, sizeof(*j->n_tokens)),
        .own = arena_take(a, 1, features_bytes(e->config)),
    };
    if (job) {
        *j = parts;
        *job = (struct job){._private = j};
    }
    return job;
}

size_t job_bytes(const struct engine *e)
{
    struct arena a;
    arena_init(&a, NULL, 0);
    place(&a, e);
    return arena_needed(&a);
}

enum err job_create(struct job **out, struct engine *e)
{
    struct arena a;
    struct pages pages;
    *out = NULL;
    arena_init(&a, NULL, 0);
    place(&a, e);
    enum err rc = pages_init(&pages, 1, arena_needed(&a));
    if (rc) {
        return rc;
    }
    arena_init(&a, pages.block, arena_needed(&a));
    struct job *job = place(&a, e);
    job->_private->job = job;
    job->_private->engine = e;
    job->_private->pages = pages;
    job_reset(job);
    *out = job;
    return OK;
}

void job_destroy(struct job *job)
{
    if (job) {
        BUG_ON(job->_private->state != JOB_HOME);
        struct pages pages = job->_private->pages; /* which the job lies in */
        pages_release(&pages);
    }
}

static void clear_result(struct job *job)
{
    struct job_result *r = &job->result;
    r->n_regions = r->n_captions = 0;
    r->regions = NULL;
    r->features = NULL;
    r->captions = NULL;
    r->answers = NULL;
    r->n_answers = NULL;
    r->scores = r->region_weights = NULL;
    r->text_tokens = NULL;
}

/* What an earlier run has left. */
static void forget(struct job *job)
{
    struct job_private *j = job->_private;
    memset(&job->result, 0, sizeof(job->result));
    j->flight = NULL;
    j->features = NULL;
    j->n_items = j->n_taken = j->n_running = j->n_finished = j->item_rows = 0;
    j->slot = NULL;
    j->failure = OK;
    j->failure_stage = NULL;
}

void job_reset(struct job *job)
{
    BUG_ON(job->_private->state != JOB_HOME);
    job->request = (struct job_request){.top_k = 5, .priority = 3, .length_penalty = NAN};
    forget(job);
    atomic_store(&job->_private->is_cancelled, false);
}

void job_cancel(struct job *job)
{
    atomic_store(&job->_private->is_cancelled, true);
    atomic_store(&job->_private->engine->scheduler.has_cancelled, true);
}

const char *job_warning_text(int bit)
{
    static const char *const texts[] = {
#define JOB_WARNING(symbol, bit_, text) [bit_] = text,
        IMAGE_WARNING_LIST(JOB_WARNING)
#undef JOB_WARNING
    };
    return bit >= 0 && (size_t)bit < sizeof(texts) / sizeof(texts[0]) ? texts[bit] : NULL;
}

/* ---- the request ---- */

static enum err check_image(const struct job_request *r, struct errbuf *why)
{
    if (r->image && r->features) {
        return err_set(why, ERR_BAD_REQUEST, "a job has either an image or features, not both; leave one out");
    }
    if (r->task == JOB_CHECK && !r->image) {
        return err_set(why, ERR_BAD_REQUEST, "a check needs the bytes of the image");
    }
    if (r->image && r->image_bytes == 0) {
        return err_set(why, ERR_BAD_REQUEST, "the image is empty");
    }
    return OK;
}

static enum err check_texts(const struct job_private *j, struct errbuf *why)
{
    const struct job_request *r = &j->job->request;
    const struct engine_options *o = &j->engine->options;
    bool needs_texts = r->task == JOB_VQA || r->task == JOB_RETRIEVE;
    if (r->n_texts < 0 || (r->n_texts > 0) != needs_texts || (needs_texts && (!r->texts || !r->text_bytes))) {
        return err_set(why, ERR_BAD_REQUEST,
                       needs_texts ? "at least one text is needed" : "this task does not accept text");
    }
    if (r->n_texts > o->max_texts) {
        return err_set(why, ERR_TOO_MANY_INPUTS, "%d texts; at most %d are allowed", r->n_texts, o->max_texts);
    }
    for (int i = 0; i < r->n_texts; i++) {
        if (r->text_bytes[i] > o->max_text_bytes) {
            return err_set(why, ERR_TEXT_TOO_LONG, "text %d has %zu bytes; at most %zu are allowed", i,
                           r->text_bytes[i], o->max_text_bytes);
        }
    }
    if (r->task == JOB_VQA && (r->top_k < 1 || r->top_k > JOB_MAX_TOP_K)) {
        return err_set(why, ERR_BAD_REQUEST, "top_k is %d; allowed are 1 to %d", r->top_k, JOB_MAX_TOP_K);
    }
    return OK;
}

static enum err check_caption(struct job_private *j, struct errbuf *why)
{
    const struct job_request *r = &j->job->request;
    const struct model_config *c = j->engine->config;
    struct caption_params p = {
        .num_beams = r->num_beams ? r->num_beams : c->caption.num_beams,
        .num_captions = r->num_captions ? r->num_captions : 1,
        .max_tokens = r->max_tokens ? r->max_tokens : c->caption.max_tokens,
        .length_penalty = isnan(r->length_penalty) ? c->caption.length_penalty : r->length_penalty,
    };
    if (p.num_beams < 1 || p.num_beams > JOB_MAX_CAPTIONS) {
        return err_set(why, ERR_BAD_REQUEST, "num_beams is %d; allowed are 1 to %d", p.num_beams, JOB_MAX_CAPTIONS);
    }
    if (p.num_captions < 1 || p.num_captions > p.num_beams) {
        return err_set(why, ERR_BAD_REQUEST, "num_captions is %d; allowed are 1 to num_beams, %d", p.num_captions,
                       p.num_beams);
    }
    if (p.max_tokens < 1 || p.max_tokens > j->engine->max_tokens) {
        return err_set(why, ERR_BAD_REQUEST, "max_tokens is %d; this model allows 1 to %d", p.max_tokens,
                       j->engine->max_tokens);
    }
    if (!isfinite(p.length_penalty)) {
        return err_set(why, ERR_BAD_REQUEST, "length_penalty must be a finite number");
    }
    if (r->on_token && p.num_beams != 1) {
        return err_set(why, ERR_BAD_REQUEST, "tokens are streamed with num_beams=1 only");
    }
    j->caption = p;
    return OK;
}

enum err job_check(struct job *job, struct errbuf *why)
{
    struct job_private *j = job->_private;
    const struct job_request *r = &job->request;
    BUG_ON(!job->on_done || j->state != JOB_HOME);
    forget(job);
    if (r->task < 0 || r->task >= JOB_TASK_COUNT || r->priority < 0 || r->priority >= JOB_PRIORITIES) {
        return err_set(why, ERR_BAD_REQUEST, "the task or the priority is out of range");
    }
    enum err rc = check_image(r, why);
    rc = rc ? rc : check_texts(j, why);
    if (!rc && r->task == JOB_CAPTION) {
        rc = check_caption(j, why);
        j->n_items = 1;
    } else {
        j->n_items = r->n_texts;
    }
    return rc;
}

/* ---- work on the request ---- */

static int max_text_tokens(const struct job_private *j)
{
    return j->engine->config->text.text_length - 2; /* [CLS] and [SEP] */
}

enum err job_tokenize(struct job_private *j)
{
    const struct job_request *r = &j->job->request;
    const struct wordpiece *w = model_wordpiece(j->engine->model);
    int room = j->engine->config->text.text_length, max = max_text_tokens(j);
    for (int i = 0; i < r->n_texts; i++) {
        int n = wordpiece_encode(w, r->texts[i], r->text_bytes[i], j->tokens + (size_t)i * (size_t)room, room);
        j->n_tokens[i] = n < room ? n : room;
        if (n > max && r->whole_texts) {
            return err_set(&j->job->result.error, ERR_TEXT_TOO_LONG,
                           "%s %d has more than the %d word pieces that this model reads; shorten it, or let it be cut "
                           "with truncate=true",
                           r->task == JOB_VQA ? "question" : "text", i, max);
        }
    }
    return OK;
}

enum err job_check_features(struct job_private *j)
{
    const struct model_config *c = j->engine->config;
    const struct features *f = j->job->request.features;
    if (f && !features_valid(f, features_bytes(c), c)) {
        return err_set(&j->job->result.error, ERR_INTERNAL,
                       "the stored features of this image are damaged or of another model; send the image again");
    }
    return OK;
}

static int max_rows(const struct job_private *j)
{
    const struct job_request *r = &j->job->request;
    if (r->task == JOB_CAPTION) {
        return fusion_caption_rows(j->engine->model, j->features);
    }
    int max = 1, room = j->engine->config->text.text_length;
    for (int i = 0; i < r->n_texts; i++) {
        struct fusion_item item = {.kind = r->task == JOB_VQA ? FUSION_VQA : FUSION_RETRIEVE,
                                   .features = j->features,
                                   .tokens = j->tokens + (size_t)i * (size_t)room,
                                   .n_tokens = j->n_tokens[i]};
        int rows = fusion_item_rows(j->engine->model, &item);
        max = rows > max ? rows : max;
    }
    return max;
}

static void present_regions(struct job_private *j)
{
    const struct region *from = features_regions_const(j->features);
    struct job_result *r = &j->job->result;
    r->n_regions = j->features->n_regions;
    r->regions = j->regions;
    for (int i = 0; i < r->n_regions; i++) {
        j->regions[i] =
            (struct job_region){.label = model_object_name(j->engine->model, from[i].label), .score = from[i].score};
        memcpy(j->regions[i].box, from[i].box, sizeof(from[i].box));
    }
}

void job_present(struct job_private *j)
{
    struct job_result *r = &j->job->result;
    const struct job_request *q = &j->job->request;
    r->width = j->features->width;
    r->height = j->features->height;
    r->features = j->features;
    present_regions(j);
    r->captions = q->task == JOB_CAPTION ? j->captions : NULL;
    r->answers = q->task == JOB_VQA ? j->answers : NULL;
    r->n_answers = q->task == JOB_VQA ? j->n_answers : NULL;
    r->scores = q->task == JOB_RETRIEVE ? j->scores : NULL;
    r->text_tokens = q->n_texts > 0 ? j->n_tokens : NULL;
    r->max_text_tokens = max_text_tokens(j);
    if (q->explain && j->n_items > 0) {
        r->region_weights = j->weights;
        memset(j->weights, 0, (size_t)j->n_items * (size_t)r->n_regions * sizeof(*j->weights));
    }
    j->item_rows = max_rows(j);
}

void job_conclude(struct job_private *j)
{
    if (j->failure) {
        clear_result(j->job);
        if (!j->job->result.error.text[0]) {
            err_set(&j->job->result.error, j->failure, "%s", err_text(j->failure));
        }
    }
}
