/* The library is C++ and bounds little by itself, so nothing reaches it before heif_boxes.c has found the file
 * harmless; then its memory is known (bytes_to_decode), and that much is asked for and given back first, because the
 * library ends the process where a small allocation fails. It decodes in this thread; libde265 starts one of its own
 * for each picture of HEIC and ends it, and waits endlessly for one that did not start: so one is tried first, too.
 *
 * The picture is cropped, turned and mirrored by the library, as its boxes say. EXIF is left alone: by the standard its
 * orientation does not count. */
#include "engine/image/heif.h"

#include "engine/image/alpha.h"
#include "engine/image/heif_boxes.h"
#include "engine/image/limits.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include <libheif/heif.h>

struct reader {
    struct heif_context *context;
    struct heif_image_handle *handle;
    struct heif_image *image;
    struct heif_boxes boxes;
};

static void load_library(void)
{
    (void)heif_init(NULL); /* a plug-in that fails is one that pictures are then refused for */
}

void heif_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_library);
}

static enum err fail(struct heif_error error, struct errbuf *e)
{
    switch (error.code) {
    case heif_error_Memory_allocation_error:
        return err_set(e, ERR_NOMEM, "HEIF: no memory to decode");
    case heif_error_Unsupported_feature:
    case heif_error_Unsupported_filetype:
    case heif_error_Color_profile_does_not_exist:
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "HEIF: %s; save it as JPEG", error.message);
    case heif_error_Plugin_loading_error:
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "HEIF: the decoder for it is not installed here; save it as JPEG");
    default:
        return err_set(e, ERR_CORRUPT_IMAGE, "HEIF: %s; send an undamaged copy", error.message);
    }
}

/* Planes of the largest coded picture, in its decoder and in the library, and RGB twice; libaom puts wide borders
 * around its planes. A grid has a canvas beside. tests/unit/engine/image/test_memory.c measures it. */
static uint64_t bytes_to_decode(const struct heif_boxes *b)
{
    enum {
        FIXED = 300000,
        PIXEL = 12,
        ROW = 1000,
        FIXED_AV1 = 1500000,
        PIXEL_AV1 = 19,
        BORDER = 640,
        BORDER_PIXEL = 2
    };
    uint64_t width = b->coded_width, height = b->coded_height, n = (uint64_t)b->width * b->height;
    uint64_t depth = b->is_deep ? 2 : 1, alpha = b->has_alpha ? 2 * width * height : 0;
    uint64_t canvas = (b->is_grid ? PIXEL * n : 0) + (b->orientation != 1 ? 3 * n : 0);
    uint64_t coded = b->is_av1
                         ? FIXED_AV1 + PIXEL_AV1 * width * height + BORDER_PIXEL * (width + BORDER) * (height + BORDER)
                         : FIXED + PIXEL * width * height + ROW * height;
    return depth * (coded + alpha + canvas);
}

static enum err open_reader(struct reader *r, const uint8_t *bytes, size_t n, const struct image_limits *limits,
                            struct errbuf *e)
{
    enum err rc = heif_boxes_read(bytes, n, limits->max_pixels, &r->boxes, e);
    if (rc) {
        return rc;
    }
    r->context = heif_context_alloc();
    if (!r->context) {
        return err_set(e, ERR_NOMEM, "HEIF: no memory to decode");
    }
    heif_context_set_max_decoding_threads(r->context, 0);
    struct heif_error error = heif_context_read_from_memory_without_copy(r->context, bytes, n, NULL);
    if (error.code == heif_error_Ok) {
        error = heif_context_get_primary_image_handle(r->context, &r->handle);
    }
    if (error.code != heif_error_Ok) {
        return fail(error, e);
    }
    int width = heif_image_handle_get_width(r->handle), height = heif_image_handle_get_height(r->handle);
    if (width <= 0 || height <= 0) {
        return err_set(e, ERR_CORRUPT_IMAGE, "HEIF: a picture without pixels; send an undamaged copy");
    }
    return limits_check((uint32_t)width, (uint32_t)height, limits->max_pixels, "", e);
}

static void close_reader(struct reader *r)
{
    if (r->image) {
        heif_image_release(r->image);
    }
    if (r->handle) {
        heif_image_handle_release(r->handle);
    }
    if (r->context) {
        heif_context_free(r->context);
    }
}

static void describe(const struct reader *r, struct image_info *info)
{
    const struct heif_boxes *b = &r->boxes;
    info->width = heif_image_handle_get_width(r->handle);
    info->height = heif_image_handle_get_height(r->handle);
    info->orientation = b->orientation;
    info->progressive = false;
    info->decode_bytes = bytes_to_decode(b);
    info->warnings = b->orientation != 1 ? IMAGE_WARN_TURNED : 0;
    info->warnings |= b->has_alpha ? IMAGE_WARN_ALPHA : 0;
    info->warnings |= b->is_sequence ? IMAGE_WARN_ANIMATION : 0;
    info->warnings |= b->has_icc ? IMAGE_WARN_ICC : 0;
    info->warnings |= b->is_deep || heif_image_handle_get_luma_bits_per_pixel(r->handle) > 8 ? IMAGE_WARN_DEPTH : 0;
}

enum err heif_probe(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                    struct errbuf *e)
{
    struct reader r = {.context = NULL};
    enum err rc = open_reader(&r, bytes, n, limits, e);
    if (!rc) {
        describe(&r, info);
    }
    close_reader(&r);
    return rc;
}

/* ---- pixels ---- */

/* Of the library's decoders for AV1 the one that it prefers, dav1d, starts a thread for each CPU and writes to standard
 * error; libaom does neither. NULL: what the library prefers. */
static const char *av1_decoder(bool is_av1)
{
    static const char wanted[] = "aom";
    const struct heif_decoder_descriptor *found[16];
    int n = is_av1 ? heif_get_decoder_descriptors(heif_compression_AV1, found, 16) : 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(heif_decoder_descriptor_get_id_name(found[i]), wanted) == 0) {
            return wanted;
        }
    }
    return NULL;
}

static enum err decode_image(struct reader *r, struct errbuf *e)
{
    struct heif_decoding_options *options = heif_decoding_options_alloc();
    if (!options) {
        return err_set(e, ERR_NOMEM, "HEIF: no memory to decode");
    }
    options->convert_hdr_to_8bit = 1;
    options->decoder_id = av1_decoder(r->boxes.is_av1);
    enum heif_chroma chroma = r->boxes.has_alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
    struct heif_error error = heif_decode_image(r->handle, &r->image, heif_colorspace_RGB, chroma, options);
    heif_decoding_options_free(options);
    return error.code == heif_error_Ok ? OK : fail(error, e);
}

/* The library takes the values of grey pictures for full range, whatever the file says. */
static void stretch(uint8_t *row, size_t width, size_t channels)
{
    enum { BLACK = 16, RANGE = 235 - BLACK };
    for (size_t i = 0; i < width; i++, row += channels) {
        int value = ((row[0] - BLACK) * 255 + RANGE / 2) / RANGE;
        memset(row, value < 0 ? 0 : value > 255 ? 255 : value, 3);
    }
}

/* Rows without their gaps; premultiplied color is on black, so white shines through what alpha leaves. */
static void copy_rows(const struct reader *r, const struct image_info *info, const uint8_t *from, size_t stride,
                      struct scratch *pixels, struct scratch *work)
{
    size_t width = (size_t)info->width, channels = r->boxes.has_alpha ? 4 : 3;
    bool is_premultiplied = r->boxes.has_alpha && heif_image_is_premultiplied_alpha(r->image);
    bool is_limited = r->boxes.is_grey && r->boxes.is_limited && !is_premultiplied;
    for (size_t y = 0; y < (size_t)info->height; y++, from += stride) {
        uint8_t *to = pixels->bytes + 3 * width * y;
        if (channels == 3) {
            memcpy(to, from, 3 * width);
            stretch(to, is_limited ? width : 0, 3);
            continue;
        }
        if (is_premultiplied) {
            for (size_t i = 0; i < 3 * width; i++) {
                unsigned sum = from[i / 3 * 4 + i % 3] + 255u - from[i / 3 * 4 + 3];
                to[i] = (uint8_t)(sum > 255 ? 255 : sum);
            }
            continue;
        }
        memcpy(work->bytes, from, 4 * width);
        stretch(work->bytes, is_limited ? width : 0, 4);
        alpha_on_white(work->bytes, width);
        memcpy(to, work->bytes, 3 * width);
    }
}

/* Sees that there is memory for the library, which could not say so; nothing of it is touched. */
static enum err try_memory(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return ERR_NOMEM;
    }
    munmap(p, n);
    return OK;
}

static void *nothing(void *unused)
{
    return unused;
}

/* Sees that there is a thread for the library. */
static enum err try_thread(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0 ? OK : ERR_NOMEM;
}

enum err heif_decode(const uint8_t *bytes, size_t n, const struct image_limits *limits, struct image_info *info,
                     struct scratch *pixels, struct scratch *work, struct errbuf *e)
{
    struct reader r = {.context = NULL};
    size_t width = (size_t)info->width, height = (size_t)info->height;
    enum err rc = scratch_reserve(pixels, width * height, 3);
    rc = rc ? rc : scratch_reserve(work, width, 4);
    rc = rc ? rc : try_memory(info->decode_bytes);
    if (rc) {
        return err_set(e, rc, "no memory for %zu pixels", width * height);
    }
    rc = open_reader(&r, bytes, n, limits, e);
    if (!rc && !r.boxes.is_av1 && try_thread()) {
        rc = err_set(e, ERR_NOMEM, "HEIF: no thread can be started to decode it; try again, or save it as JPEG");
    }
    rc = rc ? rc : decode_image(&r, e);
    if (!rc) {
        int stride = 0;
        const uint8_t *from = heif_image_get_plane_readonly(r.image, heif_channel_interleaved, &stride);
        if (!from || heif_image_get_width(r.image, heif_channel_interleaved) != info->width ||
            heif_image_get_height(r.image, heif_channel_interleaved) != info->height || stride < 3 * info->width) {
            rc = err_set(e, ERR_CORRUPT_IMAGE,
                         "HEIF: the picture's size is not the one in the file's header; send an undamaged copy");
        } else {
            copy_rows(&r, info, from, (size_t)stride, pixels, work);
        }
    }
    close_reader(&r);
    return rc;
}
