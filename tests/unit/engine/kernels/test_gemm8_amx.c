/* The product of bytes in tiles: its logic with the instructions in plain C, on any CPU with AVX-512 VNNI (whose kernel
 * takes what is left of rows and ends the sums), and the real one where there is AMX. Both against plain C, bit for
 * bit. */
#include "tests/support/gemm8_check.h"

#if defined(__x86_64__) && !defined(__clang__) /* which has no such pragma */
#include "tests/support/amx_emulated.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
#include "engine/kernels/x86/vnni512.inc"

#define GEMM8_PANEL amx_panel
#define GEMM8_ROWS  32
#include "engine/kernels/x86/gemm8.inc"

#include "engine/kernels/x86/gemm8_amx.inc"
#pragma GCC pop_options

static void check_emulated(void)
{
    if (isa_best() != ISA_AVX512VNNI) {
        return;
    }
    struct kernels k = *kernels_select(ISA_AVX512VNNI, GEMM_NATIVE);
    k.gemm8_packed_bytes = packed_bytes;
    k.gemm8_pack = pack;
    k.gemm8 = gemm8_amx;
    check_product(&k, 15, 40, 70, ACT_NONE, 0);
    CHECK_INT(amx_dots, 0); /* too few rows */
    check_product(&k, 32, 64, 130, ACT_NONE, 0);
    CHECK_INT(amx_dots, 2 * 4 * 3); /* rows, columns, k: the third of them in a copy */
    gemm8_check_all(&k);
    check_product(&k, 112, 200, 1286, ACT_NONE, 1);
    amx_dots = 0;
    CHECK_INT(multiply_add8_amx(3), 3 * 4 * 2 * 16 * 16 * 64);
    CHECK_INT(amx_dots, 3 * 4);
    CHECK(!amx_is_configured);
}
#else
static void check_emulated(void)
{
}
#endif

static void check_real(void)
{
    const struct kernels *k = kernels_select(ISA_AMX, GEMM_NATIVE);
    fprintf(stderr, "AMX: %s\n", k->isa == ISA_AMX ? "tested" : "not there");
    CHECK(kernels_select(ISA_COUNT - 1, GEMM_NATIVE)->isa != ISA_AMX); /* it has to be named */
    if (k->isa == ISA_AMX) {
        gemm8_check_all(k);
        check_product(k, 112, 200, 1286, ACT_NONE, 1);
    }
}

int main(void)
{
    check_emulated();
    check_real();
    return check_result();
}
