#include "engine/image/limits.h"

enum err limits_check(uint32_t width, uint32_t height, uint64_t max_pixels, const char *kind, struct errbuf *e)
{
    uint64_t pixels = (uint64_t)width * height;
    if (pixels == 0) {
        return err_set(e, ERR_CORRUPT_IMAGE, "the header says %ux%u pixels; send an undamaged copy", width, height);
    }
    if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE) {
        return err_set(e, ERR_IMAGE_TOO_LARGE,
                       "the image is %ux%u; no side may be above %d pixels; send a smaller copy", width, height,
                       IMAGE_MAX_SIDE);
    }
    if (pixels > max_pixels) {
        return err_set(e, ERR_IMAGE_TOO_LARGE,
                       "the image is %ux%u, %.1f megapixels; the limit%s is %.1f; send a smaller copy%s", width, height,
                       (double)pixels / 1e6, kind, (double)max_pixels / 1e6,
                       kind[0] ? ", or save it as baseline JPEG" : "");
    }
    return OK;
}
