#include "server/api/occlusion.h"

#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>

struct occlusion {
    unsigned char *blocks; /* features: all regions, then without the first, without the second, ... */
    int n_regions, n_texts;
    const char **answers; /* vqa: [n_texts], borrowed from the model */
    char caption[JOB_CAPTION_BYTES];
    json_t *object, *place;
    const char *cache;
};

static void destroy(struct occlusion *o)
{
    if (o) {
        json_decref(o->object);
        mem_free(o->blocks);
        mem_free(o->answers);
        mem_free(o);
    }
}

static void release(struct predict *p)
{
    destroy(p->user);
}

bool occlusion_keep(struct predict *p, const struct job *job)
{
    const struct job_result *r = &job->result;
    const size_t n_bytes = p->service->info.features_bytes;
    struct occlusion *o;
    if (mem_alloc(&o, sizeof(*o))) {
        return false;
    }
    p->user = o;
    p->release = release;
    o->n_regions = r->n_regions;
    o->n_texts = p->task == JOB_CAPTION ? 1 : p->input.n_texts;
    if (mem_alloc(&o->blocks, n_bytes * (size_t)(r->n_regions + 1)) ||
        mem_array(&o->answers, (size_t)o->n_texts, sizeof(*o->answers))) {
        return false;
    }
    memcpy(o->blocks, r->features, n_bytes);
    for (int i = 0; i < r->n_regions; i++) {
        void *out = o->blocks + n_bytes * (size_t)(i + 1);
        engine_leave_out(p->service->engine, r->features, i, out);
    }
    for (int t = 0; p->task == JOB_VQA && t < o->n_texts; t++) {
        o->answers[t] = r->answers[t * job->request.top_k].answer;
    }
    if (p->task == JOB_CAPTION) {
        memcpy(o->caption, r->captions[0].text, sizeof(o->caption));
    }
    return true;
}

/* The scores of the answers first given; an answer no longer among the best has at most the last one's score. */
static json_t *take_scores(struct predict *p, const struct job *job, int index)
{
    const struct occlusion *o = p->user;
    const struct job_result *r = &job->result;
    for (int t = 0; t < o->n_texts; t++) {
        const struct job_answer *a = r->answers + t * job->request.top_k;
        int i = 0;
        while (i < r->n_answers[t] - 1 && strcmp(a[i].answer, o->answers[t]) != 0) {
            i++;
        }
        p->scores[index * o->n_texts + t] = a[i].score;
    }
    return json_null();
}

static json_t *weights(const struct predict *p, int text)
{
    const struct occlusion *o = p->user;
    json_t *list = json_array();
    for (int i = 0; i < o->n_regions; i++) {
        float without = p->scores[(i + 1) * o->n_texts + text];
        json_array_append_new(list, json_real((double)(p->scores[text] - without)));
    }
    return list;
}

static json_t *explanation(const struct predict *p, json_t *region_weights)
{
    const struct occlusion *o = p->user;
    json_t *explain = json_pack("{s:s, s:o}", "method", "occlusion", "region_weights", region_weights);
    if (explain && o->caption[0]) {
        json_object_set_new(explain, "match", json_real((double)p->scores[0]));
    }
    return explain;
}

static void finish(struct predict *p)
{
    struct occlusion *o = p->user;
    json_t *results = json_object_get(o->place, "results");
    p->x->cache = o->cache;
    for (int i = 0; i < p->n_items; i++) {
        if (p->has_failed[i]) {
            reply_error(p->x, FAULT_INTERNAL, NULL, "internal error");
            return;
        }
    }
    if (p->task == JOB_RETRIEVE && !o->caption[0]) {
        json_t *all = json_array();
        for (int t = 0; t < o->n_texts; t++) {
            json_array_append_new(all, weights(p, t));
        }
        json_object_set_new(o->place, "explain", explanation(p, all));
    } else {
        for (int t = 0; t < o->n_texts; t++) {
            json_t *at = results ? json_array_get(results, (size_t)t) : o->place;
            json_object_set_new(at, "explain", explanation(p, weights(p, t)));
        }
    }
    reply_json(p->x, 200, json_incref(o->object));
}

/* The input goes on to the second round; a caption becomes its text. */
static bool hand_over_input(struct predict *p, struct occlusion *o, struct input *in, struct input_fault *fault)
{
    *in = p->input;
    p->input = (struct input){.route = in->route};
    in->explain = in->occlusion = false;
    in->top_k = JOB_MAX_TOP_K;
    return p->task != JOB_CAPTION || input_add_text(in, "caption", o->caption, strlen(o->caption), fault);
}

void occlusion_begin(struct predict *p, json_t *object, json_t *place)
{
    struct occlusion *o = p->user;
    struct exchange *x = p->x;
    struct input in;
    struct input_fault fault;
    o->object = object;
    o->place = place;
    o->cache = x->cache;
    if (o->n_regions == 0 || (p->task == JOB_CAPTION && !o->caption[0])) {
        reply_json(x, 200, json_incref(object));
        return;
    }
    if (!hand_over_input(p, o, &in, &fault)) {
        reply_error(x, fault.fault, "explain", "%s", fault.text.text);
        input_release(&in);
        return;
    }
    struct predict *next = predict_follow(p, &in, p->task == JOB_VQA ? JOB_VQA : JOB_RETRIEVE, o->n_regions + 1);
    if (!next) {
        return; /* it has answered */
    }
    p->user = NULL;
    next->user = o;
    next->release = release;
    next->item = next->task == JOB_VQA ? take_scores : NULL;
    next->finish = finish;
    if (mem_array(&next->features, (size_t)next->n_items, sizeof(*next->features))) {
        predict_destroy(next);
        reply_error(x, FAULT_INTERNAL, NULL, "out of memory");
        return;
    }
    for (int i = 0; i < next->n_items; i++) {
        const void *block = o->blocks + p->service->info.features_bytes * (size_t)i;
        next->features[i] = block;
    }
    predict_begin(next);
}
