/* A matrix in F16 stays F16 where the kernels take halves; any other is packed as floats, or as bytes where the
 * precision says so. On the way it is widened into a scratch buffer, so that no second copy stays. Word
 * embeddings are an exception: the caption head needs them packed, look-ups read single rows from the file. */
#include "engine/model/load/bind_kinds.h"

#include "engine/model/half.h"
#include "engine/model/widen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NAME = BIND_KINDS_MAX_NAME, MAX_PARTS = 3 };
static const char said_name[] = "fusion.embeddings.word.said";
static const float fuse_eps = 1e-4F;

void bind_kinds_want_temp(struct binder *b, size_t n)
{
    if (n > b->temp_floats) {
        b->temp_floats = n;
    }
}

/* ---- one kind each ---- */

static void full_name(char out[MAX_NAME], const char *prefix, const struct bind_entry *entry, const char *suffix)
{
    BUG_ON(snprintf(out, MAX_NAME, "%s%s%s", prefix, entry->name, suffix) >= MAX_NAME);
}

/* Room for a packed matrix [n, k], and for its n x k floats in the scratch buffer, and one more row after them. */
static void *place_matrix(struct binder *b, size_t n, size_t k, bool is_half)
{
    size_t packed = b->kernels->gemm_packed_floats(n, k);
    bind_kinds_want_temp(b, (n + 1) * k + (is_half ? packed : 0));
    return arena_take(&b->arena, packed, is_half ? sizeof(uint16_t) : sizeof(float));
}

/* The floats in the scratch buffer to their place. */
static struct gemm_weights pack(struct binder *b, size_t n, size_t k, bool is_half, float *place, const float *bias)
{
    struct gemm_weights w = {.n = n, .k = k, .bias = bias};
    if (is_half) {
        float *packed = b->temp + (n + 1) * k;
        uint16_t *halves = (uint16_t *)(void *)place;
        b->kernels->gemm_pack(b->temp, n, k, packed);
        half_from_f32(packed, b->kernels->gemm_packed_floats(n, k), halves);
        w.halves = halves;
    } else {
        b->kernels->gemm_pack(b->temp, n, k, place);
        w.packed = place;
    }
    return w;
}

/* Tensors that are stacked into one matrix [n, k]. */
struct parts {
    const struct tensor *tensor[MAX_PARTS];
    const float *scale[MAX_PARTS], *bias[MAX_PARTS];
    size_t rows[MAX_PARTS], count, n, k;
};

static struct parts find_parts(struct binder *b, const char *prefix, const struct bind_entry *entries, size_t n_parts)
{
    char name[MAX_NAME];
    struct parts p = {.count = n_parts};
    for (size_t i = 0; i < n_parts && !b->rc; i++) {
        size_t shape[WEIGHTS_MAX_DIMS] = {0};
        full_name(name, prefix, &entries[i], ".weight");
        p.tensor[i] = bind_kinds_find_matrix(b, name, entries[i].shape, &p.scale[i]);
        bind_kinds_shape(b, entries[i].shape, shape);
        full_name(name, prefix, &entries[i], ".bias");
        p.bias[i] = bind_kinds_find_vector(b, name, shape[0]);
        p.rows[i] = shape[0];
        p.k = shape[1];
        p.n += shape[0];
    }
    return p;
}

static bool are_all(const struct parts *p, enum tensor_type type)
{
    bool is_all = true;
    for (size_t i = 0; i < p->count; i++) {
        is_all = is_all && p->tensor[i]->type == type;
    }
    return is_all;
}

/* The vectors of all parts one after the other: where they are, or in a place of the block. */
static const float *stack(struct binder *b, const struct parts *p, const float *const *vectors)
{
    float *place = p->count > 1 ? arena_take(&b->arena, p->n, sizeof(*place)) : NULL;
    for (size_t i = 0, at = 0; b->block && place && i < p->count; at += p->rows[i], i++) {
        memcpy(place + at, vectors[i], p->rows[i] * sizeof(float));
    }
    return place ? place : vectors[0];
}

static void bind_floats(struct binder *b, const struct parts *p, bool is_fc6, struct gemm_weights *out)
{
    bool is_half = b->kernels->gemm_takes_halves && are_all(p, TENSOR_F16);
    float *place = place_matrix(b, p->n, p->k, is_half);
    const float *bias = stack(b, p, p->bias);
    if (!b->block) {
        return;
    }
    for (size_t i = 0, at = 0; i < p->count; at += p->rows[i], i++) {
        widen_rows(b->kernels, p->tensor[i], p->scale[i], 0, p->rows[i], p->k, b->temp + at * p->k);
    }
    if (is_fc6) {
        size_t cells = (size_t)b->pool * (size_t)b->pool;
        widen_channels_last(b->temp, p->n, p->k / cells, cells, b->temp + p->n * p->k);
    }
    *out = pack(b, p->n, p->k, is_half, place, bias);
}

/* ---- in 8 bits ---- */

/* Of the fusion. */
static bool wants_bytes(const struct binder *b, bool is_i8)
{
    bool is_converted = b->precision == MODEL_PRECISION_INT8 || b->precision == MODEL_PRECISION_FUSION;
    return is_converted || (is_i8 && b->precision == MODEL_PRECISION_AUTO);
}

/* Of the image half, whose weights become bytes at export only, where they are rounded by what enters them. */
static bool keeps_bytes(const struct binder *b, bool is_i8)
{
    return is_i8 && (b->precision == MODEL_PRECISION_AUTO || b->precision == MODEL_PRECISION_INT8);
}

/* A matrix [n, k] in the making: its bytes in the scratch buffer, one more row of floats after them, and the
 * places. */
struct bytes {
    size_t n, k;
    int8_t *temp;
    float *row, *scale;
    int8_t *place;
};

static struct bytes place_bytes(struct binder *b, size_t n, size_t k)
{
    struct bytes out = {.n = n, .k = k};
    size_t temp = (n * k + sizeof(float) - 1) / sizeof(float);
    bind_kinds_want_temp(b, temp + k);
    out.place = arena_take(&b->arena, b->kernels->gemm8_packed_bytes(n, k), sizeof(*out.place));
    out.scale = arena_take(&b->arena, n, sizeof(*out.scale));
    if (b->block) {
        out.temp = (int8_t *)b->temp;
        out.row = b->temp + temp;
    }
    return out;
}

/* Row `from` of a tensor becomes row `to`: as it is if it is in 8 bits, else by scripts/minivlm/weights.py,
 * quantise. */
static void set_row(struct binder *b, struct bytes *m, size_t to, const struct tensor *t, const float *scale,
                    size_t from)
{
    int8_t *q = m->temp + to * m->k;
    if (t->type == TENSOR_I8) {
        memcpy(q, (const int8_t *)t->data + from * m->k, m->k);
        m->scale[to] = scale[from];
        return;
    }
    float max = 0.0F;
    widen_rows(b->kernels, t, scale, from, 1, m->k, m->row);
    for (size_t i = 0; i < m->k; i++) {
        max = fmaxf(max, fabsf(m->row[i]));
    }
    m->scale[to] = max > 0.0F ? max / 127.0F : 1.0F;
    for (size_t i = 0; i < m->k; i++) {
        float x = rintf(m->row[i] / m->scale[to]);
        q[i] = (int8_t)fminf(fmaxf(x, -127.0F), 127.0F);
    }
}

static struct gemm8_weights pack_bytes(struct binder *b, const struct bytes *m, const float *bias)
{
    b->kernels->gemm8_pack(m->temp, m->n, m->k, m->place);
    return (struct gemm8_weights){.n = m->n, .k = m->k, .packed = m->place, .scale = m->scale, .bias = bias};
}

/* Row `at` from (channel, row, column) to (row, column, channel). */
static void set_channels_last(const struct binder *b, struct bytes *m, size_t at)
{
    int8_t *q = m->temp + at * m->k, *from = (int8_t *)m->row;
    size_t cells = (size_t)b->pool * (size_t)b->pool, channels = m->k / cells;
    memcpy(from, q, m->k);
    for (size_t i = 0; i < m->k; i++) {
        q[i] = from[i % channels * cells + i / channels];
    }
}

static void bind_bytes(struct binder *b, const struct parts *p, bool is_fc6, struct gemm8_weights *out)
{
    struct bytes m = place_bytes(b, p->n, p->k);
    const float *bias = stack(b, p, p->bias);
    if (!b->block) {
        out->n = p->n; /* what follows asks whether this layer is in 8 bits */
        return;
    }
    for (size_t i = 0, at = 0; i < p->count; i++) {
        for (size_t r = 0; r < p->rows[i]; r++, at++) {
            set_row(b, &m, at, p->tensor[i], p->scale[i], r);
            if (is_fc6) {
                set_channels_last(b, &m, at);
            }
        }
    }
    *out = pack_bytes(b, &m, bias);
}

static void bind_linear(struct binder *b, const char *prefix, const struct bind_entry *entries, size_t n_parts,
                        void *place)
{
    struct parts p = find_parts(b, prefix, entries, n_parts);
    if (b->rc) {
        return;
    }
    if (entries[0].kind == B_LINEAR) {
        bind_floats(b, &p, false, place);
        return;
    }
    bool is_fc6 = entries[0].kind == B_FC6;
    struct bind_linear *out = place;
    bool is_stored = are_all(&p, TENSOR_I8), is_fusion = entries[0].kind == B_LINEAR8;
    bool is_wanted = is_fusion ? wants_bytes(b, is_stored) : keeps_bytes(b, is_stored);
    bool is_bytes = p.k <= GEMM8_MAX_DEPTH && is_wanted;
    if (!b->block && is_fusion) {
        b->out->n_linear++;
        b->out->n_bytes += is_bytes;
    }
    if (is_bytes) {
        bind_bytes(b, &p, is_fc6, &out->bytes);
    } else {
        bind_floats(b, &p, is_fc6, &out->floats);
    }
}

/* The rows of the words that can be said in more than 8 bits, or NULL where the file has no such tensor. */
static const struct tensor *find_said(struct binder *b, size_t n_words, size_t d)
{
    const struct tensor *said = weights_find(b->weights, said_name);
    if (!said) {
        return NULL;
    }
    if (said->type == TENSOR_I8 || b->out->fusion.word.tensor->type != TENSOR_I8) {
        bind_kinds_fail(b, said_name, "belongs in F16, BF16 or F32 beside word embeddings in I8");
        return NULL;
    }
    return bind_kinds_find(b, said_name, (size_t[]){n_words, d}, 2, false);
}

/* The matrix of bind_words: in 8 bits behind a layer in 8 bits; else from the rows said, if there are such. */
static void place_words(struct binder *b, const struct tensor *said, const float *bias, struct bind_words *out)
{
    const struct bind_rows *all = &b->out->fusion.word;
    size_t k = b->dims[D_D];
    bool has_bytes = all->tensor->type == TENSOR_I8 && b->out->fusion.caption_transform.bytes.n > 0;
    bool is_bytes = k <= GEMM8_MAX_DEPTH && wants_bytes(b, has_bytes);
    const struct tensor *from = said && !is_bytes ? said : all->tensor;
    if (!b->block) {
        b->out->n_linear++;
        b->out->n_bytes += is_bytes;
    }
    if (is_bytes) {
        struct bytes m = place_bytes(b, out->n, k);
        for (size_t row = 0; b->block && row < out->n; row++) {
            set_row(b, &m, row, from, all->scale, (size_t)out->ids[row]);
        }
        out->weights.bytes = b->block ? pack_bytes(b, &m, bias) : (struct gemm8_weights){.n = 0};
        return;
    }
    bool is_half = b->kernels->gemm_takes_halves && from->type == TENSOR_F16;
    float *place = place_matrix(b, out->n, k, is_half);
    for (size_t row = 0; b->block && row < out->n; row++) {
        widen_rows(b->kernels, from, all->scale, said ? row : (size_t)out->ids[row], 1, k, b->temp + row * k);
    }
    if (b->block) {
        out->weights.floats = pack(b, out->n, k, is_half, place, bias);
    }
}

/* The word embeddings as the last matrix of the captions, a row for each word that can be said. */
static void bind_words(struct binder *b, const struct bind_entry *entry, struct bind_words *out)
{
    size_t n = b->dims[D_V], k = b->dims[D_D];
    const float *all = bind_kinds_find_vector(b, entry->name, n);
    int n_words = 0;
    if (b->rc) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        n_words += all[i] > BIND_SILENT;
    }
    if (n_words == 0) {
        bind_kinds_fail(b, entry->name, "no word can be said");
        return;
    }
    const struct tensor *said = find_said(b, (size_t)n_words, k);
    struct bind_rows *table = &b->out->fusion.word;
    float *bias = arena_take(&b->arena, (size_t)n_words, sizeof(*bias));
    int *ids = arena_take(&b->arena, (size_t)n_words, sizeof(*ids));
    if (b->rc) {
        return;
    }
    *out = (struct bind_words){.ids = ids, .n = (size_t)n_words};
    for (size_t i = 0, row = 0; b->block && i < n; i++) {
        if (all[i] > BIND_SILENT) {
            bias[row] = all[i];
            ids[row++] = (int)i;
        }
    }
    place_words(b, said, bias, out);
    if (b->block) {
        if (said) {
            weights_keep(b->weights, said);
        }
        *table = (struct bind_rows){table->tensor, table->scale, said, ids, (size_t)n_words};
    }
}

/* [out, in, kh, kw] -> [kh, kw, in, out]; a depthwise filter has in = 1. */
static void bind_filter(struct binder *b, const char *prefix, const struct bind_entry *entry, struct bind_filter *out)
{
    char name[MAX_NAME];
    const float *scale, *bias = NULL;
    size_t shape[WEIGHTS_MAX_DIMS] = {0};
    full_name(name, prefix, entry, ".weight");
    const struct tensor *t = bind_kinds_find_matrix(b, name, entry->shape, &scale);
    bind_kinds_shape(b, entry->shape, shape);
    if (entry->kind != B_PLAIN) {
        full_name(name, prefix, entry, ".bias");
        bias = bind_kinds_find_vector(b, name, shape[0]);
    }
    if (b->rc) {
        return;
    }
    size_t inputs = shape[1], cells = shape[2] * shape[3], k = inputs * cells;
    float *weight = arena_take(&b->arena, shape[0] * k, sizeof(*weight));
    bind_kinds_want_temp(b, shape[0] * k);
    if (!b->block) {
        return;
    }
    widen_rows(b->kernels, t, scale, 0, shape[0], k, b->temp);
    for (size_t o = 0; o < shape[0]; o++) {
        for (size_t i = 0; i < inputs; i++) {
            for (size_t c = 0; c < cells; c++) {
                weight[(c * inputs + i) * shape[0] + o] = b->temp[o * k + i * cells + c];
            }
        }
    }
    *out = (struct bind_filter){weight, bias};
}

static void bind_norm(struct binder *b, const char *prefix, const struct bind_entry *entry, struct bind_norm *out)
{
    char name[MAX_NAME];
    size_t n = b->dims[entry->shape[0]];
    full_name(name, prefix, entry, ".weight");
    out->weight = bind_kinds_find_vector(b, name, n);
    full_name(name, prefix, entry, ".bias");
    out->bias = bind_kinds_find_vector(b, name, n);
}

static void bind_rows(struct binder *b, const char *prefix, const struct bind_entry *entry, struct bind_rows *out)
{
    char name[MAX_NAME];
    full_name(name, prefix, entry, ".weight");
    out->tensor = bind_kinds_find_matrix(b, name, entry->shape, &out->scale);
    if (out->tensor) {
        weights_keep(b->weights, out->tensor);
    }
}

static void bind_fuse(struct binder *b, const char *prefix, const struct bind_entry *entry, float *out)
{
    char name[MAX_NAME];
    size_t n = b->dims[entry->shape[0]];
    float sum = fuse_eps;
    full_name(name, prefix, entry, "");
    const float *raw = bind_kinds_find_vector(b, name, n);
    if (!raw) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = raw[i] > 0.0F ? raw[i] : 0.0F;
        sum += out[i];
    }
    for (size_t i = 0; i < n; i++) {
        out[i] /= sum;
    }
}

void bind_kinds_table(struct binder *b, const char *prefix, const struct bind_entry *entries, size_t n, void *base)
{
    for (size_t i = 0; i < n && !b->rc; i++) {
        void *place = (char *)base + entries[i].place;
        size_t parts = 1;
        switch (entries[i].kind) {
        case B_LINEAR:
        case B_LINEAR8:
        case B_IMAGE8:
        case B_FC6:
            while (i + parts < n && entries[i + parts].place == entries[i].place) {
                parts++;
            }
            bind_linear(b, prefix, &entries[i], parts, place);
            i += parts - 1;
            break;
        case B_TIED:
            bind_words(b, &entries[i], place);
            break;
        case B_STEM:
        case B_DEPTHWISE:
        case B_PLAIN:
            bind_filter(b, prefix, &entries[i], place);
            break;
        case B_NORM:
            bind_norm(b, prefix, &entries[i], place);
            break;
        case B_ROWS:
            bind_rows(b, prefix, &entries[i], place);
            break;
        case B_FUSE:
            bind_fuse(b, prefix, &entries[i], place);
            break;
        }
    }
}
