#include "engine/image/image.h"

#include "engine/base/mem.h"
#include "engine/image/jpeg.h"
#include "engine/image/png.h"
#include "engine/image/scratch.h"
#include "engine/image/sniff.h"
#include "engine/image/webp.h"

const struct image_limits image_default_limits = {.max_pixels = 50000000, .max_progressive_pixels = 25000000};

struct image_decoder {
    struct scratch pixels; /* of the last decoded image */
    struct scratch work;
};

static const struct codec {
    const char *name;
    enum err (*probe)(const uint8_t *, size_t, const struct image_limits *, struct image_info *, struct errbuf *);
    enum err (*decode)(const uint8_t *, size_t, const struct image_limits *, struct image_info *, struct scratch *,
                       struct scratch *, struct errbuf *);
} codecs[] = {
    [IMAGE_JPEG] = {"jpeg", jpeg_probe, jpeg_decode},
    [IMAGE_PNG] = {"png", png_probe, png_decode},
    [IMAGE_WEBP] = {"webp", webp_probe, webp_decode},
};

const char *image_format_name(enum image_format format)
{
    return codecs[format].name;
}

const char *image_warning_text(enum image_warning bit)
{
    switch (bit) {
#define WARNING_TEXT(symbol, bit, text)                                                                                \
    case symbol:                                                                                                       \
        return text;
        IMAGE_WARNING_LIST(WARNING_TEXT)
#undef WARNING_TEXT
    }
    bug(__FILE__, __LINE__, "not one warning bit");
}

enum err image_decoder_create(struct image_decoder **out)
{
    return mem_alloc(out, sizeof(**out));
}

void image_decoder_destroy(struct image_decoder *d)
{
    if (d) {
        scratch_release(&d->pixels);
        scratch_release(&d->work);
        mem_free(d);
    }
}

void image_decoder_trim(struct image_decoder *d, size_t keep)
{
    scratch_trim(&d->pixels, keep);
    scratch_trim(&d->work, keep);
}

enum err image_probe(const uint8_t *bytes, size_t n_bytes, const struct image_limits *limits, struct image_info *out,
                     struct errbuf *e)
{
    *out = (struct image_info){.orientation = 1};
    enum err rc = sniff_format(bytes, n_bytes, &out->format, e);
    return rc ? rc : codecs[out->format].probe(bytes, n_bytes, limits, out, e);
}

enum err image_decode(struct image_decoder *d, const uint8_t *bytes, size_t n_bytes, const struct image_limits *limits,
                      struct image *out, struct errbuf *e)
{
    out->rgb = NULL;
    enum err rc = image_probe(bytes, n_bytes, limits, &out->info, e);
    if (!rc) {
        rc = codecs[out->info.format].decode(bytes, n_bytes, limits, &out->info, &d->pixels, &d->work, e);
    }
    out->rgb = rc ? NULL : d->pixels.bytes;
    return rc;
}
