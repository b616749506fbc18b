/* Any bytes as the places where an orientation may stand: an EXIF block, an XMP packet, text chunks of a PNG, the
 * segments of a JPEG. The answer is an orientation or none; what is found lies inside the bytes. */
#include "engine/base/err.h"
#include "engine/image/exif.h"
#include "engine/image/jpeg_segments.h"
#include "engine/image/png_text.h"
#include "engine/image/xmp.h"

#include <stdbool.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int orientation)
{
    BUG_ON(orientation < 0 || orientation > 8);
}

/* Chunks as in the file: length (here one byte times 16), name, body. */
static void read_chunks(const uint8_t *data, size_t size)
{
    struct png_text text = {.exif = 0};
    while (size > 5) {
        size_t n = (size_t)data[0] * 16 < size - 5 ? (size_t)data[0] * 16 : size - 5;
        png_text_read(&text, data + 1, data + 5, n);
        data += 5 + n;
        size -= 5 + n;
    }
    check(text.exif);
    check(text.xmp);
}

static void read_segments(const uint8_t *data, size_t size)
{
    const uint8_t *body;
    size_t n, begin = jpeg_segments_begin(data, size);
    BUG_ON(begin > size);
    BUG_ON(jpeg_segments_last(data, size) > size);
    if (jpeg_segments_find(data, size, 0xe1, "Exif", 4, &body, &n)) {
        BUG_ON(body < data || n > size || body + n > data + size || memcmp(body, "Exif", 4) != 0);
        check(exif_orientation(body, n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(exif_orientation(data, size));
    check(xmp_orientation(data, size));
    read_chunks(data, size);
    read_segments(data, size);
    return 0;
}
