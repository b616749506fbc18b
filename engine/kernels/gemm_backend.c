#include "engine/kernels/kernels.h"

const char *gemm_backend_name(enum gemm_backend b)
{
    static const char *const names[GEMM_BACKEND_COUNT] = {[GEMM_NATIVE] = "native", [GEMM_OPENBLAS] = "openblas"};
    BUG_ON(b >= GEMM_BACKEND_COUNT);
    return names[b];
}
