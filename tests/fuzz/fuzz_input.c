/* Any bytes as a request to any route, in any of the ways to send one.
 *
 *     byte 0   route, or a dialect (low 3 bits), content type (next 4), a query string before the body (bit 7)
 *     then     the query string, decoded, up to the first NUL; the rest is the body
 *
 * What is taken is within the limits and inside its memory, what it holds was predicted, and it does not depend on the
 * memory it came from: every request is parsed twice, the second time from a copy whose original is gone. */
#include "engine/base/hash.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "server/input/input.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned touched; /* so that reading is not optimised away */

enum { MAX_PAIRS = 8, MAX_QUERY = 256 };

static const char *const types[16] = {
    "application/json",
    "multipart/form-data; boundary=B",
    "image/png",
    "multipart/form-data; boundary=\"a b\"",
    "application/x-www-form-urlencoded",
    NULL,
    "text/plain",
    "application/vnd.api+json; charset=utf-8",
    "multipart/form-data; boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "multipart/form-data",
    "multipart/mixed; boundary=B",
    "multipart/form-data; x=\"; boundary=C\"; boundary=-",
    "",
    "application/jsonx",
    "image/jpeg",
    "*"}; /* the content type itself stands before the body, up to a newline */

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    return hash * 31 + hash_bytes(bytes, n);
}

/* Reads every byte that the engine and the answer would read. */
static uint64_t touch(const struct input *in)
{
    uint64_t hash = 0;
    for (int i = 0; i < in->n_images; i++) {
        const struct input_image *image = &in->images[i];
        BUG_ON(image->fault && (image->bytes || image->fault->fault == FAULT_INTERNAL || !image->fault->text.text[0]));
        BUG_ON(image->fault && in->n_images == 1);
        BUG_ON(!image->bytes && image->n_bytes);
        hash = mix(hash, image->bytes, image->n_bytes);
        hash = mix(hash, image->id.bytes, sizeof(image->id.bytes));
    }
    for (int i = 0; i < in->n_texts; i++) {
        BUG_ON(in->text_bytes[i] < 1 || in->text_bytes[i] > in->limits.text_bytes);
        BUG_ON(utf8_valid(in->texts[i], in->text_bytes[i]) != in->text_bytes[i] || in->texts[i][in->text_bytes[i]]);
        hash = mix(hash, in->texts[i], in->text_bytes[i]);
    }
    if (in->collection) {
        hash = mix(hash, in->collection, strlen(in->collection) + 1);
    }
    if (in->documents) {
        char *text = json_dumps(in->documents, JSON_COMPACT);
        BUG_ON(!text);
        hash = mix(hash, text, strlen(text));
        free(text);
    }
    return mix(hash, &in->num_beams, sizeof(in->num_beams));
}

static void check_taken(const struct input *in)
{
    const struct input_limits *l = &in->limits;
    BUG_ON(in->n_images < 0 || in->n_images > l->images || in->n_texts < 0 || in->n_texts > l->texts);
    BUG_ON((long long)in->n_images * (in->n_texts > 0 ? in->n_texts : 1) > l->pairs);
    BUG_ON(in->n_images == 0 && !in->collection);
    BUG_ON(in->num_beams < 0 || in->num_beams > 10 || in->num_captions < 0 || in->num_captions > JOB_MAX_CAPTIONS);
    BUG_ON(in->max_tokens < 0 || in->max_tokens > JOB_MAX_TOKENS || in->top_k < 0 || in->timeout_ms > 1000000000000u);
    BUG_ON(in->route == INPUT_VQA && in->top_k > JOB_MAX_TOP_K);
    BUG_ON(!isnan(in->length_penalty) && !(in->length_penalty >= -5 && in->length_penalty <= 5));
    BUG_ON((in->route == INPUT_VQA || in->route == INPUT_RETRIEVE) && in->n_texts == 0);
    BUG_ON((in->route == INPUT_CAPTION || in->route == INPUT_STORE || in->route == INPUT_CHECK) && in->n_texts > 0);
    BUG_ON((in->route == INPUT_STORE || in->route == INPUT_CHECK) && in->n_images != 1);
    if (in->is_rerank) {
        BUG_ON((in->has_image_documents ? in->n_images : in->n_texts) != in->n_documents || in->n_documents < 1);
        BUG_ON(in->return_documents != (in->documents != NULL));
        BUG_ON(in->documents && json_array_size(in->documents) != (size_t)in->n_documents);
    }
}

/* A fault must come out as the error object, whatever the caller wrote. */
static void check_fault(const struct input_fault *f)
{
    struct exchange x = {.method = "POST"};
    BUG_ON(!f->text.text[0] || f->fault >= FAULT_COUNT || !memchr(f->param, 0, sizeof(f->param)));
    BUG_ON(f->fault == FAULT_INTERNAL);
    buf_init(&x.answer, 1 << 20);
    reply_error(&x, f->fault, f->param[0] ? f->param : NULL, "%s", f->text.text);
    BUG_ON(x.status != reply_fault_status(&x, f->fault));
    buf_release(&x.answer);
}

/* ---- the request ---- */

struct request {
    char query_text[MAX_QUERY + 1], type[128];
    struct exchange_pair pairs[MAX_PAIRS];
    struct buf body;
    struct input_source source;
};

static size_t make_query(struct request *r, const uint8_t *data, size_t size)
{
    char *state = NULL;
    size_t n = strnlen((const char *)data, size);
    n = n < MAX_QUERY ? n : MAX_QUERY;
    memcpy(r->query_text, data, n);
    int n_pairs = 0;
    for (char *p = strtok_r(r->query_text, "&", &state); p && n_pairs < MAX_PAIRS; p = strtok_r(NULL, "&", &state)) {
        char *value = strchr(p, '=');
        if (value) {
            *value++ = '\0';
        }
        r->pairs[n_pairs++] = (struct exchange_pair){p, value, strlen(p), value ? strlen(value) : 0};
    }
    r->source.query = r->pairs;
    r->source.n_query = n_pairs;
    return n < size && data[n] == 0 ? n + 1 : n;
}

static size_t make_type(struct request *r, const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - data) : size, kept = n < sizeof(r->type) - 1 ? n : sizeof(r->type) - 1;
    memcpy(r->type, data, kept);
    r->source.content_type = r->type;
    return end ? n + 1 : n;
}

/* 5: OpenAI; 6: KServe, the content type chooses the model; 7: Hugging Face, or rerank. */
static void make_dialect(struct input_source *s, int byte)
{
    static const enum input_route models[] = {INPUT_CAPTION, INPUT_VQA, INPUT_RETRIEVE};
    int type = byte >> 3 & 15;
    if ((byte & 7) == 5) {
        s->dialect = INPUT_OPENAI;
        s->route = INPUT_CAPTION;
    } else if ((byte & 7) == 6) {
        s->dialect = INPUT_KSERVE;
        s->route = models[type % 3];
    } else if ((byte & 7) == 7) {
        s->dialect = type % 2 ? INPUT_RERANK : INPUT_HUGGINGFACE;
        s->route = type % 2 ? INPUT_RETRIEVE : type % 4 ? INPUT_VQA : INPUT_CAPTION;
    }
}

static struct request *make(const uint8_t *data, size_t size)
{
    struct request *r = calloc(1, sizeof(*r));
    if (!r) {
        abort();
    }
    size_t from = 1;
    r->source = (struct input_source){.route = (enum input_route)(1 << (data[0] & 7) % 5),
                                      .content_type = types[data[0] >> 3 & 15],
                                      .body = &r->body,
                                      .limits = {.images = 4, .texts = 5, .pairs = 12, .text_bytes = 64}};
    make_dialect(&r->source, data[0]);
    from += data[0] & 128 ? make_query(r, data + from, size - from) : 0;
    if (r->source.content_type && r->source.content_type[0] == '*') {
        from += make_type(r, data + from, size - from);
        r->source.json_bytes = r->source.dialect == INPUT_KSERVE ? r->type : NULL;
    }
    buf_init(&r->body, size);
    buf_append(&r->body, data + from, size - from);
    return r;
}

/* Parses and checks; what came of it as a number. */
static uint64_t parse(const struct input_source *s)
{
    struct input in;
    struct input_fault fault;
    size_t need = input_need_bytes(s) + buf_held(s->body);
    uint64_t hash;
    (void)input_weight(s);
    if (input_parse(&in, s, &fault)) {
        check_taken(&in);
        hash = touch(&in);
    } else {
        check_fault(&fault);
        hash = mix(fault.fault, fault.text.text, strlen(fault.text.text));
    }
    BUG_ON(input_bytes(&in) > need || s->body->bytes);
    input_release(&in);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t before = mem_live_bytes();
    struct request *r = make(data, size);
    uint64_t hash = parse(&r->source);
    buf_release(&r->body);
    free(r);
    struct input_source *copy;
    r = make(data, size);
    BUG_ON(input_source_copy(&copy, &r->source));
    memset(r, 0x5a, sizeof(*r));
    free(r);
    BUG_ON(parse(copy) != hash);
    input_source_destroy(copy);
    BUG_ON(mem_live_bytes() != before);
    touched += (unsigned)hash;
    return 0;
}
