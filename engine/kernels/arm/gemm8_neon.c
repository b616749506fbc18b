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
    return dot_pairs(sum, vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(line));
}

#include "engine/kernels/x86/dot8.inc"

#include "engine/kernels/x86/gemm8.inc"

void gemm8_neon_install(struct kernels *k)
{
    k->gemm8_panel = TILE_PANEL;
    k->gemm8_last = TILE_MAX_COLUMNS;
    k->gemm8_packed_bytes = packed_bytes;
    k->gemm8_pack = pack;
    k->gemm8 = gemm8;
    k->multiply_add8 = multiply_add8;
}
