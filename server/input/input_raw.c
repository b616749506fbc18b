/* What kind of body it is, and a body that should be the bytes of one image: what is plainly something else, or was
 * damaged on its way by a tool, is refused with the way to send it. */
#include "server/input/input_private.h"

#include <string.h>
#include <strings.h>

enum {
    SNIFF_BYTES = 512,
    LOST_MIN = 2048, /* so many compressed bytes without a CR or LF come by chance once in ten million */
    LOST_LOOK = 65536
};

static bool begins(const char *bytes, size_t n, const char *with, size_t n_with)
{
    return n >= n_with && memcmp(bytes, with, n_with) == 0;
}
#define BEGINS(bytes, n, text) begins(bytes, n, text, sizeof(text) - 1)

static bool is_type(const char *content_type, const char *type)
{
    size_t n = strlen(type);
    return strncasecmp(content_type, type, n) == 0 && (!content_type[n] || strchr("; \t", content_type[n]));
}

/* application/json, text/json, application/x-json, application/problem+json */
static bool is_json_type(const char *content_type)
{
    size_t n = strcspn(content_type, "; \t");
    return is_type(content_type, "application/json") || is_type(content_type, "text/json") ||
           is_type(content_type, "application/x-json") || (n > 5 && strncasecmp(content_type + n - 5, "+json", 5) == 0);
}

static bool is_picture(const char *b, size_t n)
{
    return BEGINS(b, n, "\xff\xd8\xff") || BEGINS(b, n, "\x89PNG") ||
           (BEGINS(b, n, "RIFF") && n >= 12 && memcmp(b + 8, "WEBP", 4) == 0);
}

static bool begins_object(const char *b, size_t n)
{
    size_t i = BEGINS(b, n, "\xef\xbb\xbf") ? 3 : 0;
    while (i < n && i < SNIFF_BYTES && memchr(" \t\r\n", b[i], 4)) {
        i++;
    }
    return (i < n && b[i] == '{') || BEGINS(b, n, "\xff\xfe{\0") || BEGINS(b, n, "\xfe\xff\0{");
}

enum input_body input_body_of(const char *content_type, const char *bytes, size_t n)
{
    if (is_picture(bytes, n)) {
        return INPUT_BODY_RAW;
    }
    if (is_type(content_type, "multipart/form-data")) {
        return INPUT_BODY_FORM;
    }
    if (n == 0) {
        return INPUT_BODY_NONE;
    }
    bool is_json = content_type[0] ? is_json_type(content_type) : begins_object(bytes, n);
    return is_json && !BEGINS(bytes, n, "\x1f\x8b") ? INPUT_BODY_JSON : INPUT_BODY_RAW;
}

/* `curl -d @file` takes CR and LF out, and calls the rest a form. */
static bool has_lost_newlines(const char *b, size_t n)
{
    size_t look = n < LOST_LOOK ? n : LOST_LOOK;
    if (BEGINS(b, n, "\x89PNG\x1a")) {
        return true;
    }
    if (!is_picture(b, n) || memchr(b, '\n', look) || memchr(b, '\r', look)) {
        return false;
    }
    size_t n_changes = 0; /* padding, of which cameras write a lot, says nothing */
    for (size_t i = 1; i < look; i++) {
        n_changes += b[i] != b[i - 1];
    }
    return n_changes >= LOST_MIN;
}

static bool is_form_text(const char *content_type, const char *b, size_t n)
{
    size_t look = n < SNIFF_BYTES ? n : SNIFF_BYTES;
    const char *equals = memchr(b, '=', look);
    if (!is_type(content_type, "application/x-www-form-urlencoded") || !equals || equals == b) {
        return false;
    }
    for (const char *c = b; c < equals; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              memchr("_-.[]%+", *c, 7))) {
            return false;
        }
    }
    return true;
}

static bool is_base64_text(const char *b, size_t n)
{
    return BEGINS(b, n, "/9j/") || BEGINS(b, n, "iVBORw0KGgo") || BEGINS(b, n, "UklGR") || BEGINS(b, n, "data:image/");
}

static bool is_multipart_text(const char *b, size_t n)
{
    static const char mark[] = "Content-Disposition:";
    return BEGINS(b, n, "--") && memmem(b, n < SNIFF_BYTES ? n : SNIFF_BYTES, mark, sizeof(mark) - 1);
}

bool input_raw(struct input_parser *p, const char *content_type)
{
    const char *b = p->in->body.bytes;
    size_t n = p->in->body.n;
    struct input_fault *f = p->fault;
    if (BEGINS(b, n, "\x1f\x8b")) {
        return input_fail(f, FAULT_UNSUPPORTED_ENCODING, NULL,
                          "the body is compressed with gzip; send it as it was before");
    }
    if (begins_object(b, n)) {
        return input_fail(f, FAULT_UNSUPPORTED_IMAGE, "Content-Type",
                          "the body looks like JSON, but Content-Type is %.60s: send Content-Type: application/json",
                          content_type);
    }
    if (has_lost_newlines(b, n)) {
        return input_fail(f, FAULT_CORRUPT_IMAGE, "image",
                          "the image has lost its line ends on the way, as with curl -d @file; send it with "
                          "--data-binary @file");
    }
    if (is_form_text(content_type, b, n)) {
        return input_fail(f, FAULT_UNSUPPORTED_IMAGE, "image",
                          "a body of Content-Type application/x-www-form-urlencoded is not read; send the image as "
                          "the body (curl --data-binary @file) with parameters in the query string, or a form (curl "
                          "-F image=@file)");
    }
    if (is_multipart_text(b, n)) {
        return input_fail(f, FAULT_UNSUPPORTED_IMAGE, "Content-Type",
                          "the body is a form, but Content-Type does not say multipart/form-data; boundary=...: leave "
                          "this header to the HTTP client");
    }
    if (is_base64_text(b, n)) {
        return input_fail(f, FAULT_UNSUPPORTED_IMAGE, "image",
                          "the body is an image as base64 text; send its bytes, or JSON: {\"image\": \"...\"}");
    }
    return input_add_image(p, "image", &(struct input_image){.bytes = (const uint8_t *)b, .n_bytes = n},
                           INPUT_NO_INDEX);
}
