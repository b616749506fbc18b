/* The tiles of gemm_avx2.c. */
enum { TILE_VECS = 2, TILE_ROWS = 6 };
#define TILE_COLUMN(X, vecs) X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs)
#define TILE_LIST(X)         TILE_COLUMN(X, 1) TILE_COLUMN(X, 2)

#include "engine/kernels/x86/vec_avx2.inc"

#include "engine/kernels/x86/tile.inc"

#include "engine/kernels/x86/attend.inc"

void attend_avx2_install(struct kernels *k)
{
    k->attend = attend;
    k->attend_block = attend_block;
}
