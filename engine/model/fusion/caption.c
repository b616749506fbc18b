#include "engine/model/fusion/caption.h"

#include <math.h>
#include <string.h>

struct candidate {
    double total;
    int beam, token;
};

void caption_reset(struct caption *c, const struct caption_params *params)
{
    BUG_ON(params->num_beams < 1 || params->num_beams > CAPTION_MAX_BEAMS);
    BUG_ON(params->max_tokens < 1 || params->max_tokens > CAPTION_MAX_TOKENS);
    BUG_ON(params->num_captions < 1 || params->num_captions > params->num_beams);
    c->params = *params;
    c->is_done = false;
    c->n_running = 1;
    c->running[0].total = 0.0;
    c->running[0].n = 0;
    c->parents[0] = 0;
    c->n_kept = 0;
}

int caption_last_token(const struct caption *c, const struct caption_rules *rules, int i)
{
    const struct caption_hypothesis *h = &c->running[i];
    return h->n > 0 ? h->tokens[h->n - 1] : rules->cls;
}

int caption_words(const struct caption_hypothesis *h, const struct caption_rules *rules)
{
    return h->n > 0 && h->tokens[h->n - 1] == rules->sep ? h->n - 1 : h->n;
}

static double rank_of(const struct caption_hypothesis *h, double length_penalty)
{
    return h->n > 0 ? h->total / pow(h->n, length_penalty) : -INFINITY;
}

/* Among equals the one that came first stays before. */
static void keep(struct caption *c, const struct caption_hypothesis *h)
{
    double rank = rank_of(h, c->params.length_penalty);
    int at = c->n_kept;
    while (at > 0 && rank_of(&c->kept[at - 1], c->params.length_penalty) < rank) {
        c->kept[at] = c->kept[at - 1];
        at--;
    }
    c->kept[at] = *h;
    if (c->n_kept < c->params.num_beams) {
        c->n_kept++;
    }
}

static void append(struct caption_hypothesis *h, const struct candidate *next)
{
    h->tokens[h->n++] = next->token;
    h->total = next->total;
}

static bool may_follow(const struct caption *c, const struct caption_rules *rules, int beam, int token)
{
    if (rules->is_forbidden[token] || token == caption_last_token(c, rules, beam)) {
        return false;
    }
    return token != rules->sep || c->running[beam].n > 0;
}

/* The `count` best continuations of all running hypotheses, best first. Walking beams and tokens upwards and letting
 * only strictly better ones pass settles the ties. */
static int best_candidates(const struct caption *c, const struct caption_rules *rules, const float *log_probs,
                           size_t ld, struct candidate *best, int count)
{
    int n = 0;
    double min = -INFINITY; /* to beat */
    for (int beam = 0; beam < c->n_running; beam++) {
        const float *row = log_probs + (size_t)beam * ld; /* [n_words] */
        double before = c->running[beam].total;
        for (int word = 0; word < rules->n_words; word++) {
            double total = before + (double)row[word];
            int token = rules->words ? rules->words[word] : word;
            if (!(total > min) || !may_follow(c, rules, beam, token)) {
                continue;
            }
            int at = n < count ? n++ : count - 1;
            while (at > 0 && best[at - 1].total < total) {
                best[at] = best[at - 1];
                at--;
            }
            best[at] = (struct candidate){total, beam, token};
            min = n == count ? best[count - 1].total : -INFINITY;
        }
    }
    return n;
}

static void close_running(struct caption *c)
{
    for (int i = 0; i < c->n_running; i++) {
        keep(c, &c->running[i]);
    }
    c->n_running = 0;
    c->is_done = true;
}

static void advance_greedy(struct caption *c, const struct caption_rules *rules, const float *log_probs, size_t ld)
{
    struct candidate best;
    struct caption_hypothesis *h = &c->running[0];
    c->parents[0] = 0;
    if (best_candidates(c, rules, log_probs, ld, &best, 1) == 0) {
        close_running(c);
        return;
    }
    append(h, &best);
    if (best.token == rules->sep || h->n == c->params.max_tokens) {
        close_running(c);
    }
}

/* No running hypothesis can still get among the kept ones. */
static bool is_settled(const struct caption *c)
{
    double penalty = c->params.length_penalty;
    if (c->n_kept < c->params.num_beams || !(penalty > 0.0)) {
        return false;
    }
    double best_running = c->running[0].total; /* best first */
    return rank_of(&c->kept[c->n_kept - 1], penalty) >= best_running / pow(c->params.max_tokens + 1, penalty);
}

static void advance_beams(struct caption *c, const struct caption_rules *rules, const float *log_probs, size_t ld)
{
    struct candidate best[2 * CAPTION_MAX_BEAMS];
    int n_best = best_candidates(c, rules, log_probs, ld, best, 2 * c->params.num_beams);
    int n_next = 0;
    if (n_best == 0) {
        close_running(c);
        return;
    }
    for (int i = 0; i < n_best && n_next < c->params.num_beams; i++) {
        struct caption_hypothesis *h = &c->next[n_next];
        *h = c->running[best[i].beam];
        append(h, &best[i]);
        if (best[i].token == rules->sep) {
            keep(c, h);
        } else {
            c->parents[n_next++] = best[i].beam;
        }
    }
    memcpy(c->running, c->next, (size_t)n_next * sizeof(c->next[0]));
    c->n_running = n_next;
    if (n_next == 0 || c->running[0].n == c->params.max_tokens) {
        close_running(c);
    } else if (is_settled(c)) {
        c->n_running = 0;
        c->is_done = true;
    }
}

void caption_advance(struct caption *c, const struct caption_rules *rules, const float *log_probs, size_t ld)
{
    BUG_ON(c->is_done);
    if (c->params.num_beams == 1) {
        advance_greedy(c, rules, log_probs, ld);
    } else {
        advance_beams(c, rules, log_probs, ld);
    }
}
