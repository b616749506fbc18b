/* finite - whether numbers are numbers: what a network computed, or what a block from disk holds.
 *
 * Threads: no state. */
#ifndef ENGINE_MODEL_FINITE_H
#define ENGINE_MODEL_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Every number that is not finite has an exponent of ones, to which one more overflows into the sign. Whole numbers,
 * for compilers take several of them at once; a sum of floats has to wait for each. */
static inline bool finite_floats(const float *x, size_t n)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof(bits));
        any |= (bits & 0x7F800000U) + 0x00800000U;
    }
    return any >> 31 == 0;
}

#endif
