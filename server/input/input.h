/* input - what a request brings: images, texts and parameters, from any of the ways to send them.
 *
 *     an image type, any other, none            the body is one image, parameters stand in the query string
 *     multipart/form-data                       parts named `image`, text parts, query string
 *     application/json                          keys; images as base64, data: URI or {"id": "..."}; query string
 *
 * Unknown names, wrong types and values out of range are faults that name the parameter.
 *
 * Ownership: an input takes the body from the exchange and owns it with all that was decoded from it; images and texts
 *            point into that. It outlives the exchange when jobs still read it. Threads: built and released on the
 *            loop thread; its bytes are read by engine threads meanwhile.
 * Errors:    struct input_fault. */
#ifndef SERVER_INPUT_H
#define SERVER_INPUT_H

#include "config/config.h"
#include "engine/job.h"
#include "server/http/reply.h"

enum input_route { INPUT_CAPTION = 1, INPUT_VQA = 2, INPUT_RETRIEVE = 4, INPUT_CHECK = 8, INPUT_STORE = 16 };

struct input_image {
    const uint8_t *bytes; /* NULL: id */
    size_t n_bytes;
    struct image_id id;
};

struct input {
    enum input_route route;
    struct input_image *images;
    int n_images;
    const char **texts; /* questions or sentences */
    size_t *text_bytes;
    int n_texts;
    bool has_image_list, has_text_list; /* `images` and `questions`: the answer has results[] */
    /* parameters; 0 (length_penalty: NAN) when not given */
    int num_beams, num_captions, max_tokens, top_k;
    float length_penalty;
    bool regions, explain, occlusion, stream, tolerate_truncated; /* explain: by attention; occlusion: by leaving out */
    uint64_t timeout_ms;
    const char *collection; /* NULL: none */
    /* rerank: {"query", "documents", "top_n", "return_documents"} */
    bool is_rerank, has_image_documents, return_documents;
    json_t *documents; /* borrowed from root */
    /* ---- memory ---- */
    struct buf body;
    json_t *root;
    void **decoded;
    int n_decoded;
    const struct config *limits;
};

struct input_fault {
    enum fault fault;
    char param[96]; /* JSON pointer or name; empty: none */
    struct errbuf text;
};

/* Takes x->body. False with the fault; *in can be released either way. */
MUST_USE bool input_take(struct input *in, enum input_route route, struct exchange *x, const struct config *limits,
                         struct input_fault *fault);
void input_release(struct input *in);

/* ---- for the parts: input.c, input_json.c, input_form.c, input_params.c ---- */

bool input_fail(struct input_fault *f, enum fault fault, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))); /* false, always */
/* A parameter as text (query string, form). */
bool input_param_text(struct input *in, const char *name, const char *value, size_t n, struct input_fault *f);
/* A parameter as JSON. *is_known: false when no parameter has this name (then nothing else is said). */
bool input_param_json(struct input *in, const char *name, const json_t *value, bool *is_known, struct input_fault *f);
bool input_add_image(struct input *in, const struct input_image *image, struct input_fault *f);
bool input_add_text(struct input *in, const char *param, const char *text, size_t n, struct input_fault *f);
bool input_json(struct input *in, struct input_fault *f);
bool input_form(struct input *in, const char *content_type, struct input_fault *f);
bool input_is_utf8(const char *text, size_t n);

#endif
