#include "engine/image/jpeg_segments.h"

#include <string.h>

enum { STANDS_ALONE = 0x01, FIRST = 0xc0, RST0 = 0xd0, RST7 = 0xd7, EOI = 0xd9, SOS = 0xda };

size_t jpeg_segments_begin(const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    while (n - at > 4 && memcmp(bytes + at, "\xff\xd8\xff\xd8", 4) == 0) {
        at += 2;
    }
    return at;
}

bool jpeg_segments_find(const uint8_t *bytes, size_t n_bytes, int marker, const char *prefix, size_t n_prefix,
                        const uint8_t **body, size_t *n)
{
    for (size_t at = 2; at + 4 <= n_bytes;) {
        if (bytes[at] != 0xff || bytes[at + 1] == 0xff || bytes[at + 1] == 0) {
            at++; /* fill bytes and garbage between segments, as the library skips them */
            continue;
        }
        int found = bytes[at + 1];
        if (found == STANDS_ALONE || (found >= RST0 && found <= RST7)) {
            at += 2;
            continue;
        }
        size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (found == EOI || found == SOS || length < 2 || length > n_bytes - at - 2) {
            return false;
        }
        if (found == marker && length - 2 >= n_prefix && memcmp(bytes + at + 4, prefix, n_prefix) == 0) {
            *body = bytes + at + 4;
            *n = length - 2;
            return true;
        }
        at += 2 + length;
    }
    return false;
}

size_t jpeg_segments_last(const uint8_t *bytes, size_t n)
{
    for (size_t at = n; at > 2; at--) {
        uint8_t marker = bytes[at - 1];
        if (bytes[at - 2] == 0xff && marker >= FIRST && marker != 0xff && (marker < RST0 || marker > EOI)) {
            return at - 2;
        }
    }
    return 0;
}

size_t jpeg_segments_restarts(const uint8_t *bytes, size_t n)
{
    size_t n_found = 0;
    const uint8_t *end = bytes + n, *at = bytes;
    while (n && (at = memchr(at, 0xff, (size_t)(end - at))) && end - at >= 2) {
        bool is_restart = at[1] >= RST0 && at[1] <= RST7;
        if (at[1] != 0 && at[1] != 0xff && !is_restart) {
            break;
        }
        n_found += is_restart;
        at += at[1] == 0xff ? 1 : 2;
    }
    return n_found;
}
