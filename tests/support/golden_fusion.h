/* golden_fusion - the text half against the reference, stage by stage (golden.h says how differences are told). Works
 * on g->features, which golden_tee leaves there.
 *
 * Threads: one owner. */
#ifndef TESTS_SUPPORT_GOLDEN_FUSION_H
#define TESTS_SUPPORT_GOLDEN_FUSION_H

#include "engine/model/topk.h"
#include "tests/support/golden.h"

enum { GOLDEN_MAX_IDS = 512, GOLDEN_TOP = 5 };

/* [CLS] text [SEP] against NAME.ids; ids + 1 is what a fusion item takes. Returns the number of tokens between. */
static inline int golden_ids(struct golden *g, const char *name, const char *text, int ids[GOLDEN_MAX_IDS])
{
    char part[64];
    int room = model_config(g->model)->text.text_length - 2;
    BUG_ON(room > GOLDEN_MAX_IDS - 2);
    int n = wordpiece_encode(g->model->wordpiece, text, strlen(text), ids + 1, room);
    n = n < room ? n : room;
    ids[0] = g->model->special.cls;
    ids[n + 1] = g->model->special.sep;
    snprintf(part, sizeof(part), "%s.ids", name);
    golden_ints(g, part, ids, (size_t)n + 2);
    return n;
}

/* One step of one item, compared after each layer where the reference wrote that down. */
static inline bool golden_step(struct golden *g, const char *name, struct fusion_item *item, bool every_layer)
{
    struct fusion *f = &g->session->fusion;
    enum err err = OK;
    char part[64];
    g->tolerance = g->place->tolerance > 0.0 ? g->place->tolerance : golden_tolerance;
    size_t d = (size_t)g->model->config.fusion.hidden, rows = fusion_embed(f, item, 1);
    if (every_layer) {
        snprintf(part, sizeof(part), "%s.embeddings", name);
        golden_floats(g, part, f->x, rows * d);
    }
    for (int i = 0; i < g->model->config.fusion.layers; i++) {
        fusion_layer(f, i, item, 1, rows);
        if (every_layer) {
            bool is_last = i == g->model->config.fusion.layers - 1;
            size_t n;
            snprintf(part, sizeof(part), "%s.layer%d", name, i);
            const float *expected = golden_expected(g, part, &n);
            bool is_whole = n == rows * d;
            double error = is_whole ? golden_error(f->x, expected, is_last ? fusion_item_deciding(item) * d : n) : NAN;
            golden_note(g, part, is_whole && error <= g->tolerance, error);
        }
    }
    fusion_heads(f, item, 1, &err);
    return err == OK || golden_note(g, name, false, NAN);
}

static inline void golden_answers(struct golden *g, const char *name, const float *scores, const json_t *about)
{
    char part[64];
    uint64_t keys[GOLDEN_TOP];
    const json_t *answers = json_object_get(about, "answers"), *expected = json_object_get(about, "scores");
    size_t n = topk_select(scores, (size_t)g->model->config.vqa.answers, GOLDEN_TOP, keys);
    snprintf(part, sizeof(part), "%s.answers", name);
    golden_note(g, part, json_array_size(answers) == n, 0.0);
    for (size_t i = 0; i < n; i++) {
        size_t answer = topk_index(keys[i]);
        bool is_near = golden_number(g, part, (double)scores[answer], json_array_get(expected, i));
        if (!g->place->is_loose || !is_near) {
            golden_text(g, part, model_answer_name(g->model, (int)answer), json_array_get(answers, i));
        }
    }
}

/* Sigmoid of NAME.logits against scores. */
static inline void golden_scores(struct golden *g, const char *name, const float *scores)
{
    char part[64];
    size_t n, n_answers = (size_t)g->model->config.vqa.answers;
    snprintf(part, sizeof(part), "%s.logits", name);
    const float *logits = golden_expected(g, part, &n);
    float *expected = calloc(n_answers, sizeof(float));
    if (n != n_answers || !expected) {
        free(expected);
        golden_note(g, part, false, NAN);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        expected[i] = (float)(1.0 / (1.0 + exp(-(double)logits[i])));
    }
    double error = golden_error(scores, expected, n);
    golden_note(g, part, error <= g->tolerance, error);
    free(expected);
}

static inline void golden_vqa(struct golden *g)
{
    const json_t *list = json_object_get(g->about, "vqa");
    float *scores = calloc((size_t)g->model->config.vqa.answers, sizeof(float));
    for (size_t i = 0; scores && i < json_array_size(list); i++) {
        const json_t *about = json_array_get(list, i);
        int ids[GOLDEN_MAX_IDS];
        char name[32];
        snprintf(name, sizeof(name), "vqa%zu", i);
        int n = golden_ids(g, name, json_string_value(json_object_get(about, "question")), ids);
        struct fusion_item item = {
            .kind = FUSION_VQA, .features = g->features, .tokens = ids + 1, .n_tokens = n, .out = scores};
        if (!golden_step(g, name, &item, i == 0)) {
            break;
        }
        golden_scores(g, name, scores);
        golden_answers(g, name, scores, about);
        if (i == 0) { /* without tags */
            int n_tags = g->features->n_tags;
            g->features->n_tags = 0;
            if (golden_step(g, "notags.vqa0", &item, false)) {
                golden_scores(g, "notags.vqa0", scores);
            }
            g->features->n_tags = n_tags;
        }
    }
    free(scores);
}

static inline void golden_retrieve(struct golden *g)
{
    const json_t *list = json_object_get(g->about, "retrieve");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *about = json_array_get(list, i);
        int ids[GOLDEN_MAX_IDS];
        float match = NAN;
        size_t n_logits;
        char name[32], part[64];
        snprintf(name, sizeof(name), "retrieve%zu", i);
        snprintf(part, sizeof(part), "%s.logits", name);
        int n = golden_ids(g, name, json_string_value(json_object_get(about, "text")), ids);
        struct fusion_item item = {
            .kind = FUSION_RETRIEVE, .features = g->features, .tokens = ids + 1, .n_tokens = n, .out = &match};
        const float *logits = golden_expected(g, part, &n_logits);
        if (!golden_step(g, name, &item, false) || n_logits != 2) {
            golden_note(g, part, false, NAN);
            continue;
        }
        double expected = 1.0 / (1.0 + exp((double)logits[0] - (double)logits[1]));
        double error = fabs((double)match - expected) / expected;
        golden_note(g, part, error <= g->tolerance, error);
        golden_number(g, name, (double)match, json_object_get(about, "score"));
    }
}

/* Log-softmax of NAME.logitsT against the row the head left. */
static inline void golden_words(struct golden *g, const char *name, int step)
{
    char part[32];
    size_t n, said = (size_t)g->model->caption_rules.n_words;
    double max = -INFINITY, sum = 0.0;
    snprintf(part, sizeof(part), "%s.logits%d", name, step);
    const float *logits = golden_expected(g, part, &n);
    float *expected = calloc(said, sizeof(float));
    if (n != said || !expected) {
        free(expected);
        golden_note(g, part, false, NAN);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        max = fmax(max, (double)logits[i]);
    }
    for (size_t i = 0; i < n; i++) {
        sum += exp((double)logits[i] - max);
    }
    for (size_t i = 0; i < n; i++) {
        expected[i] = (float)((double)logits[i] - max - log(sum));
    }
    double error = golden_error(g->session->fusion.logits, expected, n);
    golden_note(g, part, error <= g->tolerance, error);
    free(expected);
}

/* The recorder wrote down the first three steps. */
static inline bool golden_decode(struct golden *g, const char *name, struct caption_state *state, int num_beams,
                                 bool every_step)
{
    const struct model_config *c = &g->model->config;
    struct caption_params params = {num_beams, num_beams, c->caption.max_tokens, c->caption.length_penalty};
    struct fusion_item item = {.kind = FUSION_CAPTION, .features = g->features, .caption = state};
    caption_state_reset(state, &params);
    for (int step = 1; !caption_state_is_done(state); step++) {
        if (!golden_step(g, name, &item, false)) {
            return false;
        }
        if (every_step && step <= 3) {
            golden_words(g, name, step);
        }
    }
    return true;
}

/* The reference joins all pieces by spaces; the engine writes punctuation as people do. The rest must be the same. */
static inline bool golden_same_letters(const char *a, const char *b)
{
    for (; *a || *b; a += *a != '\0', b += *b != '\0') {
        a += strspn(a, " ");
        b += strspn(b, " ");
        if (*a != *b) {
            return false;
        }
    }
    return true;
}

/* Words and score of hypothesis i; where beams nearly tie, the loose manner takes one as good. */
static inline void golden_hypothesis(struct golden *g, const char *part, const struct caption_state *state, int i,
                                     const json_t *about)
{
    const struct caption_hypothesis *h = &state->search.kept[i];
    char text[4096];
    int n_words;
    float score;
    caption_state_result(state, i, &n_words, &score);
    wordpiece_decode(g->model->wordpiece, h->tokens, h->n, text, sizeof(text));
    bool is_near = golden_number(g, part, (double)score, json_object_get(about, "score"));
    size_t n;
    const float *tokens = golden_expected(g, part, &n);
    bool is_same = n == (size_t)h->n;
    for (size_t k = 0; is_same && k < n; k++) {
        is_same = h->tokens[k] == (int)tokens[k];
    }
    if (!g->place->is_loose || !is_near) {
        golden_note(g, part, is_same, 0.0);
        const char *expected = json_string_value(json_object_get(about, "text"));
        golden_note(g, part, expected && golden_same_letters(text, expected), 0.0);
    }
}

/* Greedy with its logits, then beams. name: "caption" or "other" */
static inline void golden_search(struct golden *g, const char *name, struct caption_state *state)
{
    const json_t *about = json_object_get(g->about, name), *beams = json_object_get(about, "beams");
    char part[32];
    if (golden_decode(g, name, state, 1, true)) {
        snprintf(part, sizeof(part), "%s.greedy", name);
        golden_hypothesis(g, part, state, 0, json_object_get(about, "greedy"));
    }
    if (golden_decode(g, name, state, g->model->config.caption.num_beams, false)) {
        snprintf(part, sizeof(part), "%s.beams", name);
        golden_note(g, part, json_array_size(beams) == (size_t)caption_state_n_results(state), 0.0);
        for (int i = 0; i < caption_state_n_results(state); i++) {
            snprintf(part, sizeof(part), "%s.beam%d", name, i);
            golden_hypothesis(g, part, state, i, json_array_get(beams, (size_t)i));
        }
    }
}

/* The other decoder on the same weights. */
static inline void golden_other_decoder(struct golden *g)
{
    struct model_config *c = &g->model->config;
    enum model_decoder own = c->caption.decoder;
    struct caption_state *state = NULL;
    c->caption.decoder = own == MODEL_DECODER_MASK ? MODEL_DECODER_CAUSAL : MODEL_DECODER_MASK;
    if (golden_note(g, "other",
                    caption_state_create(&state, g->model, c->caption.num_beams, c->caption.max_tokens) == OK, 0.0)) {
        golden_search(g, "other", state);
    }
    caption_state_destroy(state);
    c->caption.decoder = own;
}

static inline void golden_caption(struct golden *g)
{
    const struct model_config *c = &g->model->config;
    struct caption_state *state;
    size_t d = (size_t)c->fusion.hidden;
    if (caption_state_create(&state, g->model, c->caption.num_beams, c->caption.max_tokens) != OK) {
        golden_note(g, "caption", false, NAN);
        return;
    }
    struct fusion_item item = {.kind = FUSION_CAPTION, .features = g->features, .caption = state};
    fusion_embed(&g->session->fusion, &item, 1);
    golden_floats(g, "caption.context", g->session->fusion.x, (size_t)state->n_context * d);
    golden_search(g, "caption", state);
    int n_tags = g->features->n_tags;
    g->features->n_tags = 0;
    if (golden_decode(g, "notags.caption", state, 1, false)) {
        golden_ints(g, "notags.caption.greedy", state->search.kept[0].tokens, (size_t)state->search.kept[0].n);
    }
    g->features->n_tags = n_tags;
    caption_state_destroy(state);
    golden_other_decoder(g);
}

#endif
