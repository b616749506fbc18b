/* input_private - what the parts of input share: input.c, input_raw.c, input_explain.c, input_json.c, input_rerank.c,
 * input_form.c, input_transfer.c, input_params.c, input_source.c, and of the dialects input_openai.c, input_kserve.c,
 * input_huggingface.c. */
#ifndef SERVER_INPUT_PRIVATE_H
#define SERVER_INPUT_PRIVATE_H

#include "server/input/input.h"
#include "server/input/json_tree.h"

enum { INPUT_N_PARAMS = 17 }; /* rows of the table in input_params.c */
enum { INPUT_NO_INDEX = -1 };
enum { INPUT_JSON_BYTES = 384 }; /* of a json_t, at most, beside its text */

/* A request being parsed into an input. */
struct input_parser {
    struct input *in;
    struct input_fault *fault;
    const char *content_type; /* "": none */
    /* the N of texts[N] and image[N]; INPUT_NO_INDEX: none */
    int *image_index, *text_index;
    int n_indexed_images, n_indexed_texts;
    /* number of each parameter's values in query string and form */
    int n_given[INPUT_N_PARAMS], n_empty[INPUT_N_PARAMS];
    /* form parts named image and images: how many, and one plus the index of an empty text field */
    int n_image_parts[2], empty_image[2];
    struct json_tree tree;
};

enum input_body { INPUT_BODY_NONE, INPUT_BODY_RAW, INPUT_BODY_JSON, INPUT_BODY_FORM };
/* The type of the body: decided by its bytes if possible, otherwise by the content type. */
enum input_body input_body_of(const char *content_type, const char *bytes, size_t n);

bool input_fail(struct input_fault *f, enum fault fault, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))); /* false, always */
bool input_out_of_memory(struct input_fault *f);
/* mem_alloc that counts; false with the fault. */
bool input_alloc(struct input *in, void *out, size_t n_bytes, struct input_fault *f);
int input_max_values(const struct input_limits *limits);  /* of a JSON body */
size_t input_max_echo(const struct input_limits *limits); /* bytes of documents to return */

/* Parts of a body. */
bool input_raw(struct input_parser *p);
/* Where a text is missing beside a body that is no picture, that is more to the point: false with the fault. */
bool input_raw_check(const struct input *in, struct input_fault *f);
bool input_json(struct input_parser *p);
bool input_form(struct input_parser *p);
bool input_rerank(struct input_parser *p);
bool input_rerank_body(struct input_parser *p);             /* POST /rerank */
enum { INPUT_TALK_BYTES = 64 << 10, INPUT_ID_BYTES = 256 }; /* text of a message; KServe's id */
bool input_openai(struct input_parser *p);
bool input_kserve(struct input_parser *p, const char *json_bytes);
bool input_huggingface(struct input_parser *p);
/* True when a text asks for a description of the picture, false when it is a question about it. */
bool input_asks_for_description(const char *text, size_t n);
/* Its part that knows verbs and nouns ("describe", "Beschreibung") and the commonest sentences of other languages. */
bool input_languages_ask(const char *text, size_t n);

/* ---- bodies of the wrong type ---- */
bool input_is_type(const char *content_type, const char *type); /* whatever parameters follow */
bool input_is_json_type(const char *content_type);
bool input_is_picture(const char *bytes, size_t n);    /* begins like one that some build reads */
bool input_begins_object(const char *bytes, size_t n); /* of JSON, in whatever encoding */
/* For a body that should be a picture (with wants_json: JSON) but is not: true if its type is recognised, with a fault
 * that says how to send it. */
bool input_explain(struct input_parser *p, bool wants_json);

/* ---- JSON ---- */
enum { INPUT_KEY_MAX = 128 };
/* Reads the first n bytes of the body into p->tree: an object. */
bool input_json_parse(struct input_parser *p, size_t n);
/* The name of a key, cut to what fits. */
void input_json_key(struct input_parser *p, int key, char name[INPUT_KEY_MAX]);
/* The value behind `value` in an object, with its key; -1: the first, and as a result: none is left, or no object. */
int input_json_next(struct input_parser *p, int object, int value, char name[INPUT_KEY_MAX]);
/* Calls `read` for every key of an object until it returns false. */
typedef bool input_read_key(struct input_parser *p, const char *key, int value);
bool input_json_each(struct input_parser *p, int object, input_read_key *read);
bool input_json_is(struct input_parser *p, int value, const char *text); /* of a string or number */
bool input_json_bool(struct input_parser *p, const char *key, int value, bool *out);
/* null, false, 0, "", [] or {}: the option is not requested. */
bool input_json_is_off(struct input_parser *p, int value);
/* Always false: reports the unknown name, and lists the known ones. */
bool input_unknown(struct input_parser *p, const char *name);
/* The same of a dialect, which has other names: `known`, separated by spaces. */
bool input_json_unknown(struct input_parser *p, const char *key, const char *known);

/* ---- parts of a form ---- */
int input_hex(char c); /* the value of a hexadecimal digit; -1: none */
/* Decodes a part by its Content-Transfer-Encoding ("": none) where it stands; false with the fault. */
bool input_transfer_decode(const char *encoding, const char *name, char *bytes, size_t *n, struct input_fault *f);

/* ---- parameters ---- */
/* As text (query string, form): name, name[] or name[3]. value NULL: there was no `=`. */
bool input_param_text(struct input_parser *p, const char *name, const char *value, size_t n);
/* As JSON. *is_known: false when no parameter has this name (then no fault is set). */
bool input_param_json(struct input_parser *p, const char *name, int value, bool *is_known);
/* max_tokens by another name. Clients ask for as many as other models allow: a value above the maximum is not a
 * fault. */
bool input_param_max_tokens(struct input_parser *p, const char *name, int value);
bool input_param_ends(struct input_parser *p); /* checks that need all parameters */
/* Splits name[3] or name.3 into the length of `name` and the index; false: it has no such form (then the name is
 * unchanged). *index: INPUT_NO_INDEX for []. */
bool input_param_place(const char *name, size_t *n_name, int *index);

/* ---- images and texts ---- */
bool input_add_image(struct input_parser *p, const char *param, const struct input_image *image, int index);
/* Adds an image that cannot be read: p->fault takes its place, and true is returned. */
bool input_add_bad_image(struct input_parser *p, const char *param, int index);
bool input_add_indexed_text(struct input_parser *p, const char *param, const char *text, size_t n, int index);
/* base64, data: URI or {"id"} at a value of the tree. */
bool input_json_image(struct input_parser *p, int value, const char *where);

#endif
