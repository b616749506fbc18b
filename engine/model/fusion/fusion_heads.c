/* The three heads on the rows that the layers left: answers, match, the next words of captions. */
#include "engine/model/fusion/fusion.h"

#include <math.h>
#include <string.h>

static bool is_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return false;
        }
    }
    return true;
}

/* Copies the deciding rows of all items of a kind, in order. */
static size_t gather(struct fusion *f, const struct fusion_item *items, int n_items, enum fusion_kind kind)
{
    size_t d = (size_t)f->model->config.fusion.hidden, first = 0, n = 0;
    for (int i = 0; i < n_items; i++) {
        size_t rows = fusion_item_deciding(&items[i]);
        if (items[i].kind == kind) {
            memcpy(f->gathered + n * d, f->x + first * d, rows * d * sizeof(float));
            n += rows;
        }
        first += rows;
    }
    return n;
}

/* Results of up to FUSION_HEAD_ROWS pairs, from item `i` on; returns the item after them. */
static int write_pairs(struct fusion *f, const struct fusion_item *items, int i, size_t n, enum fusion_kind kind,
                       size_t outputs, enum err *item_err)
{
    for (size_t row = 0; row < n; i++) {
        if (items[i].kind != kind) {
            continue;
        }
        const float *logits = f->logits + row++ * outputs;
        if (!is_finite(logits, outputs)) {
            item_err[i] = ERR_INTERNAL;
        } else if (kind == FUSION_VQA) {
            memcpy(items[i].out, logits, outputs * sizeof(float));
        } else {
            items[i].out[0] = logits[1];
        }
    }
    return i;
}

static void pair_head(struct fusion *f, const struct fusion_item *items, int n_items, enum fusion_kind kind,
                      const struct bind_linear *pooler, const struct bind_linear *classifier, enum err *item_err)
{
    const struct kernels *k = f->model->kernels;
    size_t d = (size_t)f->model->config.fusion.hidden, n = gather(f, items, n_items, kind);
    size_t outputs = linear_n(classifier);
    if (n == 0) {
        return;
    }
    enum act act = kind == FUSION_VQA ? ACT_SIGMOID : ACT_NONE;
    linear_run(k, pooler, &f->bytes, f->gathered, d, n, f->pooled, d, ACT_TANH, NULL, 0); /* [n, D] */
    int item = 0;
    for (size_t done = 0; done < n; done += FUSION_HEAD_ROWS) {
        size_t rows = n - done < FUSION_HEAD_ROWS ? n - done : FUSION_HEAD_ROWS;
        linear_run(k, classifier, &f->bytes, f->pooled + done * d, d, rows, f->logits, outputs, act, NULL, 0);
        if (kind == FUSION_RETRIEVE) {
            k->softmax(f->logits, rows, outputs, outputs);
        }
        item = write_pairs(f, items, item, rows, kind, outputs, item_err);
    }
}

/* The step wrote keys and values of position n_position: they are slot i of hypothesis i. */
static void advance(struct caption_state *c, const float *log_probs, size_t words, enum err *err)
{
    size_t beams = (size_t)c->search.n_running;
    if (!is_finite(log_probs, beams * words)) {
        *err = ERR_INTERNAL;
        return;
    }
    for (size_t i = 0; i < beams; i++) {
        c->slot[c->n_position][i] = (uint8_t)i;
    }
    c->n_position++;
    caption_state_advance(c, log_probs, words);
}

static void caption_head(struct fusion *f, const struct fusion_item *items, int n_items, enum err *item_err)
{
    const struct bind_fusion *w = &f->model->bound->fusion;
    const struct kernels *k = f->model->kernels;
    size_t d = (size_t)f->model->config.fusion.hidden, words = w->caption_words.n, done = 0;
    size_t n = gather(f, items, n_items, FUSION_CAPTION);
    if (n == 0) {
        return;
    }
    linear_run(k, &w->caption_transform, &f->bytes, f->gathered, d, n, f->pooled, d, ACT_GELU, NULL, 0); /* [n, D] */
    k->layer_norm(f->pooled, n, d, w->caption_norm.weight, w->caption_norm.bias, 1e-12F, f->pooled);
    for (int i = 0; i < n_items;) {
        size_t rows = 0;
        int end = i; /* as many items as the room for logits takes */
        for (; end < n_items; end++) {
            size_t more = items[end].kind == FUSION_CAPTION ? (size_t)items[end].caption->search.n_running : 0;
            if (rows + more > FUSION_HEAD_ROWS) {
                break;
            }
            rows += more;
        }
        if (rows > 0) {
            linear_run(k, &w->caption_words.weights, &f->bytes, f->pooled + done * d, d, rows, f->logits, words,
                       ACT_NONE, NULL, 0);
            k->log_softmax(f->logits, rows, words, words); /* [rows, words] */
        }
        done += rows;
        for (size_t row = 0; i < end; i++) {
            if (items[i].kind == FUSION_CAPTION) {
                size_t beams = (size_t)items[i].caption->search.n_running;
                advance(items[i].caption, f->logits + row * words, words, &item_err[i]);
                row += beams;
            }
        }
    }
}

void fusion_heads(struct fusion *f, const struct fusion_item *items, int n_items, enum err *item_err)
{
    const struct bind_fusion *w = &f->model->bound->fusion;
    for (int i = 0; i < n_items; i++) {
        item_err[i] = OK;
    }
    pair_head(f, items, n_items, FUSION_VQA, &w->vqa_pooler, &w->vqa_classifier, item_err);
    pair_head(f, items, n_items, FUSION_RETRIEVE, &w->retrieve_pooler, &w->retrieve_classifier, item_err);
    caption_head(f, items, n_items, item_err);
}
