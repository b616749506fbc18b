/* The places of keys and values: a running hypothesis must find the rows that its own past wrote, however beams are
 * continued twice or dropped. And life of a state: rows, tokens so far, results, use again. With both decoders. */
#include "engine/model/fusion/caption_state.h"

#include "engine/model/model_private.h"
#include "tests/support/check.h"

#include <stdlib.h>

enum { TOKENS = 9, BEAMS = 5 };
static struct model *model;

/* What step p wrote for hypothesis i: a number of its own. past[i] lists those of the words of running hypothesis i. */
struct history {
    int n;
    int past[CAPTION_MAX_BEAMS][CAPTION_MAX_TOKENS];
};

static void write_step(struct caption_state *c, struct history *h, int step)
{
    for (int layer = 0; layer < c->n_layers; layer++) {
        struct caption_state_layer l = caption_state_layer(c, layer);
        for (int i = 0; i < c->search.n_running; i++) {
            size_t row = ((size_t)step * (size_t)c->max_beams + (size_t)i) * c->dim;
            for (size_t d = 0; d < c->dim; d++) {
                l.text_k[row + d] = (float)(1000 * layer + 10 * step + i);
                l.text_v[row + d] = -(float)(1000 * layer + 10 * step + i);
            }
        }
    }
    for (int i = 0; i < c->search.n_running; i++) {
        c->slot[c->n_position][i] = (uint8_t)i;
        h->past[i][step] = 10 * step + i;
    }
    c->n_position++;
    h->n = step + 1;
}

static void check_past(const struct caption_state *c, const struct history *h)
{
    for (int layer = 0; layer < c->n_layers; layer++) {
        struct caption_state_layer l = caption_state_layer(c, layer);
        for (int i = 0; i < c->search.n_running; i++) {
            for (int p = 0; p < c->n_position; p++) {
                size_t at = caption_state_row(c, p, i) * c->dim;
                CHECK(l.text_k[at] == (float)(1000 * layer + h->past[i][p]));
                CHECK(l.text_v[at + c->dim - 1] == -(float)(1000 * layer + h->past[i][p]));
            }
        }
    }
}

static void follow_parents(const struct caption_state *c, struct history *h)
{
    struct history before = *h;
    for (int i = 0; i < c->search.n_running; i++) {
        memcpy(h->past[i], before.past[c->search.parents[i]], sizeof(h->past[i]));
    }
}

static void test_past(struct caption_state *c, int beams)
{
    struct history h = {.n = 0};
    struct caption_params params = {beams, beams, TOKENS, 1.0F};
    size_t vocab = (size_t)model->config.fusion.vocab;
    float *log_probs = malloc((size_t)beams * vocab * sizeof(float));
    caption_state_reset(c, &params);
    for (int step = 0; log_probs && !caption_state_is_done(c); step++) {
        for (size_t i = 0; i < (size_t)beams * vocab; i++) {
            log_probs[i] = -(float)(rand() % 1000) / 200.0F - 1.0F;
        }
        write_step(c, &h, step);
        caption_state_advance(c, log_probs, vocab);
        follow_parents(c, &h);
        check_past(c, &h);
    }
    CHECK(h.n > 1 && h.n <= TOKENS);
    free(log_probs);
}

/* word_rows: of a hypothesis in a step. */
static void test_life(struct caption_state *c, struct features *f, int word_rows)
{
    struct caption_params params = {1, 1, 2, 1.0F};
    size_t vocab = (size_t)model->config.fusion.vocab;
    float *log_probs = malloc(vocab * sizeof(float));
    int n_tokens;
    float score;
    f->n_tags = 3;
    f->n_regions = 4;
    caption_state_reset(c, &params);
    CHECK_INT(caption_state_rows(c, f), 3 + 4 + word_rows);
    CHECK_INT(caption_state_n_tokens(c), 0);
    CHECK_INT(caption_state_n_results(c), 0);
    for (int step = 0; log_probs && step < 2; step++) {
        for (size_t i = 0; i < vocab; i++) {
            log_probs[i] = -8.0F;
        }
        log_probs[100 + step] = -1.5F - (float)step;
        c->slot[c->n_position++][0] = 0;
        caption_state_advance(c, log_probs, vocab);
        CHECK_INT(caption_state_n_tokens(c), step + 1);
        CHECK_INT(caption_state_token(c, step), 100 + step);
        CHECK_INT(caption_state_rows(c, f), step == 0 ? word_rows : 0);
    }
    CHECK(caption_state_is_done(c));
    CHECK_INT(caption_state_n_results(c), 1);
    const int *tokens = caption_state_result(c, 0, &n_tokens, &score);
    CHECK(n_tokens == 2 && tokens[0] == 100 && tokens[1] == 101);
    CHECK_NEAR(score, -2.0, 1e-6); /* mean of -1.5 and -2.5 */
    caption_state_reset(c, &params);
    CHECK(!caption_state_is_done(c));
    CHECK_INT(caption_state_rows(c, f), 3 + 4 + word_rows);
    free(log_probs);
}

static void test_decoder(enum model_decoder decoder, struct features *f)
{
    struct caption_state *c = NULL;
    model->config.caption.decoder = decoder;
    CHECK_INT(caption_state_create(&c, model, BEAMS, TOKENS), OK);
    for (int beams = 1; c && beams <= BEAMS; beams++) {
        for (int round = 0; round < 10; round++) {
            test_past(c, beams);
        }
    }
    if (c) {
        test_life(c, f, decoder == MODEL_DECODER_MASK ? 2 : 1);
    }
    caption_state_destroy(c);
}

int main(void)
{
    struct model_options options = {.isa_cap = ISA_REF, .gemm_backend = GEMM_NATIVE, .verify_hash = true};
    struct errbuf e;
    errbuf_clear(&e);
    srand(2);
    if (model_open(&model, "tests/data/tiny", &options, &e) != OK) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    struct features *f = calloc(1, features_bytes(model_config(model)));
    CHECK(f != NULL);
    if (f) {
        features_init(f, model_config(model));
        test_decoder(MODEL_DECODER_MASK, f);
        test_decoder(MODEL_DECODER_CAUSAL, f);
    }
    free(f);
    model_close(model);
    return check_result();
}
