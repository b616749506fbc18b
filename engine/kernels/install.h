/* install - the one exported symbol of every object that holds kernels: each writes its entries into a table.
 *
 * kernels.c calls them in order of rank (ref, the instruction sets of the architecture, then the back end of the
 * matrix product), so a table is complete whatever an overlay leaves out. An instruction set's installer may be called
 * only if the CPU supports it. */
#ifndef ENGINE_KERNELS_INSTALL_H
#define ENGINE_KERNELS_INSTALL_H

#include "engine/kernels/kernels.h"

void gemm_ref_install(struct kernels *k);
void gemm8_ref_install(struct kernels *k);
void conv_ref_install(struct kernels *k);
void conv8_ref_install(struct kernels *k);
void maps_ref_install(struct kernels *k);
void attend_ref_install(struct kernels *k);
void rows_ref_install(struct kernels *k);

void gemm_avx2_install(struct kernels *k);
void gemm8_avx2_install(struct kernels *k);
void conv_avx2_install(struct kernels *k);
void conv8_avx2_install(struct kernels *k);
void maps_avx2_install(struct kernels *k);
void attend_avx2_install(struct kernels *k);
void rows_avx2_install(struct kernels *k);

void gemm8_avxvnni_install(struct kernels *k);

void gemm_avx512_install(struct kernels *k);
void gemm8_avx512_install(struct kernels *k);
void conv_avx512_install(struct kernels *k);
void conv8_avx512_install(struct kernels *k);
void maps_avx512_install(struct kernels *k);
void attend_avx512_install(struct kernels *k);
void rows_avx512_install(struct kernels *k);

void gemm8_avx512vnni_install(struct kernels *k);
void conv8_avx512vnni_install(struct kernels *k);

void gemm8_amx_install(struct kernels *k);

void gemm_neon_install(struct kernels *k);
void gemm8_neon_install(struct kernels *k);
void conv_neon_install(struct kernels *k);
void conv8_neon_install(struct kernels *k);
void maps_neon_install(struct kernels *k);
void attend_neon_install(struct kernels *k);
void rows_neon_install(struct kernels *k);

void gemm8_neondot_install(struct kernels *k);

void gemm_openblas_install(struct kernels *k);

#endif
