/* unicode_tables - generated data of unicode.c; nobody else includes this. */
#ifndef ENGINE_MODEL_UNICODE_TABLES_H
#define ENGINE_MODEL_UNICODE_TABLES_H

#include <stdint.h>

/* Flags of the first 128 characters. */
extern const unsigned char unicode_tables_ascii[128];

/* Sorted, disjoint. Characters in none have no flags and combining class 0. */
struct unicode_tables_range {
    uint32_t first, last;
    uint32_t flags; /* enum unicode_flag | combining class << 8 */
};
extern const struct unicode_tables_range unicode_tables_ranges[];
extern const int unicode_tables_n_ranges;

/* Sorted. `to` is one character, or bit 31 | number << 24 | index of the first in unicode_tables_parts. Hangul
 * syllables are computed and not here. */
struct unicode_tables_fold {
    uint32_t from, to;
};
extern const struct unicode_tables_fold unicode_tables_folds[];
extern const int unicode_tables_n_folds;
extern const uint32_t unicode_tables_parts[];

#endif
