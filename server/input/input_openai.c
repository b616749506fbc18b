/* OpenAI's chat completions: messages with text and a picture.
 *
 * Looked at is the last picture of the conversation, and the text of its last message, which is the user's: a wish for
 * a description, or a question. What was said before is read for its shape only: the model has no memory of a talk.
 *
 * Taken: messages, stream, stream_options.include_usage, max_tokens and max_completion_tokens, and our own timeout_ms,
 * num_beams, length_penalty and tolerate_truncated. Ignored: what clients send and a model that answers in few words
 * has no use for (see `ignored`), once its kind and range are right. Refused by name: what would change the shape or
 * the meaning of the answer. */
#include "server/input/input_private.h"

#include "engine/base/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WHERE_MAX = 64, NUMBER_MAX = 32 };

struct ignored {
    const char *names, *must_be;
    unsigned kinds; /* 1 << enum json_tree_kind */
    double min, max;
};

static const struct ignored ignored[] = {
    {"model user service_tier safety_identifier prompt_cache_key prompt_cache_retention reasoning_effort verbosity",
     "a string", 1U << JSON_TREE_STRING, 0, 0},
    {"store parallel_tool_calls", "true or false", 1U << JSON_TREE_TRUE | 1U << JSON_TREE_FALSE, 0, 0},
    {"metadata", "an object", 1U << JSON_TREE_OBJECT, 0, 0},
    {"seed", "a number", 1U << JSON_TREE_NUMBER, -1e19, 1e19},
    {"temperature", "a number from 0 to 2", 1U << JSON_TREE_NUMBER, 0, 2},
    {"top_p", "a number from 0 to 1", 1U << JSON_TREE_NUMBER, 0, 1},
    {"presence_penalty frequency_penalty", "a number from -2 to 2", 1U << JSON_TREE_NUMBER, -2, 2},
};
static const char refused[] = "tools functions logprobs top_logprobs logit_bias stop audio prediction";
static const char our_own[] = "timeout_ms num_beams length_penalty tolerate_truncated";
static const char of_messages[] = "role content name refusal annotations reasoning reasoning_content";

/* What was found on the way through the messages. */
struct talk {
    int image;                        /* value of the last picture's address; -1: none yet */
    char image_where[WHERE_MAX + 16]; /* its JSON pointer */
    int n_images;                     /* of the message at hand */
    bool ends_with_user;
    struct buf text; /* of the message at hand */
};

static bool is_text(struct input_parser *p, int value, const char *text)
{
    return value >= 0 && json_tree_kind(&p->tree, value) == JSON_TREE_STRING && input_json_is(p, value, text);
}

/* ---- messages ---- */

static bool check_keys(struct input_parser *p, const char *where, int object, const char *known)
{
    char name[INPUT_KEY_MAX];
    for (int at = -1; (at = input_json_next(p, object, at, name)) >= 0;) {
        if (!words_have(known, name) && !input_json_is_off(p, at)) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s: \"%.64s\" is not served", where, name);
        }
    }
    return true;
}

static bool add_text(struct input_parser *p, struct talk *talk, const char *where, int value)
{
    size_t n;
    const char *text = json_tree_text(&p->tree, value, &n);
    buf_text(&talk->text, talk->text.n ? " " : "");
    buf_append(&talk->text, text, n);
    if (talk->text.err == ERR_TEXT_TOO_LONG) {
        return input_fail(p->fault, FAULT_TEXT_TOO_LONG, where,
                          "%s: a message has %d bytes of text at most; shorten it", where, INPUT_TALK_BYTES);
    }
    return !talk->text.err || input_out_of_memory(p->fault);
}

/* How closely to look is nobody's choice here: all words that OpenAI has for it are taken. */
static bool check_detail(struct input_parser *p, const char *where, int image_url)
{
    static const char *const details[] = {"auto", "low", "high", "original"};
    int detail = json_tree_find(&p->tree, image_url, "detail");
    for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
        if (json_tree_kind(&p->tree, detail) == JSON_TREE_NULL || is_text(p, detail, details[i])) {
            return true;
        }
    }
    return input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s/image_url/detail must be \"auto\", \"low\" or \"high\"",
                      where);
}

static bool add_image(struct input_parser *p, struct talk *talk, const char *where, int part)
{
    const struct json_tree *t = &p->tree;
    int value = json_tree_find(t, part, "image_url");
    bool is_object = json_tree_kind(t, value) == JSON_TREE_OBJECT;
    int url = is_object ? json_tree_find(t, value, "url") : value;
    if (url < 0 || json_tree_kind(t, url) != JSON_TREE_STRING) {
        return input_fail(
            p->fault, FAULT_BAD_REQUEST, where,
            "%s must be {\"type\": \"image_url\", \"image_url\": {\"url\": \"data:image/jpeg;base64,...\"}}", where);
    }
    if (is_object && (!check_keys(p, where, value, "url detail") || !check_detail(p, where, value))) {
        return false;
    }
    if (++talk->n_images > 1) {
        return input_fail(p->fault, FAULT_TOO_MANY_INPUTS, where,
                          "%s: a message has one image; ask about each in a request of its own", where);
    }
    talk->image = url;
    snprintf(talk->image_where, sizeof(talk->image_where), "%.40s/image_url%s", where, is_object ? "/url" : "");
    return true;
}

static bool read_part(struct input_parser *p, struct talk *talk, const char *where, int part, bool is_user)
{
    char kind[INPUT_KEY_MAX] = "";
    if (is_user && !check_keys(p, where, part, "type text image_url cache_control")) {
        return false;
    }
    int type = json_tree_find(&p->tree, part, "type"), text = json_tree_find(&p->tree, part, "text");
    if (type >= 0 && json_tree_kind(&p->tree, type) == JSON_TREE_STRING) {
        input_json_key(p, type, kind);
    }
    if (strcmp(kind, "text") == 0 && text >= 0 && json_tree_kind(&p->tree, text) == JSON_TREE_STRING) {
        return add_text(p, talk, where, text);
    }
    if (strcmp(kind, "image_url") == 0 && is_user) {
        return add_image(p, talk, where, part);
    }
    if (strcmp(kind, "refusal") == 0 && !is_user) {
        return true;
    }
    return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                      "%s: a part is {\"type\": \"text\", \"text\": ...}%s%s%.32s%s", where,
                      is_user ? " or {\"type\": \"image_url\", ...}" : "; images are the user's",
                      kind[0] ? ", not of type \"" : "", kind, kind[0] ? "\"" : "");
}

static bool read_content(struct input_parser *p, struct talk *talk, const char *where, int content, bool is_user)
{
    const struct json_tree_value *v = p->tree.values;
    char part_where[WHERE_MAX];
    if (content >= 0 && json_tree_kind(&p->tree, content) == JSON_TREE_STRING) {
        return add_text(p, talk, where, content);
    }
    if (content < 0 || json_tree_kind(&p->tree, content) != JSON_TREE_ARRAY) {
        return (!is_user && (content < 0 || json_tree_kind(&p->tree, content) == JSON_TREE_NULL)) ||
               input_fail(p->fault, FAULT_BAD_REQUEST, where, "%s/content must be a string or a list of parts", where);
    }
    for (int i = 0, at = content + 1; i < v[content].count; i++, at = v[at].next) {
        snprintf(part_where, sizeof(part_where), "%.32s/content/%d", where, i);
        if (!read_part(p, talk, part_where, at, is_user)) {
            return false;
        }
    }
    return true;
}

static bool read_message(struct input_parser *p, struct talk *talk, int i, int message)
{
    char where[WHERE_MAX];
    int role = json_tree_find(&p->tree, message, "role"), content = json_tree_find(&p->tree, message, "content");
    bool is_user = is_text(p, role, "user");
    snprintf(where, sizeof(where), "/messages/%d", i);
    if (!is_user && !is_text(p, role, "system") && !is_text(p, role, "developer") && !is_text(p, role, "assistant")) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, where,
                          "%s/role must be system, developer, user or assistant; tools are not served", where);
    }
    talk->ends_with_user = is_user;
    talk->n_images = 0;
    buf_reset(&talk->text);
    return check_keys(p, where, message, of_messages) && read_content(p, talk, where, content, is_user);
}

static bool read_messages(struct input_parser *p, struct talk *talk)
{
    const struct json_tree_value *v = p->tree.values;
    int messages = json_tree_find(&p->tree, 0, "messages");
    if (messages < 0 || json_tree_kind(&p->tree, messages) != JSON_TREE_ARRAY || v[messages].count == 0) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "messages", "messages must be a list that is not empty");
    }
    for (int i = 0, at = messages + 1; i < v[messages].count; i++, at = v[at].next) {
        if (!read_message(p, talk, i, at)) {
            return false;
        }
    }
    if (!talk->ends_with_user) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "messages", "the last message must be the user's");
    }
    return talk->image >= 0 ||
           input_fail(p->fault, FAULT_BAD_REQUEST, "messages",
                      "no image: a message of the user needs a part {\"type\": \"image_url\", \"image_url\": {\"url\": "
                      "\"data:image/jpeg;base64,...\"}}");
}

/* ---- the other keys ---- */

static bool read_stream_options(struct input_parser *p, int value)
{
    if (json_tree_kind(&p->tree, value) != JSON_TREE_OBJECT) {
        return input_fail(p->fault, FAULT_BAD_REQUEST, "stream_options", "stream_options must be an object");
    }
    char name[INPUT_KEY_MAX];
    for (int at = -1; (at = input_json_next(p, value, at, name)) >= 0;) {
        if (strcmp(name, "include_usage") == 0) {
            if (!input_json_bool(p, "stream_options.include_usage", at, &p->in->wish.usage)) {
                return false;
            }
        } else if (strcmp(name, "include_obfuscation") != 0) {
            return input_fail(p->fault, FAULT_BAD_REQUEST, "stream_options",
                              "unknown key \"%.64s\" in stream_options; there are: include_usage include_obfuscation",
                              name);
        }
    }
    return true;
}

/* Of a choice there is one: n is 1, the format is text, the modality too. */
static bool is_only_choice(struct input_parser *p, const char *key, int value)
{
    const struct json_tree_value *v = p->tree.values;
    if (strcmp(key, "n") == 0) {
        return json_tree_kind(&p->tree, value) == JSON_TREE_NUMBER && input_json_is(p, value, "1");
    }
    return strcmp(key, "response_format") == 0 ? is_text(p, json_tree_find(&p->tree, value, "type"), "text")
                                               : json_tree_kind(&p->tree, value) == JSON_TREE_ARRAY &&
                                                     v[value].count == 1 && is_text(p, value + 1, "text");
}

static const struct ignored *find_ignored(const char *key)
{
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        if (words_have(ignored[i].names, key)) {
            return &ignored[i];
        }
    }
    return NULL;
}

static bool check_ignored(struct input_parser *p, const struct ignored *g, const char *key, int value)
{
    char number[NUMBER_MAX];
    size_t n = 0;
    enum json_tree_kind kind = json_tree_kind(&p->tree, value);
    bool is_good = g->kinds & 1U << kind;
    if (is_good && kind == JSON_TREE_NUMBER) {
        const char *text = json_tree_text(&p->tree, value, &n);
        snprintf(number, sizeof(number), "%.*s", (int)n, text);
        double x = strtod(number, NULL);
        is_good = n < sizeof(number) && x >= g->min && x <= g->max;
    }
    return is_good || input_fail(p->fault, FAULT_BAD_REQUEST, key, "%s must be %s", key, g->must_be);
}

static bool read_key(struct input_parser *p, const char *key, int value)
{
    bool is_known = true;
    const struct ignored *unread = find_ignored(key);
    if (strcmp(key, "messages") == 0 || json_tree_kind(&p->tree, value) == JSON_TREE_NULL) {
        return true;
    }
    if (unread) {
        return check_ignored(p, unread, key, value);
    }
    if (strcmp(key, "stream") == 0) {
        return input_json_bool(p, key, value, &p->in->stream);
    }
    if (strcmp(key, "max_tokens") == 0 || strcmp(key, "max_completion_tokens") == 0) {
        return input_param_max_tokens(p, key, value);
    }
    if (strcmp(key, "stream_options") == 0) {
        return read_stream_options(p, value);
    }
    if (words_have("n response_format modalities", key)) {
        return is_only_choice(p, key, value) ||
               input_fail(p->fault, FAULT_BAD_REQUEST, key, "%s is served with %s only", key,
                          strcmp(key, "n") == 0                 ? "1"
                          : strcmp(key, "response_format") == 0 ? "{\"type\": \"text\"}"
                                                                : "[\"text\"]");
    }
    if (words_have("tool_choice function_call", key)) {
        return input_json_is_off(p, value) || is_text(p, value, "auto") || is_text(p, value, "none") ||
               input_fail(p->fault, FAULT_BAD_REQUEST, key,
                          "%s asks for a tool, and tools are not served: leave it out", key);
    }
    if (strcmp(key, "web_search_options") == 0) { /* {} asks for it, too */
        return input_fail(p->fault, FAULT_BAD_REQUEST, key, "%s is not served: leave it out", key);
    }
    if (words_have(refused, key)) {
        return input_json_is_off(p, value) ||
               input_fail(p->fault, FAULT_BAD_REQUEST, key, "%s is not served: leave it out", key);
    }
    return words_have(our_own, key) ? input_param_json(p, key, value, &is_known)
                                    : input_json_unknown(p, key,
                                                         "messages stream stream_options max_completion_tokens "
                                                         "max_tokens timeout_ms num_beams length_penalty "
                                                         "tolerate_truncated");
}

/* ---- the whole ---- */

static bool settle(struct input_parser *p, const struct talk *talk)
{
    struct input *in = p->in;
    const char *text = talk->text.bytes ? talk->text.bytes : "";
    if (!input_json_image(p, talk->image, talk->image_where)) {
        return false;
    }
    in->route = input_asks_for_description(text, talk->text.n) ? INPUT_CAPTION : INPUT_VQA;
    return in->route == INPUT_CAPTION || input_add_indexed_text(p, "messages", text, talk->text.n, INPUT_NO_INDEX);
}

bool input_openai(struct input_parser *p)
{
    struct talk talk = {.image = -1};
    if (!input_json_parse(p, p->in->body.n)) {
        return false;
    }
    if (!input_json_each(p, 0, read_key)) {
        return false;
    }
    buf_init(&talk.text, INPUT_TALK_BYTES);
    bool is_good = read_messages(p, &talk) && settle(p, &talk);
    buf_release(&talk.text);
    return is_good;
}
