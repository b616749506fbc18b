/* Product of bytes: plain C against sums in 64 bits and double, every other table against plain C bit for bit. */
#include "engine/kernels/act.h"
#include "engine/kernels/list.h"
#include "tests/support/gemm8_check.h"

#if defined(__x86_64__) && !defined(__clang__) /* which has no such pragma */
/* The kernel of 256 bits in the encoding of AVX-512 VL, for machines that have no AVX-VNNI. */
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define DOT_VPDPBUSD "vpdpbusd"
#include "engine/kernels/x86/gemm8_vnni256.inc"
#pragma GCC pop_options
#endif

/* Plain C is right: what the header says, in double. */
static int faults(const struct product *p, const struct result *c)
{
    int n = 0;
    for (size_t r = 0; r < p->m; r++) {
        struct gemm8_row row = p->row[r * p->row_step];
        for (size_t j = 0; j < p->n; j++) {
            int64_t sum = 0;
            for (size_t i = 0; i < p->k; i++) {
                sum += (int64_t)(p->a.p[r * p->lda + i] - row.zero) * p->w[j * p->k + i];
            }
            double exact = (double)sum * row.scale * p->scale.p[j] + p->bias.p[j], terms = fabs(exact);
            exact += p->residual.p[r * p->ldr + j];
            n += !(fabs(c->c.p[r * c->ld + j] - exact) <= 1e-6 * (1.0 + terms));
        }
    }
    return n;
}

static void check_plain(size_t m, size_t n, size_t k)
{
    struct product p = product_make(m, n, k);
    struct result c = product_run(plain(), &p, 0, m, ACT_NONE, true, false);
    CHECK_INT(faults(&p, &c), 0);
    if (m * n * k > 0) { /* one wrong weight is found */
        p.w[n * k - 1] = (int8_t)(p.w[n * k - 1] + 64);
        CHECK(faults(&p, &c) > 0);
    }
    result_release(&c);
    product_release(&p);
}

/* ---- rows to bytes ---- */

static void check_rows(const struct kernels *k, const float *x, size_t n, bool with_range)
{
    struct bytes q = bytes_make((n + 3) / 4 * 4, 0), expected = bytes_make((n + 3) / 4 * 4, 0);
    struct gemm8_row row, expected_row;
    k->quantize_rows(x, n, 1, n, q.p, q.n, &row);
    plain()->quantize_rows(x, n, 1, n, expected.p, q.n, &expected_row);
    CHECK_INT(memcmp(q.p, expected.p, q.n), 0);
    CHECK_INT(memcmp(&row, &expected_row, sizeof(row)), 0);
    for (size_t i = 0; with_range && i < n; i++) { /* a little more than half a step: zero is rounded too */
        CHECK(fabsf((float)(q.p[i] - row.zero) * row.scale - x[i]) <= 1.01f * row.scale);
    }
    CHECK_INT(bytes_release(&q), 0);
    CHECK_INT(bytes_release(&expected), 0);
}

static void test_quantize_rows(const struct kernels *k)
{
    for (size_t n = 0; n < 200; n++) {
        struct guarded x = random_floats(n, (uint32_t)n + 1);
        check_rows(k, x.p, n, true);
        for (size_t i = 0; i < n; i++) {
            x.p[i] = n % 3 == 0 ? fabsf(x.p[i]) : n % 3 == 1 ? -fabsf(x.p[i]) : x.p[i] * 1e20f + 3e19f;
        }
        check_rows(k, x.p, n, true);
        if (n > 0) {
            static const float bad[] = {NAN, INFINITY, -INFINITY};
            x.p[n / 2] = bad[n % 3];
            struct bytes q = bytes_make((n + 3) / 4 * 4, 0);
            struct gemm8_row row;
            k->quantize_rows(x.p, n, 1, n, q.p, q.n, &row);
            CHECK(isnan(row.scale));
            CHECK_INT(row.zero, 0);
            CHECK_INT(bytes_release(&q), 0);
        }
        CHECK_INT(guarded_release(&x), 0);
    }
    float wide[2] = {-3e38f, 3e38f}, nothing[5] = {0.0f, -0.0f, 1e-38f}, ends[3] = {-127.5f, 127.5f, 0.5f};
    check_rows(k, wide, 2, false);
    check_rows(k, nothing, 5, false);
    check_rows(k, ends, 3, true);
}

static void test_quantize(const struct kernels *k)
{
    static const float scale = 6.0f / 255.0f,
                       special[] = {NAN, INFINITY, -INFINITY, 1e9f, -1e9f, 6.0f, 0.0f, -0.0f, 2.5f * 6.0f / 255.0f};
    for (size_t n = 0; n < 70; n++) {
        struct guarded x = random_floats(n, (uint32_t)n + 9);
        struct bytes q = bytes_make(n, 0), expected = bytes_make(n, 0);
        for (size_t i = 0; i < n; i++) {
            x.p[i] = n > 40 ? special[i % 9] : x.p[i] * 5.0f + 2.0f;
        }
        k->quantize(x.p, n, scale, q.p);
        plain()->quantize(x.p, n, scale, expected.p);
        CHECK_INT(memcmp(q.p, expected.p, n), 0);
        for (size_t i = 0; i < n && n <= 40; i++) {
            CHECK(fabsf((float)q.p[i] * scale - fminf(fmaxf(x.p[i], 0.0f), 6.0f)) <= 0.501f * scale);
        }
        CHECK(n <= 40 ||
              (q.p[0] == 0 && q.p[1] == 255 && q.p[2] == 0 && q.p[3] == 255 && q.p[5] == 255 && q.p[8] == 2));
        CHECK_INT(bytes_release(&q) + bytes_release(&expected) + guarded_release(&x), 0);
    }
}

/* Rows apart, and a product of what became of them: near to that of the floats. */
static void test_quantized_product(const struct kernels *k)
{
    enum { M = 7, N = 40, K = 70, LDX = K + 1, LDQ = 76 };
    struct guarded x = random_floats(M * LDX, 5);
    struct product p = product_make(M, N, K);
    uint8_t q[M * LDQ];
    p.row_step = 1;
    k->quantize_rows(x.p, LDX, M, K, q, LDQ, p.row);
    for (size_t r = 0; r < M; r++) {
        memcpy(p.a.p + r * p.lda, q + r * LDQ, (K + 3) / 4 * 4);
    }
    struct result c = product_run(k, &p, 0, M, ACT_NONE, false, false);
    for (size_t r = 0; r < M; r++) {
        for (size_t j = 0; j < N; j++) {
            double exact = 0.0, terms = 0.0;
            for (size_t i = 0; i < K; i++) {
                exact += (double)x.p[r * LDX + i] * p.w[j * K + i] * p.scale.p[j];
                terms += fabs(p.w[j * K + i] * p.scale.p[j]);
            }
            CHECK_NEAR(c.c.p[r * c.ld + j], exact + p.bias.p[j], 0.51 * p.row[r].scale * terms + 1e-4);
        }
    }
    result_release(&c);
    product_release(&p);
    CHECK_INT(guarded_release(&x), 0);
}

/* ---- the kernel of 256 bits ---- */

static void check_vnni256(void)
{
#if defined(__x86_64__) && !defined(__clang__) /* which has no such pragma */
    if (isa_best() != ISA_AVX512VNNI) {
        return;
    }
    struct kernels k = *kernels_select(ISA_AVX2, GEMM_NATIVE);
    k.isa = ISA_AVXVNNI;
    k.gemm8_packed_bytes = packed_bytes;
    k.gemm8_pack = pack;
    k.gemm8 = gemm8;
    gemm8_check_all(&k);
#endif
}

int main(void)
{
    for (int i = 0; i < N_SIZES; i++) {
        check_plain(sizes[i], sizes[(i * 5 + 3) % N_SIZES], sizes[(i * 7 + 1) % N_SIZES]);
    }
#define RUN(op) for_each_isa(test_##op);
    LIST_GEMM8(RUN)
#undef RUN
    for_each_isa(test_extremes);
    for_each_isa(test_not_finite);
    for_each_isa(test_residual_in_place);
    for_each_isa(test_rows_alone);
    for_each_isa(test_quantized_product);
    check_vnni256();
    return check_result();
}
