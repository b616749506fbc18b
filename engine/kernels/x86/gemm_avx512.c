/* 9 rows x 3 vectors: 27 sums, one line of the panel in 3 registers and one broadcast, of 32 registers. */
enum { TILE_VECS = 3, TILE_ROWS = 9 };
#define TILE_COLUMN(X, vecs)                                                                                           \
    X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs) X(7, vecs) X(8, vecs) X(9, vecs)
#define TILE_LIST(X) TILE_COLUMN(X, 1) TILE_COLUMN(X, 2) TILE_COLUMN(X, 3)

#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/tile.inc"

#include "engine/kernels/x86/gemm.inc"

void gemm_avx512_install(struct kernels *k)
{
    k->gemm_panel = k->gemm_last = TILE_PANEL;
    k->gemm_packed_floats = packed_floats;
    k->gemm_pack = pack;
    k->gemm = gemm;
    k->gemm_takes_halves = true;
}
