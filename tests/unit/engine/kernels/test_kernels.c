/* The choice of a table: caps, names, completeness, the same pointer every time and from any thread. */
#include "engine/kernels/list.h"
#include "tests/support/check.h"
#include "tests/support/isas.h"

#include <pthread.h>

static void test_names(void)
{
    CHECK_STR(isa_name(ISA_REF), "ref");
    CHECK_STR(isa_name(ISA_AVX2), "avx2");
    CHECK_STR(isa_name(ISA_AVXVNNI), "avxvnni");
    CHECK_STR(isa_name(ISA_AVX512), "avx512");
    CHECK_STR(isa_name(ISA_AVX512VNNI), "avx512vnni");
    CHECK_STR(isa_name(ISA_AMX), "amx");
    CHECK_STR(isa_name(ISA_NEON), "neon");
    CHECK_STR(isa_name(ISA_NEONDOT), "neondot");
    CHECK_STR(gemm_backend_name(GEMM_NATIVE), "native");
    CHECK_STR(gemm_backend_name(GEMM_OPENBLAS), "openblas");
}

static void *select_one(void *out)
{
    *(const struct kernels **)out = kernels_select(ISA_AVX512, GEMM_NATIVE);
    return NULL;
}

/* Runs first: the tables are made by whoever comes first. */
static void test_threads(void)
{
    enum { N = 8 };
    pthread_t threads[N];
    const struct kernels *seen[N];
    for (int i = 0; i < N; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, select_one, &seen[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < N; i++) {
        CHECK(seen[i] == kernels_select(ISA_AVX512, GEMM_NATIVE));
    }
}

static void test_caps(void)
{
    enum isa best = isa_best();
    fprintf(stderr, "this CPU: %s\n", isa_name(best));
    for (int isa = ISA_REF; isa < ISA_COUNT; isa++) {
        for (int b = 0; b < GEMM_BACKEND_COUNT; b++) {
            const struct kernels *k = kernels_select((enum isa)isa, (enum gemm_backend)b);
            CHECK(k->isa <= (enum isa)isa && (k->isa <= best || k->isa == ISA_AMX));
            CHECK(isa < (int)best || k->isa == best || (isa == ISA_AMX && k->isa == ISA_AMX));
            CHECK(isa != ISA_REF || k->isa == ISA_REF);
            CHECK(k == kernels_select(k->isa, (enum gemm_backend)b));
            CHECK_INT(k->gemm_backend, b);
        }
    }
}

static void test_complete(void)
{
    for (int isa = ISA_REF; isa < ISA_COUNT; isa++) {
        for (int b = 0; b < GEMM_BACKEND_COUNT; b++) {
            const struct kernels *k = kernels_select((enum isa)isa, (enum gemm_backend)b);
#define PRESENT(op) CHECK(k->op != NULL);
            LIST_ALL(PRESENT)
#undef PRESENT
            CHECK(k->gemm_pack && k->gemm_packed_floats && k->gemm8_pack && k->gemm8_packed_bytes);
        }
    }
}

/* Every operation but the plain copy has a version of its own in AVX2, AVX-512 and NEON; what multiplies bytes adds its
 * product of bytes. */
static void test_overlays(void)
{
    const struct kernels *ref = kernels_select(ISA_REF, GEMM_NATIVE);
    const struct kernels *avx2 = kernels_select(ISA_AVX2, GEMM_NATIVE),
                         *avx512 = kernels_select(ISA_AVX512, GEMM_NATIVE);
    int same_avx2 = 0, same_avx512 = 0;
#define COUNT(op)                                                                                                      \
    same_avx2 += avx2->op == ref->op;                                                                                  \
    same_avx512 += avx512->op == avx2->op;
    LIST_ALL(COUNT)
#undef COUNT
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        CHECK_INT(same_avx2, 1);
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
        CHECK_INT(same_avx512, 1);
    }
#else
    CHECK_INT(same_avx512, same_avx2); /* all */
#endif
    const struct kernels *avxvnni = kernels_select(ISA_AVXVNNI, GEMM_NATIVE),
                         *avx512vnni = kernels_select(ISA_AVX512VNNI, GEMM_NATIVE);
    if (avxvnni->isa == ISA_AVXVNNI) {
        CHECK(avxvnni->gemm8 != avx2->gemm8 && avxvnni->gemm == avx2->gemm);
    }
    if (avx512vnni->isa == ISA_AVX512VNNI) {
        CHECK(avx512vnni->gemm8 != avx512->gemm8 && avx512vnni->gemm == avx512->gemm);
    }
    const struct kernels *neon = kernels_select(ISA_NEON, GEMM_NATIVE),
                         *neondot = kernels_select(ISA_NEONDOT, GEMM_NATIVE);
    if (neon->isa == ISA_NEON) {
        int same_neon = 0;
#define COUNT(op) same_neon += neon->op == ref->op;
        LIST_ALL(COUNT)
#undef COUNT
        CHECK_INT(same_neon, 1);
    }
    if (neondot->isa == ISA_NEONDOT) {
        CHECK(neondot->gemm8 != neon->gemm8 && neondot->gemm == neon->gemm);
    }
    CHECK(kernels_select(ISA_REF, GEMM_OPENBLAS)->gemm != ref->gemm);
}

#define TEST(op)                                                                                                       \
    static void test_##op(void)                                                                                        \
    {                                                                                                                  \
        for (int isa = ISA_REF; isa <= (int)isa_best(); isa++) {                                                       \
            const struct kernels *k = kernels_select((enum isa)isa, GEMM_NATIVE);                                      \
            CHECK_INT(k->op(0), 0);                                                                                    \
            CHECK_INT(k->op(7), 7 * k->op(1));                                                                         \
            CHECK(k->op(1) >= 2 * 12 * 4);                                                                             \
        }                                                                                                              \
    }
LIST_PEAK(TEST)
#undef TEST

int main(void)
{
    test_threads();
    test_names();
    test_caps();
    test_complete();
    test_overlays();
#define RUN(op) test_##op();
    LIST_PEAK(RUN)
#undef RUN
    return check_result();
}
