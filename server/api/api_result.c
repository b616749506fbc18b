#include "engine/base/sha256.h"
#include "server/api/api.h"
#include "server/api/occlusion.h"

json_t *api_result_model(const struct service *s)
{
    return json_sprintf("%s-%s", s->info.model_name, s->info.model_version);
}

json_t *api_result_image(const struct caller *c, const struct job_result *r)
{
    char id[SHA256_HEX];
    struct image_id visible = r->id;
    json_t *warnings = json_array();
    caller_mask_id(c, visible.bytes);
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
static json_t *keep(struct work *w, const struct job *job, json_t *object)
{
    if (object && w->input.occlusion && !occlusion_keep(w, job)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static void add_common(struct work *w, json_t *object, const struct job_result *r)
{
    if (w->input.regions || w->input.explain || w->input.occlusion) {
        json_object_set_new(object, "regions", api_result_regions(r));
    }
    json_object_set_new(object, "image", api_result_image(&w->caller, r));
}

json_t *api_result_caption(struct work *w, const struct job *job, int index)
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
    if (w->input.explain && r->region_weights) {
        json_object_set_new(object, "explain",
                            json_pack("{s:s, s:o}", "method", "attention", "region_weights", weights(r, 0)));
    }
    add_common(w, object, r);
    json_object_set_new(object, "usage", json_pack("{s:i, s:i}", "regions", r->n_regions, "tokens", n_tokens));
    return keep(w, job, object);
}

static json_t *answer(struct work *w, const struct job *job, int text)
{
    const struct job_result *r = &job->result;
    const struct job_answer *found = r->answers + text * job->request.top_k;
    json_t *list = json_array();
    for (int i = 0; i < r->n_answers[text]; i++) {
        json_array_append_new(list,
                              json_pack("{s:s, s:f}", "answer", found[i].answer, "score", (double)found[i].score));
    }
    json_t *object =
        json_pack("{s:s#, s:s, s:f, s:o}", "question", w->input.texts[text], (int)w->input.text_bytes[text], "answer",
                  found[0].answer, "score", (double)found[0].score, "answers", list);
    if (object && w->input.explain && r->region_weights) {
        json_object_set_new(object, "explain",
                            json_pack("{s:s, s:o}", "method", "attention", "region_weights", weights(r, text)));
    }
    return object;
}

json_t *api_result_vqa(struct work *w, const struct job *job, int index)
{
    json_t *object;
    (void)index;
    if (w->input.n_texts == 1 && !w->input.has_text_list) {
        object = answer(w, job, 0);
    } else {
        json_t *list = json_array();
        for (int i = 0; i < w->input.n_texts; i++) {
            json_array_append_new(list, answer(w, job, i));
        }
        object = json_pack("{s:o}", "results", list);
    }
    if (object) {
        add_common(w, object, &job->result);
    }
    return keep(w, job, object);
}

json_t *api_result_retrieve(struct work *w, const struct job *job, int index)
{
    const struct job_result *r = &job->result;
    for (int i = 0; i < w->input.n_texts; i++) {
        w->round.scores[index * w->input.n_texts + i] = r->scores[i];
    }
    json_t *object = api_result_image(&w->caller, r);
    if (object && (w->input.regions || w->input.explain || w->input.occlusion)) {
        json_object_set_new(object, "regions", api_result_regions(r));
    }
    if (object && w->input.explain && r->region_weights) {
        json_t *list = json_array();
        for (int i = 0; i < w->input.n_texts; i++) {
            json_array_append_new(list, weights(r, i));
        }
        json_object_set_new(object, "explain", json_pack("{s:s, s:o}", "method", "attention", "region_weights", list));
    }
    return keep(w, job, object);
}

json_t *api_result_check(struct work *w, const struct job *job, int index)
{
    const struct gate *g = w->desk->gate;
    const struct job_result *r = &job->result;
    uint64_t caption_us = gate_forecast_us(g, JOB_CAPTION, 1, 0), vqa_us = gate_forecast_us(g, JOB_VQA, 1, 1);
    json_t *forecast = json_pack("{s:f, s:f, s:f}", "caption", (double)caption_us / 1000, "vqa", (double)vqa_us / 1000,
                                 "retrieve", (double)vqa_us / 1000);
    w->timings.cache = NULL; /* nothing was looked up */
    return json_pack("{s:o, s:s, s:I, s:i, s:b, s:o}", "image", api_result_image(&w->caller, r), "format", r->format,
                     "bytes", (json_int_t)w->input.images[index].n_bytes, "orientation", r->orientation, "progressive",
                     r->is_progressive, "forecast_ms", forecast);
}
