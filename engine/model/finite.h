/* finite - checks that numbers are finite: those that a network computed, or those in a block from disk.
 *
 * Threads: no state. */
#ifndef ENGINE_MODEL_FINITE_H
#define ENGINE_MODEL_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Every non-finite number has an exponent of all ones, so adding one overflows into the sign. Integers, because
 * compilers vectorise them; a sum of floats would have to be computed in order. */
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
