/* Hugging Face's inference shapes: the bytes of a picture, or {"inputs", "parameters", "options"}. `inputs` is a
 * picture (image-to-text; with a `threshold` among the parameters object-detection, which nobody else has) or {"image",
 * "question"} (visual-question-answering); what it is decides the task.
 * huggingface_hub writes the second as {"inputs": picture, "image": the same picture, "question"}. */
#include "server/input/input_private.h"

#include "engine/base/words.h"

#include <stdio.h>
#include <string.h>

static bool is_image(struct input_parser *p, int value)
{
    return value >= 0 && json_tree_kind(&p->tree, value) == JSON_TREE_STRING;
}

static bool read_question(struct input_parser *p, int question)
{
    bool is_known;
    if (json_tree_kind(&p->tree, question) == JSON_TREE_NULL) {
        return true;
    }
    p->in->route = INPUT_VQA;
    return input_param_json(p, "question", question, &is_known);
}

static bool read_inputs(struct input_parser *p, int inputs)
{
    const struct json_tree *t = &p->tree;
    int image = json_tree_find(t, inputs, "image"), question = json_tree_find(t, inputs, "question");
    if (is_image(p, inputs)) {
        return input_json_image(p, inputs, "/inputs") && read_question(p, json_tree_find(t, 0, "question"));
    }
    if (inputs < 0 || json_tree_kind(t, inputs) != JSON_TREE_OBJECT || !is_image(p, image)) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "inputs",
                          "inputs must be an image as base64, or {\"image\": base64, \"question\": ...}; one image "
                          "at a time");
    }
    char name[INPUT_KEY_MAX];
    for (int at = -1; (at = input_json_next(p, inputs, at, name)) >= 0;) {
        if (!words_have("image question", name)) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, "inputs",
                              "unknown key \"%.64s\" in inputs; there are: image question", name);
        }
    }
    int beside = json_tree_find(t, 0, "question");
    bool has_inner = json_tree_kind(t, question) != JSON_TREE_NULL;
    if (has_inner && json_tree_kind(t, beside) != JSON_TREE_NULL) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "question",
                          "the question is given twice: in inputs and beside it");
    }
    return input_json_image(p, image, "/inputs/image") && read_question(p, has_inner ? question : beside);
}

static const char of_body[] = "inputs parameters options image question"; /* options: of caches and queues elsewhere */
static const char unread[] = "temperature do_sample top_p seed";
static const char served[] =
    "num_beams length_penalty top_k tolerate_truncated timeout_ms truncate threshold max_new_tokens";

static bool check_unread(struct input_parser *p, const char *name, int value)
{
    bool is_true;
    if (strcmp(name, "do_sample") == 0) {
        return input_json_bool(p, name, value, &is_true);
    }
    return json_tree_kind(&p->tree, value) == JSON_TREE_NUMBER ||
           input_fail(p->fault, FAULT_BAD_REQUEST, name, "%s must be a number", name);
}

/* max_new_tokens is a caption's, top_k a question's; how to draw words by chance is nobody's here. */
static bool read_parameters(struct input_parser *p, int parameters, const char *where)
{
    if (json_tree_kind(&p->tree, parameters) != JSON_TREE_OBJECT) {
        return json_tree_kind(&p->tree, parameters) == JSON_TREE_NULL ||
               input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s must be an object", where);
    }
    char name[INPUT_KEY_MAX];
    for (int at = -1; (at = input_json_next(p, parameters, at, name)) >= 0;) {
        bool is_known = false;
        if (json_tree_kind(&p->tree, at) == JSON_TREE_NULL) {
            continue;
        }
        if (words_have(unread, name)) {
            if (!check_unread(p, name, at)) {
                return false;
            }
            continue;
        }
        if (words_have("generation_parameters generate_kwargs", name) && strcmp(where, "parameters") == 0) {
            if (!read_parameters(p, at, name)) {
                return false;
            }
            continue;
        }
        if (strcmp(name, "max_new_tokens") == 0 && p->in->route == INPUT_CAPTION) {
            if (!input_param_max_tokens(p, name, at)) {
                return false;
            }
            continue;
        }
        bool is_served = words_have(served, name) && (strcmp(name, "threshold") || strcmp(where, "parameters") == 0);
        if (is_served && !input_param_json(p, name, at, &is_known)) {
            return false;
        }
        if (!is_known && (words_have(served, name) || !input_json_is_off(p, at))) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                              "unknown parameter \"%.64s\" of a %s; there are: %s. The tasks are image-to-text, "
                              "object-detection and visual-question-answering",
                              name, p->in->route == INPUT_VQA ? "question" : "caption",
                              p->in->route == INPUT_VQA
                                  ? "top_k tolerate_truncated timeout_ms truncate"
                                  : "max_new_tokens num_beams length_penalty tolerate_truncated timeout_ms");
        }
    }
    return true;
}

bool input_huggingface(struct input_parser *p)
{
    const struct buf *b = &p->in->body;
    if (input_body_of("", b->bytes, b->n) != INPUT_BODY_JSON) {
        return b->n == 0 || input_raw(p);
    }
    if (!input_json_parse(p, b->n)) {
        return false;
    }
    char name[INPUT_KEY_MAX];
    for (int at = -1; (at = input_json_next(p, 0, at, name)) >= 0;) {
        if (!words_have(of_body, name)) {
            return input_json_unknown(p, name, of_body);
        }
    }
    int parameters = json_tree_find(&p->tree, 0, "parameters");
    return read_inputs(p, json_tree_find(&p->tree, 0, "inputs")) &&
           (parameters < 0 || read_parameters(p, parameters, "parameters"));
}
