/* Some outputs of a layer as a layer of their own: the same bits, in floats and in bytes, on every instruction set. */
#include "engine/model/linear.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/kernel_check.h"

#include <string.h>

enum { ROWS = 5, DEPTH = 36, OUTPUTS = 192, PART = 96 };

struct layer {
    struct bind_linear w;
    void *packed;
    float scale[OUTPUTS], bias[OUTPUTS];
};

static void make(struct layer *l, const struct kernels *k, bool in_bytes)
{
    float w[OUTPUTS * DEPTH];
    int8_t q[OUTPUTS * DEPTH];
    fill_random(w, OUTPUTS * DEPTH, 1);
    fill_random(l->bias, OUTPUTS, 2);
    for (size_t i = 0; i < OUTPUTS * DEPTH; i++) {
        q[i] = (int8_t)(i * 7919 % 255 - 127);
    }
    for (size_t i = 0; i < OUTPUTS; i++) {
        l->scale[i] = 0.01F + 0.001F * (float)i;
    }
    size_t n_bytes =
        in_bytes ? k->gemm8_packed_bytes(OUTPUTS, DEPTH) : k->gemm_packed_floats(OUTPUTS, DEPTH) * sizeof(float);
    BUG_ON(mem_alloc(&l->packed, n_bytes));
    memset(&l->w, 0, sizeof(l->w));
    if (in_bytes) {
        k->gemm8_pack(q, OUTPUTS, DEPTH, l->packed);
        l->w.bytes = (struct gemm8_weights){OUTPUTS, DEPTH, l->packed, l->scale, l->bias};
    } else {
        k->gemm_pack(w, OUTPUTS, DEPTH, l->packed);
        l->w.floats = (struct gemm_weights){.n = OUTPUTS, .k = DEPTH, .packed = l->packed, .bias = l->bias};
    }
}

static void run(const struct kernels *k, const struct bind_linear *w, float *out)
{
    static float x[ROWS * DEPTH];
    uint8_t bytes[ROWS * DEPTH];
    struct gemm8_row row[ROWS];
    struct linear_scratch s = {bytes, row};
    fill_random(x, ROWS * DEPTH, 3);
    linear_run(k, w, &s, x, DEPTH, ROWS, out, OUTPUTS, ACT_NONE, NULL, 0);
}

static void check(const struct kernels *k, const struct layer *l, size_t first, size_t n)
{
    float whole[ROWS * OUTPUTS], part[ROWS * OUTPUTS];
    struct bind_linear w;
    bool is_cut = linear_outputs(k, &l->w, first, n, &w);
    CHECK(is_cut == ((l->w.bytes.n > 0 ? k->gemm8_panel : k->gemm_panel) > 0));
    if (!is_cut) {
        return;
    }
    run(k, &l->w, whole);
    run(k, &w, part + first);
    for (size_t r = 0; r < ROWS; r++) {
        CHECK(memcmp(whole + r * OUTPUTS + first, part + r * OUTPUTS + first, n * sizeof(float)) == 0);
    }
}

int main(void)
{
    for (enum isa isa = ISA_REF; isa < ISA_COUNT; isa++) {
        const struct kernels *k = kernels_select(isa, GEMM_NATIVE);
        for (int in_bytes = 0; k->isa == isa && in_bytes < 2; in_bytes++) {
            static struct layer l;
            struct bind_linear w;
            make(&l, k, in_bytes);
            check(k, &l, 0, PART);
            check(k, &l, PART, OUTPUTS - PART);
            CHECK(!linear_outputs(k, &l.w, 1, PART, &w));
            CHECK(!linear_outputs(k, &l.w, 0, 1, &w));
            mem_free(l.packed);
        }
    }
    return check_result();
}
