/* finite - whether numbers are numbers: what a network computed, or what a block from disk holds.
 *
 * Threads: no state. */
#ifndef ENGINE_MODEL_FINITE_H
#define ENGINE_MODEL_FINITE_H

#include <stdbool.h>
#include <stddef.h>

/* x * 0 is 0 for a finite x and NaN for any other. */
static inline bool finite_floats(const float *x, size_t n)
{
    float sum = 0.0F;
    for (size_t i = 0; i < n; i++) {
        sum += x[i] * 0.0F;
    }
    return sum == 0.0F;
}

#endif
