/* words - lists of words, separated by single spaces, as tables of names are written.
 *
 * Threads: pure. Errors: none. */
#ifndef ENGINE_BASE_WORDS_H
#define ENGINE_BASE_WORDS_H

#include <stdbool.h>

/* False also for the empty word. */
bool words_have(const char *words, const char *word);

#endif
