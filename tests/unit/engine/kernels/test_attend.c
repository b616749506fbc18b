/* Attention: every instruction set against sums in double, over spans, heads, sizes of heads, positions and strides. */
#include "engine/kernels/list.h"
#include "tests/support/kernel_check.h"

/* One row of queries against all spans. */
static void exact_attend(const float *q, const struct kv_span *spans, int n_spans, int n_heads, int dim, float scale,
                         float *out)
{
    for (int h = 0; h < n_heads; h++) {
        double sum = 0.0, values[1024] = {0}, best = -INFINITY;
        for (int pass = 0; pass < 2; pass++) {
            for (int s = 0; s < n_spans; s++) {
                for (size_t j = 0; j < spans[s].n; j++) {
                    const float *k = spans[s].k + j * spans[s].ld + h * dim,
                                *v = spans[s].v + j * spans[s].ld + h * dim;
                    double dot = 0.0;
                    for (int d = 0; d < dim; d++) {
                        dot += (double)q[h * dim + d] * k[d];
                    }
                    best = pass == 0 ? fmax(best, dot * scale) : best;
                    for (int d = 0; pass == 1 && d < dim; d++) {
                        values[d] += exp(dot * scale - best) * v[d];
                    }
                    sum += pass == 1 ? exp(dot * scale - best) : 0.0;
                }
            }
        }
        for (int d = 0; d < dim; d++) {
            out[h * dim + d] = sum > 0.0 ? (float)(values[d] / sum) : 0.0f;
        }
    }
}

static void check_attend(const struct kernels *k, const size_t *lengths, int n_spans, int n_heads, int dim)
{
    size_t width = (size_t)(n_heads * dim), ld = width + 5, total = 0;
    struct guarded keys[3], values[3], q = random_floats(width, 9), out = guarded_floats(width);
    struct guarded expected = guarded_floats(width);
    struct kv_span spans[3];
    for (int s = 0; s < n_spans; s++) {
        keys[s] = random_floats(lengths[s] * ld, 10 + (uint32_t)s);
        values[s] = random_floats(lengths[s] * ld, 20 + (uint32_t)s);
        spans[s] = (struct kv_span){.k = keys[s].p, .v = values[s].p, .n = lengths[s], .ld = ld};
        total += lengths[s];
    }
    struct guarded scratch = guarded_floats((size_t)n_heads * total);
    exact_attend(q.p, spans, n_spans, n_heads, dim, 0.4f, expected.p);
    k->attend(q.p, spans, n_spans, n_heads, dim, 0.4f, scratch.p, out.p);
    int bad = mismatches("attend", out.p, expected.p, width, 2e-6);
    CHECK_INT(bad, 0);
    if (bad) {
        fprintf(stderr, "  %zu positions in %d spans, %d heads of %d\n", total, n_spans, n_heads, dim);
    }
    for (int s = 0; s < n_spans; s++) {
        CHECK_INT(guarded_release(&keys[s]) + guarded_release(&values[s]), 0);
    }
    CHECK_INT(guarded_release(&q) + guarded_release(&out) + guarded_release(&expected), 0);
    CHECK_INT(guarded_release(&scratch), 0);
}

static void test_attend(const struct kernels *k)
{
    static const size_t lengths[] = {1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 65, 100};
    static const int dims[] = {1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t j = 0; j < sizeof(dims) / sizeof(dims[0]); j++) {
            size_t spans[3] = {lengths[i], (i + j) % 3 ? 1 : 5, j % 2 ? 0 : 12};
            check_attend(k, spans, 1 + (int)(i + j) % 3, 1 + (int)j % 4, dims[j]);
        }
    }
    check_attend(k, (size_t[]){90, 12, 2}, 3, 12, 32);
    check_attend(k, (size_t[]){0, 0}, 2, 2, 16); /* nobody to see: zeros */
}

/* A span without positions may have no memory at all. */
static void test_empty_span(const struct kernels *k)
{
    struct guarded x = random_floats(24, 1), out = guarded_floats(24), expected = guarded_floats(24);
    float scratch[6];
    const struct kv_span some = {.k = x.p, .v = x.p, .n = 3, .ld = 8}, spans[3] = {{0}, some, {0}};
    k->attend(x.p, &some, 1, 2, 4, 0.5f, scratch, expected.p);
    k->attend(x.p, spans, 3, 2, 4, 0.5f, scratch, out.p);
    CHECK_INT(memcmp(out.p, expected.p, 8 * sizeof(float)), 0);
    k->attend(x.p, NULL, 0, 2, 4, 0.5f, NULL, out.p);
    k->attend_block(x.p, 2, 8, &spans[0], 2, 4, 0.5f, NULL, out.p + 8, 8);
    for (int i = 0; i < 24; i++) {
        CHECK_NEAR(out.p[i], 0.0, 0.0);
    }
    CHECK_INT(guarded_release(&x) + guarded_release(&out) + guarded_release(&expected), 0);
}

static void check_block(const struct kernels *k, size_t n_q, size_t n, int n_heads, int dim, float size)
{
    size_t width = (size_t)(n_heads * dim), ld = 3 * width + 1, ldq = width + 2, ldo = width + 3;
    struct guarded kv = random_floats(n * ld + width, 1), q = random_floats(n_q * ldq, 2);
    struct guarded out = guarded_floats(n_q * ldo), scratch = guarded_floats((size_t)n_heads * n);
    struct guarded expected = guarded_floats(width);
    struct kv_span span = {.k = kv.p, .v = kv.p + width, .n = n, .ld = ld};
    for (size_t i = 0; i < q.n; i++) {
        q.p[i] *= size;
    }
    k->attend_block(q.p, n_q, ldq, &span, n_heads, dim, 0.3f, scratch.p, out.p, ldo);
    int bad = 0, gaps = 0;
    for (size_t r = 0; r < n_q; r++) {
        exact_attend(q.p + r * ldq, &span, 1, n_heads, dim, 0.3f, expected.p);
        bad += mismatches("attend_block", out.p + r * ldo, expected.p, width, size > 1.0f ? 1e-4 : 2e-6);
        for (size_t i = width; i < ldo; i++) {
            gaps += out.p[r * ldo + i] != GUARD_VALUE;
        }
    }
    CHECK_INT(bad, 0);
    CHECK_INT(gaps, 0);
    if (bad) {
        fprintf(stderr, "  %zu rows, %zu positions, %d heads of %d\n", n_q, n, n_heads, dim);
    }
    CHECK_INT(guarded_release(&kv) + guarded_release(&q) + guarded_release(&out), 0);
    CHECK_INT(guarded_release(&scratch) + guarded_release(&expected), 0);
}

static void test_attend_block(const struct kernels *k)
{
    static const size_t lengths[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 100};
    static const int dims[] = {1, 3, 7, 8, 15, 16, 17, 32, 33, 64, 65};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t j = 0; j < sizeof(dims) / sizeof(dims[0]); j++) {
            check_block(k, 1 + (3 * i + 5 * j) % 21, lengths[i], 1 + (int)(i + j) % 3, dims[j], 1.0f);
        }
    }
    check_block(k, 40, 90, 12, 32, 1.0f);
    check_block(k, 13, 600, 2, 32, 1.0f);  /* keys beyond one block */
    check_block(k, 13, 300, 2, 100, 1.0f); /* panels of one vector at a time */
    check_block(k, 5, 70, 1, 600, 1.0f);
    check_block(k, 3, 5, 1, 1023, 1.0f);
    check_block(k, 20, 33, 2, 32, 1e4f); /* one position takes all */
    check_block(k, 4, 0, 2, 16, 1.0f);
    check_block(k, 0, 4, 2, 16, 1.0f);
}

/* A row alone and among others: the same bits. */
static void test_rows_alone(const struct kernels *k)
{
    enum { ROWS = 29, HEADS = 4, DIM = 24, WIDTH = HEADS * DIM };
    struct guarded x = random_floats(ROWS * WIDTH, 5), together = guarded_floats(ROWS * WIDTH);
    struct guarded alone = guarded_floats(WIDTH), scratch = guarded_floats(HEADS * ROWS);
    struct kv_span span = {.k = x.p, .v = x.p, .n = ROWS, .ld = WIDTH};
    k->attend_block(x.p, ROWS, WIDTH, &span, HEADS, DIM, 0.2f, scratch.p, together.p, WIDTH);
    int different = 0;
    for (size_t r = 0; r < ROWS; r++) {
        k->attend_block(x.p + r * WIDTH, 1, WIDTH, &span, HEADS, DIM, 0.2f, scratch.p, alone.p, WIDTH);
        different += memcmp(alone.p, together.p + r * WIDTH, WIDTH * sizeof(float)) != 0;
    }
    CHECK_INT(different, 0);
    x.p[3 * WIDTH + 2] += 0.05f; /* a planted fault shows */
    k->attend_block(x.p, ROWS, WIDTH, &span, HEADS, DIM, 0.2f, scratch.p, alone.p, 0);
    CHECK(memcmp(alone.p, together.p + (ROWS - 1) * WIDTH, WIDTH * sizeof(float)) != 0);
    CHECK_INT(guarded_release(&x) + guarded_release(&together), 0);
    CHECK_INT(guarded_release(&alone) + guarded_release(&scratch), 0);
}

int main(void)
{
#define RUN(op) for_each_isa(test_##op);
    LIST_ATTEND(RUN)
#undef RUN
    for_each_isa(test_empty_span);
    for_each_isa(test_rows_alone);
    return check_result();
}
