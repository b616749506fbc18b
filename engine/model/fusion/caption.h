/* caption - chooses a caption's words: greedy and beam search over given log-probabilities, without any tensors.
 *
 * The rules are those of docs/model-format.md, "Caption decoding": never a forbidden token, never the same word twice
 * in a row, never [SEP] first; all ties go to the lower beam, then the lower id. Sums are in double.
 *
 * One step: the caller computes a row of log-probabilities for each running hypothesis (caption->running[i] with its
 * last token) and calls caption_advance, which says in parents[i] which hypothesis of the step before hypothesis i
 * continues.
 *
 * Ownership: plain data, no pointers, no allocation. Threads: one owner. Errors: none; if nothing may follow (all words
 * are forbidden) the running hypotheses are closed as they are. */
#ifndef ENGINE_MODEL_CAPTION_H
#define ENGINE_MODEL_CAPTION_H

#include "engine/model/model.h"

struct caption_rules {
    int n_words, cls, sep;
    const unsigned char *is_forbidden; /* by token */
    const int *words;                  /* [n_words]: the token of each log-probability, ascending; NULL: 0, 1, 2, ... */
};

struct caption_hypothesis {
    double total; /* sum of log-probabilities */
    int n;        /* tokens: words, and [SEP] if it ended by itself */
    int tokens[CAPTION_MAX_TOKENS];
};

struct caption {
    struct caption_params params;
    bool is_done;
    int n_running;                                        /* best first */
    struct caption_hypothesis running[CAPTION_MAX_BEAMS]; /* all of the same length */
    struct caption_hypothesis next[CAPTION_MAX_BEAMS];    /* of caption_advance alone */
    int parents[CAPTION_MAX_BEAMS];
    int n_kept;
    struct caption_hypothesis kept[CAPTION_MAX_BEAMS + 1]; /* closed, best first; one extra place for sorting */
};

/* One running hypothesis without words. params within the limits of model.h. */
void caption_reset(struct caption *c, const struct caption_params *params);
/* The token that hypothesis i feeds: its last word, [CLS] at the start. */
int caption_last_token(const struct caption *c, const struct caption_rules *rules, int i);
/* log_probs: row i (of `ld` floats, `rules->n_words` used) belongs to running[i]. */
void caption_advance(struct caption *c, const struct caption_rules *rules, const float *log_probs, size_t ld);
/* Words of a closed hypothesis, without [SEP]. */
int caption_words(const struct caption_hypothesis *h, const struct caption_rules *rules);

#endif
