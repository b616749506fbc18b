#include "engine/kernels/arm/tiles_neon.inc"

#include "engine/kernels/arm/vec_neon.inc"

#include "engine/kernels/x86/tile.inc"

#include "engine/kernels/x86/attend.inc"

void attend_neon_install(struct kernels *k)
{
    k->attend = attend;
    k->attend_block = attend_block;
}
