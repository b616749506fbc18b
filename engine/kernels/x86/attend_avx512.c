/* The tiles of gemm_avx512.c. */
enum { TILE_VECS = 3, TILE_ROWS = 9 };
#define TILE_COLUMN(X, vecs)                                                                                           \
    X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs) X(7, vecs) X(8, vecs) X(9, vecs)
#define TILE_LIST(X) TILE_COLUMN(X, 1) TILE_COLUMN(X, 2) TILE_COLUMN(X, 3)

#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/tile.inc"

#include "engine/kernels/x86/attend.inc"

void attend_avx512_install(struct kernels *k)
{
    k->attend = attend;
    k->attend_block = attend_block;
}
