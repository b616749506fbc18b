/* All tables are written together, once, at the first call of kernels_select. This file is compiled for the oldest CPU
 * we run on: it asks what the CPU can do and must not itself need any of it. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/install.h"

#include <pthread.h>

static struct kernels tables[ISA_COUNT][GEMM_BACKEND_COUNT];
static enum isa best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#ifdef __x86_64__

/* __builtin_cpu_supports also asks (xgetbv) whether the operating system saves the wide registers. */
enum isa kernels_detect_isa(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) {
        return ISA_REF;
    }
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        return ISA_AVX2;
    }
    return ISA_AVX512;
}

static void overlay(struct kernels *k)
{
    if (k->isa >= ISA_AVX2) {
        gemm_avx2_install(k);
        conv_avx2_install(k);
        maps_avx2_install(k);
        attend_avx2_install(k);
        rows_avx2_install(k);
    }
    if (k->isa >= ISA_AVX512) {
        gemm_avx512_install(k);
        conv_avx512_install(k);
        maps_avx512_install(k);
        attend_avx512_install(k);
        rows_avx512_install(k);
    }
}

#else

enum isa kernels_detect_isa(void)
{
    return ISA_REF;
}

static void overlay(struct kernels *k)
{
    (void)k;
}

#endif

static void fill(struct kernels *k, enum isa isa, enum gemm_backend backend)
{
    k->isa = isa;
    k->gemm_backend = backend;
    gemm_ref_install(k);
    conv_ref_install(k);
    maps_ref_install(k);
    attend_ref_install(k);
    rows_ref_install(k);
    overlay(k);
    if (backend == GEMM_OPENBLAS) {
        gemm_openblas_install(k);
    }
}

static void fill_all(void)
{
    best = kernels_detect_isa();
    for (int isa = ISA_REF; isa <= (int)best; isa++) {
        for (int b = 0; b < GEMM_BACKEND_COUNT; b++) {
            fill(&tables[isa][b], (enum isa)isa, (enum gemm_backend)b);
        }
    }
}

const struct kernels *kernels_select(enum isa cap, enum gemm_backend backend)
{
    BUG_ON(cap >= ISA_COUNT || backend >= GEMM_BACKEND_COUNT);
    int failed = pthread_once(&once, fill_all);
    BUG_ON(failed);
    return &tables[cap < best ? cap : best][backend];
}
