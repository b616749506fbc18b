#include "engine/answer/answer.h"

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

json_t *answer_text(const char *bytes, size_t n)
{
    size_t at = utf8_valid(bytes, n);
    if (at == n) {
        return json_stringn(bytes, n);
    }
    struct buf b;
    uint32_t code;
    buf_init(&b, n);
    for (size_t i = 0; i < n; i += at ? at : 1) {
        at = utf8_next(bytes + i, n - i, &code);
        buf_append(&b, at ? bytes + i : "?", at ? at : 1);
    }
    json_t *text = b.err ? NULL : json_stringn(b.bytes, b.n);
    buf_release(&b);
    return text;
}

json_t *answer_model(const struct engine_info *info)
{
    return json_sprintf("%s-%s", info->model_name, info->model_version);
}

json_t *answer_image(const struct image_id *id, const struct job_result *r)
{
    char hex[SHA256_HEX];
    json_t *warnings = json_array();
    sha256_hex(id->bytes, hex);
    for (int bit = 0; bit < 32; bit++) {
        if ((r->warnings >> bit & 1) && job_warning_text(bit)) {
            json_array_append_new(warnings, json_string(job_warning_text(bit)));
        }
    }
    return json_pack("{s:s, s:i, s:i, s:o}", "id", hex, "width", r->width, "height", r->height, "warnings", warnings);
}

/* Pixels with two decimals. */
static double pixel(float x)
{
    return (double)(long long)((double)x * 100.0 + (x < 0 ? -0.5 : 0.5)) / 100.0;
}

json_t *answer_regions(const struct job_result *r, float min_score)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_regions && r->regions[i].score >= min_score; i++) {
        const struct job_region *g = &r->regions[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:f, s:[f, f, f, f]}", "label", g->label, "score", (double)g->score,
                                        "box", pixel(g->box[0]), pixel(g->box[1]), pixel(g->box[2]), pixel(g->box[3])));
    }
    return list;
}

/* ---- parts of one picture's answer ---- */

static json_t *weights(const struct job_result *r, int text)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_regions; i++) {
        json_array_append_new(list, json_real((double)r->region_weights[text * r->n_regions + i]));
    }
    return list;
}

/* region_weights NULL: not asked for. Takes its reference. */
static void add_explain(json_t *object, json_t *region_weights)
{
    if (region_weights) {
        json_object_set_new(object, "explain",
                            json_pack("{s:s, s:o}", "method", "attention", "region_weights", region_weights));
    }
}

static json_t *weights_of(const struct answer_view *v, const struct job_result *r, int text)
{
    return v->with_weights && r->region_weights ? weights(r, text) : NULL;
}

static void add_regions(json_t *object, const struct answer_view *v, const struct job_result *r)
{
    if (v->with_regions) {
        json_object_set_new(object, "regions", answer_regions(r, -1));
    }
}

/* ---- warnings ---- */

json_t *answer_text_warnings(const struct job *job)
{
    enum { SPARE_BYTES = 64 };
    const struct job_result *r = &job->result;
    char numbers[192] = ""; /* the whole is a header field, too */
    size_t n = 0;
    int n_cut = 0;
    for (int i = 0; r->text_tokens && i < job->request.n_texts; i++) {
        if (r->text_tokens[i] <= r->max_text_tokens) {
            continue;
        }
        if (n < sizeof(numbers) - SPARE_BYTES) {
            n += (size_t)snprintf(numbers + n, sizeof(numbers) - n, "%s%d", n_cut ? ", " : "", i);
        }
        n_cut++;
    }
    return n_cut == 0
               ? NULL
               : json_pack("[o]", json_sprintf("only the first %d word pieces were read of %s %s%s", r->max_text_tokens,
                                               job->request.task == JOB_VQA ? "question" : "text", numbers,
                                               n < sizeof(numbers) - SPARE_BYTES ? "" : ", ..."));
}

void answer_add_warnings(json_t *object, json_t *warnings)
{
    if (object && warnings) {
        json_object_set(object, "warnings", warnings);
    }
}

/* ---- one picture's answer ---- */

json_t *answer_caption(const struct answer_view *v, const struct job *job)
{
    const struct job_result *r = &job->result;
    json_t *captions = json_array();
    int n_tokens = 0;
    for (int i = 0; i < r->n_captions; i++) {
        json_array_append_new(
            captions, json_pack("{s:s, s:f}", "text", r->captions[i].text, "score", (double)r->captions[i].score));
        n_tokens += r->captions[i].n_tokens;
    }
    json_t *object = json_pack("{s:s, s:f, s:o}", "caption", r->n_captions ? r->captions[0].text : "", "score",
                               r->n_captions ? (double)r->captions[0].score : 0.0, "captions", captions);
    if (object) {
        add_explain(object, weights_of(v, r, 0));
        add_regions(object, v, r);
        json_object_set_new(object, "image", answer_image(v->id, r));
        json_object_set_new(object, "usage", json_pack("{s:i, s:i}", "regions", r->n_regions, "tokens", n_tokens));
    }
    return object;
}

/* Of one question. */
static json_t *answered(const struct answer_view *v, const struct job *job, int text)
{
    const struct job_result *r = &job->result;
    const struct job_answer *found = r->answers + (size_t)text * (size_t)job->request.top_k;
    json_t *list = json_array();
    for (int i = 0; i < r->n_answers[text]; i++) {
        json_array_append_new(list,
                              json_pack("{s:s, s:f}", "answer", found[i].answer, "score", (double)found[i].score));
    }
    json_t *object = json_pack("{s:o, s:s, s:f, s:o}", "question", answer_text(v->texts[text], v->text_bytes[text]),
                               "answer", found[0].answer, "score", (double)found[0].score, "answers", list);
    if (object) {
        add_explain(object, weights_of(v, r, text));
    }
    return object;
}

json_t *answer_vqa(const struct answer_view *v, const struct job *job)
{
    json_t *object;
    if (v->n_texts == 1 && !v->has_text_list) {
        object = answered(v, job, 0);
    } else {
        json_t *list = json_array();
        for (int i = 0; i < v->n_texts; i++) {
            json_array_append_new(list, answered(v, job, i));
        }
        object = json_pack("{s:o}", "results", list);
    }
    if (object) {
        add_regions(object, v, &job->result);
        json_object_set_new(object, "image", answer_image(v->id, &job->result));
    }
    return object;
}

json_t *answer_retrieve_image(const struct answer_view *v, const struct job *job)
{
    const struct job_result *r = &job->result;
    json_t *object = answer_image(v->id, r), *list = NULL;
    if (!object) {
        return NULL;
    }
    add_regions(object, v, r);
    if (v->with_weights && r->region_weights) {
        list = json_array();
        for (int i = 0; i < v->n_texts; i++) {
            json_array_append_new(list, weights(r, i));
        }
    }
    add_explain(object, list);
    return object;
}

/* ---- memory ---- */

/* Of jansson's values with what malloc adds, measured (tests/e2e/test_ledger.py): an object and a pair of it, a list,
 * a number or the head of a string, a name of the model's. */
enum { OBJECT_BYTES = 272, PAIR_BYTES = 80, LIST_BYTES = 144, VALUE_BYTES = 56, NAME_BYTES = 64, IMAGE_BYTES = 2048 };

size_t answer_max_bytes(const struct answer_view *v, enum job_task task, int top_k, int num_captions, int n_regions)
{
    const size_t regions = (size_t)n_regions, texts = (size_t)v->n_texts;
    const size_t scored = OBJECT_BYTES + 2 * PAIR_BYTES + 2 * VALUE_BYTES; /* a text or a name, and its score */
    const size_t explain = v->with_weights ? scored + LIST_BYTES + regions * VALUE_BYTES : 0;
    size_t bytes = IMAGE_BYTES, written = 0;
    if (v->with_regions) {
        bytes += regions * (scored + PAIR_BYTES + NAME_BYTES + LIST_BYTES + 4 * VALUE_BYTES);
    }
    for (int i = 0; i < v->n_texts && task == JOB_VQA; i++) {
        written += v->text_bytes[i];
    }
    if (task == JOB_CAPTION) {
        bytes += (size_t)num_captions * (scored + JOB_CAPTION_BYTES) + explain;
    } else if (task == JOB_VQA) {
        bytes += texts * (2 * scored + LIST_BYTES + explain + (size_t)top_k * (scored + NAME_BYTES));
    } else if (task == JOB_RETRIEVE) {
        bytes += texts * (2 * scored + sizeof(struct answer_hit) + explain);
    }
    return bytes + bytes / 4 +
           3 * written; /* texts: a copy in the object, and in what is printed from it as it grows */
}

/* ---- pictures beside sentences ---- */

static bool is_good(const json_t *image)
{
    return image && !json_object_get(image, "error");
}

static int by_score(const void *left, const void *right)
{
    const struct answer_hit *a = left, *b = right;
    if (a->score != b->score) {
        return a->score < b->score ? 1 : -1;
    }
    return a->image != b->image ? a->image - b->image : a->text - b->text;
}

struct answer_hit *answer_hits(json_t *const *images, const float *scores, int n_images, int n_texts, int top_k,
                               int *n_out)
{
    struct answer_hit *hits;
    int n = 0;
    if (mem_array(&hits, (size_t)n_images * (size_t)n_texts, sizeof(*hits))) {
        return NULL;
    }
    for (int i = 0; i < n_images; i++) {
        bool has_scores = is_good(images[i]);
        for (int t = 0; t < n_texts && has_scores; t++) {
            hits[n++] = (struct answer_hit){i, t, scores[(size_t)i * (size_t)n_texts + (size_t)t]};
        }
    }
    qsort(hits, (size_t)n, sizeof(*hits), by_score);
    *n_out = top_k && top_k < n ? top_k : n;
    return hits;
}

static json_t *score_table(json_t *const *images, const float *scores, int n_images, int n_texts)
{
    json_t *table = json_array();
    for (int i = 0; i < n_images; i++) {
        bool has_scores = is_good(images[i]);
        json_t *row = has_scores ? json_array() : json_null();
        for (int t = 0; t < n_texts && has_scores; t++) {
            json_array_append_new(row, json_real((double)scores[(size_t)i * (size_t)n_texts + (size_t)t]));
        }
        json_array_append_new(table, row);
    }
    return table;
}

json_t *answer_retrieve(json_t *const *images, const float *scores, int n_images, int n_texts, int top_k)
{
    int n = 0;
    struct answer_hit *hits = answer_hits(images, scores, n_images, n_texts, top_k, &n);
    if (!hits) {
        return NULL;
    }
    json_t *results = json_array(), *list = json_array();
    for (int i = 0; i < n; i++) {
        json_array_append_new(results,
                              json_pack("{s:i, s:i, s:f, s:f}", "image", hits[i].image, "text", hits[i].text, "score",
                                        (double)hits[i].score, "relevance_score", (double)hits[i].score));
    }
    mem_free(hits);
    for (int i = 0; i < n_images; i++) {
        json_array_append(list, images[i]);
    }
    return json_pack("{s:o, s:o, s:o}", "scores", score_table(images, scores, n_images, n_texts), "results", results,
                     "images", list);
}
