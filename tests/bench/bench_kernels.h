/* bench_kernels - how a kernel is timed: candidates take turns, and a line is printed for each shape.
 *
 * Threads: one. */
#ifndef TESTS_BENCH_BENCH_KERNELS_H
#define TESTS_BENCH_BENCH_KERNELS_H

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/kernels/list.h"
#include "tests/support/isas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 15, CANDIDATES = 4, COLD_BYTES = 80 << 20, ROUND_US = 300 };
/* The tables that are compared, best first; MOST for products of bytes. */
#ifdef __aarch64__
static const enum isa MOST = ISA_NEONDOT, MORE = ISA_NEON, SOME = ISA_NEON;
#else
static const enum isa MOST = ISA_AVX512VNNI, MORE = ISA_AVX512, SOME = ISA_AVX2;
#endif

static const char *filter;

struct bench {
    const struct kernels *k;
    float *in, *out, *weights, *extra;
    float *packed;
    size_t m, n, depth; /* of a matrix product; rows and columns elsewhere */
    size_t copies, turn;
    enum act act;
    struct conv_shape conv;
};

static float *floats(size_t n)
{
    float *p;
    if (mem_array(&p, n, sizeof(*p)) != OK) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++) {
        p[i] = (float)(i * 7919 % 1009) / 1009.0f - 0.5f;
    }
    return p;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Seconds of one call: as many calls as fill ROUND_US, at least one. */
static double time_calls(struct bench *b, void (*run)(struct bench *), int n)
{
    uint64_t start = clock_us();
    for (int i = 0; i < n; i++) {
        run(b);
    }
    return (double)(clock_us() - start) * 1e-6 / n;
}

struct timing {
    double seconds[ROUNDS];
    int calls;
};

/* The candidates take turns; `amount` is in 1e9 operations or bytes. */
static void measure(const char *name, struct bench *benches, int n, void (*run)(struct bench *), double amount,
                    const char *unit)
{
    struct timing t[CANDIDATES];
    for (int c = 0; c < n; c++) {
        run(&benches[c]);
        double once = time_calls(&benches[c], run, 1);
        t[c].calls = 1 + (int)(ROUND_US / (once * 1e6 + 0.5));
    }
    for (int r = 0; r < ROUNDS; r++) {
        for (int c = 0; c < n; c++) {
            t[c].seconds[r] = time_calls(&benches[c], run, t[c].calls);
        }
    }
    printf("%-44s %-8s", name, unit);
    for (int c = 0; c < n; c++) {
        qsort(t[c].seconds, ROUNDS, sizeof(double), by_value);
        printf(" %8.1f (%5.1f)", amount / t[c].seconds[ROUNDS / 2], amount / t[c].seconds[0]);
    }
    double spread = t[0].seconds[ROUNDS * 3 / 4] - t[0].seconds[ROUNDS / 4];
    printf("  %9.1f us %5.1f %%\n", t[0].seconds[ROUNDS / 2] * 1e6, 100.0 * spread / t[0].seconds[ROUNDS / 2]);
    fflush(stdout);
}

static bool wanted(const char *name)
{
    return !filter || strstr(name, filter);
}

#endif
