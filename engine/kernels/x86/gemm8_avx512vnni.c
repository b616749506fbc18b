#include "engine/kernels/x86/vnni512.inc"

#include "engine/kernels/x86/gemm8.inc"

void gemm8_avx512vnni_install(struct kernels *k)
{
    k->gemm8_panel = TILE_PANEL;
    k->gemm8_last = TILE_MAX_COLUMNS;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8;
    k->multiply_add8 = multiply_add8;
}
