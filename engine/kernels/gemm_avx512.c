/* 9 rows x 3 vectors: 27 sums, one line of the panel in 3 registers and one broadcast, of 32 registers. */
enum { GEMM_VECS = 3, GEMM_ROWS = 9 };
#define GEMM_COLUMN(X, vecs)                                                                                           \
    X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs) X(7, vecs) X(8, vecs) X(9, vecs)
#define GEMM_TILES(X) GEMM_COLUMN(X, 1) GEMM_COLUMN(X, 2) GEMM_COLUMN(X, 3)

#include "engine/kernels/vec_avx512.inc"

#include "engine/kernels/gemm.inc"

void gemm_avx512_install(struct kernels *k)
{
    k->gemm_packed_floats = packed_floats;
    k->gemm_pack = pack;
    k->gemm = gemm;
}
