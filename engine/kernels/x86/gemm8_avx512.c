/* 9 rows x 3 vectors, as in gemm_avx512.c; pairs of 16 bits. */
enum { TILE_VECS = 3, TILE_ROWS = 9, TILE_MOST_VECS = 4 };
#define TILE_COLUMN(X, vecs)                                                                                           \
    X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs) X(7, vecs) X(8, vecs) X(9, vecs)
#define TILE_WIDE(X, vecs) X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs)
#define TILE_LIST(X)       TILE_COLUMN(X, 1) TILE_COLUMN(X, 2) TILE_COLUMN(X, 3) TILE_WIDE(X, 4)

#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/dot_avx512.inc"

#define DOT_DEPTH 2
static inline dot_vec dot_load(const char *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline dot_vec dot_add(dot_vec sum, dot_vec a, dot_vec line)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, line));
}

#include "engine/kernels/x86/dot8.inc"

#include "engine/kernels/x86/gemm8.inc"

void gemm8_avx512_install(struct kernels *k)
{
    k->gemm8_panel = TILE_PANEL;
    k->gemm8_last = TILE_MAX_COLUMNS;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8;
    k->multiply_add8 = multiply_add8;
}
