/* All tables are written together, once, at the first call of kernels_select. This file is compiled for the oldest CPU
 * we run on: it asks what the CPU can do and must not itself need any of it. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/install.h"

#include <pthread.h>
#ifdef __x86_64__
#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

static struct kernels tables[ISA_COUNT][GEMM_BACKEND_COUNT];
static bool has[ISA_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

#ifdef __x86_64__

/* AVX-VNNI is leaf 7, subleaf 1, EAX bit 4; gcc 12 and clang 14 have no name for it. Its registers are AVX2's. */
static bool has_avxvnni(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & 1U << 4);
}

/* Leaf 1, ECX bit 29; clang 14 does not know it by name. */
static bool has_f16c(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(1, 0, &eax, &ebx, &ecx, &edx) && (ecx & 1U << 29);
}

/* Tiles, products of bytes in them, and that the operating system keeps them: leaf 7, EDX bits 24 and 25; leaf 1, ECX
 * bit 27 says that there is XCR0, whose bits 17 and 18 they are. */
static bool has_amx(void)
{
    enum { TILE_AND_INT8 = 3 << 24, HAS_XCR0 = 1 << 27, TILES = 3 << 17 };
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & TILE_AND_INT8) != TILE_AND_INT8 ||
        !__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & HAS_XCR0)) {
        return false;
    }
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return (eax & TILES) == TILES;
}

/* Linux wants to be asked by each process that uses tiles, and refuses where handlers of signals have too little room
 * to save them; so it is asked only if somebody wants them. */
static bool is_allowed(enum isa isa)
{
    enum { TILE_DATA = 18 };
    return isa != ISA_AMX || syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

/* __builtin_cpu_supports also asks (xgetbv) whether the operating system saves the wide registers. */
static void detect(bool has_isa[ISA_COUNT])
{
    __builtin_cpu_init();
    has_isa[ISA_REF] = true;
    has_isa[ISA_AVX2] = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    has_isa[ISA_AVXVNNI] = has_isa[ISA_AVX2] && has_avxvnni();
    has_isa[ISA_AVX512] = has_isa[ISA_AVX2] && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq");
    has_isa[ISA_AVX512VNNI] = has_isa[ISA_AVX512] && __builtin_cpu_supports("avx512vnni");
    has_isa[ISA_AMX] = has_isa[ISA_AVX512VNNI] && has_amx();
}

static void overlay(struct kernels *k)
{
    if (k->isa >= ISA_AVX2) {
        gemm_avx2_install(k);
        gemm8_avx2_install(k);
        conv_avx2_install(k);
        conv8_avx2_install(k);
        maps_avx2_install(k);
        attend_avx2_install(k);
        rows_avx2_install(k);
    }
    if (k->isa == ISA_AVXVNNI) {
        gemm8_avxvnni_install(k);
    }
    if (k->isa >= ISA_AVX512) {
        gemm_avx512_install(k);
        gemm8_avx512_install(k);
        conv_avx512_install(k);
        conv8_avx512_install(k);
        maps_avx512_install(k);
        attend_avx512_install(k);
        rows_avx512_install(k);
    }
    if (k->isa >= ISA_AVX512VNNI) {
        gemm8_avx512vnni_install(k);
        conv8_avx512vnni_install(k);
    }
    if (k->isa == ISA_AMX) {
        gemm8_amx_install(k);
    }
}

#elif defined(__aarch64__)

static bool is_allowed(enum isa isa)
{
    (void)isa;
    return true;
}

static void detect(bool has_isa[ISA_COUNT])
{
    has_isa[ISA_REF] = has_isa[ISA_NEON] = true; /* every core of arm64 has it */
    has_isa[ISA_NEONDOT] = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

static void overlay(struct kernels *k)
{
    if (k->isa >= ISA_NEON) {
        gemm_neon_install(k);
        gemm8_neon_install(k);
        conv_neon_install(k);
        conv8_neon_install(k);
        maps_neon_install(k);
        attend_neon_install(k);
        rows_neon_install(k);
    }
    if (k->isa == ISA_NEONDOT) {
        gemm8_neondot_install(k);
    }
}

#else

static bool is_allowed(enum isa isa)
{
    (void)isa;
    return true;
}

static void detect(bool has_isa[ISA_COUNT])
{
    has_isa[ISA_REF] = true;
}

static void overlay(struct kernels *k)
{
    (void)k;
}

#endif

/* AMX has to be named. */
static enum isa best_of(const bool has_isa[ISA_COUNT], enum isa cap)
{
    if (cap == ISA_AMX && has_isa[cap] && is_allowed(cap)) {
        return cap;
    }
    while (!has_isa[cap] || cap == ISA_AMX) {
        cap--;
    }
    return cap;
}

static void fill(struct kernels *k, enum isa isa, enum gemm_backend backend)
{
    k->isa = isa;
    k->gemm_backend = backend;
    gemm_ref_install(k);
    gemm8_ref_install(k);
    conv_ref_install(k);
    conv8_ref_install(k);
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
    detect(has);
    for (int isa = ISA_REF; isa < ISA_COUNT; isa++) {
        for (int b = 0; has[isa] && b < GEMM_BACKEND_COUNT; b++) {
            fill(&tables[isa][b], (enum isa)isa, (enum gemm_backend)b);
        }
    }
}

const struct kernels *kernels_select(enum isa cap, enum gemm_backend backend)
{
    BUG_ON(cap >= ISA_COUNT || backend >= GEMM_BACKEND_COUNT);
    int failed = pthread_once(&once, fill_all);
    BUG_ON(failed);
    return &tables[best_of(has, cap)][backend];
}
