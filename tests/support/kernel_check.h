/* kernel_check - what the tests of kernels share: buffers with guard zones, random numbers, comparison with a count.
 *
 * A buffer starts at an odd address (in floats) so that nothing can rely on alignment that the contract does not give.
 * The comparison returns how many elements differ, so that a test can also show that a planted fault is found. */
#ifndef TESTS_SUPPORT_KERNEL_CHECK_H
#define TESTS_SUPPORT_KERNEL_CHECK_H

#include "tests/support/check.h"
#include "tests/support/isas.h"

#include <stdlib.h>

enum { GUARD = 67 };
#define GUARD_VALUE 1.2345e30f

struct guarded {
    float *p; /* [n] */
    size_t n;
    float *_block;
};

__attribute__((unused)) static struct guarded guarded_floats(size_t n)
{
    struct guarded g = {.n = n};
    g._block = aligned_alloc(64, (n + 2 * GUARD + 15) / 16 * 64);
    if (!g._block) {
        abort();
    }
    g.p = g._block + GUARD;
    for (size_t i = 0; i < n + 2 * GUARD; i++) {
        g._block[i] = GUARD_VALUE;
    }
    return g;
}

/* Frees and returns how many elements outside were written. */
__attribute__((unused)) static int guarded_release(struct guarded *g)
{
    int written = 0;
    for (size_t i = 0; i < GUARD; i++) {
        written += g->_block[i] != GUARD_VALUE;
        written += g->p[g->n + i] != GUARD_VALUE;
    }
    free(g->_block);
    return written;
}

/* Uniform in -1..1, the same sequence for the same seed. */
__attribute__((unused)) static void fill_random(float *x, size_t n, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)state * (1.0f / 2147483648.0f);
    }
}

__attribute__((unused)) static struct guarded random_floats(size_t n, uint32_t seed)
{
    struct guarded g = guarded_floats(n);
    fill_random(g.p, n, seed);
    return g;
}

/* How many of n elements are not within tolerance * max(1, |expected|), NaN included; prints the first. */
__attribute__((unused)) static int mismatches(const char *what, const float *actual, const float *expected, size_t n,
                                              double tolerance)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        double a = actual[i], e = expected[i];
        if (!(fabs(a - e) <= tolerance * fmax(1.0, fabs(e)))) {
            if (bad++ == 0) {
                fprintf(stderr, "%s: element %zu is %.9g, expected %.9g\n", what, i, a, e);
            }
        }
    }
    return bad;
}

/* Runs the test for every table that this CPU can use. */
__attribute__((unused)) static void for_each_table(void (*test)(const struct kernels *k))
{
    for (int isa = ISA_REF; isa <= (int)isa_best(); isa++) {
        for (int b = 0; isa_can_run((enum isa)isa) && b < GEMM_BACKEND_COUNT; b++) {
            int before = check_failures;
            test(kernels_select((enum isa)isa, (enum gemm_backend)b));
            if (check_failures > before) {
                fprintf(stderr, "  in the table %s, %s\n", isa_name((enum isa)isa),
                        gemm_backend_name((enum gemm_backend)b));
            }
        }
    }
}

/* The same without the second back end, for kernels that are not matrix products. */
__attribute__((unused)) static void for_each_isa(void (*test)(const struct kernels *k))
{
    for (int isa = ISA_REF; isa <= (int)isa_best(); isa++) {
        int before = check_failures;
        if (!isa_can_run((enum isa)isa)) {
            continue;
        }
        test(kernels_select((enum isa)isa, GEMM_NATIVE));
        if (check_failures > before) {
            fprintf(stderr, "  in the table %s\n", isa_name((enum isa)isa));
        }
    }
}

#endif
