/* WebP. */
#include "tests/fuzz/image_fuzz.h"

static void shape(uint8_t *p, size_t n)
{
    (void)n;
    memcpy(p, "RIFF", 4);
    memcpy(p + 8, "WEBP", 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_shaped(data, size, shape);
    return 0;
}
