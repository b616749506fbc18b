/* digits - whole numbers in decimal, without printf, which takes a microsecond where a library has added formats of its
 * own (libquadmath, which comes with OpenBLAS, does).
 *
 * Threads: pure. Errors: none. */
#ifndef ENGINE_BASE_DIGITS_H
#define ENGINE_BASE_DIGITS_H

#include <stddef.h>
#include <stdint.h>

enum { DIGITS_MAX = 20 };

/* Returns how many digits; a NUL follows them. */
size_t digits_write(char out[DIGITS_MAX + 1], uint64_t n);

#endif
