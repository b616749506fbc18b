/* Documents ranked by how well they match a query: /retrieve with `documents`, and POST /rerank as Cohere, Jina and TEI
 * have it. */
#include "engine/answer/answer.h"
#include "engine/base/mem.h"
#include "server/api/api.h"

/* Document i as it was given; of an image its id stands for the bytes. */
static json_t *document(const struct work *w, int i)
{
    json_t *given = json_deep_copy(json_array_get(w->input.documents, (size_t)i));
    const json_t *id = w->input.has_image_documents ? json_object_get(w->round.items[i], "id") : NULL;
    if (given && id) {
        json_object_set_new(given, "image", json_pack("{s:O}", "id", id));
    }
    return given;
}

/* One entry; TEI calls the score `score`, and the document is its text. */
static json_t *entry(const struct work *w, const struct answer_hit *hit)
{
    const struct input *in = &w->input;
    int index = in->has_image_documents ? hit->image : hit->text;
    json_t *object =
        json_pack("{s:i, s:f}", "index", index, in->wish.is_bare ? "score" : "relevance_score", (double)hit->score);
    if (object && in->return_documents && !in->wish.is_bare) {
        json_object_set_new(object, "document", document(w, index));
    } else if (object && in->return_documents && !in->has_image_documents) {
        json_object_set_new(object, "text", answer_text(in->texts[index], in->text_bytes[index]));
    }
    return object;
}

static json_t *make_ranked(const struct work *w)
{
    int n = 0;
    const struct work_round *r = &w->round;
    struct answer_hit *hits = answer_hits(r->items, r->scores, r->n_items, r->n_texts, w->input.top_k, &n);
    json_t *results = hits ? json_array() : NULL;
    for (int i = 0; results && i < n; i++) {
        json_array_append_new(results, entry(w, &hits[i]));
    }
    mem_free(hits);
    if (!results || w->input.wish.is_bare) {
        return results;
    }
    json_t *object = json_pack("{s:o, s:o}", "results", results, "model", answer_model(&w->service->info));
    if (object && r->warnings && w->input.dialect == INPUT_RERANK) { /* where Cohere has them */
        json_object_set_new(object, "meta", json_pack("{s:O}", "warnings", r->warnings));
    } else {
        answer_add_warnings(object, r->warnings);
    }
    if (object && w->input.dialect == INPUT_RERANK) {
        json_object_set_new(object, "id", json_string(w->id));
    }
    return object;
}

void api_rerank_done(struct work *w)
{
    if (!api_predict_fault(w)) {
        api_predict_headers(w);
        work_answer_made(w, 200, make_ranked);
    }
}

static void begin(struct work *w)
{
    work_round_begin(w, JOB_RETRIEVE, w->input.n_images, api_result_retrieve, api_rerank_done);
}

static const struct work_kind kind = {INPUT_RETRIEVE, JOB_RETRIEVE, begin, .dialect = INPUT_RERANK};

void api_rerank(struct api *a, struct exchange *x)
{
    (void)a;
    work_run(x->work, &kind);
}
