/* 6 pixels x 2 vectors of output channels, as on AVX2. */
enum { CONV_RGB_PIXELS = 6 };

#include "engine/kernels/arm/vec_neon.inc"

#include "engine/kernels/x86/conv.inc"

void conv_neon_install(struct kernels *k)
{
    k->conv_rgb = conv_rgb;
    k->depthwise = depthwise;
}
