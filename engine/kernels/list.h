/* list - every operation of `struct kernels`, once. A new kernel is entered here; its family's test, the benchmark
 * and the trace then do not compile until they have a `test_<op>`, a `bench_<op>` and a TRACE(<op>, ...), and the count
 * below must match the struct. */
#ifndef ENGINE_KERNELS_LIST_H
#define ENGINE_KERNELS_LIST_H

#include "engine/kernels/kernels.h"

#define LIST_GEMM(X)   X(gemm)                               /* with gemm_packed_floats and gemm_pack */
#define LIST_GEMM8(X)  X(gemm8) X(quantize_rows) X(quantize) /* with gemm8_packed_bytes and gemm8_pack */
#define LIST_CONV(X)   X(conv_rgb) X(depthwise)
#define LIST_CONV8(X)  X(depthwise8) /* with filter8_packed_bytes and filter8_pack */
#define LIST_MAPS(X)   X(maxpool3x3s2) X(upsample_nearest) X(weighted_sum) X(channel_mean) X(channel_scale) X(roi_align)
#define LIST_ATTEND(X) X(attend) X(attend_block)
#define LIST_ROWS(X)   X(layer_norm) X(activate) X(softmax) X(log_softmax) X(dequantize_i8) X(bf16_to_f32)
#define LIST_PEAK(X)   X(multiply_add) X(multiply_add8) X(multiply_add16)
#define LIST_TRACED(X) LIST_GEMM(X) LIST_GEMM8(X) LIST_CONV(X) LIST_CONV8(X) LIST_MAPS(X) LIST_ATTEND(X) LIST_ROWS(X)
#define LIST_ALL(X)    LIST_TRACED(X) LIST_PEAK(X)

#define LIST_ONE(op) +1
_Static_assert(sizeof(struct kernels) ==
                   offsetof(struct kernels, gemm_packed_floats) + (6 + LIST_ALL(LIST_ONE)) * sizeof(void (*)(void)),
               "an entry of struct kernels is missing in LIST_ALL");
#undef LIST_ONE

#endif
