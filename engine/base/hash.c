#include "engine/base/hash.h"

#include <string.h>

uint64_t hash_bytes(const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint64_t hash = 14695981039346656037U;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ at[i]) * 1099511628211U;
    }
    return hash;
}

uint64_t hash_text(const char *text)
{
    return hash_bytes(text, strlen(text));
}
