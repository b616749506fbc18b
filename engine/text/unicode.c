#include "engine/text/unicode.h"

#include "engine/text/unicode_tables.h"

/* Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12). */
enum {
    HANGUL_FIRST = 0xac00,
    HANGUL_LAST = 0xd7a3,
    JAMO_L = 0x1100,
    JAMO_V = 0x1161,
    JAMO_T = 0x11a7,
    N_VT = 21 * 28,
    N_T = 28
};

/* Both searches find the last entry that begins at or before c. They halve the length without a branch on what was
 * found, which random text would make the processor guess wrong every second time. */

static uint32_t block_of(uint32_t c)
{
    return c >> 8 < UNICODE_TABLES_BLOCKS ? c >> 8 : UNICODE_TABLES_BLOCKS - 1;
}

struct unicode_traits unicode_traits(uint32_t c)
{
    if (c < 0x80) {
        return (struct unicode_traits){.flags = unicode_tables_ascii[c]};
    }
    const uint16_t *start = &unicode_tables_range_starts[block_of(c)];
    const struct unicode_tables_range *at = &unicode_tables_ranges[start[0]];
    for (int n = start[1] - start[0] + 1; n > 1;) {
        int half = n / 2;
        at = at[half].first <= c ? at + half : at;
        n -= half;
    }
    if (c < at->first || c > at->last) {
        return (struct unicode_traits){.flags = 0};
    }
    return (struct unicode_traits){.flags = (uint8_t)at->flags, .order = (uint8_t)(at->flags >> 8)};
}

static int fold_hangul(uint32_t c, uint32_t out[UNICODE_MAX_FOLD])
{
    uint32_t index = c - HANGUL_FIRST;
    out[0] = JAMO_L + index / N_VT;
    out[1] = JAMO_V + index % N_VT / N_T;
    if (index % N_T == 0) {
        return 2;
    }
    out[2] = JAMO_T + index % N_T;
    return 3;
}

static int fold_entry(uint32_t to, uint32_t out[UNICODE_MAX_FOLD])
{
    int n = (int)(to >> 24 & 0x7f);
    if (!(to >> 31)) {
        out[0] = to;
        return 1;
    }
    for (int i = 0; i < n; i++) {
        out[i] = unicode_tables_parts[(to & 0xffffff) + (uint32_t)i];
    }
    return n;
}

int unicode_fold(uint32_t c, uint32_t out[UNICODE_MAX_FOLD])
{
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
        return 1;
    }
    if (c >= HANGUL_FIRST && c <= HANGUL_LAST) {
        return fold_hangul(c, out);
    }
    const uint16_t *start = &unicode_tables_fold_starts[block_of(c)];
    const struct unicode_tables_fold *at = &unicode_tables_folds[start[0]];
    for (int n = start[1] - start[0] + 1; n > 1;) {
        int half = n / 2;
        at = at[half].from <= c ? at + half : at;
        n -= half;
    }
    if (at->from == c) {
        return fold_entry(at->to, out);
    }
    out[0] = c;
    return 1;
}
