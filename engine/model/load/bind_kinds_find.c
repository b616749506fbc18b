#include "engine/model/load/bind_kinds.h"

#include <stdio.h>
#include <string.h>

void bind_kinds_fail(struct binder *b, const char *name, const char *what)
{
    if (!b->rc) {
        b->rc = err_set(b->e, ERR_BAD_MODEL, "tensor %s: %s", name, what);
    }
}

size_t bind_kinds_shape(const struct binder *b, const enum bind_dim *dims, size_t shape[WEIGHTS_MAX_DIMS])
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
    if (!b->rc) {
        b->rc = err_set(b->e, ERR_BAD_MODEL, "tensor %s: shape [%s], expected [%s]", t->name, have, want);
    }
}

const struct tensor *bind_kinds_find(struct binder *b, const char *name, const size_t *shape, size_t n_dims,
                                     bool f32_only)
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

const float *bind_kinds_find_vector(struct binder *b, const char *name, size_t n)
{
    const struct tensor *t = bind_kinds_find(b, name, &n, 1, true);
    if (t && !b->block) {
        b->out->n_parameters += n;
    }
    return t ? t->data : NULL;
}

const struct tensor *bind_kinds_find_matrix(struct binder *b, const char *name, const enum bind_dim *dims,
                                            const float **scale)
{
    char scale_name[BIND_KINDS_MAX_NAME + 8];
    size_t shape[WEIGHTS_MAX_DIMS] = {0};
    size_t n_dims = bind_kinds_shape(b, dims, shape);
    const struct tensor *t = bind_kinds_find(b, name, shape, n_dims, false);
    *scale = NULL;
    if (!t) {
        return NULL;
    }
    if (!b->block) {
        b->out->n_parameters += weights_elements(t);
    }
    if (t->type == TENSOR_I8) {
        snprintf(scale_name, sizeof(scale_name), "%s.scale", name);
        const struct tensor *s = bind_kinds_find(b, scale_name, shape, 1, true);
        if (!s) {
            return NULL;
        }
        *scale = s->data;
    }
    return t;
}
