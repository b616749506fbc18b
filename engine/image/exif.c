#include "engine/image/exif.h"

#include <stdbool.h>
#include <string.h>

enum { ORIENTATION_TAG = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, HEADER_BYTES = 8, ENTRY_BYTES = 12 };

struct tiff {
    const uint8_t *bytes;
    size_t n;
    bool is_big_endian;
};

/* The caller has checked that the bytes are there. */
static uint32_t read_16(const struct tiff *t, size_t at)
{
    const uint8_t *p = t->bytes + at;
    return t->is_big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_32(const struct tiff *t, size_t at)
{
    uint32_t first = read_16(t, at), second = read_16(t, at + 2);
    return t->is_big_endian ? first << 16 | second : second << 16 | first;
}

/* The value of one directory entry if it is an orientation, else 0. */
static uint32_t entry_value(const struct tiff *t, size_t at)
{
    uint32_t type = read_16(t, at + 2);
    if (read_16(t, at) != ORIENTATION_TAG || read_32(t, at + 4) != 1) {
        return 0;
    }
    if (type == TYPE_SHORT) {
        return read_16(t, at + 8);
    }
    return type == TYPE_LONG ? read_32(t, at + 8) : 0;
}

int exif_orientation(const uint8_t *block, size_t n)
{
    while (n >= 6 && memcmp(block, "Exif\0\0", 6) == 0) { /* some write it twice */
        block += 6;
        n -= 6;
    }
    if (n < HEADER_BYTES || (memcmp(block, "II*\0", 4) != 0 && memcmp(block, "MM\0*", 4) != 0)) {
        return 0;
    }
    struct tiff t = {.bytes = block, .n = n, .is_big_endian = block[0] == 'M'};
    size_t at = read_32(&t, 4);
    if (at < HEADER_BYTES || at > n - 2) {
        return 0;
    }
    int orientation = 0;
    uint32_t n_entries = read_16(&t, at);
    at += 2;
    for (uint32_t i = 0; i < n_entries && n - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        uint32_t value = entry_value(&t, at);
        if (value >= 1 && value <= 8) {
            orientation = (int)value; /* of several the last counts */
        }
    }
    return orientation;
}
