/* Pairs of 16 bits are multiplied, then added. */
#include "engine/kernels/arm/vec_neon.inc"

#include "engine/kernels/arm/dot_neon.inc"

typedef int16x8_t pair_vec;

static inline pair_vec pair_load(const uint8_t *p)
{
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)));
}
static inline dot_vec pair_low(pair_vec a, pair_vec b)
{
    return vreinterpretq_s32_s16(vzip1q_s16(a, b));
}
static inline dot_vec pair_high(pair_vec a, pair_vec b)
{
    return vreinterpretq_s32_s16(vzip2q_s16(a, b));
}
static inline vec pair_floats(dot_vec sum)
{
    return vcvtq_f32_s32(sum);
}
static inline void pair_spread(const float *p, vec v[2])
{
    v[0] = vld1q_f32(p);
    v[1] = vld1q_f32(p + VEC_LANES);
}
static inline void pair_store(uint8_t *p, const vec v[2])
{
    int16x4_t low = vqmovn_s32(vcvtnq_s32_f32(v[0])), high = vqmovn_s32(vcvtnq_s32_f32(v[1]));
    vst1_u8(p, vqmovun_s16(vcombine_s16(low, high)));
}
static inline dot_vec pair_add(dot_vec sum, dot_vec a, const char *w)
{
    return dot_pairs(sum, vreinterpretq_s16_s32(a), vld1q_s16((const int16_t *)(const void *)w));
}

#include "engine/kernels/x86/conv8.inc"

void conv8_neon_install(struct kernels *k)
{
    install(k);
}
