/* A matrix in F16 stays F16 where the kernels take halves; any other is packed as floats. On the way it is widened into a
 * scratch buffer, so that no second copy stays. Word embeddings are an exception: the caption head needs them packed,
 * look-ups read single rows from the file. */
#include "engine/model/load/bind_kinds.h"

#include "engine/model/half.h"
#include "engine/model/widen.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAME = BIND_KINDS_MAX_NAME, MAX_PARTS = 3, ALIGN_FLOATS = 16 };
static const char said_name[] = "fusion.embeddings.word.said";
static const float fuse_eps = 1e-4F;

void bind_kinds_fail(struct binder *b, const char *name, const char *what)
{
    if (b->rc == OK) {
        b->rc = err_set(b->e, ERR_BAD_MODEL, "tensor %s: %s", name, what);
    }
}

/* NULL while measuring. */
static float *take(struct binder *b, size_t n)
{
    float *at = b->block ? b->block + b->used : NULL;
    b->used += (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    return at;
}

static void want_temp(struct binder *b, size_t n)
{
    if (n > b->temp_floats) {
        b->temp_floats = n;
    }
}

/* ---- finding and checking ---- */

static size_t shape_of(const struct binder *b, const enum bind_dim *dims, size_t shape[WEIGHTS_MAX_DIMS])
{
    size_t n = 0;
    while (n < WEIGHTS_MAX_DIMS && dims[n] != D_END) {
        shape[n] = b->dims[dims[n]];
        n++;
    }
    return n;
}

static void fail_shape(struct binder *b, const struct tensor *t, const size_t *shape, size_t n_dims)
{
    char have[96] = "", want[96] = "";
    for (int i = 0; i < t->n_dims; i++) {
        snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%zu", i ? ", " : "", t->shape[i]);
    }
    for (size_t i = 0; i < n_dims; i++) {
        snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%zu", i ? ", " : "", shape[i]);
    }
    if (b->rc == OK) {
        b->rc = err_set(b->e, ERR_BAD_MODEL, "tensor %s: shape [%s], expected [%s]", t->name, have, want);
    }
}

static const struct tensor *find(struct binder *b, const char *name, const size_t *shape, size_t n_dims, bool f32_only)
{
    const struct tensor *t = weights_find(b->weights, name);
    if (!t) {
        bind_kinds_fail(b, name, "missing");
        return NULL;
    }
    if (f32_only && t->type != TENSOR_F32) {
        bind_kinds_fail(b, name, "the type must be F32");
        return NULL;
    }
    bool fits = (size_t)t->n_dims == n_dims;
    for (size_t i = 0; fits && i < n_dims; i++) {
        fits = t->shape[i] == shape[i];
    }
    if (!fits) {
        fail_shape(b, t, shape, n_dims);
        return NULL;
    }
    if (!b->block) {
        b->seen[b->n_seen++] = t;
    }
    return t;
}

static const float *find_vector(struct binder *b, const char *name, size_t n)
{
    const struct tensor *t = find(b, name, &n, 1, true);
    if (t && !b->block) {
        b->out->n_parameters += n;
    }
    return t ? t->data : NULL;
}

/* NAME and, for int8, NAME.scale. */
static const struct tensor *find_matrix(struct binder *b, const char *name, const enum bind_dim *dims,
                                        const float **scale)
{
    char scale_name[MAX_NAME + 8];
    size_t shape[WEIGHTS_MAX_DIMS] = {0};
    size_t n_dims = shape_of(b, dims, shape);
    const struct tensor *t = find(b, name, shape, n_dims, false);
    *scale = NULL;
    if (!t) {
        return NULL;
    }
    if (!b->block) {
        b->out->n_parameters += weights_elements(t);
    }
    if (t->type == TENSOR_I8) {
        snprintf(scale_name, sizeof(scale_name), "%s.scale", name);
        const struct tensor *s = find(b, scale_name, shape, 1, true);
        if (!s) {
            return NULL;
        }
        *scale = s->data;
    }
    return t;
}

/* ---- one kind each ---- */

static void full_name(char out[MAX_NAME], const char *prefix, const struct bind_entry *entry, const char *suffix)
{
    BUG_ON(snprintf(out, MAX_NAME, "%s%s%s", prefix, entry->name, suffix) >= MAX_NAME);
}

/* Room for a packed matrix [n, k], and for its n x k floats in the scratch buffer, with one more row behind them. */
static float *take_matrix(struct binder *b, size_t n, size_t k, bool is_half)
{
    size_t packed = b->kernels->gemm_packed_floats(n, k);
    want_temp(b, (n + 1) * k + (is_half ? packed : 0));
    return take(b, is_half ? (packed + 1) / 2 : packed);
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

static void bind_linear(struct binder *b, const char *prefix, const struct bind_entry *entries, size_t n_parts,
                        struct gemm_weights *out)
{
    char name[MAX_NAME];
    const struct tensor *parts[MAX_PARTS];
    const float *scales[MAX_PARTS], *biases[MAX_PARTS];
    size_t rows[MAX_PARTS], n = 0, k = 0;
    bool is_half = b->kernels->gemm_takes_halves;
    for (size_t i = 0; i < n_parts; i++) {
        size_t shape[WEIGHTS_MAX_DIMS] = {0};
        full_name(name, prefix, &entries[i], ".weight");
        parts[i] = find_matrix(b, name, entries[i].shape, &scales[i]);
        shape_of(b, entries[i].shape, shape);
        full_name(name, prefix, &entries[i], ".bias");
        biases[i] = find_vector(b, name, shape[0]);
        if (b->rc != OK) {
            return;
        }
        is_half = is_half && parts[i]->type == TENSOR_F16;
        rows[i] = shape[0];
        k = shape[1];
        n += shape[0];
    }
    float *place = take_matrix(b, n, k, is_half), *bias = n_parts > 1 ? take(b, n) : NULL;
    if (!b->block) {
        return;
    }
    for (size_t i = 0, at = 0; i < n_parts; at += rows[i], i++) {
        widen_rows(b->kernels, parts[i], scales[i], 0, rows[i], k, b->temp + at * k);
        if (bias) {
            memcpy(bias + at, biases[i], rows[i] * sizeof(float));
        }
    }
    if (entries[0].kind == B_FC6) {
        size_t cells = (size_t)b->pool * (size_t)b->pool;
        widen_channels_last(b->temp, n, k / cells, cells, b->temp + n * k);
    }
    *out = pack(b, n, k, is_half, place, bias ? bias : biases[0]);
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
    return find(b, said_name, (size_t[]){n_words, d}, 2, false);
}

/* The word embeddings as the last matrix of the captions, a row for each word that can be said. */
static void bind_words(struct binder *b, const struct bind_entry *entry, struct bind_words *out)
{
    size_t n = b->dims[D_V], k = b->dims[D_D];
    const float *all = find_vector(b, entry->name, n);
    int n_words = 0;
    if (b->rc != OK) {
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
    const struct tensor *from = said ? said : b->out->fusion.word.tensor;
    bool is_half = b->kernels->gemm_takes_halves && from->type == TENSOR_F16;
    float *place = take_matrix(b, (size_t)n_words, k, is_half), *bias = take(b, (size_t)n_words);
    int *ids = (int *)take(b, (size_t)n_words);
    if (!b->block || b->rc != OK) {
        return;
    }
    struct bind_rows *table = &b->out->fusion.word;
    if (said) {
        weights_keep(b->weights, said);
    }
    for (size_t i = 0, row = 0; i < n; i++) {
        if (all[i] > BIND_SILENT) {
            widen_rows(b->kernels, from, table->scale, said ? row : i, 1, k, b->temp + row * k);
            bias[row] = all[i];
            ids[row++] = (int)i;
        }
    }
    *out = (struct bind_words){pack(b, (size_t)n_words, k, is_half, place, bias), ids};
    *table = (struct bind_rows){table->tensor, table->scale, said, ids, (size_t)n_words};
}

/* [out, in, kh, kw] -> [kh, kw, in, out]; a depthwise filter has in = 1. */
static void bind_filter(struct binder *b, const char *prefix, const struct bind_entry *entry, struct bind_filter *out)
{
    char name[MAX_NAME];
    const float *scale, *bias = NULL;
    size_t shape[WEIGHTS_MAX_DIMS] = {0};
    full_name(name, prefix, entry, ".weight");
    const struct tensor *t = find_matrix(b, name, entry->shape, &scale);
    shape_of(b, entry->shape, shape);
    if (entry->kind != B_PLAIN) {
        full_name(name, prefix, entry, ".bias");
        bias = find_vector(b, name, shape[0]);
    }
    if (b->rc != OK) {
        return;
    }
    size_t inputs = shape[1], cells = shape[2] * shape[3], k = inputs * cells;
    float *weight = take(b, shape[0] * k);
    want_temp(b, shape[0] * k);
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
    out->weight = find_vector(b, name, n);
    full_name(name, prefix, entry, ".bias");
    out->bias = find_vector(b, name, n);
}

static void bind_rows(struct binder *b, const char *prefix, const struct bind_entry *entry, struct bind_rows *out)
{
    char name[MAX_NAME];
    full_name(name, prefix, entry, ".weight");
    out->tensor = find_matrix(b, name, entry->shape, &out->scale);
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
    const float *raw = find_vector(b, name, n);
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
    for (size_t i = 0; i < n && b->rc == OK; i++) {
        void *place = (char *)base + entries[i].place;
        size_t parts = 1;
        switch (entries[i].kind) {
        case B_LINEAR:
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
