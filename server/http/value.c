#include "server/http/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NUMBER_MAX = 32 };

const char *value_trim(const char *text, size_t *n)
{
    for (; *n > 0 && memchr(" \t\r\n", *text, 4); --*n) {
        text++;
    }
    while (*n > 0 && memchr(" \t\r\n", text[*n - 1], 4)) {
        --*n;
    }
    return text;
}

bool value_number(const char *text, size_t n, double *out)
{
    char copy[NUMBER_MAX], *end;
    text = value_trim(text, &n);
    if (n == 0 || n > sizeof(copy) - 1) {
        return false;
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    double number = strtod(copy, &end);
    if (strspn(copy, "+-0123456789.eE") != n || *end) {
        return false;
    }
    *out = number;
    return true;
}

bool value_whole(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    double number;
    if (!value_number(text, strlen(text), &number) || number != floor(number) || number < (double)min ||
        number > (double)max) {
        return false;
    }
    *out = (uint64_t)number;
    return true;
}

static bool is_word(const char *value, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp(value, word, n) == 0;
}

bool value_bool(const char *text, size_t n, bool *out)
{
    text = value_trim(text, &n);
    bool is_true = is_word(text, n, "true") || is_word(text, n, "1");
    if (!is_true && !is_word(text, n, "false") && !is_word(text, n, "0")) {
        return false;
    }
    *out = is_true;
    return true;
}
