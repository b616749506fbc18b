#include "engine/cli/cli_draw.h"

#include "engine/base/mem.h"
#include "engine/image/draw.h"
#include "engine/image/image.h"
#include "engine/image/jpeg_write.h"

enum { QUALITY = 92, SIDE_FOR_SCALE = 300 };

static unsigned hash(const char *text)
{
    unsigned h = 5381;
    for (; *text; text++) {
        h = h * 33 + (unsigned char)*text;
    }
    return h;
}

/* Best on top. */
static void draw_regions(const struct draw *d, const struct job_result *r)
{
    int side = d->width < d->height ? d->width : d->height;
    int scale = side / SIDE_FOR_SCALE + 1;
    for (int i = r->n_regions - 1; i >= 0; i--) {
        const struct job_region *g = &r->regions[i];
        struct draw_colour colour = draw_palette(hash(g->label));
        char text[64];
        int x = (int)g->box[0], y = (int)g->box[1];
        snprintf(text, sizeof(text), "%.50s %.2f", g->label, (double)g->score);
        draw_frame(d, x, y, (int)g->box[2], (int)g->box[3], 1 + scale, colour);
        draw_label(d, x, y, scale, text, colour);
    }
}

enum err cli_draw_regions(const char *path, const struct cli_input *in, const struct job_result *r, struct errbuf *e)
{
    struct image_decoder *decoder = NULL;
    struct image image;
    uint8_t *rgb = NULL;
    struct image_limits limits = image_default_limits;
    limits.tolerate_truncated = true; /* it has been accepted before */
    enum err rc = image_decoder_create(&decoder);
    rc = rc ? rc : image_decode(decoder, in->bytes, in->n_bytes, &limits, &image, e);
    if (!rc) {
        size_t n = 3 * (size_t)image.info.width * (size_t)image.info.height;
        rc = mem_alloc(&rgb, n);
        if (!rc) {
            struct draw d = {.rgb = rgb, .width = image.info.width, .height = image.info.height};
            memcpy(rgb, image.rgb, n);
            draw_regions(&d, r);
            rc = jpeg_write_file(path, rgb, d.width, d.height, QUALITY, e);
        }
    }
    mem_free(rgb);
    image_decoder_destroy(decoder);
    return rc;
}
