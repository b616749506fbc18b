/* decode_to_ppm FILE: what the decoders make of a picture, as a PPM file on standard output; exit code 1 and the reason
 * on standard error where they refuse it. For scripts/images/suites.py. */
#include "engine/base/fmap.h"
#include "engine/image/image.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct fmap *map = NULL;
    struct image_decoder *d = NULL;
    struct image image = {.rgb = NULL};
    struct errbuf e = {""};
    if (argc != 2) {
        fprintf(stderr, "usage: decode_to_ppm FILE\n");
        return 2;
    }
    enum err rc = fmap_open(&map, argv[1], &e);
    rc = rc ? rc : image_decoder_create(&d);
    rc = rc ? rc : image_decode(d, fmap_bytes(map), fmap_size(map), &image_default_limits, &image, &e);
    if (rc) {
        fprintf(stderr, "%s: %s\n", err_slug(rc), errbuf_text(&e, rc));
    } else {
        printf("P6\n%d %d\n255\n", image.info.width, image.info.height);
        fwrite(image.rgb, 3, (size_t)image.info.width * (size_t)image.info.height, stdout);
    }
    image_decoder_destroy(d);
    fmap_close(map);
    return rc ? 1 : 0;
}
