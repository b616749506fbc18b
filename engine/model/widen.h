/* widen - rows of a stored tensor as floats, and in another order.
 *
 * Threads: no state. */
#ifndef ENGINE_MODEL_WIDEN_H
#define ENGINE_MODEL_WIDEN_H

#include "engine/kernels/kernels.h"
#include "engine/model/load/weights.h"

/* Rows first .. first + rows - 1 of t seen as [.., n] -> out [rows, n]. `scale`: int8 only, one per row of the
 * tensor. */
void widen_rows(const struct kernels *k, const struct tensor *t, const float *scale, size_t first, size_t rows,
                size_t n, float *out);

/* [n, C, cells] -> [n, cells, C] in place of the columns; `row` holds one row. */
void widen_channels_last(float *w, size_t n, size_t channels, size_t cells, float *row);

#endif
