/* A body that is plainly something else than it should be, or was damaged on its way by a tool: the way to send it. */
#include "server/input/input_private.h"

#include "server/input/json_tree_explain.h"

#include <string.h>
#include <strings.h>

enum {
    SNIFF_BYTES = 512,
    LOST_MIN = 2048, /* compressed bytes lack CR and LF for this long by chance once in ten million */
    LOST_LOOK = 65536
};

static bool begins(const char *bytes, size_t n, const char *with, size_t n_with)
{
    return n >= n_with && memcmp(bytes, with, n_with) == 0;
}
#define BEGINS(bytes, n, text) begins(bytes, n, text, sizeof(text) - 1)

bool input_is_type(const char *content_type, const char *type)
{
    size_t n = strlen(type);
    return strncasecmp(content_type, type, n) == 0 && (!content_type[n] || strchr("; \t", content_type[n]));
}

/* application/json, text/json, application/x-json, application/problem+json */
bool input_is_json_type(const char *content_type)
{
    size_t n = strcspn(content_type, "; \t");
    return input_is_type(content_type, "application/json") || input_is_type(content_type, "text/json") ||
           input_is_type(content_type, "application/x-json") ||
           (n > 5 && strncasecmp(content_type + n - 5, "+json", 5) == 0);
}

/* In whatever encoding: beside ASCII characters wider ones have only zero bytes. */
bool input_begins_object(const char *b, size_t n)
{
    bool is_wide = json_tree_explain_encoding(b, n) != NULL;
    size_t i = BEGINS(b, n, "\xef\xbb\xbf") ? 3 : 0;
    for (size_t k = 0; is_wide && i < n && k < 4 && ((unsigned char)b[i] >= 0xfe || !b[i]); k++) {
        i++; /* the mark */
    }
    while (i < n && i < SNIFF_BYTES && (memchr(" \t\r\n", b[i], 4) || (is_wide && b[i] == '\0'))) {
        i++;
    }
    return i < n && b[i] == '{';
}

/* The name of a compression, from the bytes; NULL: none that is known. */
static const char *compression_of(const char *b, size_t n)
{
    const unsigned char *u = (const unsigned char *)b;
    bool is_zlib = n > 2 && u[0] == 0x78 && (u[0] * 256 + u[1]) % 31 == 0;
    return BEGINS(b, n, "\x1f\x8b") ? "gzip" : BEGINS(b, n, "\x28\xb5\x2f\xfd") ? "zstd" : is_zlib ? "zlib" : NULL;
}

/* `curl -d @file` takes CR and LF out, and calls the rest a form. */
static bool has_lost_newlines(const char *b, size_t n)
{
    size_t look = n < LOST_LOOK ? n : LOST_LOOK;
    if (BEGINS(b, n, "\x89PNG\x1a")) {
        return true;
    }
    if ((!BEGINS(b, n, "\xff\xd8\xff") && !BEGINS(b, n, "\x89PNG") && !BEGINS(b, n, "RIFF")) || memchr(b, '\n', look) ||
        memchr(b, '\r', look)) {
        return false;
    }
    size_t n_changes = 0; /* padding, of which cameras write a lot, says nothing */
    for (size_t i = 1; i < look; i++) {
        n_changes += b[i] != b[i - 1];
    }
    return n_changes >= LOST_MIN;
}

/* name=value, with a name as fields have. */
static bool is_form_text(const char *b, size_t n)
{
    size_t look = n < SNIFF_BYTES ? n : SNIFF_BYTES;
    const char *equals = look ? memchr(b, '=', look) : NULL;
    if (!equals || equals == b) {
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
    return BEGINS(b, n, "/9j/") || BEGINS(b, n, "iVBORw0KGgo") || BEGINS(b, n, "UklGR") || BEGINS(b, n, "R0lGODlh") ||
           BEGINS(b, n, "data:image/");
}

static bool is_multipart_text(const char *b, size_t n)
{
    static const char mark[] = "content-disposition:";
    size_t look = n < SNIFF_BYTES ? n : SNIFF_BYTES;
    for (size_t at = 0; BEGINS(b, n, "--") && at + sizeof(mark) <= look; at++) {
        if (strncasecmp(b + at, mark, sizeof(mark) - 1) == 0) {
            return true;
        }
    }
    return false;
}

/* The same where no type says so: text without blanks, and a value. */
static bool is_bare_form_text(const char *b, size_t n)
{
    size_t look = n < SNIFF_BYTES ? n : SNIFF_BYTES;
    for (size_t i = 0; i < look; i++) {
        if (b[i] <= ' ' || b[i] > '~') {
            return false;
        }
    }
    return is_form_text(b, n) && b[n - 1] != '=';
}

/* Data in a format that is never read, by the name that the client gives it. */
static bool is_other_data(const char *content_type)
{
    static const char *const words[] = {"msgpack", "cbor", "protobuf", "grpc", "bson", "yaml",  "xml",
                                        "graphql", "avro", "thrift",   "csv",  "toml", "pickle"};
    if (strncasecmp(content_type, "multipart/", 10) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasestr(content_type, words[i]) && strncasecmp(content_type, "image/", 6) != 0) {
            return true;
        }
    }
    return false;
}

/* What cannot be anything else, whatever was expected. */
static bool explain_any(struct input_parser *p, const char *b, size_t n)
{
    const char *compression = compression_of(b, n);
    if (compression) {
        input_fail(p->fault, FAULT_UNSUPPORTED_ENCODING, NULL,
                   "the body is compressed with %s; send it as it was before", compression);
    } else if (is_multipart_text(b, n)) {
        input_fail(p->fault, FAULT_UNSUPPORTED_IMAGE, "Content-Type",
                   p->in->dialect == INPUT_NATIVE
                       ? "the body is a form, but Content-Type does not say multipart/form-data; boundary=...: leave "
                         "this header to the HTTP client"
                       : "the body is a form (multipart/form-data), which this route does not accept: send JSON");
    } else if (is_base64_text(b, n)) {
        input_fail(p->fault, FAULT_UNSUPPORTED_IMAGE, "image",
                   "the body is an image as base64 text; send its bytes, or JSON: {\"image\": \"...\"}");
    } else {
        return false;
    }
    return true;
}

/* A body that was called JSON. */
static bool explain_json(struct input_parser *p, const char *b, size_t n)
{
    if (input_begins_object(b, n) || !is_form_text(b, n)) {
        return false;
    }
    input_fail(p->fault, FAULT_BAD_REQUEST, "Content-Type",
               "the body looks like a form (name=value), which is not JSON; encode it as JSON (requests: json=..., not "
               "data=...), or send multipart/form-data");
    return true;
}

/* A body that should be the bytes of a picture. */
static bool explain_raw(struct input_parser *p, const char *b, size_t n)
{
    bool is_picture = input_is_picture(b, n),
         is_form = input_is_type(p->content_type, "application/x-www-form-urlencoded");
    if (input_begins_object(b, n)) {
        const char *encoding = json_tree_explain_encoding(b, n);
        input_fail(p->fault, FAULT_UNSUPPORTED_IMAGE, "Content-Type",
                   "the body looks like JSON%s%s, but Content-Type is %.60s: send %sContent-Type: application/json",
                   encoding ? " in " : "", encoding ? encoding : "", p->content_type,
                   encoding ? "it in UTF-8 with " : "");
    } else if (has_lost_newlines(b, n)) {
        input_fail(
            p->fault, FAULT_CORRUPT_IMAGE, "image",
            "the image has lost its line ends on the way, as with curl -d @file; send it with --data-binary @file");
    } else if (!is_picture && (is_form ? is_form_text(b, n) : is_bare_form_text(b, n))) {
        input_fail(p->fault, FAULT_UNSUPPORTED_IMAGE, "image",
                   "a form without files (name=value, application/x-www-form-urlencoded) is not read; send the image "
                   "as the body (curl --data-binary @file) with parameters in the query string, or a form with files "
                   "(curl -F image=@file)");
    } else if (!is_picture && is_other_data(p->content_type)) {
        input_fail(
            p->fault, FAULT_UNSUPPORTED_IMAGE, "Content-Type",
            "a body of Content-Type %.60s is not read; send the image's bytes, JSON (application/json) or a form "
            "(multipart/form-data)",
            p->content_type);
    } else {
        return false;
    }
    return true;
}

bool input_explain(struct input_parser *p, bool wants_json)
{
    const char *b = p->in->body.bytes;
    size_t n = p->in->body.n;
    return explain_any(p, b, n) || (wants_json ? explain_json(p, b, n) : explain_raw(p, b, n));
}
