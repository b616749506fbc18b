/* Caption decoding against the rules of docs/model-format.md written down plainly, on made log-probabilities that are
 * multiples of 1/8, so that ties are everywhere; and cases by hand. */
#include "engine/model/fusion/caption.h"

#include "engine/base/hash.h"
#include "tests/support/check.h"

#include <stdint.h>
#include <stdlib.h>

enum { PAD, CLS, SEP, A, B, C, D, E, VOCAB, MAX_TOTAL = CAPTION_MAX_BEAMS * VOCAB };
static const unsigned char forbidden[VOCAB] = {[PAD] = 1, [CLS] = 1};
static const struct caption_rules rules = {VOCAB, CLS, SEP, forbidden, NULL};

struct words {
    double total;
    int n, tokens[CAPTION_MAX_TOKENS];
};

/* Made log-probabilities of what follows `h`: a hash of its words. */
static void made_row(uint32_t seed, const int *tokens, int n, float row[VOCAB])
{
    uint32_t hash = seed * 2654435761u + (uint32_t)hash_bytes(tokens, (size_t)n * sizeof(*tokens));
    for (int token = 0; token < VOCAB; token++) {
        hash = hash * 1664525u + 1013904223u;
        row[token] = -(float)(1 + (hash >> 24) % 24) / 8.0F;
    }
}

/* ---- the rules, plainly ---- */

struct plain {
    struct caption_params p;
    struct words running[CAPTION_MAX_BEAMS], kept[1000];
    int n_running, n_kept;
};

static double rank(const struct words *h, double penalty)
{
    return h->total / pow(h->n, penalty);
}

static void plain_keep(struct plain *s, const struct words *h)
{
    s->kept[s->n_kept++] = *h;
    for (int i = s->n_kept - 1; i > 0; i--) { /* stable */
        if (rank(&s->kept[i], (double)s->p.length_penalty) > rank(&s->kept[i - 1], (double)s->p.length_penalty)) {
            struct words other = s->kept[i];
            s->kept[i] = s->kept[i - 1];
            s->kept[i - 1] = other;
        }
    }
    s->n_kept = s->n_kept > s->p.num_beams ? s->p.num_beams : s->n_kept;
}

static int best_first(const void *a, const void *b)
{
    double x = ((const struct words *)a)->total, y = ((const struct words *)b)->total;
    return x != y ? (x > y ? -1 : 1) : ((const struct words *)a)->tokens[63] - ((const struct words *)b)->tokens[63];
}

/* All continuations; tokens[63] holds the place in the order of beams and ids. */
static int plain_candidates(const struct plain *s, uint32_t seed, struct words *all)
{
    int n = 0;
    for (int beam = 0; beam < s->n_running; beam++) {
        const struct words *h = &s->running[beam];
        float row[VOCAB];
        made_row(seed, h->tokens, h->n, row);
        for (int token = 0; token < VOCAB; token++) {
            if (!forbidden[token] && (h->n == 0 || h->tokens[h->n - 1] != token) && (token != SEP || h->n > 0)) {
                all[n] = *h;
                all[n].total += (double)row[token];
                all[n].tokens[all[n].n++] = token;
                all[n].tokens[63] = n;
                n++;
            }
        }
    }
    qsort(all, (size_t)n, sizeof(all[0]), best_first);
    return n;
}

/* True when the search ends. */
static bool plain_step(struct plain *s, uint32_t seed)
{
    struct words all[MAX_TOTAL];
    int beams = s->p.num_beams, n = plain_candidates(s, seed, all), n_next = 0;
    struct words next[CAPTION_MAX_BEAMS];
    n = beams == 1 ? 1 : n < 2 * beams ? n : 2 * beams;
    for (int i = 0; i < n && n_next < beams; i++) {
        if (all[i].tokens[all[i].n - 1] == SEP) {
            plain_keep(s, &all[i]);
        } else {
            next[n_next++] = all[i];
        }
    }
    memcpy(s->running, next, (size_t)n_next * sizeof(next[0]));
    s->n_running = n_next;
    if (n_next == 0 || next[0].n == s->p.max_tokens) {
        for (int i = 0; i < n_next; i++) {
            plain_keep(s, &next[i]);
        }
        return true;
    }
    double penalty = (double)s->p.length_penalty;
    return beams > 1 && penalty > 0.0 && s->n_kept == beams &&
           rank(&s->kept[beams - 1], penalty) >= s->running[0].total / pow(s->p.max_tokens + 1, penalty);
}

/* ---- both ---- */

static void test_plain(uint32_t seed, int beams, int max_tokens, float penalty)
{
    static struct plain s;
    static struct caption c;
    float rows[CAPTION_MAX_BEAMS * (VOCAB + 3)];
    bool is_done = false;
    s = (struct plain){.p = {beams, beams, max_tokens, penalty}, .n_running = 1};
    caption_reset(&c, &s.p);
    while (!is_done) {
        CHECK(!c.is_done);
        for (int i = 0; i < c.n_running; i++) {
            made_row(seed, c.running[i].tokens, c.running[i].n, rows + i * (VOCAB + 3));
        }
        caption_advance(&c, &rules, rows, VOCAB + 3);
        is_done = plain_step(&s, seed);
        for (int i = 0; i < c.n_running; i++) {
            CHECK(c.running[i].n == s.running[i].n && c.running[i].total == s.running[i].total);
            CHECK(memcmp(c.running[i].tokens, s.running[i].tokens, (size_t)c.running[i].n * sizeof(int)) == 0);
        }
    }
    CHECK(c.is_done);
    CHECK_INT(c.n_kept, s.n_kept);
    for (int i = 0; i < c.n_kept && i < s.n_kept; i++) {
        CHECK(c.kept[i].n == s.kept[i].n && c.kept[i].total == s.kept[i].total);
        CHECK(memcmp(c.kept[i].tokens, s.kept[i].tokens, (size_t)c.kept[i].n * sizeof(int)) == 0);
    }
}

static void advance(struct caption *c, const float *row)
{
    CHECK_INT(c->n_running, 1);
    caption_advance(c, &rules, row, VOCAB);
}

static void test_greedy_by_hand(void)
{
    struct caption c;
    const float sep_first[VOCAB] = {-1, -1, -1, -5, -3, -3, -9, -9},
                same_again[VOCAB] = {-1, -1, -4, -3, -1, -3, -9, -9};
    const float sep[VOCAB] = {-1, -1, -2, -3, -3, -3, -9, -9};
    caption_reset(&c, &(struct caption_params){1, 1, 5, 1.0F});
    CHECK_INT(caption_last_token(&c, &rules, 0), CLS);
    advance(&c, sep_first); /* neither a forbidden token nor [SEP] first; B before C */
    CHECK_INT(caption_last_token(&c, &rules, 0), B);
    advance(&c, same_again); /* not B again; A before C */
    CHECK_INT(caption_last_token(&c, &rules, 0), A);
    advance(&c, sep);
    CHECK(c.is_done && c.n_kept == 1 && c.kept[0].n == 3);
    CHECK_INT(caption_words(&c.kept[0], &rules), 2);
    CHECK_NEAR(c.kept[0].total, -8.0, 0.0);
    caption_reset(&c, &(struct caption_params){1, 1, 2, 1.0F});
    advance(&c, sep_first);
    CHECK(!c.is_done);
    advance(&c, same_again); /* as long as it may be */
    CHECK(c.is_done && caption_words(&c.kept[0], &rules) == 2);
}

/* A short caption of a better sum and a long one of a better mean: the penalty decides. */
static void test_length_penalty(void)
{
    static const float penalties[] = {0.0F, 1.0F};
    const float first[VOCAB] = {-9, -9, -9, -1, -20, -20, -20, -20};
    const float second[VOCAB] = {-9, -9, -1, -20, -1.25F, -20, -20, -20}; /* A [SEP]: -2; A B: -2.25 */
    const float third[VOCAB] = {-9, -9, -0.25F, -20, -20, -20, -20, -20}; /* A B [SEP]: -2.5 */
    for (int i = 0; i < 2; i++) {
        struct caption c;
        float rows[2 * VOCAB];
        caption_reset(&c, &(struct caption_params){2, 2, 3, penalties[i]});
        caption_advance(&c, &rules, first, VOCAB);
        memcpy(rows, second, sizeof(second));
        for (int k = 0; k < VOCAB; k++) {
            rows[VOCAB + k] = -30.0F;
        }
        caption_advance(&c, &rules, rows, VOCAB);
        CHECK(!c.is_done && c.n_kept == 1 && c.running[0].tokens[1] == B);
        memcpy(rows, third, sizeof(third));
        caption_advance(&c, &rules, rows, VOCAB);
        CHECK(c.is_done && c.n_kept == 2);
        CHECK_INT(c.kept[0].n, i == 0 ? 2 : 3);
        CHECK_INT(c.kept[1].n, i == 0 ? 3 : 2);
    }
}

/* Only some words have a log-probability: places are not tokens. */
static void test_words(void)
{
    struct caption c;
    static const int ids[] = {B, VOCAB - 1};
    const struct caption_rules few = {2, CLS, SEP, forbidden, ids};
    const float row[2] = {-2, -1};
    caption_reset(&c, &(struct caption_params){1, 1, 5, 1.0F});
    caption_advance(&c, &few, row, 2);
    CHECK_INT(caption_last_token(&c, &few, 0), VOCAB - 1);
    caption_advance(&c, &few, row, 2); /* not the same word again */
    CHECK_INT(caption_last_token(&c, &few, 0), B);
}

/* Nothing may follow: closed as it is. */
static void test_no_way_on(void)
{
    static const unsigned char all[VOCAB] = {1, 1, 1, 1, 1, 1, 1, 1};
    const struct caption_rules none = {VOCAB, CLS, SEP, all, NULL};
    const float row[VOCAB] = {0};
    for (int beams = 1; beams <= 3; beams += 2) {
        struct caption c;
        caption_reset(&c, &(struct caption_params){beams, 1, 5, 1.0F});
        caption_advance(&c, &none, row, VOCAB);
        CHECK(c.is_done && c.n_kept == 1 && c.kept[0].n == 0 && c.n_running == 0);
    }
}

int main(void)
{
    static const float penalties[] = {1.0F, 0.0F, -0.5F, 0.6F, 2.0F};
    for (uint32_t seed = 0; seed < 200; seed++) {
        int max_tokens = 1 + (int)(seed % 12);
        test_plain(seed, 1, max_tokens, 1.0F);
        test_plain(seed, 2 + (int)(seed % 9), max_tokens, penalties[seed % 5]);
        test_plain(seed, 3, 20, penalties[seed % 5]);
    }
    test_greedy_by_hand();
    test_length_penalty();
    test_words();
    test_no_way_on();
    return check_result();
}
