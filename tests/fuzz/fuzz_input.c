/* Any bytes as a request. The first byte says route and content type, the rest is the body; a query string, decoded,
 * may stand before it up to the first NUL when bit 6 is set. What is taken is within the limits and inside its memory.
 */
#include "engine/base/mem.h"
#include "server/input/input.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned touched; /* so that reading is not optimised away */

enum { MAX_PAIRS = 8, MAX_QUERY = 256 };

/* Reads every byte that the engine would read. */
static unsigned touch(const struct input *in)
{
    unsigned sum = 0;
    for (int i = 0; i < in->n_images; i++) {
        BUG_ON(!in->images[i].bytes && in->images[i].n_bytes);
        for (size_t k = 0; k < in->images[i].n_bytes; k++) {
            sum += in->images[i].bytes[k];
        }
    }
    for (int i = 0; i < in->n_texts; i++) {
        BUG_ON(in->text_bytes[i] < 1 || in->text_bytes[i] > in->limits->limits.text_bytes);
        BUG_ON(!input_is_utf8(in->texts[i], in->text_bytes[i]));
        sum += (unsigned)strlen(in->texts[i]); /* all are terminated */
    }
    return sum;
}

static void check_taken(const struct input *in, const struct config *c)
{
    BUG_ON(in->n_images < 0 || in->n_images > c->limits.images || in->n_texts < 0 || in->n_texts > c->limits.texts);
    BUG_ON((long long)in->n_images * (in->n_texts > 0 ? in->n_texts : 1) > c->limits.pairs);
    BUG_ON(in->n_images == 0 && !in->collection);
    BUG_ON(in->num_beams < 0 || in->num_beams > 10 || in->num_captions < 0 || in->num_captions > JOB_MAX_CAPTIONS);
    BUG_ON(in->max_tokens < 0 || in->max_tokens > JOB_MAX_TOKENS || in->top_k < 0 || in->timeout_ms > 1000000000000u);
    BUG_ON(in->route == INPUT_VQA && in->top_k > JOB_MAX_TOP_K);
    BUG_ON(!isnan(in->length_penalty) && !(in->length_penalty >= -5 && in->length_penalty <= 5));
    BUG_ON((in->route == INPUT_VQA || in->route == INPUT_RETRIEVE) && in->n_texts == 0);
    BUG_ON((in->route == INPUT_CAPTION || in->route == INPUT_STORE || in->route == INPUT_CHECK) && in->n_texts > 0);
    BUG_ON((in->route == INPUT_STORE || in->route == INPUT_CHECK) && in->n_images != 1);
    if (in->is_rerank) {
        int n = (int)json_array_size(in->documents);
        BUG_ON((in->has_image_documents ? in->n_images : in->n_texts) != n || n < 1);
    }
}

/* A fault must come out as the error object, whatever the caller wrote. */
static void check_fault(struct exchange *x, const struct input_fault *f)
{
    BUG_ON(!f->text.text[0] || f->fault >= FAULT_COUNT || !memchr(f->param, 0, sizeof(f->param)));
    BUG_ON(f->fault == FAULT_INTERNAL);
    buf_init(&x->answer, 1 << 20);
    reply_error(x, f->fault, f->param[0] ? f->param : NULL, "%s", f->text.text);
    BUG_ON(x->status != reply_fault_status(f->fault));
    buf_release(&x->answer);
}

static size_t take_query(struct exchange *x, const uint8_t *data, size_t size)
{
    static char text[MAX_QUERY + 1];
    static struct exchange_pair pairs[MAX_PAIRS];
    char *state = NULL;
    size_t n = strnlen((const char *)data, size);
    n = n < MAX_QUERY ? n : MAX_QUERY;
    memcpy(text, data, n);
    text[n] = '\0';
    x->query = pairs;
    for (char *p = strtok_r(text, "&", &state); p && x->n_query < MAX_PAIRS; p = strtok_r(NULL, "&", &state)) {
        char *value = strchr(p, '=');
        if (value) {
            *value++ = '\0';
        }
        pairs[x->n_query++] = (struct exchange_pair){p, value, strlen(p), value ? strlen(value) : 0};
    }
    return n < size && data[n] == 0 ? n + 1 : n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"application/json", "multipart/form-data; boundary=B", "image/png",
                                        "multipart/form-data; boundary=\"a b\""};
    static struct config limits;
    struct exchange x = {.method = "POST"};
    struct input in;
    struct input_fault fault;
    if (size < 1) {
        return 0;
    }
    config_defaults(&limits);
    limits.limits.images = 4;
    limits.limits.texts = 5;
    limits.limits.pairs = 12;
    limits.limits.text_bytes = 64;
    size_t before = mem_live_bytes(), from = 1;
    x.headers[HEADER_CONTENT_TYPE] = types[data[0] >> 3 & 3];
    from += data[0] & 64 ? take_query(&x, data + 1, size - 1) : 0;
    buf_init(&x.body, size);
    buf_append(&x.body, data + from, size - from);
    if (input_take(&in, (enum input_route)(1 << (data[0] & 7) % 5), &x, &limits, &fault)) {
        check_taken(&in, &limits);
        touched += touch(&in);
    } else {
        check_fault(&x, &fault);
    }
    input_release(&in);
    buf_release(&x.body);
    BUG_ON(mem_live_bytes() != before);
    return 0;
}
