/* A trace: what is counted, what makes a row, that results are those of the table behind it. */
#include "engine/kernels/trace.h"
#include "tests/support/kernel_check.h"

#include <string.h>

enum { M = 5, N = 7, K = 3 };

static const struct kernels *inner(void)
{
    return kernels_select(ISA_COUNT - 1, GEMM_NATIVE);
}

/* One product of m rows by the table k. */
static void multiply(const struct kernels *k, size_t m, enum act act, float *out)
{
    float w[N * K], a[M * K];
    fill_random(w, N * K, 1);
    fill_random(a, M * K, 2);
    struct guarded packed = guarded_floats(inner()->gemm_packed_floats(N, K) + 16);
    float *aligned = packed.p + (64 - (uintptr_t)packed.p % 64) % 64 / sizeof(float);
    inner()->gemm_pack(w, N, K, aligned);
    struct gemm_weights weights = {.n = N, .k = K, .packed = aligned};
    k->gemm(&weights, a, K, m, out, N, act, NULL, 0);
    guarded_release(&packed);
}

static void run(const struct kernels *k)
{
    float out[M * N], expected[M * N];
    trace_stage("first");
    trace_step("a");
    multiply(k, M, ACT_NONE, out);
    multiply(k, M - 1, ACT_NONE, out);
    multiply(k, M, ACT_SWISH, out);
    multiply(inner(), M, ACT_SWISH, expected);
    CHECK_INT(memcmp(out, expected, sizeof(out)), 0);
    trace_step("a");
    multiply(k, M, ACT_NONE, out);
    k->multiply_add(1); /* is not traced */
    trace_stage("second");
    trace_step("a");
    multiply(k, 1, ACT_NONE, out);
}

static const struct trace_row *traced(struct trace *t, int *n)
{
    const struct trace_row *rows = NULL;
    const struct kernels *k = trace_kernels(t, inner());
    CHECK_INT(k->isa, inner()->isa);
    trace_enter(t);
    run(k);
    trace_leave();
    trace_step("outside"); /* does nothing */
    CHECK_INT(trace_rows(t, &rows, n), OK);
    return rows;
}

static void check_row(const struct trace_row *r, const char *stage, int turn, enum act act, size_t m, uint64_t calls)
{
    CHECK_STR(r->stage, stage);
    CHECK_STR(r->step, "a");
    CHECK_STR(r->kernel, "gemm");
    CHECK_STR(r->format, "f32");
    CHECK_INT(r->turn, turn);
    CHECK_INT(r->act, act);
    CHECK_INT(r->m, m);
    CHECK_INT(r->calls, calls);
    CHECK_INT(r->operations, 2 * m * N * K);
    CHECK_INT(r->bytes, sizeof(float) * (calls * N * K + m * K + m * N));
}

static void test_plan(void)
{
    struct trace *t = NULL;
    int n = 0;
    CHECK_INT(trace_create(&t, false), OK);
    const struct trace_row *rows = traced(t, &n);
    CHECK_INT(n, 4);
    check_row(&rows[0], "first", 1, ACT_NONE, 2 * M - 1, 2);
    check_row(&rows[1], "first", 1, ACT_SWISH, M, 1);
    check_row(&rows[2], "first", 2, ACT_NONE, M, 1);
    check_row(&rows[3], "second", 1, ACT_NONE, 1, 1);
    trace_forget(t);
    CHECK_INT(trace_rows(t, &rows, &n), OK);
    CHECK_INT(n, 0);
    trace_destroy(t);
}

static void test_summary(void)
{
    struct trace *t = NULL;
    int n = 0;
    CHECK_INT(trace_create(&t, true), OK);
    const struct trace_row *rows = traced(t, &n);
    CHECK_INT(n, 2);
    check_row(&rows[0], "first", 0, ACT_NONE, 4 * M - 1, 4);
    check_row(&rows[1], "second", 0, ACT_NONE, 1, 1);
    trace_destroy(t);
}

/* More rows than there is room for at first. */
static void test_many(void)
{
    static char names[1000][8];
    struct trace *t = NULL;
    const struct trace_row *rows;
    float x[1] = {1};
    int n = 0;
    CHECK_INT(trace_create(&t, false), OK);
    const struct kernels *k = trace_kernels(t, inner());
    trace_enter(t);
    trace_stage("many");
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof(names[i]), "%d", i);
        trace_step(names[i]);
        k->activate(x, 1, ACT_RELU);
    }
    trace_leave();
    CHECK_INT(trace_rows(t, &rows, &n), OK);
    CHECK_INT(n, 1000);
    CHECK_STR(rows[999].step, "999");
    trace_destroy(t);
}

int main(void)
{
    test_plan();
    test_summary();
    test_many();
    return check_result();
}
