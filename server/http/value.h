/* value - numbers and booleans as clients write them into query strings, forms, quoted JSON and headers.
 *
 * A number is decimal: 5, +5, 5.0, 1e1; a boolean is true, True (Python), 1 and their opposites. Blanks and line ends
 * around either do not count: they are of whoever wrote the form or file by hand. yes, on and the like are no booleans:
 * what says on in one place says off in another (YAML, HTML), and nobody sends them twice.
 *
 * Threads: thread-safe. Failure: false, and *out is left as it was. */
#ifndef SERVER_HTTP_VALUE_H
#define SERVER_HTTP_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the value begins without blanks and line ends around it; *n becomes its length. */
const char *value_trim(const char *text, size_t *n);

bool value_number(const char *text, size_t n, double *out);
bool value_bool(const char *text, size_t n, bool *out);

/* A number without a fraction within min..max, which are at most 2^53. */
bool value_whole(const char *text, uint64_t min, uint64_t max, uint64_t *out);

#endif
