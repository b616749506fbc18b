/* 14 pixels x 2 vectors of output channels, 2 of weights and a broadcast fill the registers. */
enum { CONV_RGB_PIXELS = 14 };

#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/conv.inc"

void conv_avx512_install(struct kernels *k)
{
    k->conv_rgb = conv_rgb;
    k->depthwise = depthwise;
}
