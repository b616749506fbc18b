/* The Open Inference Protocol, version 2, as KServe and Triton speak it, with tensors in JSON or as bytes after it
 * (input/input_kserve.c reads them). Each task is a model; its version is that of the weights. */
#include "engine/answer/answer.h"
#include "engine/answer/answer_dump.h"
#include "engine/base/version.h"
#include "server/api/api.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT_MAX = 64, BINARY_BYTES = 1 << 20 };

static void begin(struct work *w);

static const struct model {
    const char *name, *text_input, *text_output; /* NULL: none */
    struct work_kind kind;
} models[] = {
    {"caption", NULL, "caption", {INPUT_CAPTION, JOB_CAPTION, begin, .dialect = INPUT_KSERVE}},
    {"vqa", "question", "answer", {INPUT_VQA, JOB_VQA, begin, .dialect = INPUT_KSERVE}},
    {"retrieve", "text", NULL, {INPUT_RETRIEVE, JOB_RETRIEVE, begin, .dialect = INPUT_KSERVE}},
};
enum { N_MODELS = sizeof(models) / sizeof(models[0]) };

/* ---- tensors ---- */

static const struct model *model_of(const struct work *w)
{
    for (int i = 0; i < N_MODELS - 1; i++) {
        if (w->kind == &models[i].kind) {
            return &models[i];
        }
    }
    return &models[N_MODELS - 1];
}

static int n_columns(const struct work *w)
{
    return w->input.n_texts > 0 ? w->input.n_texts : 1;
}

/* The part of the round's result for image i and text t: has the text output and "score". NULL: of a retrieval. */
static const json_t *cell(const struct work *w, int i, int t)
{
    const json_t *item = w->round.items[i], *results = json_object_get(item, "results");
    return results ? json_array_get(results, (size_t)t) : item;
}

static const char *text_of(const struct work *w, int i, int t)
{
    const char *text = json_string_value(json_object_get(cell(w, i, t), model_of(w)->text_output));
    return text ? text : "";
}

static float score_of(const struct work *w, int i, int t)
{
    return w->kind->task == JOB_RETRIEVE ? w->round.scores[i * n_columns(w) + t]
                                         : (float)json_real_value(json_object_get(cell(w, i, t), "score"));
}

static void append_number(struct buf *b, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    buf_append(b, bytes, sizeof(bytes));
}

static void append_bytes(const struct work *w, bool is_text, struct buf *b)
{
    for (int i = 0; i < w->round.n_items; i++) {
        for (int t = 0; t < n_columns(w); t++) {
            const char *text = is_text ? text_of(w, i, t) : "";
            float score = is_text ? 0 : score_of(w, i, t);
            uint32_t bits;
            memcpy(&bits, &score, sizeof(bits));
            append_number(b, is_text ? (uint32_t)strlen(text) : bits);
            buf_text(b, text);
        }
    }
}

static json_t *data_list(const struct work *w, bool is_text)
{
    json_t *list = json_array();
    for (int i = 0; i < w->round.n_items; i++) {
        for (int t = 0; t < n_columns(w); t++) {
            json_array_append_new(list, is_text ? json_string(text_of(w, i, t)) : json_real((double)score_of(w, i, t)));
        }
    }
    return list;
}

/* Adds one output to the list; its bytes go to b when it is wanted in binary. */
static void add_output(const struct work *w, bool is_text, json_t *list, struct buf *b)
{
    const struct input_wish *wish = &w->input.wish;
    unsigned bit = is_text ? INPUT_OUTPUT_TEXT : INPUT_OUTPUT_SCORE;
    const char *name = is_text ? model_of(w)->text_output : "score";
    if (!(wish->outputs & bit) || !name) {
        return;
    }
    size_t before = b->n;
    json_t *shape = w->kind->task == JOB_CAPTION ? json_pack("[i]", w->round.n_items)
                                                 : json_pack("[i, i]", w->round.n_items, n_columns(w));
    json_t *output = json_pack("{s:s, s:s, s:o}", "name", name, "datatype", is_text ? "BYTES" : "FP32", "shape", shape);
    if (output && (wish->binary & bit)) {
        append_bytes(w, is_text, b);
        json_object_set_new(output, "parameters", json_pack("{s:I}", "binary_data_size", (json_int_t)(b->n - before)));
    } else if (output) {
        json_object_set_new(output, "data", data_list(w, is_text));
    }
    json_array_append_new(list, output);
}

static void answer(struct work *w)
{
    struct buf bytes, b;
    json_t *outputs = json_array();
    buf_init(&bytes, BINARY_BYTES);
    add_output(w, true, outputs, &bytes);
    add_output(w, false, outputs, &bytes);
    json_t *object = json_pack("{s:s, s:s, s:s?, s:o}", "model_name", model_of(w)->name, "model_version",
                               w->service->info.model_version, "id", w->input.wish.id, "outputs", outputs);
    if (object && !w->input.wish.id) {
        json_object_del(object, "id");
    }
    if (object && w->round.warnings) {
        json_object_set_new(object, "parameters", json_pack("{s:O}", "warning", json_array_get(w->round.warnings, 0)));
    }
    if (!object || !(w->input.wish.binary & w->input.wish.outputs)) {
        buf_release(&bytes);
        work_answer(w, 200, object);
        return;
    }
    buf_init(&b, EXCHANGE_ANSWER_MAX);
    answer_dump(object, &b);
    json_decref(object);
    exchange_out(w->x, "Inference-Header-Content-Length", "%zu", b.n);
    buf_append(&b, bytes.bytes, bytes.n);
    b.err = bytes.err ? bytes.err : b.err;
    buf_release(&bytes);
    work_answer_text(w, "application/octet-stream", &b);
}

/* ---- the kinds ---- */

/* A tensor has no place for an error: one picture that fails is the answer. */
static void done(struct work *w)
{
    if (api_predict_fault(w)) {
        return;
    }
    for (int i = 0; i < w->round.n_items; i++) {
        if (w->round.faults[i] != FAULT_COUNT) {
            const json_t *error = json_object_get(w->round.items[i], "error");
            reply_error(w->x, w->round.faults[i], NULL, "image %d: %.400s", i,
                        json_string_value(json_object_get(error, "message")));
            work_finish(w);
            return;
        }
    }
    api_predict_headers(w);
    answer(w);
}

static void begin(struct work *w)
{
    api_predict_bound_tokens(w);
    work_round_begin(w, w->kind->task, w->input.n_images,
                     w->kind->task == JOB_CAPTION ? api_result_caption
                     : w->kind->task == JOB_VQA   ? api_result_vqa
                                                  : api_result_retrieve,
                     done);
}

/* ---- models ---- */

/* The model of /v2/models/NAME and /v2/models/NAME/versions/VERSION; NULL: x has been answered. */
static const struct model *find(const struct api *a, struct exchange *x)
{
    char name[SEGMENT_MAX] = "", word[SEGMENT_MAX], version[SEGMENT_MAX];
    const struct service *s = services_current(a->desk.services);
    if (!s) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "the model is being loaded; see /startupz");
        return NULL;
    }
    route_segment(x->path, 2, name, sizeof(name));
    bool has_version = route_segment(x->path, 3, word, sizeof(word)) && strcmp(word, "versions") == 0;
    if (has_version && (!route_segment(x->path, 4, version, sizeof(version)) ||
                        (strcmp(version, s->info.model_version) != 0 && strcmp(version, "1") != 0))) {
        reply_error(x, FAULT_NOT_FOUND, NULL, "no such version; the model has %s", s->info.model_version);
        return NULL;
    }
    for (int i = 0; i < N_MODELS; i++) {
        if (strcmp(name, models[i].name) == 0) {
            return &models[i];
        }
    }
    reply_error(x, FAULT_NOT_FOUND, NULL, "no model \"%.64s\"; the models are caption, vqa and retrieve", name);
    return NULL;
}

static json_t *tensor(const char *name, const char *datatype, int n_axes)
{
    return json_pack("{s:s, s:s, s:o}", "name", name, "datatype", datatype, "shape",
                     n_axes == 1 ? json_pack("[i]", -1) : json_pack("[i, i]", -1, -1));
}

void api_kserve_model(struct api *a, struct exchange *x)
{
    const struct model *m = find(a, x);
    if (!m) {
        return;
    }
    json_t *inputs = json_pack("[o]", tensor("image", "BYTES", 1)), *outputs = json_array();
    int n_axes = m->text_input ? 2 : 1;
    if (m->text_input) {
        json_array_append_new(inputs, tensor(m->text_input, "BYTES", 1));
    }
    if (m->text_output) {
        json_array_append_new(outputs, tensor(m->text_output, "BYTES", n_axes));
    }
    json_array_append_new(outputs, tensor("score", "FP32", n_axes));
    reply_json(x, 200,
               json_pack("{s:s, s:[s], s:s, s:o, s:o}", "name", m->name, "versions",
                         services_current(a->desk.services)->info.model_version, "platform", "minivlm", "inputs",
                         inputs, "outputs", outputs));
}

void api_kserve_model_ready(struct api *a, struct exchange *x)
{
    const struct model *m = find(a, x);
    if (m && api_ops_is_ready(a, x)) {
        reply_json(x, 200, json_pack("{s:s, s:b}", "name", m->name, "ready", 1));
    }
}

void api_kserve_infer(struct api *a, struct exchange *x)
{
    const struct model *m = find(a, x);
    if (m) {
        work_run(x->work, &m->kind);
    } else {
        work_finish(x->work);
    }
}

/* ---- the server ---- */

void api_kserve_server(struct api *a, struct exchange *x)
{
    (void)a;
    reply_json(x, 200,
               json_pack("{s:s, s:s, s:[s]}", "name", "minivlm-server", "version", VERSION_TEXT, "extensions",
                         "binary_tensor_data"));
}

void api_kserve_live(struct api *a, struct exchange *x)
{
    if (api_ops_is_live(a, x)) {
        reply_json(x, 200, json_pack("{s:b}", "live", 1));
    }
}

void api_kserve_ready(struct api *a, struct exchange *x)
{
    if (api_ops_is_ready(a, x)) {
        reply_json(x, 200, json_pack("{s:b}", "ready", 1));
    }
}
