/* Matrix product: every table against sums in double; rows that do not depend on their neighbours; guard zones. */
#include "engine/kernels/act.h"
#include "engine/kernels/list.h"
#include "tests/support/kernel_check.h"

static const size_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65};
enum { N_SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* One product with all that belongs to it. Rows of A, C and the residual have gaps. */
struct product {
    size_t m, n, k, lda, ldc, ldr;
    enum act act;
    struct guarded a, w, bias, residual, c;
    float *packed;
    struct gemm_weights weights;
};

static struct product product_make(const struct kernels *k, size_t m, size_t n, size_t depth, enum act act)
{
    struct product p = {.m = m, .n = n, .k = depth, .lda = depth + 3, .ldc = n + 5, .ldr = n + 2, .act = act};
    p.a = random_floats(m * p.lda, 1);
    p.w = random_floats(n * depth, 2);
    p.bias = random_floats(n, 3);
    p.residual = random_floats(m * p.ldr, 4);
    p.c = guarded_floats(m * p.ldc);
    p.packed = aligned_alloc(64, (k->gemm_packed_floats(n, depth) * sizeof(float) + 63) / 64 * 64);
    k->gemm_pack(p.w.p, n, depth, p.packed);
    p.weights = (struct gemm_weights){.n = n, .k = depth, .packed = p.packed, .bias = p.bias.p};
    return p;
}

static void product_release(struct product *p)
{
    CHECK_INT(guarded_release(&p->a), 0);
    CHECK_INT(guarded_release(&p->w), 0);
    CHECK_INT(guarded_release(&p->bias), 0);
    CHECK_INT(guarded_release(&p->residual), 0);
    CHECK_INT(guarded_release(&p->c), 0);
    free(p->packed);
}

static double exact_act(double x, enum act act)
{
    switch (act) {
    case ACT_SWISH:
        return x / (1.0 + exp(-x));
    case ACT_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case ACT_TANH:
        return tanh(x);
    case ACT_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    default:
        return act_scalar((float)x, act);
    }
}

/* How many elements are wrong, and gaps written. The bound grows with the size of the terms, not of the sum. */
static int product_faults(const struct product *p, bool with_bias, bool with_residual)
{
    int faults = 0;
    for (size_t r = 0; r < p->m; r++) {
        for (size_t j = 0; j < p->n; j++) {
            double sum = with_bias ? p->bias.p[j] : 0.0, terms = fabs(sum);
            for (size_t i = 0; i < p->k; i++) {
                double term = (double)p->a.p[r * p->lda + i] * p->w.p[j * p->k + i];
                sum += term;
                terms += fabs(term);
            }
            double expected = exact_act(sum, p->act) + (with_residual ? p->residual.p[r * p->ldr + j] : 0.0);
            faults += !(fabs(p->c.p[r * p->ldc + j] - expected) <= 1e-6 * (1.0 + terms));
        }
        for (size_t j = p->n; j < p->ldc; j++) {
            faults += p->c.p[r * p->ldc + j] != GUARD_VALUE;
        }
    }
    return faults;
}

static void product_run(const struct kernels *k, struct product *p, bool with_bias, bool with_residual)
{
    struct gemm_weights w = p->weights;
    w.bias = with_bias ? w.bias : NULL;
    k->gemm(&w, p->a.p, p->lda, p->m, p->c.p, p->ldc, p->act, with_residual ? p->residual.p : NULL,
            with_residual ? p->ldr : 0);
}

static void check_product(const struct kernels *k, size_t m, size_t n, size_t depth, enum act act, bool bias,
                          bool residual)
{
    struct product p = product_make(k, m, n, depth, act);
    product_run(k, &p, bias, residual);
    int faults = product_faults(&p, bias, residual);
    if (faults) {
        fprintf(stderr, "m %zu, n %zu, k %zu, activation %d: ", m, n, depth, (int)act);
    }
    CHECK_INT(faults, 0);
    product_release(&p);
}

static void test_gemm(const struct kernels *k)
{
    for (int i = 0; i < N_SIZES; i++) {
        for (int j = 0; j < N_SIZES; j++) {
            for (int d = (i + j) % 4; d < N_SIZES; d += 4) {
                check_product(k, sizes[i], sizes[j], sizes[d], ACT_NONE, (i + d) % 2, (j + d) % 3 == 0);
            }
        }
    }
    for (int act = ACT_NONE; act <= ACT_SIGMOID; act++) {
        for (int flags = 0; flags < 4; flags++) {
            check_product(k, 19, 83, 40, (enum act)act, flags & 1, flags & 2);
            check_product(k, 2, 33, 5, (enum act)act, flags & 1, flags & 2);
        }
    }
    check_product(k, 3, 300, 4500, ACT_NONE, true, true);
    check_product(k, 10, 30, 3000, ACT_RELU, true, false);
    check_product(k, 5, 20, 0, ACT_NONE, true, true);
}

static void test_empty(const struct kernels *k)
{
    check_product(k, 0, 17, 9, ACT_SWISH, true, true);
    check_product(k, 4, 0, 9, ACT_NONE, true, false);
}

/* C = act(..) + C */
static void test_residual_in_place(const struct kernels *k)
{
    for (int act = ACT_NONE; act <= ACT_SIGMOID; act++) {
        struct product p = product_make(k, 21, 70, 33, (enum act)act);
        for (size_t r = 0; r < p.m; r++) {
            memcpy(p.c.p + r * p.ldc, p.residual.p + r * p.ldr, p.n * sizeof(float));
        }
        k->gemm(&p.weights, p.a.p, p.lda, p.m, p.c.p, p.ldc, p.act, p.c.p, p.ldc);
        CHECK_INT(product_faults(&p, true, true), 0);
        product_release(&p);
    }
}

/* A row alone and the same row at any place of any batch: the same bits. */
static void check_rows_alone(const struct kernels *k, size_t max, size_t n, size_t depth, enum act act, size_t step)
{
    struct product p = product_make(k, max, n, depth, act);
    struct guarded alone = guarded_floats(max * n);
    for (size_t r = 0; r < max; r++) {
        k->gemm(&p.weights, p.a.p + r * p.lda, p.lda, 1, alone.p + r * n, n, act, p.residual.p + r * p.ldr, p.ldr);
    }
    int different = 0;
    for (size_t m = step; m <= max; m += step) {
        size_t first = (max - m) / 2;
        k->gemm(&p.weights, p.a.p + first * p.lda, p.lda, m, p.c.p, p.ldc, act, p.residual.p + first * p.ldr, p.ldr);
        for (size_t r = 0; r < m; r++) {
            different += memcmp(p.c.p + r * p.ldc, alone.p + (first + r) * n, n * sizeof(float)) != 0;
        }
    }
    CHECK_INT(different, 0);
    CHECK_INT(guarded_release(&alone), 0);
    product_release(&p);
}

static void test_rows_alone(const struct kernels *k)
{
    for (int act = ACT_NONE; act <= ACT_SIGMOID; act++) {
        check_rows_alone(k, 40, 65, 129, (enum act)act, 1);
    }
    check_rows_alone(k, 600, 97, 1024, ACT_NONE, 300); /* more rows than are taken at a time */
}

/* Of a float that is a normal half, or zero. */
static uint16_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    uint32_t sign = bits >> 16 & 0x8000, exponent = (bits >> 23 & 255) - 112, fraction = bits >> 13 & 1023;
    return x == 0.0f ? 0 : (uint16_t)(sign | exponent << 10 | fraction);
}

/* The same weights as halves: the same bits. */
static void check_halves(const struct kernels *k, size_t m, size_t n, size_t depth, enum act act)
{
    struct product p = product_make(k, m, n, depth, act);
    struct guarded c = guarded_floats(m * n);
    size_t n_packed = k->gemm_packed_floats(n, depth);
    uint16_t *halves = aligned_alloc(64, (n_packed * sizeof(*halves) + 63) / 64 * 64);
    for (size_t i = 0; i < n * depth; i++) {
        p.w.p[i] = (float)((int)(i * 7919 % 2047) - 1023) / 256.0f;
    }
    k->gemm_pack(p.w.p, n, depth, p.packed);
    for (size_t i = 0; i < n_packed; i++) {
        halves[i] = half_of(p.packed[i]);
    }
    struct gemm_weights w = {.n = n, .k = depth, .bias = p.bias.p, .halves = halves};
    k->gemm(&p.weights, p.a.p, p.lda, m, p.c.p, p.ldc, act, p.residual.p, p.ldr);
    k->gemm(&w, p.a.p, p.lda, m, c.p, n, act, p.residual.p, p.ldr);
    int different = 0;
    for (size_t r = 0; r < m; r++) {
        different += memcmp(c.p + r * n, p.c.p + r * p.ldc, n * sizeof(float)) != 0;
    }
    CHECK_INT(different, 0);
    CHECK_INT(guarded_release(&c), 0);
    free(halves);
    product_release(&p);
}

static void test_halves(const struct kernels *k)
{
    CHECK_INT(k->gemm_takes_halves, k->isa >= ISA_AVX2 && k->gemm_backend == GEMM_NATIVE);
    if (!k->gemm_takes_halves) {
        return;
    }
    for (size_t m = 1; m <= 40; m++) {
        check_halves(k, m, sizes[m % N_SIZES], sizes[(m * 7) % N_SIZES], (enum act)(m % (ACT_SIGMOID + 1)));
    }
    for (int i = 0; i < N_SIZES; i++) {
        check_halves(k, 30, 100, sizes[i], ACT_NONE);
    }
    check_halves(k, 300, 97, 1024, ACT_NONE); /* more rows than are taken at a time */
    check_halves(k, 20, 50, 1536, ACT_RELU);
    check_halves(k, 20, 50, 1537, ACT_RELU); /* deeper than there is room for as floats */
}

/* Both instruction sets add up in the same order with the same operations. */
static void test_same_sums(void)
{
    if (isa_best() < ISA_AVX512) {
        return;
    }
    const struct kernels *tables[2] = {kernels_select(ISA_AVX2, GEMM_NATIVE), kernels_select(ISA_AVX512, GEMM_NATIVE)};
    struct product p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = product_make(tables[i], 23, 101, 77, ACT_RELU6);
        product_run(tables[i], &p[i], true, true);
    }
    CHECK_INT(memcmp(p[0].c.p, p[1].c.p, p[0].c.n * sizeof(float)), 0);
    product_release(&p[0]);
    product_release(&p[1]);
}

/* The checks above find one wrong weight, one wrong row and one write too many. */
static void test_faults_are_found(const struct kernels *k)
{
    struct product p = product_make(k, 9, 33, 20, ACT_GELU);
    product_run(k, &p, true, false);
    CHECK_INT(product_faults(&p, true, false), 0);
    p.w.p[32 * 20 + 19] += 0.01f;
    CHECK(product_faults(&p, true, false) > 0);
    p.w.p[32 * 20 + 19] -= 0.01f;
    p.c.p[33] = 0.0f; /* a gap */
    CHECK_INT(product_faults(&p, true, false), 1);
    p.c.p[33] = GUARD_VALUE;
    p.c.p[8 * p.ldc + 32] = NAN;
    CHECK_INT(product_faults(&p, true, false), 1);
    p.c.p[p.c.n] = 0.0f;
    CHECK_INT(guarded_release(&p.c), 1);
    p.c = guarded_floats(1);
    product_release(&p);
}

int main(void)
{
#define RUN(op) for_each_table(test_##op);
    LIST_GEMM(RUN)
#undef RUN
    for_each_table(test_empty);
    for_each_table(test_residual_in_place);
    for_each_isa(test_rows_alone);
    for_each_table(test_halves);
    test_same_sums();
    for_each_table(test_faults_are_found);
    return check_result();
}
