#include "engine/kernels/x86/vec_avx512.inc"

#include "engine/kernels/x86/rows.inc"

void rows_avx512_install(struct kernels *k)
{
    k->layer_norm = layer_norm;
    k->activate = activate;
    k->softmax = softmax;
    k->log_softmax = log_softmax;
    k->dequantize_i8 = dequantize_i8;
    k->bf16_to_f32 = bf16_to_f32;
    k->quantize_rows = quantize_rows;
    k->quantize = quantize;
    k->multiply_add = multiply_add;
}
