#include "engine/kernels/arm/vec_neon.inc"

#include "engine/kernels/x86/maps.inc"

/* upsample_nearest is a copy: the plain entry stays. */
void maps_neon_install(struct kernels *k)
{
    k->maxpool3x3s2 = maxpool3x3s2;
    k->weighted_sum = weighted_sum;
    k->channel_mean = channel_mean;
    k->channel_scale = channel_scale;
    k->roi_align = roi_align;
}
