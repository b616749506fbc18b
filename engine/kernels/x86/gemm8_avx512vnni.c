/* 9 rows x 3 vectors, as in gemm_avx512.c, with the instruction for four bytes. It is written as assembly, as in
 * gemm8_vnni256.inc: the compiler need not be told of VNNI, and cannot take the sums apart. The intrinsic of gcc 12 is
 * as fast in this loop (SPEED.md). */
enum { TILE_VECS = 3, TILE_ROWS = 9, TILE_MOST_VECS = 4 };
#define TILE_COLUMN(X, vecs)                                                                                           \
    X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs) X(7, vecs) X(8, vecs) X(9, vecs)
#define TILE_WIDE(X, vecs) X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs)
#define TILE_LIST(X)       TILE_COLUMN(X, 1) TILE_COLUMN(X, 2) TILE_COLUMN(X, 3) TILE_WIDE(X, 4)

#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/dot_avx512.inc"

#define DOT_DEPTH 4
static inline dot_vec dot_load(const char *p)
{
    return _mm512_loadu_si512(p);
}
static inline dot_vec dot_add(dot_vec sum, dot_vec a, dot_vec line)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(line));
    return sum;
}

#include "engine/kernels/x86/dot8.inc"

#include "engine/kernels/x86/gemm8.inc"

void gemm8_avx512vnni_install(struct kernels *k)
{
    k->gemm8_panel = TILE_PANEL;
    k->gemm8_last = TILE_MAX_COLUMNS;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8;
}
