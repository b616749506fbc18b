/* base64 - strict base64 of RFC 4648: the standard alphabet ('+' and '/') or the URL-safe one ('-' and '_'), each with
 * or without padding.
 *
 * Refused: both alphabets in one text, misplaced or extra '=', bits left over that are not zero, anything after the
 * end. Space, tab, CR and LF are skipped, because mail and shell tools wrap lines; but in a text without '+', a space
 * inside a group of four characters is taken for a '+' and refused.
 *
 * Ownership: borrows everything. Threads: thread-safe. */
#ifndef ENGINE_BASE_BASE64_H
#define ENGINE_BASE_BASE64_H

#include "engine/base/err.h"

/* out has room for 3 bytes for each 4 characters (of 2 or 3 at the end: 1 or 2) and may be `text` itself (in place).
 * ERR_BAD_REQUEST with text. */
MUST_USE enum err base64_decode(const char *text, size_t n, void *out, size_t *n_out, struct errbuf *e);

/* Characters of the encoded form of n bytes, without a NUL. */
size_t base64_encoded_size(size_t n);
/* out has base64_encoded_size(n) + 1 bytes; a NUL is added. */
void base64_encode(const void *bytes, size_t n, char *out);

#endif
