#include "engine/image/image.h"

#include "engine/base/mem.h"
#include "engine/image/gif.h"
#include "engine/image/heif.h"
#include "engine/image/jpeg.h"
#include "engine/image/png.h"
#include "engine/image/scratch.h"
#include "engine/image/sniff.h"
#include "engine/image/tiff.h"
#include "engine/image/transfer.h"
#include "engine/image/webp.h"

const struct image_limits image_default_limits = {.max_pixels = 51000000, .max_progressive_pixels = 26000000};

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
    [IMAGE_JPEG] = {"jpeg", jpeg_probe, jpeg_decode}, [IMAGE_PNG] = {"png", png_probe, png_decode},
    [IMAGE_WEBP] = {"webp", webp_probe, webp_decode},
#ifdef MINIVLM_GIF
    [IMAGE_GIF] = {"gif", gif_probe, gif_decode},
#else
    [IMAGE_GIF] = {"gif", NULL, NULL},
#endif
#ifdef MINIVLM_HEIF
    [IMAGE_HEIC] = {"heic", heif_probe, heif_decode}, [IMAGE_AVIF] = {"avif", heif_probe, heif_decode},
#else
    [IMAGE_HEIC] = {"heic", NULL, NULL},
    [IMAGE_AVIF] = {"avif", NULL, NULL},
#endif
#ifdef MINIVLM_TIFF
    [IMAGE_TIFF] = {"tiff", tiff_probe, tiff_decode},
#else
    [IMAGE_TIFF] = {"tiff", NULL, NULL},
#endif
};

const char *image_format_name(enum image_format format)
{
    return codecs[format].name;
}

bool image_is_readable(enum image_format format)
{
    return codecs[format].probe != NULL;
}

const char *image_formats_text(void)
{
    return "JPEG, PNG"
#ifdef MINIVLM_GIF
           ", GIF"
#endif
#ifdef MINIVLM_HEIF
           ", HEIC, AVIF"
#endif
#ifdef MINIVLM_TIFF
           ", TIFF"
#endif
           " or WebP";
}

enum err image_decoder_create(struct image_decoder **out)
{
#ifdef MINIVLM_HEIF
    heif_prepare();
#endif
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

/* Damage that a decoder met may have its cause in how the bytes came here. */
static enum err explained(enum err rc, const uint8_t *bytes, size_t n_bytes, struct errbuf *e)
{
    return rc == ERR_CORRUPT_IMAGE && transfer_explain(bytes, n_bytes, e) ? ERR_CORRUPT_IMAGE : rc;
}

static enum err probe(const uint8_t *bytes, size_t n_bytes, const struct image_limits *limits, struct image_info *out,
                      struct errbuf *e)
{
    *out = (struct image_info){.orientation = 1, .shrink = 1};
    enum err rc = sniff_format(bytes, n_bytes, &out->format, e);
    bool is_checked = out->format == IMAGE_PNG || out->format == IMAGE_GIF || out->format == IMAGE_TIFF;
    if (!rc && !is_checked && transfer_has_dos_lines(bytes, n_bytes, e)) {
        return ERR_CORRUPT_IMAGE;
    }
    return rc ? rc : codecs[out->format].probe(bytes, n_bytes, limits, out, e);
}

enum err image_probe(const uint8_t *bytes, size_t n_bytes, const struct image_limits *limits, struct image_info *out,
                     struct errbuf *e)
{
    return explained(probe(bytes, n_bytes, limits, out, e), bytes, n_bytes, e);
}

enum err image_decode(struct image_decoder *d, const uint8_t *bytes, size_t n_bytes, const struct image_limits *limits,
                      struct image *out, struct errbuf *e)
{
    out->rgb = NULL;
    enum err rc = probe(bytes, n_bytes, limits, &out->info, e);
    if (!rc) {
        rc = codecs[out->info.format].decode(bytes, n_bytes, limits, &out->info, &d->pixels, &d->work, e);
    }
    out->rgb = rc ? NULL : d->pixels.bytes;
    return explained(rc, bytes, n_bytes, e);
}
