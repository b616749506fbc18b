/* What kind of body it is, and a body that should be the bytes of one image. */
#include "server/input/input_private.h"

#include "engine/image/sniff.h"

#include <string.h>

static bool begins(const char *bytes, size_t n, const char *with, size_t n_with)
{
    return n >= n_with && memcmp(bytes, with, n_with) == 0;
}
#define BEGINS(bytes, n, text) begins(bytes, n, text, sizeof(text) - 1)

bool input_is_picture(const char *b, size_t n)
{
    return BEGINS(b, n, "\xff\xd8\xff") || BEGINS(b, n, "\x89PNG") || BEGINS(b, n, "GIF8") || BEGINS(b, n, "II*\0") ||
           BEGINS(b, n, "MM\0*") ||
           (n >= 12 && ((BEGINS(b, n, "RIFF") && memcmp(b + 8, "WEBP", 4) == 0) || memcmp(b + 4, "ftyp", 4) == 0));
}

enum input_body input_body_of(const char *content_type, const char *bytes, size_t n)
{
    if (input_is_picture(bytes, n)) {
        return INPUT_BODY_RAW;
    }
    if (input_is_type(content_type, "multipart/form-data")) {
        return INPUT_BODY_FORM;
    }
    if (n == 0) {
        return INPUT_BODY_NONE;
    }
    bool is_json = content_type[0] ? input_is_json_type(content_type) : input_begins_object(bytes, n);
    return is_json && !BEGINS(bytes, n, "\x1f\x8b") ? INPUT_BODY_JSON : INPUT_BODY_RAW;
}

bool input_raw(struct input_parser *p)
{
    const struct buf *b = &p->in->body;
    return !input_explain(p, false) &&
           input_add_image(p, "image", &(struct input_image){.bytes = (const uint8_t *)b->bytes, .n_bytes = b->n},
                           INPUT_NO_INDEX);
}

bool input_raw_check(const struct input *in, struct input_fault *f)
{
    struct errbuf e;
    enum image_format format;
    const struct input_image *image = in->images;
    if (in->n_images != 1 || !image->bytes || image->bytes != (const uint8_t *)in->body.bytes) {
        return true;
    }
    errbuf_clear(&e);
    enum err rc = sniff_format(image->bytes, image->n_bytes, &format, &e);
    return !rc || input_fail(f, rc == ERR_CORRUPT_IMAGE ? FAULT_CORRUPT_IMAGE : FAULT_UNSUPPORTED_IMAGE, "image",
                             "%.300s", errbuf_text(&e, rc));
}
