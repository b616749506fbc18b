/* caption_state - a caption under way: its search, and the keys and values that later steps attend to.
 *
 * A step feeds one row for each running hypothesis, its last token, and with the decoder "mask" a second one, [MASK] at
 * the next position. The last row of a hypothesis predicts the next word; the token's keys and values are kept.
 *
 * For each layer there are keys and values of the context (tags, regions and cells, the same for all beams, [n_context,
 * D]) and of the text, one row for each position and beam: [position, beam, D]. Beams share their past: nothing is
 * copied when a beam is continued twice, instead slot[p][i] says which row of position p belongs to running hypothesis
 * i.
 *
 * Ownership: one block. Threads: one owner at a time. */
#ifndef ENGINE_MODEL_CAPTION_STATE_H
#define ENGINE_MODEL_CAPTION_STATE_H

#include "engine/model/fusion/caption.h"

struct caption_state {
    const struct caption_rules *rules;
    size_t dim; /* D */
    int n_layers, max_beams, max_tokens, max_context;
    int word_rows; /* of one hypothesis in a step: 2 with [MASK], else 1 */
    struct caption search;
    int n_context;  /* rows of the context; 0 until the first step */
    int n_position; /* positions of the text that have keys and values; 0: the first step is still to come */
    uint8_t slot[CAPTION_MAX_TOKENS][CAPTION_MAX_BEAMS];
    uint8_t _next_slot[CAPTION_MAX_TOKENS][CAPTION_MAX_BEAMS];
    float *kv; /* [layers] of context keys, context values, text keys, text values */
};

/* Keys and values of one layer. */
struct caption_state_layer {
    float *context_k, *context_v; /* [max_context, D] */
    float *text_k, *text_v;       /* [max_tokens, max_beams, D] */
};
struct caption_state_layer caption_state_layer(const struct caption_state *c, int layer);
/* The row of a text map that holds position p of running hypothesis i. */
size_t caption_state_row(const struct caption_state *c, int p, int i);
/* The step that wrote row slot i of the newest position for running hypothesis i is over: chooses the next tokens. */
void caption_state_advance(struct caption_state *c, const float *log_probs, size_t ld);

#endif
