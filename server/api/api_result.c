#include "server/work/predict.h"

#include "engine/base/sha256.h"
#include "server/api/occlusion.h"

json_t *api_result_model(const struct service *s)
{
    return json_sprintf("%s-%s", s->info.model_name, s->info.model_version);
}

json_t *api_result_image(const struct exchange *x, const struct job_result *r)
{
    char id[SHA256_HEX];
    struct image_id visible = r->id;
    json_t *warnings = json_array();
    exchange_mask_id(x, visible.bytes);
    sha256_hex(visible.bytes, id);
    for (int bit = 0; bit < 32; bit++) {
        if ((r->warnings >> bit & 1) && job_warning_text(bit)) {
            json_array_append_new(warnings, json_string(job_warning_text(bit)));
        }
    }
    return json_pack("{s:s, s:i, s:i, s:o}", "id", id, "width", r->width, "height", r->height, "warnings", warnings);
}

/* Pixels with two decimals. */
static double pixel(float x)
{
    return (double)(long long)((double)x * 100.0 + (x < 0 ? -0.5 : 0.5)) / 100.0;
}

json_t *api_result_regions(const struct job_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_regions; i++) {
        const struct job_region *g = &r->regions[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:f, s:[f, f, f, f]}", "label", g->label, "score", (double)g->score,
                                        "box", pixel(g->box[0]), pixel(g->box[1]), pixel(g->box[2]), pixel(g->box[3])));
    }
    return list;
}

static json_t *weights(const struct job_result *r, int text)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_regions; i++) {
        json_array_append_new(list, json_real((double)r->region_weights[text * r->n_regions + i]));
    }
    return list;
}

/* What a second round needs; without memory for it there is no answer. */
static json_t *keep(struct predict *p, const struct job *job, json_t *object)
{
    if (object && p->input.occlusion && !occlusion_keep(p, job)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static void add_common(struct predict *p, json_t *object, const struct job_result *r)
{
    if (p->input.regions || p->input.explain || p->input.occlusion) {
        json_object_set_new(object, "regions", api_result_regions(r));
    }
    json_object_set_new(object, "image", api_result_image(p->x, r));
}

json_t *api_result_caption(struct predict *p, const struct job *job, int index)
{
    const struct job_result *r = &job->result;
    json_t *captions = json_array();
    int n_tokens = 0;
    (void)index;
    for (int i = 0; i < r->n_captions; i++) {
        json_array_append_new(
            captions, json_pack("{s:s, s:f}", "text", r->captions[i].text, "score", (double)r->captions[i].score));
        n_tokens += r->captions[i].n_tokens;
    }
    json_t *object = json_pack("{s:s, s:f, s:o}", "caption", r->n_captions ? r->captions[0].text : "", "score",
                               r->n_captions ? (double)r->captions[0].score : 0.0, "captions", captions);
    if (!object) {
        return NULL;
    }
    if (p->input.explain && r->region_weights) {
        json_object_set_new(object, "explain",
                            json_pack("{s:s, s:o}", "method", "attention", "region_weights", weights(r, 0)));
    }
    add_common(p, object, r);
    json_object_set_new(object, "usage", json_pack("{s:i, s:i}", "regions", r->n_regions, "tokens", n_tokens));
    return keep(p, job, object);
}

static json_t *answer(struct predict *p, const struct job *job, int text)
{
    const struct job_result *r = &job->result;
    const struct job_answer *found = r->answers + text * job->request.top_k;
    json_t *list = json_array();
    for (int i = 0; i < r->n_answers[text]; i++) {
        json_array_append_new(list,
                              json_pack("{s:s, s:f}", "answer", found[i].answer, "score", (double)found[i].score));
    }
    json_t *object =
        json_pack("{s:s#, s:s, s:f, s:o}", "question", p->input.texts[text], (int)p->input.text_bytes[text], "answer",
                  found[0].answer, "score", (double)found[0].score, "answers", list);
    if (object && p->input.explain && r->region_weights) {
        json_object_set_new(object, "explain",
                            json_pack("{s:s, s:o}", "method", "attention", "region_weights", weights(r, text)));
    }
    return object;
}

json_t *api_result_vqa(struct predict *p, const struct job *job, int index)
{
    json_t *object;
    (void)index;
    if (p->input.n_texts == 1 && !p->input.has_text_list) {
        object = answer(p, job, 0);
    } else {
        json_t *list = json_array();
        for (int i = 0; i < p->input.n_texts; i++) {
            json_array_append_new(list, answer(p, job, i));
        }
        object = json_pack("{s:o}", "results", list);
    }
    if (object) {
        add_common(p, object, &job->result);
    }
    return keep(p, job, object);
}

json_t *api_result_retrieve(struct predict *p, const struct job *job, int index)
{
    const struct job_result *r = &job->result;
    for (int i = 0; i < p->input.n_texts; i++) {
        p->scores[index * p->input.n_texts + i] = r->scores[i];
    }
    json_t *object = api_result_image(p->x, r);
    if (object && (p->input.regions || p->input.explain || p->input.occlusion)) {
        json_object_set_new(object, "regions", api_result_regions(r));
    }
    if (object && p->input.explain && r->region_weights) {
        json_t *list = json_array();
        for (int i = 0; i < p->input.n_texts; i++) {
            json_array_append_new(list, weights(r, i));
        }
        json_object_set_new(object, "explain", json_pack("{s:s, s:o}", "method", "attention", "region_weights", list));
    }
    return keep(p, job, object);
}

json_t *api_result_check(struct predict *p, const struct job *job, int index)
{
    struct engine *e = p->service->engine;
    const struct job_result *r = &job->result;
    uint64_t caption_us = engine_forecast(e, JOB_CAPTION, false, 0), vqa_us = engine_forecast(e, JOB_VQA, false, 1);
    json_t *forecast = json_pack("{s:f, s:f, s:f}", "caption", (double)caption_us / 1000, "vqa", (double)vqa_us / 1000,
                                 "retrieve", (double)vqa_us / 1000);
    p->x->cache = NULL; /* nothing was looked up */
    return json_pack("{s:o, s:s, s:I, s:i, s:b, s:o}", "image", api_result_image(p->x, r), "format", r->format, "bytes",
                     (json_int_t)p->input.images[index].n_bytes, "orientation", r->orientation, "progressive",
                     r->is_progressive, "forecast_ms", forecast);
}
