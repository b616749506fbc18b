#include "cli/cli_draw.h"

#include "engine/base/mem.h"
#include "engine/image/draw.h"
#include "engine/image/image.h"
#include "engine/image/jpeg_write.h"

enum { QUALITY = 92, SIDE_FOR_SCALE = 300 };
static const float READABLE = 0.3F;

static unsigned hash(const char *text)
{
    unsigned h = 5381;
    for (; *text; text++) {
        h = h * 33 + (unsigned char)*text;
    }
    return h;
}

/* Frames first, then labels, the best on top. */
static void draw_regions(const struct draw *d, const struct job_result *r, float min_score)
{
    int side = d->width < d->height ? d->width : d->height, n = 0;
    int scale = side / SIDE_FOR_SCALE + 1;
    while (n < r->n_regions && r->regions[n].score >= min_score) {
        n++;
    }
    for (int i = n - 1; i >= 0; i--) {
        const struct job_region *g = &r->regions[i];
        draw_frame(d, (int)g->box[0], (int)g->box[1], (int)g->box[2], (int)g->box[3], 1 + scale,
                   draw_palette(hash(g->label)));
    }
    for (int i = n - 1; i >= 0; i--) {
        const struct job_region *g = &r->regions[i];
        char text[64];
        snprintf(text, sizeof(text), "%.50s %.2f", g->label, (double)g->score);
        draw_label(d, (int)g->box[0], (int)g->box[1], scale, text, draw_palette(hash(g->label)));
    }
}

enum err cli_draw_regions(const char *path, const struct cli_input *in, const struct job_result *r, float min_score,
                          struct errbuf *e)
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
            draw_regions(&d, r, min_score < 0 ? READABLE : min_score);
            rc = jpeg_write_file(path, rgb, d.width, d.height, QUALITY, e);
        }
    }
    mem_free(rgb);
    image_decoder_destroy(decoder);
    return rc;
}
