/* The tiles of gemm_neon.c with pairs of 16 bits, for cores without a product of four bytes. */
#include "engine/kernels/arm/tiles_neon.inc"

#include "engine/kernels/arm/vec_neon.inc"

#include "engine/kernels/arm/dot_neon.inc"

#define DOT_DEPTH 2
static inline dot_vec dot_broadcast(const char *p)
{
    return vreinterpretq_s32_u32(vdupq_n_u32(dot_four_bytes(p)));
}
static inline dot_vec dot_load(const char *p)
{
    return vreinterpretq_s32_s16(vmovl_s8(vld1_s8((const int8_t *)p)));
}
static inline dot_vec dot_add(dot_vec sum, dot_vec a, dot_vec line)
{
    int16x8_t x = vreinterpretq_s16_s32(a), w = vreinterpretq_s16_s32(line);
    int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(w)), high = vmull_high_s16(x, w);
    return vaddq_s32(sum, vpaddq_s32(low, high));
}

#include "engine/kernels/x86/dot8.inc"

#include "engine/kernels/x86/gemm8.inc"

void gemm8_neon_install(struct kernels *k)
{
    k->gemm8_panel = TILE_PANEL;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8;
}
