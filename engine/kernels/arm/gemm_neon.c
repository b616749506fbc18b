#include "engine/kernels/arm/tiles_neon.inc"

#include "engine/kernels/arm/vec_neon.inc"

#include "engine/kernels/x86/tile.inc"

#include "engine/kernels/x86/gemm.inc"

void gemm_neon_install(struct kernels *k)
{
    k->gemm_panel = k->gemm_last = TILE_PANEL;
    k->gemm_packed_floats = packed_floats;
    k->gemm_pack = pack;
    k->gemm = gemm;
    k->gemm_takes_halves = true;
}
