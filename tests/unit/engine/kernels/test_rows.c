/* Rows: every instruction set against numbers in double; activations over their whole range. */
#include "engine/kernels/list.h"
#include "tests/support/kernel_check.h"

static const size_t sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 384, 1000};
enum { N_SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static double exact_act(double x, enum act act)
{
    switch (act) {
    case ACT_NONE:
        return x;
    case ACT_RELU:
        return fmax(x, 0.0);
    case ACT_RELU6:
        return fmin(fmax(x, 0.0), 6.0);
    case ACT_SWISH:
        return x / (1.0 + exp(-x));
    case ACT_GELU:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case ACT_TANH:
        return tanh(x);
    default:
        return 1.0 / (1.0 + exp(-x));
    }
}

static void check_layer_norm(const struct kernels *k, size_t n, float shift)
{
    enum { ROWS = 5 };
    struct guarded x = random_floats(ROWS * n, 1), w = random_floats(n, 2), b = random_floats(n, 3);
    struct guarded out = guarded_floats(ROWS * n), expected = guarded_floats(ROWS * n);
    for (size_t r = 0; r < ROWS; r++) {
        double sum = 0.0, squares = 0.0;
        for (size_t i = 0; i < n; i++) {
            x.p[r * n + i] += shift;
            sum += x.p[r * n + i];
        }
        for (size_t i = 0; i < n; i++) {
            squares += pow(x.p[r * n + i] - sum / (double)n, 2);
        }
        for (size_t i = 0; i < n; i++) {
            double z = (x.p[r * n + i] - sum / (double)n) / sqrt(squares / (double)n + 1e-5);
            expected.p[r * n + i] = (float)(z * w.p[i] + b.p[i]);
        }
    }
    double tolerance = n > 1 ? 3e-6 * (1.0 + fabsf(shift)) : 1e-4; /* one element: the mean cancels all */
    k->layer_norm(x.p, ROWS, n, w.p, b.p, 1e-5f, out.p);
    CHECK_INT(mismatches("layer_norm", out.p, expected.p, ROWS * n, tolerance), 0);
    k->layer_norm(x.p, ROWS, n, w.p, b.p, 1e-5f, x.p);
    CHECK_INT(memcmp(x.p, out.p, ROWS * n * sizeof(float)), 0); /* out may be x */
    CHECK_INT(guarded_release(&x) + guarded_release(&w) + guarded_release(&b), 0);
    CHECK_INT(guarded_release(&out) + guarded_release(&expected), 0);
}

static void test_layer_norm(const struct kernels *k)
{
    for (int i = 0; i < N_SIZES; i++) {
        check_layer_norm(k, sizes[i], 0.0f);
        check_layer_norm(k, sizes[i], 10.0f);
    }
}

/* The largest error relative to max(1, |value|) over a fine grid of -100..100, and the extremes. */
static double worst_act(const struct kernels *k, enum act act, float spoil)
{
    enum { N = 200003 };
    struct guarded x = guarded_floats(N);
    double worst = 0.0;
    for (int i = 0; i < N; i++) {
        x.p[i] = (float)(i - N / 2) * 1e-3f;
    }
    k->activate(x.p, N, act);
    x.p[N / 3] += spoil;
    for (int i = 0; i < N; i++) {
        double expected = exact_act((float)(i - N / 2) * 1e-3f, act);
        double error = fabs(x.p[i] - expected) / fmax(1.0, fabs(expected));
        worst = error > worst || isnan(error) ? error : worst;
    }
    CHECK_INT(guarded_release(&x), 0);
    return worst;
}

static void test_activate(const struct kernels *k)
{
    static const double bounds[] = {[ACT_NONE] = 0.0,  [ACT_RELU] = 0.0,  [ACT_RELU6] = 0.0,   [ACT_SWISH] = 3e-7,
                                    [ACT_GELU] = 5e-7, [ACT_TANH] = 3e-7, [ACT_SIGMOID] = 3e-7};
    static const float extremes[] = {-INFINITY, -3.4e38f, -1e30f, -1e4f, -90.0f, -1e-40f, -0.0f,
                                     0.0f,      1e-40f,   1e-30f, 90.0f, 1e4f,   1e30f,   3.4e38f};
    enum { N = sizeof(extremes) / sizeof(extremes[0]) };
    for (int act = ACT_NONE; act <= ACT_SIGMOID; act++) {
        CHECK(worst_act(k, (enum act)act, 0.0f) <= bounds[act]);
        CHECK(worst_act(k, (enum act)act, 1e-5f) > bounds[act]); /* the check can fail */
        float x[N];
        memcpy(x, extremes, sizeof(x));
        k->activate(x + 1, N - 1, (enum act)act); /* finite ones only */
        for (int i = 1; i < N; i++) {
            CHECK_NEAR(x[i], exact_act(extremes[i], (enum act)act), 1e-6);
        }
        for (int n = 0; n < 40; n++) {
            struct guarded g = random_floats((size_t)n, 7);
            k->activate(g.p, (size_t)n, (enum act)act);
            CHECK_INT(guarded_release(&g), 0);
        }
    }
}

static void check_softmax(const struct kernels *k, size_t n, float size)
{
    enum { ROWS = 3 };
    size_t ld = n + 2;
    struct guarded x = random_floats(ROWS * ld, 1), y = random_floats(ROWS * ld, 1);
    struct guarded p = guarded_floats(ROWS * ld), logs = guarded_floats(ROWS * ld);
    for (size_t i = 0; i < ROWS * ld; i++) {
        x.p[i] = y.p[i] = p.p[i] = logs.p[i] = x.p[i] * size;
    }
    for (size_t r = 0; r < ROWS; r++) {
        double sum = 0.0, best = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            best = fmax(best, x.p[r * ld + i]);
        }
        for (size_t i = 0; i < n; i++) {
            sum += exp(x.p[r * ld + i] - best);
        }
        for (size_t i = 0; i < n; i++) {
            p.p[r * ld + i] = (float)(exp(x.p[r * ld + i] - best) / sum);
            logs.p[r * ld + i] = (float)(x.p[r * ld + i] - best - log(sum));
        }
    }
    k->softmax(x.p, ROWS, n, ld);
    k->log_softmax(y.p, ROWS, n, ld);
    CHECK_INT(mismatches("softmax", x.p, p.p, ROWS * ld, 5e-7), 0);
    CHECK_INT(mismatches("log_softmax", y.p, logs.p, ROWS * ld, 1e-6), 0);
    CHECK_INT(guarded_release(&x) + guarded_release(&y) + guarded_release(&p) + guarded_release(&logs), 0);
}

static void test_softmax(const struct kernels *k)
{
    for (int i = 0; i < N_SIZES; i++) {
        check_softmax(k, sizes[i], 1.0f);
        check_softmax(k, sizes[i], 80.0f);
        check_softmax(k, sizes[i], 1.6e38f);
    }
    check_softmax(k, 30522, 10.0f);
}

/* What is told apart from test_softmax: forbidden places, minus infinity, stay so and weigh nothing. */
static void test_log_softmax(const struct kernels *k)
{
    float x[20], y[20];
    for (int i = 0; i < 20; i++) {
        x[i] = y[i] = i % 3 ? 1.0f : -INFINITY;
    }
    k->softmax(x, 1, 20, 20);
    k->log_softmax(y, 1, 20, 20);
    for (int i = 0; i < 20; i++) {
        CHECK_NEAR(x[i], i % 3 ? 1.0 / 13.0 : 0.0, 1e-6);
        CHECK(i % 3 ? fabs(y[i] + log(13.0)) < 1e-6 : y[i] == -INFINITY);
    }
}

static void test_dequantize_i8(const struct kernels *k)
{
    for (size_t n = 0; n < 70; n++) {
        int8_t x[70];
        struct guarded out = guarded_floats(n);
        for (size_t i = 0; i < n; i++) {
            x[i] = (int8_t)(i * 37 - 128);
        }
        k->dequantize_i8(x, 0.013f, n, out.p);
        for (size_t i = 0; i < n; i++) {
            CHECK_NEAR(out.p[i], (float)x[i] * 0.013f, 0);
        }
        CHECK_INT(guarded_release(&out), 0);
    }
}

static void test_bf16_to_f32(const struct kernels *k)
{
    for (size_t n = 0; n < 70; n++) {
        uint16_t x[70];
        struct guarded out = guarded_floats(n);
        for (size_t i = 0; i < n; i++) {
            float value = (float)(1 << (i % 20)) * (i % 2 ? -1.5f : 1.25f);
            uint32_t bits;
            memcpy(&bits, &value, sizeof(bits));
            x[i] = (uint16_t)(bits >> 16);
        }
        k->bf16_to_f32(x, n, out.p);
        for (size_t i = 0; i < n; i++) {
            CHECK_NEAR(out.p[i], (float)(1 << (i % 20)) * (i % 2 ? -1.5f : 1.25f), 0);
        }
        CHECK_INT(guarded_release(&out), 0);
    }
}

int main(void)
{
#define RUN(op) for_each_isa(test_##op);
    LIST_ROWS(RUN)
#undef RUN
    return check_result();
}
