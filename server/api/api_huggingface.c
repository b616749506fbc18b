/* Hugging Face's inference shapes: image-to-text and visual-question-answering (input/input_huggingface.c reads
 * them). */
#include "engine/answer/answer.h"
#include "server/api/api.h"

#include <string.h>

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

static const struct work_kind vqa = {INPUT_VQA, JOB_VQA, begin, .dialect = INPUT_HUGGINGFACE};

static const struct work_kind *refine(const struct input *in)
{
    static const struct work_kind caption = {INPUT_CAPTION, JOB_CAPTION, begin, .dialect = INPUT_HUGGINGFACE};
    return in->route == INPUT_VQA ? &vqa : &caption;
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
    } else if (strcmp(task, "visual-question-answering") == 0) {
        work_run(x->work, &vqa);
    } else {
        reply_error(x, FAULT_NOT_FOUND, NULL,
                    "no task \"%.64s\"; this service has image-to-text and visual-question-answering", task);
        work_finish(x->work);
    }
}
