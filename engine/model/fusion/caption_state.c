#include "engine/model/fusion/caption_state.h"

#include "engine/base/mem.h"
#include "engine/model/model_private.h"

#include <string.h>

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static size_t layer_floats(size_t dim, int max_context, int max_beams, int max_tokens)
{
    return 2 * dim * ((size_t)max_context + (size_t)max_tokens * (size_t)max_beams);
}

size_t caption_state_bytes(const struct model *m, int max_beams, int max_tokens)
{
    const struct model_config *c = &m->config;
    size_t layer = layer_floats((size_t)c->fusion.hidden, model_config_max_context(c), max_beams, max_tokens);
    return aligned(sizeof(struct caption_state)) + (size_t)c->fusion.layers * layer * sizeof(float);
}

enum err caption_state_create(struct caption_state **out, const struct model *m, int max_beams, int max_tokens)
{
    struct caption_state *c = NULL;
    BUG_ON(max_beams < 1 || max_beams > CAPTION_MAX_BEAMS || max_tokens < 1 || max_tokens > CAPTION_MAX_TOKENS);
    enum err rc = mem_alloc(&c, caption_state_bytes(m, max_beams, max_tokens));
    if (rc) {
        return rc;
    }
    c->rules = &m->caption_rules;
    c->dim = (size_t)m->config.fusion.hidden;
    c->n_layers = m->config.fusion.layers;
    c->max_beams = max_beams;
    c->max_tokens = max_tokens;
    c->word_rows = m->config.caption.decoder == MODEL_DECODER_MASK ? 2 : 1;
    c->max_context = model_config_max_context(&m->config);
    c->kv = (float *)(void *)((char *)c + aligned(sizeof(*c)));
    caption_reset(&c->search, &(struct caption_params){1, 1, max_tokens, 1.0F});
    *out = c;
    return OK;
}

void caption_state_destroy(struct caption_state *c)
{
    mem_free(c);
}

void caption_state_reset(struct caption_state *c, const struct caption_params *p)
{
    BUG_ON(p->num_beams > c->max_beams || p->max_tokens > c->max_tokens);
    caption_reset(&c->search, p);
    c->n_context = 0;
    c->n_position = 0;
}

bool caption_state_is_done(const struct caption_state *c)
{
    return c->search.is_done;
}

int caption_state_rows(const struct caption_state *c, const struct features *f)
{
    if (c->search.is_done) {
        return 0;
    }
    int context = c->n_position == 0 ? features_rows(f) : 0;
    return context + c->word_rows * c->search.n_running;
}

/* The hypothesis that greedy decoding writes: running until it is closed. */
static const struct caption_hypothesis *greedy_of(const struct caption_state *c)
{
    return c->search.is_done ? &c->search.kept[0] : &c->search.running[0];
}

int caption_state_n_tokens(const struct caption_state *c)
{
    return c->search.params.num_beams == 1 ? caption_words(greedy_of(c), c->rules) : 0;
}

int caption_state_token(const struct caption_state *c, int i)
{
    BUG_ON(i < 0 || i >= caption_state_n_tokens(c));
    return greedy_of(c)->tokens[i];
}

int caption_state_n_results(const struct caption_state *c)
{
    const struct caption *s = &c->search;
    if (!s->is_done) {
        return 0;
    }
    return s->n_kept < s->params.num_captions ? s->n_kept : s->params.num_captions;
}

const int *caption_state_result(const struct caption_state *c, int i, int *n_tokens, float *score)
{
    BUG_ON(i < 0 || i >= caption_state_n_results(c));
    const struct caption_hypothesis *h = &c->search.kept[i];
    *n_tokens = caption_words(h, c->rules);
    *score = h->n > 0 ? (float)(h->total / h->n) : 0.0F;
    return h->tokens;
}

struct caption_state_layer caption_state_layer(const struct caption_state *c, int layer)
{
    size_t context = (size_t)c->max_context * c->dim, text = (size_t)c->max_tokens * (size_t)c->max_beams * c->dim;
    float *at = c->kv + (size_t)layer * layer_floats(c->dim, c->max_context, c->max_beams, c->max_tokens);
    return (struct caption_state_layer){at, at + context, at + 2 * context, at + 2 * context + text};
}

size_t caption_state_row(const struct caption_state *c, int p, int i)
{
    return (size_t)p * (size_t)c->max_beams + c->slot[p][i];
}

void caption_state_advance(struct caption_state *c, const float *log_probs, size_t ld)
{
    struct caption *s = &c->search;
    caption_advance(s, c->rules, log_probs, ld);
    for (int p = 0; p < c->n_position; p++) {
        for (int i = 0; i < s->n_running; i++) {
            c->_next_slot[p][i] = c->slot[p][s->parents[i]];
        }
        memcpy(c->slot[p], c->_next_slot[p], sizeof(c->slot[p]));
    }
}
