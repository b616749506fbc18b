#include "engine/model/fusion/fusion.h"

#include "engine/model/boxes.h"
#include "engine/model/widen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPECIAL_TOKENS = 2,
    SEGMENT_TEXT = 0,
    SEGMENT_TAGS = 1,
    MANY_ROWS = 8 /* to one that decides: queries of those alone are worth a product apart */
};
static const float NORM_EPS = 1e-12F;

static size_t max_outputs(const struct model_config *c)
{
    return (size_t)(c->fusion.vocab > c->vqa.answers ? c->fusion.vocab : c->vqa.answers);
}

static size_t deeper(size_t depth, const struct bind_linear *w)
{
    return w->bytes.n > 0 && w->bytes.k > depth ? w->bytes.k : depth;
}

/* The most numbers of a row that a layer in 8 bits reads, 0 without any. */
static size_t deepest(const struct bind *b)
{
    const struct bind_fusion *w = &b->fusion;
    const struct bind_linear *heads[] = {
        &w->regions,        &w->caption_transform, &w->caption_words.weights, &w->vqa_pooler,
        &w->vqa_classifier, &w->retrieve_pooler,   &w->retrieve_classifier};
    size_t depth = 0;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        depth = deeper(depth, heads[i]);
    }
    for (int i = 0; i < w->n_layers; i++) {
        const struct bind_layer *l = &w->layers[i];
        depth = deeper(deeper(deeper(deeper(depth, &l->qkv), &l->output), &l->up), &l->down);
    }
    return depth;
}

void fusion_place(struct fusion *f, struct arena *a, const struct model *m, int max_rows)
{
    const struct model_config *c = &m->config;
    size_t rows = (size_t)max_rows, d = (size_t)c->fusion.hidden;
    size_t positions = rows + (size_t)(model_config_max_context(c) + CAPTION_MAX_TOKENS + 2);
    f->model = m;
    f->max_rows = rows;
    f->x = arena_take(a, rows * d, sizeof(float));
    f->hidden = arena_take(a, rows * d, sizeof(float));
    f->context = arena_take(a, rows * d, sizeof(float));
    f->qkv = arena_take(a, rows * 3 * d, sizeof(float));
    f->wide = arena_take(a, rows * (size_t)c->fusion.ffn, sizeof(float));
    f->scores = arena_take(a, positions * (size_t)c->fusion.heads, sizeof(float));
    f->paid = arena_take(a, (size_t)model_config_max_context(c), sizeof(float));
    f->gathered = arena_take(a, rows * d, sizeof(float));
    f->pooled = arena_take(a, rows * d, sizeof(float));
    f->logits = arena_take(a, FUSION_HEAD_ROWS * max_outputs(c), sizeof(float));
    f->spans = arena_take(a, CAPTION_MAX_TOKENS + 2, sizeof(*f->spans));
    linear_place(&f->bytes, a, rows, deepest(m->bound));
}

/* ---- rows ---- */

static int text_tokens(const struct model_config *c, const struct fusion_item *item)
{
    int max = c->text.text_length - SPECIAL_TOKENS;
    return item->n_tokens < max ? item->n_tokens : max;
}

int fusion_item_rows(const struct model *m, const struct fusion_item *item)
{
    if (item->kind == FUSION_CAPTION) {
        return caption_state_rows(item->caption, item->features);
    }
    return SPECIAL_TOKENS + text_tokens(&m->config, item) + features_rows(item->features);
}

size_t fusion_item_deciding(const struct fusion_item *item)
{
    return item->kind == FUSION_CAPTION ? (size_t)item->caption->search.n_running : 1;
}

int fusion_caption_rows(const struct model *m, const struct features *f)
{
    return features_rows(f) + (m->config.caption.decoder == MODEL_DECODER_MASK ? 2 : 1);
}

/* ---- embeddings ---- */

static int compare_ids(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Row `i` of a table [rows, n] as floats -> out [n]. */
static void embed_row(const struct kernels *k, const struct bind_rows *table, size_t i, size_t n, float *out)
{
    int id = (int)i;
    const int *said = table->said ? bsearch(&id, table->said_ids, table->n_said, sizeof(id), compare_ids) : NULL;
    if (said) {
        widen_rows(k, table->said, NULL, (size_t)(said - table->said_ids), 1, n, out);
        return;
    }
    widen_rows(k, table->tensor, table->scale, i, 1, n, out);
}

/* x = norm(word + position + segment) */
static void embed_token(struct fusion *f, int token, int position, int segment, float *x)
{
    const struct bind_fusion *w = &f->model->bound->fusion;
    const struct kernels *k = f->model->kernels;
    size_t d = (size_t)f->model->config.fusion.hidden;
    float *row = f->hidden, *sum = f->context; /* free before the first layer */
    embed_row(k, &w->word, (size_t)token, d, sum);
    embed_row(k, &w->position, (size_t)position, d, row);
    for (size_t i = 0; i < d; i++) {
        sum[i] += row[i];
    }
    embed_row(k, &w->segment, (size_t)segment, d, row);
    for (size_t i = 0; i < d; i++) {
        sum[i] += row[i];
    }
    k->layer_norm(sum, 1, d, w->embeddings_norm.weight, w->embeddings_norm.bias, NORM_EPS, x);
}

/* Tags at `position`, then regions, then cells; returns the rows. */
static size_t embed_image(struct fusion *f, const struct features *features, int position, float *x)
{
    const struct bind_fusion *w = &f->model->bound->fusion;
    const struct kernels *k = f->model->kernels;
    size_t d = (size_t)f->model->config.fusion.hidden;
    const int *tags = features_tags_const(features);
    for (int i = 0; i < features->n_tags; i++, x += d) {
        embed_token(f, tags[i], position + i, SEGMENT_TAGS, x);
    }
    size_t n = (size_t)features_n_seen(features), n_cells = (size_t)features_n_cells(features);
    if (n > 0) {
        linear_run(k, &w->regions, &f->bytes, features_vectors_const(features), (size_t)features->dim, n, x, d,
                   ACT_NONE, NULL, 0);
        k->layer_norm(x, n, d, w->regions_norm.weight, w->regions_norm.bias, NORM_EPS, x); /* [n, D] */
    }
    if (n_cells > 0) {
        memcpy(x + n * d, features_cells_const(features), n_cells * d * sizeof(float)); /* [n_cells, D] */
    }
    return (size_t)features->n_tags + n + n_cells;
}

static size_t embed_pair(struct fusion *f, const struct fusion_item *item, float *x)
{
    const struct wordpiece_special *s = &f->model->special;
    size_t d = (size_t)f->model->config.fusion.hidden;
    int n = text_tokens(&f->model->config, item), position = 0;
    embed_token(f, s->cls, position++, SEGMENT_TEXT, x);
    for (int i = 0; i < n; i++, position++) {
        embed_token(f, item->tokens[i], position, SEGMENT_TEXT, x + (size_t)position * d);
    }
    embed_token(f, s->sep, position, SEGMENT_TEXT, x + (size_t)position * d);
    position++;
    return (size_t)position + embed_image(f, item->features, position, x + (size_t)position * d);
}

static size_t embed_caption(struct fusion *f, const struct fusion_item *item, float *x)
{
    const struct model *m = f->model;
    struct caption_state *c = item->caption;
    size_t d = (size_t)m->config.fusion.hidden, rows = 0;
    if (c->n_position == 0) {
        rows = embed_image(f, item->features, m->config.text.caption_length, x);
        c->n_context = (int)rows;
    }
    for (int i = 0; i < c->search.n_running; i++, rows += (size_t)c->word_rows) {
        int token = caption_last_token(&c->search, c->rules, i);
        embed_token(f, token, c->n_position, SEGMENT_TEXT, x + rows * d);
        if (c->word_rows == 2) {
            embed_token(f, m->special.mask, c->n_position + 1, SEGMENT_TEXT, x + (rows + 1) * d);
        }
    }
    return rows;
}

size_t fusion_embed(struct fusion *f, const struct fusion_item *items, int n_items)
{
    size_t d = (size_t)f->model->config.fusion.hidden, rows = 0;
    for (int i = 0; i < n_items; i++) {
        int n = fusion_item_rows(f->model, &items[i]);
        BUG_ON(n < 1 || rows + (size_t)n > f->max_rows);
        float *x = f->x + rows * d;
        size_t written = items[i].kind == FUSION_CAPTION ? embed_caption(f, &items[i], x) : embed_pair(f, &items[i], x);
        BUG_ON(written != (size_t)n);
        rows += written;
        if (items[i].region_attention) {
            memset(items[i].region_attention, 0, (size_t)items[i].features->max_regions * sizeof(float));
        }
    }
    return rows;
}

/* ---- attention ---- */

/* Regions and cells, the last rows of a context. */
static size_t image_rows(const struct features *f)
{
    return (size_t)(features_n_seen(f) + features_n_cells(f));
}

static struct roi_box box_at(const float *b)
{
    return (struct roi_box){b[0], b[1], b[2], b[3]};
}

/* What was paid to regions, to themselves; what was paid to cells, to every region by how much of the cell it
 * covers. */
static void share_out(const struct features *features, const float *paid, float *attention)
{
    const struct region *regions = features_regions_const(features);
    int n_seen = features_n_seen(features), n_cells = features_n_cells(features);
    for (int i = 0; i < n_seen; i++) {
        attention[i] += paid[i];
    }
    for (int j = 0; j < n_cells; j++) {
        struct roi_box cell = box_at(features_cell_boxes_const(features) + 4 * j);
        for (int i = 0; i < features->n_regions; i++) {
            attention[i] += paid[n_seen + j] * boxes_inside(cell, box_at(regions[i].box));
        }
    }
}

/* What one query row has paid to the image: keys `first` .. of span 0 are the regions, then come the cells. Adds to
 * item->region_attention. */
static void add_region_attention(struct fusion *f, const struct fusion_item *item, const float *q, int n_spans,
                                 size_t first)
{
    const struct model_config *c = &f->model->config;
    size_t head_dim = (size_t)(c->fusion.hidden / c->fusion.heads);
    size_t n_paid = image_rows(item->features);
    float scale = 1.0F / sqrtf((float)head_dim), share = 1.0F / (float)(c->fusion.heads * c->fusion.layers);
    memset(f->paid, 0, n_paid * sizeof(float));
    for (int h = 0; h < c->fusion.heads; h++) {
        size_t n = 0, column = (size_t)h * head_dim;
        for (int s = 0; s < n_spans; s++) {
            for (size_t j = 0; j < f->spans[s].n; j++, n++) {
                const float *key = f->spans[s].k + j * f->spans[s].ld + column;
                float dot = 0.0F;
                for (size_t i = 0; i < head_dim; i++) {
                    dot += q[column + i] * key[i];
                }
                f->scores[n] = dot * scale;
            }
        }
        f->model->kernels->softmax(f->scores, 1, n, n);
        for (size_t i = 0; i < n_paid; i++) {
            f->paid[i] += share * f->scores[first + i];
        }
    }
    share_out(item->features, f->paid, item->region_attention);
}

/* One sequence that sees itself. qkv, out: its rows. */
static void attend_sequence(struct fusion *f, const float *qkv, size_t rows, float *out)
{
    const struct model_config *c = &f->model->config;
    size_t d = (size_t)c->fusion.hidden;
    int head_dim = c->fusion.hidden / c->fusion.heads;
    struct kv_span span = {qkv + d, qkv + 2 * d, rows, 3 * d};
    if (rows > 0) {
        f->model->kernels->attend_block(qkv, rows, 3 * d, &span, c->fusion.heads, head_dim,
                                        1.0F / sqrtf((float)head_dim), f->scores, out, d);
    }
}

/* In the last layer [CLS] alone. */
static void attend_pair(struct fusion *f, const struct fusion_item *item, bool is_last, const float *qkv, size_t rows,
                        float *out)
{
    const struct model_config *c = &f->model->config;
    size_t d = (size_t)c->fusion.hidden;
    int head_dim = c->fusion.hidden / c->fusion.heads;
    f->spans[0] = (struct kv_span){qkv + d, qkv + 2 * d, rows, 3 * d};
    if (is_last) {
        f->model->kernels->attend(qkv, f->spans, 1, c->fusion.heads, head_dim, 1.0F / sqrtf((float)head_dim), f->scores,
                                  out);
    } else {
        attend_sequence(f, qkv, rows, out);
    }
    if (item->region_attention) {
        add_region_attention(f, item, qkv, 1, rows - image_rows(item->features));
    }
}

/* The past of running hypothesis i as spans: the context, then its text; positions that lie in the same column of
 * neighbouring rows are one span. */
static int past_spans(struct fusion *f, const struct caption_state *c, const struct caption_state_layer *l, int i)
{
    int n = 0;
    size_t stride = (size_t)c->max_beams * c->dim;
    f->spans[n++] = (struct kv_span){l->context_k, l->context_v, (size_t)c->n_context, c->dim};
    for (int p = 0; p < c->n_position;) {
        size_t at = caption_state_row(c, p, i) * c->dim;
        int end = p + 1;
        while (end < c->n_position && c->slot[end][i] == c->slot[p][i]) {
            end++;
        }
        f->spans[n++] = (struct kv_span){l->text_k + at, l->text_v + at, (size_t)(end - p), stride};
        p = end;
    }
    return n;
}

/* Keeps the context's and the tokens' keys and values of this layer; the context attends to itself, the token to the
 * past and itself, [MASK], where there is one, to the past, the token and itself. In the last layer the last row of
 * each hypothesis alone. */
static void attend_caption(struct fusion *f, const struct fusion_item *item, int layer, const float *qkv, float *out)
{
    bool is_last = layer == f->model->config.fusion.layers - 1;
    const struct model_config *config = &f->model->config;
    struct caption_state *c = item->caption;
    struct caption_state_layer l = caption_state_layer(c, layer);
    size_t d = c->dim, ld = 3 * d;
    int heads = config->fusion.heads, head_dim = config->fusion.hidden / heads;
    float scale = 1.0F / sqrtf((float)head_dim);
    if (c->n_position == 0) {
        size_t n = (size_t)c->n_context;
        if (!is_last) {
            attend_sequence(f, qkv, n, out);
            out += n * d;
        }
        for (size_t i = 0; i < n; i++) {
            memcpy(l.context_k + i * d, qkv + i * ld + d, d * sizeof(float));
            memcpy(l.context_v + i * d, qkv + i * ld + 2 * d, d * sizeof(float));
        }
        qkv += n * ld;
    }
    size_t word_rows = (size_t)c->word_rows;
    for (int i = 0; i < c->search.n_running; i++, qkv += word_rows * ld) {
        size_t row = ((size_t)c->n_position * (size_t)c->max_beams + (size_t)i) * d;
        memcpy(l.text_k + row, qkv + d, d * sizeof(float));
        memcpy(l.text_v + row, qkv + 2 * d, d * sizeof(float));
        int n = past_spans(f, c, &l, i);
        for (size_t k = is_last ? word_rows - 1 : 0; k < word_rows; k++, out += d) {
            f->spans[n] = (struct kv_span){qkv + d, qkv + 2 * d, k + 1, ld};
            f->model->kernels->attend(qkv + k * ld, f->spans, n + 1, heads, head_dim, scale, f->scores, out);
        }
        if (item->region_attention && i == 0) {
            add_region_attention(f, item, qkv + (word_rows - 1) * ld, n + 1,
                                 (size_t)c->n_context - image_rows(item->features));
        }
    }
}

/* ---- layers ---- */

/* Rows of an item that decide: n, `step` apart. */
struct deciding {
    size_t first, step, n;
};

/* Of the item with rows first .. first + rows - 1. */
static struct deciding deciding_of(const struct fusion_item *item, size_t first, size_t rows)
{
    size_t n = fusion_item_deciding(item);
    size_t step = item->kind == FUSION_CAPTION ? (size_t)item->caption->word_rows : 1;
    return (struct deciding){item->kind == FUSION_CAPTION ? first + rows - 1 - (n - 1) * step : first, step, n};
}

/* Moves them up to row `to` of x; returns how many. */
static size_t keep_deciding(struct fusion *f, struct deciding rows, size_t to)
{
    size_t d = (size_t)f->model->config.fusion.hidden;
    for (size_t i = 0; i < rows.n; i++) {
        memmove(f->x + (to + i) * d, f->x + (rows.first + i * rows.step) * d, d * sizeof(float));
    }
    return rows.n;
}

static size_t all_deciding(const struct fusion_item *items, int n_items)
{
    size_t n = 0;
    for (int i = 0; i < n_items; i++) {
        n += fusion_item_deciding(&items[i]);
    }
    return n;
}

/* x -> qkv [rows, 3D]. In the last layer, where the weights can be cut there, only rows that decide get queries. */
static void make_qkv(struct fusion *f, int layer, const struct fusion_item *items, int n_items, size_t rows)
{
    const struct bind_linear *w = &f->model->bound->fusion.layers[layer].qkv;
    const struct kernels *k = f->model->kernels;
    size_t d = (size_t)f->model->config.fusion.hidden, ld = 3 * d, first = 0;
    struct bind_linear queries, others;
    bool is_cut = layer == f->model->config.fusion.layers - 1 && rows >= MANY_ROWS * all_deciding(items, n_items) &&
                  linear_outputs(k, w, 0, d, &queries) && linear_outputs(k, w, d, 2 * d, &others);
    if (!is_cut) {
        linear_run(k, w, &f->bytes, f->x, d, rows, f->qkv, ld, ACT_NONE, NULL, 0);
        return;
    }
    linear_run(k, &others, &f->bytes, f->x, d, rows, f->qkv + d, ld, ACT_NONE, NULL, 0);
    for (int i = 0; i < n_items; i++) {
        size_t n = (size_t)fusion_item_rows(f->model, &items[i]);
        struct deciding q = deciding_of(&items[i], first, n);
        linear_run(k, &queries, &f->bytes, f->x + q.first * d, q.step * d, q.n, f->qkv + q.first * ld, q.step * ld,
                   ACT_NONE, NULL, 0);
        first += n;
    }
}

/* qkv -> context; returns its rows: all, or in the last layer those that decide, which then are all of x too. */
static size_t attend_items(struct fusion *f, int layer, const struct fusion_item *items, int n_items)
{
    bool is_last = layer == f->model->config.fusion.layers - 1;
    size_t d = (size_t)f->model->config.fusion.hidden, first = 0, done = 0;
    for (int i = 0; i < n_items; i++) {
        size_t n = (size_t)fusion_item_rows(f->model, &items[i]);
        const float *qkv = f->qkv + first * 3 * d;
        if (items[i].kind == FUSION_CAPTION) {
            attend_caption(f, &items[i], layer, qkv, f->context + done * d);
        } else {
            attend_pair(f, &items[i], is_last, qkv, n, f->context + done * d);
        }
        done += is_last ? keep_deciding(f, deciding_of(&items[i], first, n), done) : n;
        first += n;
    }
    return done;
}

void fusion_layer(struct fusion *f, int layer, const struct fusion_item *items, int n_items, size_t rows)
{
    const struct bind_layer *w = &f->model->bound->fusion.layers[layer];
    const struct kernels *k = f->model->kernels;
    size_t d = (size_t)f->model->config.fusion.hidden, ffn = (size_t)f->model->config.fusion.ffn;
    make_qkv(f, layer, items, n_items, rows);
    rows = attend_items(f, layer, items, n_items);
    linear_run(k, &w->output, &f->bytes, f->context, d, rows, f->hidden, d, ACT_NONE, f->x, d); /* x + attention */
    k->layer_norm(f->hidden, rows, d, w->attention_norm.weight, w->attention_norm.bias, NORM_EPS, f->x);
    linear_run(k, &w->up, &f->bytes, f->x, d, rows, f->wide, ffn, ACT_GELU, NULL, 0);        /* [rows, F] */
    linear_run(k, &w->down, &f->bytes, f->wide, ffn, rows, f->hidden, d, ACT_NONE, f->x, d); /* x + ffn */
    k->layer_norm(f->hidden, rows, d, w->ffn_norm.weight, w->ffn_norm.bias, NORM_EPS, f->x);
}
