/* act - activations of one number, by libm: the reference for every vectorised version. */
#ifndef ENGINE_KERNELS_ACT_H
#define ENGINE_KERNELS_ACT_H

#include "engine/kernels/kernels.h"

#include <math.h>

static inline float act_scalar(float x, enum act act)
{
    switch (act) {
    case ACT_NONE:
        break;
    case ACT_RELU:
        return x > 0.0f ? x : 0.0f;
    case ACT_RELU6:
        return x > 6.0f ? 6.0f : x > 0.0f ? x : 0.0f;
    case ACT_SWISH:
        return x / (1.0f + expf(-x));
    case ACT_GELU:
        return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case ACT_TANH:
        return tanhf(x);
    case ACT_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    }
    return x;
}

#endif
