#include "engine/model/linear.h"

void linear_place(struct linear_scratch *s, struct arena *a, size_t rows, size_t depth)
{
    s->bytes = arena_take(a, rows, linear_row_bytes(depth));
    s->row = arena_take(a, rows, sizeof(*s->row));
}

void linear_run(const struct kernels *k, const struct bind_linear *w, const struct linear_scratch *s, const float *a,
                size_t lda, size_t m, float *c, size_t ldc, enum act act, const float *residual, size_t ldr)
{
    if (w->bytes.n == 0) {
        k->gemm(&w->floats, a, lda, m, c, ldc, act, residual, ldr);
        return;
    }
    size_t ld = linear_row_bytes(w->bytes.k);
    k->quantize_rows(a, lda, m, w->bytes.k, s->bytes, ld, s->row);
    struct gemm8_in in = {s->bytes, ld, s->row, 1};
    struct gemm8_out out = {.c = c, .ld = ldc, .act = act, .residual = residual, .ldr = ldr};
    k->gemm8(&w->bytes, &in, m, &out);
}

bool linear_outputs(const struct kernels *k, const struct bind_linear *w, size_t first, size_t n,
                    struct bind_linear *out)
{
    size_t panel = w->bytes.n > 0 ? k->gemm8_panel : k->gemm_panel, end = first + n;
    if (panel == 0 || first % panel > 0 || (end % panel > 0 && end < linear_n(w))) {
        return false;
    }
    *out = *w;
    if (w->bytes.n > 0) {
        out->bytes.n = n;
        out->bytes.packed += first / panel * k->gemm8_packed_bytes(panel, w->bytes.k);
        out->bytes.scale += first;
        out->bytes.bias = w->bytes.bias ? w->bytes.bias + first : NULL;
        return true;
    }
    size_t at = first / panel * k->gemm_packed_floats(panel, w->floats.k);
    out->floats.n = n;
    out->floats.packed = w->floats.packed ? w->floats.packed + at : NULL;
    out->floats.halves = w->floats.halves ? w->floats.halves + at : NULL;
    out->floats.bias = w->floats.bias ? w->floats.bias + first : NULL;
    return true;
}
