/* unicode - characters as BERT's uncased tokeniser sees them; engine/base/utf8.h reads and writes them.
 *
 * Results match the public `tokenizers` package, character by character (scripts/gen_unicode_tables.py says how they
 * were obtained and where they differ from one Unicode version). Threads: pure functions on constant data. */
#ifndef ENGINE_TEXT_UNICODE_H
#define ENGINE_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNICODE_MAX_FOLD = 3 };

enum unicode_flag {
    UNICODE_DROP = 1,          /* control, format, private use, U+FFFD: removed before anything else */
    UNICODE_SPACE = 2,         /* white space */
    UNICODE_CJK = 4,           /* ideograph: a word of its own */
    UNICODE_MARK = 8,          /* combining mark that is stripped as an accent */
    UNICODE_STARTER_MARK = 16, /* such a mark of combining class 0: marks are not sorted past it */
    UNICODE_PUNCT = 32         /* punctuation: a word of its own */
};

struct unicode_traits {
    uint8_t flags; /* of enum unicode_flag */
    uint8_t order; /* canonical combining class of a mark that is kept; 0 for all others */
};
struct unicode_traits unicode_traits(uint32_t c);

/* Canonical decomposition without the stripped marks, then lower case. Returns how many characters (1..3) it wrote.
 * Meant for characters without DROP, SPACE and MARK. */
int unicode_fold(uint32_t c, uint32_t out[UNICODE_MAX_FOLD]);

#endif
