/* OpenAI's chat completions and list of models (input/input_openai.c reads the conversation). */
#include "engine/answer/answer.h"
#include "engine/answer/answer_dump.h"
#include "engine/base/clock.h"
#include "server/api/api.h"

#include <string.h>
#include <time.h>

enum { STREAM_BYTES = 1 << 20 };

/* ---- the answer ---- */

/* {"text", "prompt_tokens", "completion_tokens"}: regions of the picture are what the model reads of it. */
static json_t *item(struct work *w, const struct job *job, int index)
{
    const struct job_result *r = &job->result;
    bool is_caption = w->kind->task == JOB_CAPTION;
    const char *text = !is_caption ? r->answers[0].answer : r->n_captions ? r->captions[0].text : "";
    (void)index;
    return json_pack("{s:o, s:i, s:i}", "text", answer_text(text, strlen(text)), "prompt_tokens", r->n_regions,
                     "completion_tokens", is_caption && r->n_captions ? r->captions[0].n_tokens : 1);
}

static const char *finish_reason(const struct work *w)
{
    json_int_t n = json_integer_value(json_object_get(w->round.items[0], "completion_tokens"));
    return w->kind->task == JOB_CAPTION && w->input.max_tokens && n >= w->input.max_tokens ? "length" : "stop";
}

static json_t *usage(const struct work *w)
{
    json_int_t read = json_integer_value(json_object_get(w->round.items[0], "prompt_tokens"));
    json_int_t written = json_integer_value(json_object_get(w->round.items[0], "completion_tokens"));
    return json_pack("{s:I, s:I, s:I}", "prompt_tokens", read, "completion_tokens", written, "total_tokens",
                     read + written);
}

/* What every piece of an answer has. Takes the choices. */
static json_t *envelope(const struct work *w, const char *kind, json_t *choices)
{
    return json_pack("{s:o, s:s, s:I, s:o, s:o, s:n}", "id", json_sprintf("chatcmpl-%s", w->x->request_id), "object",
                     kind, "created", (json_int_t)time(NULL), "model", answer_model(&w->service->info), "choices",
                     choices, "system_fingerprint");
}

static void answer_whole(struct work *w)
{
    json_t *choice =
        json_pack("{s:i, s:{s:s, s:O, s:n}, s:n, s:s}", "index", 0, "message", "role", "assistant", "content",
                  json_object_get(w->round.items[0], "text"), "refusal", "logprobs", "finish_reason", finish_reason(w));
    json_t *object = choice ? envelope(w, "chat.completion", json_pack("[o]", choice)) : NULL;
    if (object) {
        json_object_set_new(object, "usage", usage(w));
    }
    answer_add_warnings(object, w->round.warnings);
    work_answer(w, 200, object);
}

/* ---- the same in pieces ---- */

static void add_event(struct buf *b, json_t *object)
{
    buf_text(b, "data: ");
    answer_dump(object, b);
    buf_text(b, "\n\n");
    b->err = object ? b->err : ERR_NOMEM;
    json_decref(object);
}

static void add_piece(const struct work *w, struct buf *b, json_t *delta, const char *reason)
{
    json_t *choice =
        json_pack("{s:i, s:o, s:n, s:s?}", "index", 0, "delta", delta, "logprobs", "finish_reason", reason);
    json_t *object = choice ? envelope(w, "chat.completion.chunk", json_pack("[o]", choice)) : NULL;
    if (object && w->input.wish.usage) {
        json_object_set_new(object, "usage", json_null());
    }
    add_event(b, object);
}

/* The answer is whole within milliseconds, and the search for a good caption ends with its last word: the pieces are
 * cut from the same text that is sent without `stream`. */
static void answer_in_pieces(struct work *w)
{
    struct buf b;
    const char *at = json_string_value(json_object_get(w->round.items[0], "text"));
    buf_init(&b, STREAM_BYTES);
    add_piece(w, &b, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL);
    while (at && *at) {
        size_t n = strspn(at, " ");
        n += strcspn(at + n, " ");
        add_piece(w, &b, json_pack("{s:s#}", "content", at, (int)n), NULL);
        at += n;
    }
    add_piece(w, &b, json_object(), finish_reason(w));
    if (w->input.wish.usage) {
        json_t *object = envelope(w, "chat.completion.chunk", json_array());
        if (object) {
            json_object_set_new(object, "usage", usage(w));
        }
        add_event(&b, object);
    }
    buf_text(&b, "data: [DONE]\n\n");
    exchange_out(w->x, "Cache-Control", "no-cache");
    work_answer_text(w, "text/event-stream", &b);
}

/* ---- the kind ---- */

static void done(struct work *w)
{
    if (api_predict_fault(w)) {
        return;
    }
    api_predict_headers(w);
    if (w->input.stream) {
        answer_in_pieces(w);
    } else {
        answer_whole(w);
    }
}

static void begin(struct work *w)
{
    api_predict_bound_tokens(w);
    work_round_begin(w, w->kind->task, 1, item, done);
}

static const struct work_kind *refine(const struct input *in)
{
    static const struct work_kind caption = {INPUT_CAPTION, JOB_CAPTION, begin, .dialect = INPUT_OPENAI};
    static const struct work_kind vqa = {INPUT_VQA, JOB_VQA, begin, .dialect = INPUT_OPENAI};
    return in->route == INPUT_VQA ? &vqa : &caption;
}

void api_openai_chat(struct api *a, struct exchange *x)
{
    static const struct work_kind kind = {INPUT_CAPTION, JOB_CAPTION, begin, .dialect = INPUT_OPENAI, .refine = refine};
    (void)a;
    work_run(x->work, &kind);
}

/* ---- models ---- */

static json_t *model_object(const struct service *s)
{
    json_int_t age = (json_int_t)((clock_us() - s->loaded_us) / 1000000);
    return json_pack("{s:o, s:s, s:I, s:s}", "id", answer_model(&s->info), "object", "model", "created",
                     (json_int_t)time(NULL) - age, "owned_by", "minivlm");
}

static const struct service *serving(const struct api *a, struct exchange *x)
{
    const struct service *s = services_current(a->desk.services);
    if (!s) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "the model is being loaded; see /startupz");
    }
    return s;
}

void api_openai_models(struct api *a, struct exchange *x)
{
    const struct service *s = serving(a, x);
    if (s) {
        reply_json(x, 200, json_pack("{s:s, s:[o]}", "object", "list", "data", model_object(s)));
    }
}

void api_openai_model(struct api *a, struct exchange *x)
{
    const struct service *s = serving(a, x);
    if (!s) {
        return;
    }
    const char *asked = x->path + strlen("/v1/models/");
    json_t *object = model_object(s);
    const char *id = json_string_value(json_object_get(object, "id"));
    if (id && strcmp(asked, id) != 0 && strcmp(asked, s->info.model_name) != 0) {
        reply_error(x, FAULT_NOT_FOUND, "model", "no model \"%.64s\"; this service has %s", asked, id);
        json_decref(object);
    } else {
        reply_json(x, 200, object);
    }
}
