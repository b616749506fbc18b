/* TIFF of both byte orders. */
#include "tests/fuzz/image_fuzz.h"

static void shape(uint8_t *p, size_t n)
{
    (void)n;
    memcpy(p, p[0] == 'M' ? "MM\0*" : "II*\0", 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_shaped(data, size, shape);
    return 0;
}
