/* unicode_tables - generated data of unicode.c; nobody else includes this. */
#ifndef ENGINE_MODEL_UNICODE_TABLES_H
#define ENGINE_MODEL_UNICODE_TABLES_H

#include <stdint.h>

/* Blocks of 256 characters; the last one is all from 0x30000. The entries for block b lie from index starts[b], the
 * last that begins at or before the block, to starts[b + 1]. */
enum { UNICODE_TABLES_BLOCKS = 0x301 };

/* Flags of the first 128 characters. */
extern const unsigned char unicode_tables_ascii[128];

/* Sorted, disjoint. Characters in none have no flags and combining class 0. */
struct unicode_tables_range {
    uint32_t first, last;
    uint32_t flags; /* enum unicode_flag | combining class << 8 */
};
extern const struct unicode_tables_range unicode_tables_ranges[];
extern const uint16_t unicode_tables_range_starts[UNICODE_TABLES_BLOCKS + 1];

/* Sorted. `to` is one character, or bit 31 | number << 24 | index of the first in unicode_tables_parts. Hangul
 * syllables are computed and not here. */
struct unicode_tables_fold {
    uint32_t from, to;
};
extern const struct unicode_tables_fold unicode_tables_folds[];
extern const uint16_t unicode_tables_fold_starts[UNICODE_TABLES_BLOCKS + 1];
extern const uint32_t unicode_tables_parts[];

#endif
