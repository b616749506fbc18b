/* gemm8_check - a product of bytes with all that belongs to it, and the tests that every table must pass against plain
 * C, bit for bit: odd sizes, the largest numbers, numbers that are not finite, residuals in place, rows alone. */
#ifndef TESTS_SUPPORT_GEMM8_CHECK_H
#define TESTS_SUPPORT_GEMM8_CHECK_H

#include "engine/kernels/kernels.h"
#include "tests/support/kernel_check.h"

#include <string.h>

static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 9, 15, 16, 17, 31, 33, 47, 48, 49, 64, 65, 97};
enum { N_SIZES = sizeof(sizes) / sizeof(sizes[0]), GUARD_BYTES = 64, GUARD_BYTE = 0xa5 };

struct bytes {
    uint8_t *p;
    size_t n;
    uint8_t *_block;
};

__attribute__((unused)) static struct bytes bytes_make(size_t n, uint32_t seed)
{
    struct bytes b = {.n = n};
    b._block = malloc(n + 2 * GUARD_BYTES);
    b.p = b._block + GUARD_BYTES;
    memset(b._block, GUARD_BYTE, n + 2 * GUARD_BYTES);
    for (size_t i = 0; seed && i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        b.p[i] = (uint8_t)(seed >> 24);
    }
    return b;
}

__attribute__((unused)) static int bytes_release(struct bytes *b)
{
    int written = 0;
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        written += b->_block[i] != GUARD_BYTE;
        written += b->p[b->n + i] != GUARD_BYTE;
    }
    free(b->_block);
    return written;
}

/* One product with all that belongs to it; rows have gaps. */
struct product {
    size_t m, n, k, lda, ldr;
    struct bytes a;
    int8_t *w; /* [n, k] */
    struct guarded scale, bias, residual;
    struct gemm8_row *row;
    size_t row_step;
};

__attribute__((unused)) static struct product product_make(size_t m, size_t n, size_t k)
{
    struct product p = {.m = m, .n = n, .k = k, .lda = (k + 3) / 4 * 4 + 5, .ldr = n + 2, .row_step = 1};
    p.a = bytes_make(m * p.lda, 1 + (uint32_t)(m * 31 + n * 7 + k));
    p.w = malloc(n * k + 1);
    for (size_t i = 0; i < n * k; i++) {
        p.w[i] = (int8_t)((int)(i * 7919 % 255) - 127);
    }
    p.scale = random_floats(n, 2);
    p.bias = random_floats(n, 3);
    p.residual = random_floats(m * p.ldr, 4);
    p.row = malloc((m + 1) * sizeof(*p.row));
    for (size_t r = 0; r <= m; r++) {
        p.row[r] = (struct gemm8_row){0.001f + 0.0001f * (float)(r % 50), (int32_t)(r * 37 % 256)};
    }
    return p;
}

__attribute__((unused)) static void product_release(struct product *p)
{
    CHECK_INT(bytes_release(&p->a), 0);
    CHECK_INT(guarded_release(&p->scale), 0);
    CHECK_INT(guarded_release(&p->bias), 0);
    CHECK_INT(guarded_release(&p->residual), 0);
    free(p->w);
    free(p->row);
}

struct result {
    size_t m, n, ld;
    struct guarded c;
    struct bytes q;
};

static const struct gemm8_row fixed = {0.21f, 131};

/* first .. first + m - 1 of the product's rows, as floats or as bytes. */
__attribute__((unused)) static struct result product_run(const struct kernels *k, const struct product *p, size_t first,
                                                         size_t m, enum act act, bool residual, bool as_bytes)
{
    struct result out = {.m = m, .n = p->n, .ld = p->n + 3};
    size_t n_bytes = (k->gemm8_packed_bytes(p->n, p->k) + 63) / 64 * 64;
    int8_t *packed = aligned_alloc(64, n_bytes ? n_bytes : 64);
    k->gemm8_pack(p->w, p->n, p->k, packed);
    out.c = guarded_floats(as_bytes ? 1 : m * out.ld);
    out.q = bytes_make(as_bytes ? m * out.ld : 1, 0);
    struct gemm8_weights w = {p->n, p->k, packed, p->scale.p, p->bias.p};
    struct gemm8_in in = {p->a.p + first * p->lda, p->lda, p->row + first * p->row_step, p->row_step};
    struct gemm8_out to = {.c = as_bytes ? NULL : out.c.p, .q = as_bytes ? out.q.p : NULL, .ld = out.ld, .to = fixed};
    to.act = act;
    to.residual = residual ? p->residual.p + first * p->ldr : NULL;
    to.ldr = p->ldr;
    k->gemm8(&w, &in, m, &to);
    free(packed);
    return out;
}

__attribute__((unused)) static void result_release(struct result *r)
{
    CHECK_INT(guarded_release(&r->c), 0);
    CHECK_INT(bytes_release(&r->q), 0);
}

__attribute__((unused)) static bool is_exact(enum act act)
{
    return act == ACT_NONE || act == ACT_RELU || act == ACT_RELU6;
}

/* Elements that differ, the gaps of the rows included: in any bit, or for the other activations by more than 1e-6. */
__attribute__((unused)) static int differences(const struct result *a, const struct result *b, enum act act)
{
    int n = 0;
    for (size_t i = 0; i < a->c.n; i++) {
        double x = a->c.p[i], y = b->c.p[i];
        n += is_exact(act) ? memcmp(&a->c.p[i], &b->c.p[i], sizeof(float)) != 0
                           : !(fabs(x - y) <= 1e-6 * fmax(1.0, fabs(y)));
    }
    for (size_t i = 0; i < a->q.n; i++) {
        n += is_exact(act) ? a->q.p[i] != b->q.p[i] : abs((int)a->q.p[i] - (int)b->q.p[i]) > 1;
    }
    return n;
}

__attribute__((unused)) static const struct kernels *plain(void)
{
    return kernels_select(ISA_REF, GEMM_NATIVE);
}

__attribute__((unused)) static void check_same(const struct kernels *k, struct product *p, enum act act, bool residual,
                                               bool as_bytes)
{
    struct result expected = product_run(plain(), p, 0, p->m, act, residual, as_bytes);
    struct result c = product_run(k, p, 0, p->m, act, residual, as_bytes);
    int n = differences(&c, &expected, act);
    if (n) {
        fprintf(stderr, "m %zu, n %zu, k %zu, activation %d, bytes %d: ", p->m, p->n, p->k, (int)act, as_bytes);
    }
    CHECK_INT(n, 0);
    result_release(&expected);
    result_release(&c);
}

__attribute__((unused)) static void check_product(const struct kernels *k, size_t m, size_t n, size_t depth,
                                                  enum act act, int flags)
{
    struct product p = product_make(m, n, depth);
    p.row_step = flags & 4 ? 0 : 1;
    check_same(k, &p, act, flags & 1, flags & 2);
    product_release(&p);
}

__attribute__((unused)) static void test_gemm8(const struct kernels *k)
{
    for (int i = 0; i < N_SIZES; i++) {
        for (int j = 0; j < N_SIZES; j++) {
            for (int d = (i + j) % 4; d < N_SIZES; d += 4) {
                check_product(k, sizes[i], sizes[j], sizes[d], (enum act)((i + d) % 3), i + 2 * j + d);
            }
        }
    }
    for (int act = ACT_NONE; act <= ACT_SIGMOID; act++) {
        for (int flags = 0; flags < 8; flags++) {
            check_product(k, 19, 83, 40, (enum act)act, flags);
            check_product(k, 2, 33, 5, (enum act)act, flags);
        }
    }
    check_product(k, 0, 17, 9, ACT_SWISH, 0);
    check_product(k, 4, 0, 9, ACT_NONE, 0);
    check_product(k, 5, 20, 0, ACT_NONE, 1);
    check_product(k, 300, 97, 1024, ACT_NONE, 1); /* more rows than 16 bits are made of at a time */
    check_product(k, 700, 97, 1024, ACT_RELU6, 2);
}

/* The largest numbers there are, as deep as a product may be. */
__attribute__((unused)) static void test_extremes(const struct kernels *k)
{
    for (int zero = 0; zero <= 255; zero += 255) {
        struct product p = product_make(2, 17, GEMM8_MAX_DEPTH);
        memset(p.a.p, 255 - zero, p.a.n);
        memset(p.w, zero ? 0x81 : 127, p.n * p.k);
        p.row[0].zero = p.row[1].zero = zero;
        check_same(k, &p, ACT_NONE, false, false);
        struct result c = product_run(k, &p, 0, 2, ACT_NONE, false, false);
        double exact = 255.0 * 127.0 * GEMM8_MAX_DEPTH * p.row[1].scale * p.scale.p[16] + p.bias.p[16];
        CHECK_NEAR(c.c.p[c.ld + 16], exact, 1e-6 * fabs(exact));
        result_release(&c);
        product_release(&p);
    }
}

/* What is not finite stays so as floats and becomes byte 0; what does not fit becomes the nearest byte. */
__attribute__((unused)) static void test_not_finite(const struct kernels *k)
{
    struct product p = product_make(4, 18, 8);
    p.row[0].scale = NAN;
    p.row[1].scale = 1e30f;
    p.scale.p[3] = 1e30f;
    for (int as_bytes = 0; as_bytes < 2; as_bytes++) {
        struct result c = product_run(k, &p, 0, 4, ACT_NONE, false, as_bytes), e;
        e = product_run(plain(), &p, 0, 4, ACT_NONE, false, as_bytes);
        for (size_t j = 0; j < p.n; j++) {
            CHECK(as_bytes ? c.q.p[j] == 0 : isnan(c.c.p[j]));
            CHECK(as_bytes ? c.q.p[c.ld + j] == e.q.p[e.ld + j] : c.c.p[c.ld + j] == e.c.p[e.ld + j]);
        }
        CHECK(as_bytes ? c.q.p[c.ld] == 0 || c.q.p[c.ld] == 255 : isinf(c.c.p[c.ld + 3]));
        result_release(&c);
        result_release(&e);
    }
    product_release(&p);
}

/* C = act(..) + C */
__attribute__((unused)) static void test_residual_in_place(const struct kernels *k)
{
    struct product p = product_make(21, 70, 33);
    struct result expected = product_run(k, &p, 0, p.m, ACT_RELU, true, false);
    int8_t *packed = aligned_alloc(64, (k->gemm8_packed_bytes(p.n, p.k) + 63) / 64 * 64);
    k->gemm8_pack(p.w, p.n, p.k, packed);
    struct gemm8_weights w = {p.n, p.k, packed, p.scale.p, p.bias.p};
    struct gemm8_in in = {p.a.p, p.lda, p.row, 1};
    struct gemm8_out to = {.c = p.residual.p, .ld = p.ldr, .act = ACT_RELU, .residual = p.residual.p, .ldr = p.ldr};
    k->gemm8(&w, &in, p.m, &to);
    int different = 0;
    for (size_t r = 0; r < p.m; r++) {
        different += memcmp(p.residual.p + r * p.ldr, expected.c.p + r * expected.ld, p.n * sizeof(float)) != 0;
    }
    CHECK_INT(different, 0);
    free(packed);
    result_release(&expected);
    product_release(&p);
}

/* A row alone and the same row at any place of any batch: the same bits, whatever the activation. */
__attribute__((unused)) static void test_rows_alone(const struct kernels *k)
{
    for (int act = ACT_NONE; act <= ACT_SIGMOID; act++) {
        struct product p = product_make(40, 65, 129);
        struct result all = product_run(k, &p, 0, 40, (enum act)act, true, false);
        int different = 0;
        for (size_t m = 1; m <= 40; m += act == ACT_NONE ? 1 : 13) {
            size_t first = (40 - m) / 2;
            struct result some = product_run(k, &p, first, m, (enum act)act, true, false);
            for (size_t r = 0; r < m; r++) {
                different += memcmp(some.c.p + r * some.ld, all.c.p + (first + r) * all.ld, p.n * sizeof(float)) != 0;
            }
            result_release(&some);
        }
        CHECK_INT(different, 0);
        result_release(&all);
        product_release(&p);
    }
}

__attribute__((unused)) static void gemm8_check_all(const struct kernels *k)
{
    test_gemm8(k);
    test_extremes(k);
    test_not_finite(k);
    test_residual_in_place(k);
    test_rows_alone(k);
}

#endif
