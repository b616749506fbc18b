/* The arithmetic of shares of the peak: each number format has its own peak, a mixture is weighed. */
#include "engine/profile.h"
#include "tests/support/check.h"

static const struct profile_peaks peaks = {{[TRACE_FLOATS] = 100.0, [TRACE_BYTES] = 400.0, [TRACE_WORDS] = 200.0}};

static void test_share(void)
{
    struct profile_row rows[] = {
        {.step = "floats", .kernel = "gemm", .calls = 1, .operations = 1000000000, .bytes = 5, .ms = 20.0},
        {.step = "bytes", .kernel = "gemm8", .calls = 2, .operations = 4000000000, .bytes = 6, .ms = 12.5},
        {.step = "words", .kernel = "depthwise8", .calls = 3, .operations = 1000000000, .bytes = 7, .ms = 5.0},
        {.step = "rest", .kernel = "", .ms = 2.5},
        {.step = "never", .kernel = "gemm", .operations = 10}};
    const enum trace_unit units[] = {TRACE_FLOATS, TRACE_BYTES, TRACE_WORDS, TRACE_FLOATS};
    const double shares[] = {50.0, 80.0, 100.0, 0.0, 0.0};
    for (int i = 0; i < 4; i++) {
        rows[i].peak_ms = profile_peak_ms(&peaks, units[i], rows[i].operations);
    }
    for (int i = 0; i < 5; i++) {
        CHECK_NEAR(profile_share(&rows[i]), shares[i], 1e-9);
    }
    struct profile_row sum = profile_sum(rows, 4);
    CHECK_STR(sum.step, "floats");
    CHECK(sum.calls == 6 && sum.operations == 6000000000 && sum.bytes == 18);
    CHECK_NEAR(sum.ms, 40.0, 1e-9);
    CHECK_NEAR(sum.peak_ms, 25.0, 1e-9);
    CHECK_NEAR(profile_share(&sum), 62.5, 1e-9); /* by the peak of floats it would be 150 % */
    CHECK_NEAR(profile_sum(rows, 1).peak_ms, 10.0, 1e-9);
    struct profile_peaks none = {{0}};
    CHECK_NEAR(profile_peak_ms(&none, TRACE_BYTES, 7), 0.0, 0.0);
}

int main(void)
{
    test_share();
    return check_result();
}
