/* The instructions are assembly: the compiler need not be told of AMX, and the assembler knows it in any case. */
#include "engine/kernels/x86/vnni512.inc"

#define AMX_CONFIGURE(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(config)))
#define AMX_RELEASE()         __asm__ volatile("tilerelease")
#define AMX_ZERO(tile)        __asm__ volatile("tilezero %%tmm" #tile : :)
#define AMX_LOAD(tile, p, stride)                                                                                      \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(p), "r"(stride) : "memory")
#define AMX_STORE(tile, p, stride)                                                                                     \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(p), "r"(stride) : "memory")
#define AMX_DOT(sums, a, b) __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #sums : :)

#define GEMM8_PANEL amx_panel
#define GEMM8_ROWS  32
#include "engine/kernels/x86/gemm8.inc"

#include "engine/kernels/x86/gemm8_amx.inc"

void gemm8_amx_install(struct kernels *k)
{
    k->gemm8_panel = TILE_PANEL;
    k->gemm8_last = TILE_MAX_COLUMNS;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8_amx;
    k->multiply_add8 = multiply_add8_amx;
}
