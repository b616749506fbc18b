/* Pairs of 16 bits are multiplied, then added. */
#include "engine/kernels/x86/vec_avx2.inc"

#include "engine/kernels/x86/dot_avx2.inc"

typedef __m256i pair_vec;

static inline pair_vec pair_load(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline dot_vec pair_low(pair_vec a, pair_vec b)
{
    return _mm256_unpacklo_epi16(a, b);
}
static inline dot_vec pair_high(pair_vec a, pair_vec b)
{
    return _mm256_unpackhi_epi16(a, b);
}
static inline vec pair_floats(dot_vec sum)
{
    return _mm256_cvtepi32_ps(sum);
}
static inline void pair_spread(const float *p, vec v[2])
{
    __m256 a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + 8);
    v[0] = _mm256_permute2f128_ps(a, b, 0x20);
    v[1] = _mm256_permute2f128_ps(a, b, 0x31);
}
static inline void pair_store(uint8_t *p, const vec v[2])
{
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
    __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0x08);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(bytes));
}
static inline dot_vec pair_add(dot_vec sum, dot_vec a, const char *w)
{
    __m256i pairs = _mm256_loadu_si256((const __m256i *)(const void *)w);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, pairs));
}

#include "engine/kernels/x86/conv8.inc"

void conv8_avx2_install(struct kernels *k)
{
    install(k);
}
