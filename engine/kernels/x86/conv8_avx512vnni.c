/* Pairs of 16 bits in one instruction, as assembly like that of gemm8_avx512vnni.c. */
#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/dot_avx512.inc"

#include "engine/kernels/x86/pair_avx512.inc"

static inline dot_vec pair_add(dot_vec sum, dot_vec a, const char *w)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(*(const dot_vec *)(const void *)w));
    return sum;
}

#include "engine/kernels/x86/conv8.inc"

void conv8_avx512vnni_install(struct kernels *k)
{
    install(k);
}
