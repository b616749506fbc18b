#include "engine/base/digits.h"

#include <string.h>

size_t digits_write(char out[DIGITS_MAX + 1], uint64_t n)
{
    char text[DIGITS_MAX];
    size_t at = DIGITS_MAX;
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(out, text + at, DIGITS_MAX - at);
    out[DIGITS_MAX - at] = '\0';
    return DIGITS_MAX - at;
}
