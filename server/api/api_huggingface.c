/* Hugging Face's inference shapes: image-to-text, object-detection and visual-question-answering
 * (input/input_huggingface.c reads them). */
#include "engine/answer/answer.h"
#include "server/api/api.h"

#include <math.h>
#include <string.h>

#define TASKS "image-to-text, object-detection and visual-question-answering"

static void done(struct work *w)
{
    if (api_predict_fault(w)) {
        return;
    }
    const json_t *item = w->round.items[0];
    json_t *list = w->kind->task == JOB_CAPTION
                       ? json_pack("[{s:O}]", "generated_text", json_object_get(item, "caption"))
                       : json_incref(json_object_get(item, "answers"));
    api_predict_headers(w);
    work_answer(w, 200, list);
}

static void begin(struct work *w)
{
    bool is_caption = w->kind->task == JOB_CAPTION;
    api_predict_bound_tokens(w);
    work_round_begin(w, w->kind->task, 1, is_caption ? api_result_caption : api_result_vqa, done);
}

static void detected(struct work *w)
{
    if (api_predict_fault(w)) {
        return;
    }
    size_t i;
    json_t *list = json_array();
    const json_t *region;
    json_array_foreach(json_object_get(w->round.items[0], "regions"), i, region)
    {
        const json_t *box = json_object_get(region, "box");
        json_t *score = json_object_get(region, "score");
        long long at[4];
        for (size_t k = 0; k < 4; k++) {
            at[k] = llround(json_real_value(json_array_get(box, k)));
        }
        if (!(json_real_value(score) < (double)w->input.wish.threshold)) {
            json_array_append_new(list,
                                  json_pack("{s:O, s:O, s:{s:I, s:I, s:I, s:I}}", "score", score, "label",
                                            json_object_get(region, "label"), "box", "xmin", (json_int_t)at[0], "ymin",
                                            (json_int_t)at[1], "xmax", (json_int_t)at[2], "ymax", (json_int_t)at[3]));
        }
    }
    api_predict_headers(w);
    work_answer(w, 200, list);
}

/* The regions of a caption of one word: nobody reads it. */
static void begin_detection(struct work *w)
{
    struct input *in = &w->input;
    if (in->route == INPUT_VQA || in->num_beams || in->max_tokens || !isnan(in->length_penalty)) {
        reply_error(
            w->x, FAULT_BAD_REQUEST, NULL,
            "object-detection takes no question, and of parameters threshold, tolerate_truncated and timeout_ms");
        work_finish(w);
        return;
    }
    in->regions = true;
    in->num_beams = 1;
    in->max_tokens = 1;
    work_round_begin(w, JOB_CAPTION, 1, api_result_caption, detected);
}

static const struct work_kind detection = {INPUT_CAPTION, JOB_CAPTION, begin_detection, .dialect = INPUT_HUGGINGFACE};
static const struct work_kind vqa = {INPUT_VQA, JOB_VQA, begin, .dialect = INPUT_HUGGINGFACE};

static const struct work_kind *refine(const struct input *in)
{
    static const struct work_kind caption = {INPUT_CAPTION, JOB_CAPTION, begin, .dialect = INPUT_HUGGINGFACE};
    return in->route == INPUT_VQA ? &vqa : isnan(in->wish.threshold) ? &caption : &detection;
}

void api_huggingface(struct api *a, struct exchange *x)
{
    static const struct work_kind either = {INPUT_CAPTION, JOB_CAPTION, begin, .dialect = INPUT_HUGGINGFACE,
                                            .refine = refine};
    (void)a;
    work_run(x->work, &either);
}

void api_huggingface_task(struct api *a, struct exchange *x)
{
    const char *task = x->path + strlen("/pipeline/");
    if (strcmp(task, "image-to-text") == 0) {
        api_huggingface(a, x);
    } else if (strcmp(task, "object-detection") == 0) {
        work_run(x->work, &detection);
    } else if (strcmp(task, "visual-question-answering") == 0) {
        work_run(x->work, &vqa);
    } else {
        reply_error(x, FAULT_NOT_FOUND, NULL, "no task \"%.64s\"; this service has " TASKS, task);
        work_finish(x->work);
    }
}
