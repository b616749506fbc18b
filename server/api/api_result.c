#include "engine/answer/answer.h"
#include "server/api/api.h"
#include "server/api/occlusion.h"

/* The name of the picture that this caller sees. */
static struct image_id visible_id(const struct work *w, const struct job *job)
{
    struct image_id id = job->result.id;
    caller_mask_id(&w->caller, id.bytes);
    return id;
}

static struct answer_view view_of(const struct work *w, const struct image_id *id)
{
    const struct input *in = &w->input;
    return (struct answer_view){.id = id,
                                .texts = in->texts,
                                .text_bytes = in->text_bytes,
                                .n_texts = in->n_texts,
                                .has_text_list = in->has_text_list,
                                .with_regions = in->regions || in->explain || in->occlusion,
                                .with_weights = in->explain};
}

/* What a second round needs; without memory for it there is no answer. */
static json_t *keep(struct work *w, const struct job *job, json_t *object)
{
    if (object && w->input.occlusion && !occlusion_keep(w, job)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *api_result_caption(struct work *w, const struct job *job, int index)
{
    const struct image_id id = visible_id(w, job);
    const struct answer_view v = view_of(w, &id);
    (void)index;
    return keep(w, job, answer_caption(&v, job));
}

json_t *api_result_vqa(struct work *w, const struct job *job, int index)
{
    const struct image_id id = visible_id(w, job);
    const struct answer_view v = view_of(w, &id);
    (void)index;
    return keep(w, job, answer_vqa(&v, job));
}

json_t *api_result_retrieve(struct work *w, const struct job *job, int index)
{
    const struct image_id id = visible_id(w, job);
    const struct answer_view v = view_of(w, &id);
    for (int i = 0; i < w->input.n_texts; i++) {
        w->round.scores[index * w->input.n_texts + i] = job->result.scores[i];
    }
    return keep(w, job, answer_retrieve_image(&v, job));
}

json_t *api_result_check(struct work *w, const struct job *job, int index)
{
    const struct gate *g = w->desk->gate;
    const struct job_result *r = &job->result;
    const struct image_id id = visible_id(w, job);
    uint64_t caption_us = gate_forecast_us(g, JOB_CAPTION, 1, 0), vqa_us = gate_forecast_us(g, JOB_VQA, 1, 1);
    json_t *forecast = json_pack("{s:f, s:f, s:f}", "caption", (double)caption_us / 1000, "vqa", (double)vqa_us / 1000,
                                 "retrieve", (double)vqa_us / 1000);
    w->timings.cache = NULL; /* nothing was looked up */
    return json_pack("{s:o, s:s, s:I, s:i, s:b, s:o}", "image", answer_image(&id, r), "format", r->format, "bytes",
                     (json_int_t)w->input.images[index].n_bytes, "orientation", r->orientation, "progressive",
                     r->is_progressive, "forecast_ms", forecast);
}
