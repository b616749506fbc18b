/* PNG; the checksums are made right, as hardly any input would come past them. */
#include "tests/fuzz/image_fuzz.h"

#include <zlib.h>

static void shape(uint8_t *p, size_t n)
{
    memcpy(p, "\x89PNG\r\n\x1a\n", 8);
    for (size_t at = 8; n - at >= 12;) {
        size_t length = (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 | (size_t)p[at + 2] << 8 | p[at + 3];
        if (length > n - at - 12) {
            return;
        }
        uint32_t crc = (uint32_t)crc32(0, p + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++) {
            p[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        }
        at += 12 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_shaped(data, size, shape);
    return 0;
}
