/* input - the contents of a request: images, texts and parameters, in any of the formats they may be sent in.
 *
 *     an image type, any other, none      the body is one image, parameters are in the query string
 *     multipart/form-data                 parts named `image`, text parts, query string
 *     application/json, or no type and    keys; images as base64, data: URI or {"id": "..."}; query string
 *     a body that begins with {
 *
 * Unknown names, wrong types and values out of range are faults that name the parameter. If one picture of several
 * cannot be read, it fails alone: its fault takes its place.
 *
 *     input_limits_of(&limits, config);
 *     s = (struct input_source){.route = INPUT_VQA, .content_type = ..., .body = &x->body, .limits = limits};
 *     reserve input_need_bytes(&s) in the ledger
 *     if (input_weight(&s) is small) input_parse(&in, &s, &fault) at once
 *     else                           input_source_copy(&copy, &s), on another thread: input_parse(&in, copy, &fault),
 *                                    input_source_destroy(copy)
 *     the ledger keeps input_bytes(&in) until input_release
 *
 * Ownership: a source borrows everything; a copied source owns it. An input owns every byte it points to (it takes the
 *            body over) and knows neither exchange nor configuration, so it may outlive both. It may be moved by
 *            assignment.
 * Threads:   pure functions, any thread; one input or source belongs to one thread at a time.
 * Cost:      linear in the body, without recursion; a raw image costs nothing.
 * Errors:    struct input_fault. */
#ifndef SERVER_INPUT_H
#define SERVER_INPUT_H

#include "config/config.h"
#include "engine/job.h"
#include "server/http/reply.h"

/* The dialect of the body: our own, or that of an API that many clients use (input_openai.c and so on say what is
 * accepted, ignored and refused). A dialect may choose the route from the body: input.route then says which task is
 * requested. */
enum input_dialect { INPUT_NATIVE, INPUT_OPENAI, INPUT_KSERVE, INPUT_HUGGINGFACE, INPUT_RERANK };
enum input_route { INPUT_CAPTION = 1, INPUT_VQA = 2, INPUT_RETRIEVE = 4, INPUT_CHECK = 8, INPUT_STORE = 16 };

struct input_limits {
    int images, texts;
    long long pairs;   /* images times texts */
    size_t text_bytes; /* of one text */
};
void input_limits_of(struct input_limits *out, const struct config *c);

struct input_source {
    enum input_route route;
    enum input_dialect dialect;
    const char *content_type, *content_encoding; /* header fields; NULL: not sent */
    const char *json_bytes;                      /* KServe: Inference-Header-Content-Length; NULL: all is JSON */
    const struct exchange_pair *query;           /* decoded */
    int n_query;
    struct buf *body; /* input_parse takes it over; input_source_copy too */
    struct input_limits limits;
};

struct input_fault {
    enum fault fault;
    char param[96]; /* JSON pointer or name; empty: none */
    struct errbuf text;
};

struct input_image {
    const uint8_t *bytes; /* NULL: id, or a fault */
    size_t n_bytes;
    struct image_id id;        /* as the caller wrote it */
    struct input_fault *fault; /* not NULL: this picture cannot be read; only where there are several */
};

/* Bits: which KServe tensors the answer has. */
enum input_output { INPUT_OUTPUT_TEXT = 1, INPUT_OUTPUT_SCORE = 2 };

/* Options for the answer that only a dialect has. */
struct input_wish {
    char *id;                 /* KServe: id of the request, to be returned; NULL: none */
    unsigned outputs, binary; /* KServe: bits of input_output; `binary`: as bytes after the JSON */
    bool is_bare;             /* rerank: a list without an object around it (TEI) */
    bool usage;               /* OpenAI: the last piece of a stream has the usage */
    float threshold;          /* Hugging Face, object-detection: the least score of a region; NAN: not given */
};

struct input {
    enum input_route route;
    enum input_dialect dialect;
    struct input_wish wish;
    struct input_image *images;
    int n_images;
    const char **texts; /* questions or sentences, each followed by a NUL */
    size_t *text_bytes;
    int n_texts;
    bool has_image_list, has_text_list; /* `images` and `questions`: the answer has results[] */
    /* parameters; 0 (length_penalty: NAN) when not given */
    int num_beams, num_captions, max_tokens, top_k;
    float length_penalty;
    /* explain: by attention; occlusion: by leaving regions out; truncate (default true): texts may be cut */
    bool regions, explain, occlusion, stream, tolerate_truncated, truncate;
    uint64_t timeout_ms;
    const char *collection; /* NULL: none */
    /* rerank: {"query", "documents", "top_n", "return_documents"} */
    bool is_rerank, has_image_documents, return_documents;
    int n_documents;
    /* With return_documents: a list of the documents as given, strings as {"text"}; the bytes of an image are left out
     * (no key "image": the answer puts the image's id there). Else NULL. */
    json_t *documents;
    /* ---- memory ---- */
    struct input_limits limits;
    struct buf body;
    size_t _held_bytes; /* beside the body */
};

/* What parsing takes of the thread that moves bytes, in bytes of a form; more than INPUT_WEIGHT_MAX at once (JSON over
 * 16 KiB, forms over 256 KiB) belongs on another thread. */
enum { INPUT_WEIGHT_MAX = 256 << 10 };
size_t input_weight(const struct input_source *s);
/* Upper bound of the bytes that parsing and its result take besides the body. */
size_t input_need_bytes(const struct input_source *s);

/* False with the fault. In both cases *in can be released and s->body is left empty. */
MUST_USE bool input_parse(struct input *in, const struct input_source *s, struct input_fault *fault);
/* Bytes held, including the body. */
size_t input_bytes(const struct input *in);
void input_release(struct input *in);

/* A source for another thread: owns copies of all texts, and takes over the body (unless it fails). */
MUST_USE enum err input_source_copy(struct input_source **out, const struct input_source *s);
void input_source_destroy(struct input_source *s); /* one made by input_source_copy; NULL is fine */

/* Adds a text that the caller did not send (a caption to be explained), within the same limits. */
MUST_USE bool input_add_text(struct input *in, const char *param, const char *text, size_t n, struct input_fault *f);

#endif
