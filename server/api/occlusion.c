#include "server/api/occlusion.h"

#include "engine/base/mem.h"

#include <string.h>

struct occlusion {
    unsigned char *blocks;            /* features: all regions, then without the first, without the second, ... */
    const struct features **features; /* [n_regions + 1]: in blocks */
    int n_regions, n_texts;
    const char **answers; /* vqa: [n_texts], borrowed from the model, which w holds */
    char caption[JOB_CAPTION_BYTES];
    json_t *object, *place;
    const char *cache;
};

void occlusion_release(struct work *w)
{
    struct occlusion *o = w->state;
    if (o) {
        json_decref(o->object);
        mem_free(o->blocks);
        mem_free(o->features);
        mem_free(o->answers);
        mem_free(o);
        w->state = NULL;
    }
}

/* Every picture without one of its regions. */
static bool keep_blocks(struct work *w, struct occlusion *o, const struct job_result *r)
{
    const size_t n_bytes = w->service->info.features_bytes, n = (size_t)o->n_regions + 1;
    if (!work_take(w, LEDGER_RESULTS, n_bytes * n) || mem_alloc(&o->blocks, n_bytes * n) ||
        mem_array(&o->features, n, sizeof(*o->features))) {
        return false;
    }
    memcpy(o->blocks, r->features, n_bytes);
    for (size_t i = 0; i < n; i++) {
        void *block = o->blocks + n_bytes * i;
        o->features[i] = block;
        if (i > 0) {
            engine_leave_out(w->service->engine, r->features, (int)i - 1, block);
        }
    }
    return true;
}

bool occlusion_keep(struct work *w, const struct job *job)
{
    const struct job_result *r = &job->result;
    struct occlusion *o;
    if (mem_alloc(&o, sizeof(*o))) {
        return false;
    }
    w->state = o;
    o->n_regions = r->n_regions;
    o->n_texts = w->kind->task == JOB_CAPTION ? 1 : w->input.n_texts;
    if (!keep_blocks(w, o, r) || mem_array(&o->answers, (size_t)o->n_texts, sizeof(*o->answers))) {
        return false;
    }
    for (int t = 0; w->kind->task == JOB_VQA && t < o->n_texts; t++) {
        o->answers[t] = r->answers[t * job->request.top_k].answer;
    }
    if (w->kind->task == JOB_CAPTION) {
        memcpy(o->caption, r->captions[0].text, sizeof(o->caption));
    }
    return true;
}

/* The scores of the answers first given; an answer no longer among the best has at most the last one's score. */
static json_t *item(struct work *w, const struct job *job, int index)
{
    const struct occlusion *o = w->state;
    const struct job_result *r = &job->result;
    for (int t = 0; t < o->n_texts; t++) {
        const struct job_answer *a = r->answers + t * job->request.top_k;
        int i = 0;
        while (i < r->n_answers[t] - 1 && strcmp(a[i].answer, o->answers[t]) != 0) {
            i++;
        }
        w->round.scores[index * o->n_texts + t] = a[i].score;
    }
    return json_null();
}

static json_t *weights(const struct work *w, int text)
{
    const struct occlusion *o = w->state;
    json_t *list = json_array();
    for (int i = 0; i < o->n_regions; i++) {
        float without = w->round.scores[(i + 1) * o->n_texts + text];
        json_array_append_new(list, json_real((double)(w->round.scores[text] - without)));
    }
    return list;
}

static json_t *explanation(const struct work *w, json_t *region_weights)
{
    const struct occlusion *o = w->state;
    json_t *explain = json_pack("{s:s, s:o}", "method", "occlusion", "region_weights", region_weights);
    if (explain && o->caption[0]) {
        json_object_set_new(explain, "match", json_real((double)w->round.scores[0]));
    }
    return explain;
}

static void answer_fault(struct work *w, enum fault f)
{
    if (f == FAULT_OVERLOADED || f == FAULT_DRAINING) {
        reply_retry(w->x, f, 1000000, "the image could not be asked again for each region; send it again");
    } else if (f == FAULT_DEADLINE) {
        reply_error(w->x, f, NULL,
                    "the deadline passed before every region had been left out once; allow more (timeout_ms)");
    } else {
        reply_error(w->x, FAULT_INTERNAL, NULL, "internal error");
    }
    work_finish(w);
}

static void done(struct work *w)
{
    struct occlusion *o = w->state;
    json_t *results = json_object_get(o->place, "results");
    enum fault f = work_round_fault(w);
    w->timings.cache = o->cache;
    if (f != FAULT_COUNT) {
        answer_fault(w, f);
        return;
    }
    if (w->kind->task == JOB_RETRIEVE) {
        json_t *all = json_array();
        for (int t = 0; t < o->n_texts; t++) {
            json_array_append_new(all, weights(w, t));
        }
        json_object_set_new(o->place, "explain", explanation(w, all));
    } else {
        for (int t = 0; t < o->n_texts; t++) {
            json_t *at = results ? json_array_get(results, (size_t)t) : o->place;
            json_object_set_new(at, "explain", explanation(w, weights(w, t)));
        }
    }
    work_answer(w, 200, json_incref(o->object));
}

void occlusion_begin(struct work *w, json_t *object, json_t *place)
{
    struct occlusion *o = w->state;
    struct input_fault fault;
    bool is_caption = w->kind->task == JOB_CAPTION;
    o->object = object;
    o->place = place;
    o->cache = w->timings.cache;
    if (o->n_regions == 0 || (is_caption && !o->caption[0])) {
        work_answer(w, 200, json_incref(object));
        return;
    }
    w->input.explain = false;
    w->input.top_k = JOB_MAX_TOP_K;
    if (is_caption && !input_add_text(&w->input, "caption", o->caption, strlen(o->caption), &fault)) {
        reply_error(w->x, fault.fault, "explain", "%s", fault.text.text);
        work_finish(w);
        return;
    }
    bool is_vqa = w->kind->task == JOB_VQA;
    work_round_features(w, is_vqa ? JOB_VQA : JOB_RETRIEVE, o->n_regions + 1, o->features, is_vqa ? item : NULL, done);
}
