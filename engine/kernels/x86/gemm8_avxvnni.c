/* As gemm8_avx2.c with the instruction for four bytes, in the encoding that needs no AVX-512. The compiler is not told
 * of it: the assembler knows it in any case. */
#define DOT_VPDPBUSD "%{vex%} vpdpbusd"

#include "engine/kernels/x86/gemm8_vnni256.inc"

void gemm8_avxvnni_install(struct kernels *k)
{
    k->gemm8_panel = TILE_PANEL;
    k->gemm8_last = TILE_MAX_COLUMNS;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8;
    k->multiply_add8 = multiply_add8;
}
