#include "engine/fusion_step.h"

#include "engine/base/arena.h"
#include "engine/base/mem.h"
#include "engine/figures.h"
#include "engine/model/topk.h"

#include <string.h>

enum { KEEPS_ONE = 4 }; /* from this many places for captions on, one is kept for newcomers */

/* What could join: a caption under way, or a job with items nobody took (and, for a caption, the slot it would get). */
struct candidate {
    struct job_private *job;
    struct caption_slot *slot;
};

/* One item of the running step. */
struct member {
    struct job_private *job;
    int text, rows;
    struct caption_slot *slot;
    bool is_finished;
};

struct fusion_step {
    struct engine *engine;
    int thread, max_items, max_candidates;
    /* gathered */
    int n_running, n_candidates; /* the first n_running are captions under way */
    struct candidate *candidates;
    struct batcher_source *sources;
    int *take;
    /* under way */
    int n, rows;
    struct member *members;
    struct fusion_item *items;
    enum err *errs;
    struct pages scores_pages, attention_pages;
    float *scores;    /* [max_items, answers] */
    float *attention; /* [max_items, max_regions] */
    uint64_t keys[JOB_MAX_TOP_K];
};

static size_t answers_of(const struct engine *e)
{
    return (size_t)e->config->vqa.answers;
}

static size_t regions_of(const struct engine *e)
{
    return (size_t)e->config->roi.max_regions;
}

static struct fusion_step *place(struct arena *a, const struct engine *e)
{
    size_t n = (size_t)e->scheduler.limits.max_items, max = n + (size_t)e->options.max_captions;
    struct fusion_step *f = arena_take(a, 1, sizeof(*f));
    struct fusion_step parts = {
        .max_items = (int)n,
        .max_candidates = (int)max,
        .candidates = arena_take(a, max, sizeof(*f->candidates)),
        .sources = arena_take(a, max, sizeof(*f->sources)),
        .take = arena_take(a, max, sizeof(*f->take)),
        .members = arena_take(a, n, sizeof(*f->members)),
        .items = arena_take(a, n, sizeof(*f->items)),
        .errs = arena_take(a, n, sizeof(*f->errs)),
    };
    if (f) {
        *f = parts;
    }
    return f;
}

size_t fusion_step_bytes(const struct engine *e)
{
    struct arena a;
    arena_init(&a, NULL, 0);
    place(&a, e);
    size_t n = (size_t)e->scheduler.limits.max_items;
    return arena_needed(&a) + n * (answers_of(e) + regions_of(e)) * sizeof(float);
}

enum err fusion_step_create(struct fusion_step **out, struct engine *e, int thread)
{
    struct arena a;
    void *block;
    *out = NULL;
    arena_init(&a, NULL, 0);
    place(&a, e);
    enum err rc = mem_alloc(&block, arena_needed(&a));
    if (rc) {
        return rc;
    }
    arena_init(&a, block, arena_needed(&a));
    struct fusion_step *f = place(&a, e);
    f->engine = e;
    f->thread = thread;
    rc = pages_init(&f->scores_pages, (size_t)f->max_items, answers_of(e) * sizeof(float));
    rc = rc ? rc : pages_init(&f->attention_pages, (size_t)f->max_items, regions_of(e) * sizeof(float));
    if (rc) {
        fusion_step_destroy(f);
        return rc;
    }
    f->scores = f->scores_pages.block;
    f->attention = f->attention_pages.block;
    *out = f;
    return OK;
}

void fusion_step_destroy(struct fusion_step *f)
{
    if (f) {
        pages_release(&f->attention_pages);
        pages_release(&f->scores_pages);
        mem_free(f);
    }
}

/* ---- gather ---- */

static void add(struct fusion_step *f, struct job_private *j, struct caption_slot *slot, int rows, int n_items,
                struct batcher_view *v)
{
    int i = f->n_candidates++;
    f->candidates[i] = (struct candidate){.job = j, .slot = slot};
    f->sources[i] = (struct batcher_source){.rows = rows,
                                            .n_items = n_items,
                                            .is_caption = j->job->request.task == JOB_CAPTION,
                                            .due_us = j->due_us,
                                            .client = j->job->request.client,
                                            .n_steps = j->slot ? j->slot->steps : 0};
    if (v->items == 0 || j->due_us < v->fusion_due_us) {
        v->fusion_due_us = j->due_us;
        v->fusion_client = j->job->request.client;
        v->fusion_priority = j->job->request.priority;
    }
    v->items += n_items;
    v->rows += rows * n_items;
}

/* Does this client have a place for a caption already, of the large ones if only those count? */
static bool has_slot(const struct fusion_step *f, uint64_t client, bool only_large)
{
    const struct engine *e = f->engine;
    for (int i = 0; i < e->options.max_captions; i++) {
        const struct caption_slot *slot = &e->captions[i];
        if (slot->job && slot->job->job->request.client == client && (slot->is_large || !only_large)) {
            return true;
        }
    }
    for (int i = f->n_running; i < f->n_candidates; i++) {
        const struct candidate *c = &f->candidates[i];
        if (c->slot && c->job->job->request.client == client && (c->slot->is_large || !only_large)) {
            return true;
        }
    }
    return false;
}

static bool is_last_large(const struct caption_slot *slot)
{
    const struct caption_slot *before = TAILQ_PREV(slot, caption_list, link);
    return slot->is_large && !TAILQ_NEXT(slot, link) && !(before && before->is_large);
}

/* The first free slot that is large enough, taken out of the list; small ones stand before large ones there. The last
 * large one, which is the last of all, is for a client that has none: nobody waits for the captions of somebody else to
 * be through. */
static struct caption_slot *pop_slot(const struct fusion_step *f, const struct job_private *j)
{
    const struct engine *e = f->engine;
    struct scheduler *s = &f->engine->scheduler;
    struct caption_slot *slot;
    const struct caption_params *p = &j->caption;
    TAILQ_FOREACH(slot, &s->free_captions, link)
    {
        if (slot->max_beams >= p->num_beams && slot->max_tokens >= p->max_tokens) {
            break;
        }
    }
    bool is_wide = p->num_beams > e->config->caption.num_beams || p->max_tokens > e->config->caption.max_tokens;
    bool is_kept = slot && e->options.max_captions >= KEEPS_ONE && is_last_large(slot);
    if (!slot || (is_kept && has_slot(f, j->job->request.client, is_wide))) {
        return NULL;
    }
    TAILQ_REMOVE(&s->free_captions, slot, link);
    return slot;
}

/* Captions under way in order of due time; alike ones as they wait. */
static void sort_running(struct fusion_step *f)
{
    for (int i = 1; i < f->n_running; i++) {
        struct candidate c = f->candidates[i];
        struct batcher_source source = f->sources[i];
        int k = i;
        for (; k > 0 && f->sources[k - 1].due_us > source.due_us; k--) {
            f->candidates[k] = f->candidates[k - 1];
            f->sources[k] = f->sources[k - 1];
        }
        f->candidates[k] = c;
        f->sources[k] = source;
    }
}

void fusion_step_gather(struct fusion_step *f, struct batcher_view *v)
{
    struct scheduler *s = &f->engine->scheduler;
    struct caption_slot *slot;
    struct job_private *j;
    f->n_candidates = 0;
    TAILQ_FOREACH(slot, &s->captions, link)
    {
        if (s->limits.is_continuous || slot->thread == f->thread) {
            add(f, slot->job, slot, slot->rows, 1, v);
        }
    }
    f->n_running = f->n_candidates;
    sort_running(f);
    v->batch_is_open = !s->limits.is_continuous && f->n_running > 0;
    if (v->batch_is_open) {
        return;
    }
    TAILQ_FOREACH(j, &s->fusion, queue)
    {
        if (f->n_candidates - f->n_running == f->max_items) {
            return;
        }
        slot = NULL;
        if (j->job->request.task == JOB_CAPTION) {
            slot = pop_slot(f, j);
            if (!slot) {
                continue;
            }
        }
        add(f, j, slot, j->item_rows, j->n_items - j->n_taken, v);
    }
}

/* Gives the slots of new captions back that are not used, of candidates `from` on. */
static void return_slots(struct fusion_step *f, bool only_left_out)
{
    struct scheduler *s = &f->engine->scheduler;
    for (int i = f->n_running; i < f->n_candidates; i++) {
        if (f->candidates[i].slot && !(only_left_out && f->take[i] > 0)) {
            scheduler_return_slot(s, f->candidates[i].slot);
        }
    }
}

void fusion_step_drop(struct fusion_step *f)
{
    return_slots(f, false);
    f->n_candidates = 0;
}

/* ---- begin ---- */

static void add_member(struct fusion_step *f, struct job_private *j, int text, int rows, struct caption_slot *slot)
{
    const struct job_request *r = &j->job->request;
    size_t at = (size_t)f->n, room = (size_t)f->engine->config->text.text_length;
    f->members[at] = (struct member){.job = j, .text = text, .rows = rows, .slot = slot};
    f->items[at] = (struct fusion_item){
        .features = j->features,
        .region_attention = r->explain ? f->attention + at * regions_of(f->engine) : NULL,
    };
    if (slot) {
        f->items[at].kind = FUSION_CAPTION;
        f->items[at].caption = slot->state;
    } else {
        f->items[at].kind = r->task == JOB_VQA ? FUSION_VQA : FUSION_RETRIEVE;
        f->items[at].tokens = j->tokens + (size_t)text * room;
        f->items[at].n_tokens = j->n_tokens[text];
        f->items[at].out = f->scores + at * answers_of(f->engine);
    }
    f->n++;
}

static void begin_caption(struct fusion_step *f, struct job_private *j, struct caption_slot *slot)
{
    j->slot = slot;
    slot->job = j;
    slot->thread = f->thread;
    slot->steps = slot->n_told = 0;
}

void fusion_step_begin(struct fusion_step *f, int n_helpers, uint64_t now_us)
{
    struct scheduler *s = &f->engine->scheduler;
    f->n = f->rows = 0;
    batcher_compose(&s->limits, f->sources, f->n_running, f->n_candidates, n_helpers, f->take);
    for (int i = 0; i < f->n_candidates; i++) {
        struct job_private *j = f->candidates[i].job;
        struct caption_slot *slot = f->candidates[i].slot;
        if (f->take[i] == 0) {
            continue;
        }
        if (i < f->n_running) {
            TAILQ_REMOVE(&s->captions, slot, link);
            add_member(f, j, 0, f->sources[i].rows, slot);
        } else {
            if (slot) {
                begin_caption(f, j, slot);
            }
            for (int k = 0; k < f->take[i]; k++) {
                add_member(f, j, j->n_taken + k, f->sources[i].rows, slot);
            }
            scheduler_pop_items(s, j, f->take[i]);
        }
        scheduler_items_begin(s, j, f->take[i], now_us);
        f->rows += f->sources[i].rows * f->take[i];
    }
    return_slots(f, true);
}

/* ---- run ---- */

static void keep_answers(struct fusion_step *f, const struct member *m, const float *scores)
{
    struct job *job = m->job->job;
    size_t top_k = (size_t)job->request.top_k;
    size_t n = topk_select(scores, answers_of(f->engine), top_k, f->keys);
    struct job_answer *to = m->job->answers + (size_t)m->text * top_k;
    for (size_t i = 0; i < n; i++) {
        size_t answer = topk_index(f->keys[i]);
        to[i] =
            (struct job_answer){.answer = model_answer_name(f->engine->model, (int)answer), .score = scores[answer]};
    }
    m->job->n_answers[m->text] = (int)n;
}

static void keep_captions(struct fusion_step *f, const struct member *m)
{
    const struct caption_state *state = m->slot->state;
    struct job_result *r = &m->job->job->result;
    r->n_captions = caption_state_n_results(state);
    for (int i = 0; i < r->n_captions; i++) {
        struct job_caption *c = &m->job->captions[i];
        const int *tokens = caption_state_result(state, i, &c->n_tokens, &c->score);
        wordpiece_decode(model_wordpiece(f->engine->model), tokens, c->n_tokens, c->text, sizeof(c->text));
    }
}

/* Streaming: the text grows by what the last step brought. */
static void tell_tokens(struct fusion_step *f, const struct member *m)
{
    struct job_request *r = &m->job->job->request;
    int n = caption_state_n_tokens(m->slot->state);
    if (!r->on_token || n <= m->slot->n_told || atomic_load(&m->job->is_cancelled)) {
        return;
    }
    int tokens[JOB_MAX_TOKENS];
    char text[JOB_CAPTION_BYTES];
    for (int i = 0; i < n; i++) {
        tokens[i] = caption_state_token(m->slot->state, i);
    }
    m->slot->n_told = n;
    r->on_token(r, text, wordpiece_decode(model_wordpiece(f->engine->model), tokens, n, text, sizeof(text)));
}

/* Weights of a caption are the mean over its steps; all sum to 1. */
static void keep_attention(const struct member *m, const float *attention)
{
    int n = m->job->features->n_regions;
    float *weights = m->job->weights + (size_t)m->text * (size_t)n;
    float sum = 0;
    for (int i = 0; i < n; i++) {
        weights[i] += attention[i];
        sum += weights[i];
    }
    for (int i = 0; m->is_finished && sum > 0 && i < n; i++) {
        weights[i] /= sum;
    }
}

static void keep(struct fusion_step *f, int i)
{
    struct member *m = &f->members[i];
    const struct fusion_item *item = &f->items[i];
    m->is_finished = !m->slot || caption_state_is_done(m->slot->state);
    if (m->slot) {
        tell_tokens(f, m);
        m->slot->steps++;
        if (m->is_finished) {
            keep_captions(f, m);
        } else {
            m->slot->rows = caption_state_rows(m->slot->state, m->job->features);
        }
    } else if (item->kind == FUSION_VQA) {
        keep_answers(f, m, item->out);
    } else {
        m->job->scores[m->text] = item->out[0];
    }
    if (item->region_attention) {
        keep_attention(m, item->region_attention);
    }
}

void fusion_step_run(struct fusion_step *f, struct session *session)
{
    for (int i = 0; i < f->n; i++) {
        struct member *m = &f->members[i];
        if (m->slot && m->slot->steps == 0) {
            caption_state_reset(m->slot->state, &m->job->caption);
        }
    }
    session_fusion_step(session, f->items, f->n, f->errs);
    for (int i = 0; i < f->n; i++) {
        if (!f->errs[i]) {
            keep(f, i);
        }
    }
}

/* ---- end ---- */

/* The member's caption waits for its next step, or its slot is free. */
static void put_back(struct fusion_step *f, struct member *m, enum err rc)
{
    struct scheduler *s = &f->engine->scheduler;
    if (!rc && !m->is_finished) {
        TAILQ_INSERT_TAIL(&s->captions, m->slot, link);
        return;
    }
    if (!rc) {
        forecast_mean_add(&s->forecast.caption_steps, m->slot->steps);
        s->totals.caption_ends++;
        s->totals.caption_tokens += (uint64_t)m->slot->steps;
    }
    scheduler_free_caption(s, m->slot);
}

static void learn(struct scheduler *s, const struct member *m)
{
    uint64_t rows = (uint64_t)m->rows;
    if (!m->slot) {
        forecast_mean_add(&s->forecast.pair_rows, m->rows);
        s->totals.pairs++;
        s->totals.pair_rows += rows;
    } else if (m->slot->steps > 1) { /* the first one has many more */
        forecast_mean_add(&s->forecast.caption_rows, m->rows);
        s->totals.caption_steps += (uint64_t)m->job->caption.num_beams;
        s->totals.caption_rows += rows;
    } else {
        s->totals.captions++;
        s->totals.caption_first_rows += rows;
    }
}

void fusion_step_end(struct fusion_step *f, uint64_t work_us, uint64_t now_us, struct job_list *leaving)
{
    struct scheduler *s = &f->engine->scheduler;
    forecast_add(&s->forecast.fusion, f->rows, (double)work_us);
    s->totals.fusion_rows += (uint64_t)f->rows;
    for (int i = 0; i < f->n; i++) {
        struct member *m = &f->members[i];
        struct job_result *r = &m->job->job->result;
        r->fusion_batch = f->n > r->fusion_batch ? f->n : r->fusion_batch;
        learn(s, m);
        if (f->errs[i]) {
            scheduler_fail(m->job, f->errs[i], "fusion");
        }
        if (m->slot) {
            s->totals.fusion_tokens++;
            put_back(f, m, f->errs[i]);
        }
        scheduler_items_end(s, m->job, 1, !f->errs[i] && m->is_finished, now_us, leaving);
    }
}

int fusion_step_n_items(const struct fusion_step *f)
{
    return f->n;
}
