/* utf8 - UTF-8 as defined by RFC 3629: no surrogates, nothing beyond U+10FFFF, no overlong forms.
 *
 * The only decoder of the project: request bodies, log lines, error messages and collection keys are read with it.
 * Ownership: borrows. Threads: pure functions. */
#ifndef ENGINE_BASE_UTF8_H
#define ENGINE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_MAX = 4 }; /* bytes of a character */

/* Bytes of the character that text[0..n) begins with, and its code point. 0 if there is none (bad, or cut off), or if
 * n is 0; then *code is U+FFFD. */
size_t utf8_next(const char *text, size_t n, uint32_t *code);
/* How many bytes from the beginning are valid; n: all. */
size_t utf8_valid(const char *text, size_t n);
/* Characters; a byte that belongs to none counts as one. */
size_t utf8_count(const char *text, size_t n);
/* Writes the character (1..4 bytes) and returns its size; 0 for a surrogate or a code point above U+10FFFF. */
size_t utf8_write(uint32_t code, char out[UTF8_MAX]);

#endif
