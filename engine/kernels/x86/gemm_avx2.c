/* 6 rows x 2 vectors: 12 sums, one line of the panel in 2 registers and one broadcast, of 16 registers. */
enum { TILE_VECS = 2, TILE_ROWS = 6 };
#define TILE_COLUMN(X, vecs) X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs)
#define TILE_LIST(X)         TILE_COLUMN(X, 1) TILE_COLUMN(X, 2)

#include "engine/kernels/x86/vec_avx2.inc"

#include "engine/kernels/x86/tile.inc"

#include "engine/kernels/x86/gemm.inc"

void gemm_avx2_install(struct kernels *k)
{
    k->gemm_panel = k->gemm_last = TILE_PANEL;
    k->gemm_packed_floats = packed_floats;
    k->gemm_pack = pack;
    k->gemm = gemm;
    k->gemm_takes_halves = true;
}
