/* Pairs of 16 bits are multiplied, then added. */
#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/dot_avx512.inc"

#include "engine/kernels/x86/pair_avx512.inc"

static inline dot_vec pair_add(dot_vec sum, dot_vec a, const char *w)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, _mm512_loadu_si512(w)));
}

#include "engine/kernels/x86/conv8.inc"

void conv8_avx512_install(struct kernels *k)
{
    install(k);
}
