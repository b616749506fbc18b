#include "engine/image/sniff.h"

#include "engine/image/transfer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct signature {
    size_t at;
    const char *text;
    size_t n;
    const char *name; /* as in "this is ..." */
};
#define SIGNATURE(at, text, name)                                                                                      \
    {                                                                                                                  \
        (at), (text), sizeof(text) - 1, (name)                                                                         \
    }

/* The first match counts: brands before the box that they stand in. Formats that this build reads never come here. */
static const struct signature others[] = {
    SIGNATURE(8, "qt  ", "a QuickTime video"),
    SIGNATURE(4, "ftypcrx ", "a Canon raw file"),
    SIGNATURE(4, "ftyp", "an MP4 video or a file like it"),
    SIGNATURE(0, "\0\0\0\x0cJXL ", "a JPEG XL file"),
    SIGNATURE(0, "\xff\x0a", "a JPEG XL file"),
    SIGNATURE(0, "\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    SIGNATURE(0, "\xff\x4f\xff\x51", "a JPEG 2000 file"),
    SIGNATURE(0, "II+\0", "a BigTIFF file, which is not read: save it as classic TIFF"),
    SIGNATURE(0, "MM\0+", "a BigTIFF file, which is not read: save it as classic TIFF"),
    SIGNATURE(0, "II\xbc", "a JPEG XR file"),
    SIGNATURE(0, "IIU\0", "a Panasonic raw file"),
    SIGNATURE(0, "IIRO", "an Olympus raw file"),
    SIGNATURE(0, "IIRS", "an Olympus raw file"),
    SIGNATURE(0, "FUJIFILMCCD-RAW", "a Fujifilm raw file"),
    SIGNATURE(0, "GIF8", "a GIF file"),
    SIGNATURE(0, "BM", "a BMP file"),
    SIGNATURE(0, "8BPS", "a Photoshop file"),
    SIGNATURE(0, "\0\0\1\0", "an ICO file"),
    SIGNATURE(0, "\0\0\2\0", "a CUR or TGA file"),
    SIGNATURE(0, "qoif", "a QOI file"),
    SIGNATURE(0, "\x76\x2f\x31\1", "an OpenEXR file"),
    SIGNATURE(0, "#?R", "a Radiance HDR file"),
    SIGNATURE(0, "DDS ", "a DDS file"),
    SIGNATURE(0, "\n\5\1", "a PCX file"),
    SIGNATURE(0, "\1\xda", "an SGI file"),
    SIGNATURE(0, "P4\n", "a netpbm file"),
    SIGNATURE(0, "P5\n", "a netpbm file"),
    SIGNATURE(0, "P6\n", "a netpbm file"),
    SIGNATURE(0, "icns", "an icon of macOS"),
    SIGNATURE(0, "AT&TFORM", "a DjVu document"),
    SIGNATURE(0, "gimp xcf", "a GIMP file"),
    SIGNATURE(0, "FLIF", "a FLIF file"),
    SIGNATURE(0, "BPG\xfb", "a BPG file"),
    SIGNATURE(0, "\xd7\xcd\xc6\x9a", "a WMF drawing"),
    SIGNATURE(40, " EMF", "an EMF drawing"),
    SIGNATURE(128, "DICM", "a DICOM file"),
    SIGNATURE(0, "SIMPLE  =", "a FITS file"),
    SIGNATURE(0, "%PDF", "a PDF document"),
    SIGNATURE(0, "%!PS", "a PostScript document"),
    SIGNATURE(0, "PK\3\4", "a ZIP archive"),
    SIGNATURE(0, "\x1f\x8b", "a gzip file"),
    SIGNATURE(0, "\x28\xb5\x2f\xfd", "a zstd file"),
    SIGNATURE(0,
              "\xfd"
              "7zXZ",
              "an xz file"),
    SIGNATURE(0, "BZh", "a bzip2 file"),
    SIGNATURE(0, "Rar!", "a RAR archive"),
    SIGNATURE(0, "7z\xbc\xaf", "a 7z archive"),
    SIGNATURE(257, "ustar", "a tar archive"),
    SIGNATURE(0, "ID3", "an MP3 file"),
    SIGNATURE(0, "OggS", "an Ogg file"),
    SIGNATURE(0, "MZ", "a Windows program"),
    SIGNATURE(0,
              "\x7f"
              "ELF",
              "a program"),
    SIGNATURE(0, "\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
    SIGNATURE(8, "AVI ", "an AVI video"),
    SIGNATURE(8, "WAVE", "a WAV file"),
    SIGNATURE(0, "data:", "a data URI as text; decode its base64 first"),
    SIGNATURE(0, "/9j/", "base64 text; decode it first"),
    SIGNATURE(0, "iVBORw0KGgo", "base64 text; decode it first"),
    SIGNATURE(0, "UklGR", "base64 text; decode it first"),
    SIGNATURE(0, "ffd8ff", "hexadecimal text; decode it first"),
    SIGNATURE(0, "FFD8FF", "hexadecimal text; decode it first"),
    SIGNATURE(0, "89504e47", "hexadecimal text; decode it first"),
    SIGNATURE(0, "89504E47", "hexadecimal text; decode it first"),
    SIGNATURE(0, "b'", "bytes as Python prints them, not the bytes"),
    SIGNATURE(0, "b\"", "bytes as Python prints them, not the bytes"),
    SIGNATURE(0, "--", "a multipart body; send it as multipart/form-data"),
};

static bool matches(const uint8_t *bytes, size_t n, const struct signature *s)
{
    return n >= s->at + s->n && memcmp(bytes + s->at, s->text, s->n) == 0;
}

/* Markup, after a byte order mark and white space. */
static const char *name_of_markup(const uint8_t *bytes, size_t n)
{
    static const struct {
        const char *begin, *name;
    } kinds[] = {{"[object ", "JavaScript's name of an object, not its bytes"},
                 {"<svg", "an SVG file"},
                 {"<?xml", "an SVG or other XML file"},
                 {"<!doctype", "an HTML page"},
                 {"<html", "an HTML page"},
                 {"<!--", "an SVG or HTML file"},
                 {"<head", "an HTML page"},
                 {"{", "a JSON document"},
                 {"[", "a JSON document"},
                 {"<", "a text with markup"}};
    size_t at = n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < n && at < 1024 && memchr(" \t\r\n", bytes[at], 4)) {
        at++;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t length = strlen(kinds[i].begin);
        if (n - at >= length && strncasecmp((const char *)bytes + at, kinds[i].begin, length) == 0) {
            return kinds[i].name;
        }
    }
    return NULL;
}

static bool is_hex(const uint8_t *bytes, size_t n)
{
    size_t i = 0;
    while (i < n && isxdigit(bytes[i])) {
        i++;
    }
    return i == n;
}

/* What is often sent in place of a picture, and is text. */
static enum err refuse_text(const uint8_t *bytes, size_t n, struct errbuf *e)
{
    enum { SHOWN = 24, ID_DIGITS = 64 };
    char text[SHOWN + 1] = "";
    const char *colon = memmem(bytes, n < 16 ? n : 16, "://", 3);
    if (n >= 23 && memcmp(bytes, "version https://git-lfs", 23) == 0) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "this is a Git LFS pointer; fetch the file itself (git lfs pull)");
    }
    if (colon) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE,
                       "this is an address; addresses are not fetched: send the image's bytes");
    }
    if (n == ID_DIGITS && is_hex(bytes, n)) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE,
                       "this seems to be an image id; send it as JSON: {\"image\": {\"id\": \"...\"}}");
    }
    for (size_t i = 0; i < n && i < SHOWN; i++) { /* on one line, in a terminal and in a table */
        text[i] = iscntrl(bytes[i]) ? ' ' : (char)bytes[i];
    }
    for (size_t k = strlen(text); k > 0 && text[k - 1] == ' '; k--) {
        text[k - 1] = '\0';
    }
    return err_set(e, ERR_UNSUPPORTED_IMAGE, "this is text (\"%s%s\"), not an image; send %s", text,
                   n > SHOWN ? "..." : "", image_formats_text());
}

static bool is_text(const uint8_t *bytes, size_t n)
{
    enum { LOOK = 512 };
    for (size_t i = 0; i < n && i < LOOK; i++) {
        if ((bytes[i] < ' ' && !memchr("\t\r\n", bytes[i], 3)) || bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

static enum err refuse(const uint8_t *bytes, size_t n, const char *name, struct errbuf *e)
{
    if (n == 0) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "the image has no bytes; send %s", image_formats_text());
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && !name; i++) {
        name = matches(bytes, n, &others[i]) ? others[i].name : NULL;
    }
    name = name ? name : name_of_markup(bytes, n);
    if (name) {
        return err_set(e, ERR_UNSUPPORTED_IMAGE, "this seems to be %s; send %s", name, image_formats_text());
    }
    if (is_text(bytes, n)) {
        return refuse_text(bytes, n, e);
    }
    if (transfer_explain(bytes, n, e)) {
        return ERR_CORRUPT_IMAGE;
    }
    return err_set(e, ERR_UNSUPPORTED_IMAGE, "the bytes are not those of an image; send %s", image_formats_text());
}

/* ---- the formats that are read ---- */

/* The brands of an ISO media file, the main one first: AVIF goes before HEIF, which both claim. */
static bool is_heif(const uint8_t *bytes, size_t n, enum image_format *out, const char **name)
{
    static const char avif[] = "avifavis", heic[] = "heicheixheimheishevchevxhevmhevs", heif[] = "mif1mif2msf1miaf";
    if (n < 12 || memcmp(bytes + 4, "ftyp", 4) != 0) {
        return false;
    }
    size_t end = (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    bool is_avif = false, is_heic = false, is_any = false;
    for (size_t at = 8; at + 4 <= n && at + 4 <= end && at < 512; at += at == 8 ? 8 : 4) {
        for (size_t k = 0; k < sizeof(heic) - 1; k += 4) {
            is_heic |= memcmp(bytes + at, heic + k, 4) == 0;
            is_avif |= k < sizeof(avif) - 1 && memcmp(bytes + at, avif + k, 4) == 0;
            is_any |= k < sizeof(heif) - 1 && memcmp(bytes + at, heif + k, 4) == 0;
        }
    }
    if (!is_avif && !is_heic && !is_any) {
        return false;
    }
    *out = is_avif ? IMAGE_AVIF : IMAGE_HEIC;
    *name = is_avif ? "an AVIF file" : is_heic ? "an HEIC file" : "an HEIF file";
    return true;
}

static bool find_format(const uint8_t *bytes, size_t n, enum image_format *out, const char **name)
{
    static const struct {
        struct signature signature;
        enum image_format format;
    } ours[] = {{SIGNATURE(0, "\xff\xd8\xff", ""), IMAGE_JPEG},
                {SIGNATURE(0, "\x89PNG\r\n\x1a\n", ""), IMAGE_PNG},
                {SIGNATURE(8, "WEBP", ""), IMAGE_WEBP},
                {SIGNATURE(0, "GIF87a", "a GIF file"), IMAGE_GIF},
                {SIGNATURE(0, "GIF89a", "a GIF file"), IMAGE_GIF},
                {SIGNATURE(0, "II*\0", "a TIFF or camera raw file"), IMAGE_TIFF},
                {SIGNATURE(0, "MM\0*", "a TIFF or camera raw file"), IMAGE_TIFF}};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (matches(bytes, n, &ours[i].signature) && (ours[i].format != IMAGE_WEBP || memcmp(bytes, "RIFF", 4) == 0)) {
            *out = ours[i].format;
            *name = ours[i].signature.name;
            return true;
        }
    }
    return is_heif(bytes, n, out, name);
}

enum err sniff_format(const uint8_t *bytes, size_t n, enum image_format *out, struct errbuf *e)
{
    const char *name = NULL;
    if (find_format(bytes, n, out, &name) && image_is_readable(*out)) {
        return OK;
    }
    return refuse(bytes, n, name, e);
}

/* ---- pixels ---- */

static uint64_t read_16(const uint8_t *p)
{
    return (uint64_t)p[0] << 8 | p[1];
}

static uint64_t jpeg_pixels(const uint8_t *bytes, size_t n)
{
    enum { MAX_SEGMENTS = 64 };
    size_t at = 2;
    for (int i = 0; i < MAX_SEGMENTS && n - at >= 9; i++) {
        const uint8_t *p = bytes + at;
        bool is_frame = p[1] >= 0xc0 && p[1] <= 0xcf && p[1] != 0xc4 && p[1] != 0xc8 && p[1] != 0xcc;
        if (p[0] != 0xff || is_frame) {
            return p[0] == 0xff ? read_16(p + 5) * read_16(p + 7) : 0;
        }
        size_t length = 2 + (size_t)read_16(p + 2);
        if (p[1] == 0xff || length > n - at) { /* a fill byte, or beyond the end */
            length = p[1] == 0xff ? 1 : n - at;
        }
        at += length;
    }
    return 0;
}

static uint64_t png_pixels(const uint8_t *bytes, size_t n)
{
    const uint8_t *p = bytes + 16;
    return n < 24 ? 0 : (read_16(p) << 16 | read_16(p + 2)) * (read_16(p + 4) << 16 | read_16(p + 6));
}

static uint64_t webp_pixels(const uint8_t *bytes, size_t n)
{
    if (n < 30) {
        return 0;
    }
    const uint8_t *p = bytes + 20; /* of the first chunk's body */
    if (memcmp(bytes + 12, "VP8X", 4) == 0) {
        uint64_t width = 1 + (uint64_t)(p[4] | p[5] << 8 | p[6] << 16);
        return width * (1 + (uint64_t)(p[7] | p[8] << 8 | p[9] << 16));
    }
    if (memcmp(bytes + 12, "VP8L", 4) == 0) {
        uint64_t bits = (uint64_t)p[1] | (uint64_t)p[2] << 8 | (uint64_t)p[3] << 16 | (uint64_t)p[4] << 24;
        return ((bits & 0x3fff) + 1) * ((bits >> 14 & 0x3fff) + 1);
    }
    return memcmp(bytes + 12, "VP8 ", 4) == 0
               ? (uint64_t)((p[6] | p[7] << 8) & 0x3fff) * (uint64_t)((p[8] | p[9] << 8) & 0x3fff)
               : 0;
}

/* The canvas. */
static uint64_t gif_pixels(const uint8_t *p, size_t n)
{
    return n < 10 ? 0 : (uint64_t)(p[6] | p[7] << 8) * (uint64_t)(p[8] | p[9] << 8);
}

static uint64_t number(const uint8_t *p, int n, bool is_big)
{
    uint64_t value = 0;
    for (int i = 0; i < n; i++) {
        value = value << 8 | p[is_big ? i : n - 1 - i];
    }
    return value;
}

/* Width and length of the first directory, which often stands at the end of the file; fields are in order. */
static uint64_t tiff_pixels(const uint8_t *p, size_t n)
{
    enum { WIDTH = 256, LENGTH = 257, SHORT = 3, FIELD_BYTES = 12, MAX_FIELDS = 8 };
    bool is_big = p[0] == 'M';
    uint64_t side[2] = {0, 0};
    size_t at = n >= 8 ? (size_t)number(p + 4, 4, is_big) + 2 : n;
    for (int i = 0; i < MAX_FIELDS && at < n && n - at >= FIELD_BYTES; i++, at += FIELD_BYTES) {
        uint64_t tag = number(p + at, 2, is_big);
        if (tag == WIDTH || tag == LENGTH) {
            side[tag - WIDTH] = number(p + at + 8, number(p + at + 2, 2, is_big) == SHORT ? 2 : 4, is_big);
        }
    }
    return side[0] * side[1];
}

/* The largest size that a property names; there is one for tiles and one for the whole. */
static uint64_t heif_pixels(const uint8_t *bytes, size_t n)
{
    enum { FAR = 4096, SIZE_BYTES = 16 };
    uint64_t max = 0;
    const uint8_t *end = bytes + (n < FAR ? n : FAR), *p = bytes;
    while ((p = memmem(p, (size_t)(end - p), "ispe", 4)) && end - p >= SIZE_BYTES) {
        uint64_t pixels = number(p + 8, 4, true) * number(p + 12, 4, true);
        max = pixels > max ? pixels : max;
        p += 4;
    }
    return max;
}

uint64_t sniff_pixels(const uint8_t *bytes, size_t n)
{
    enum image_format format;
    const char *name = NULL;
    if (!find_format(bytes, n, &format, &name) || !image_is_readable(format)) {
        return 0;
    }
    switch (format) {
    case IMAGE_JPEG:
        return jpeg_pixels(bytes, n);
    case IMAGE_PNG:
        return png_pixels(bytes, n);
    case IMAGE_WEBP:
        return webp_pixels(bytes, n);
    case IMAGE_GIF:
        return gif_pixels(bytes, n);
    case IMAGE_TIFF:
        return tiff_pixels(bytes, n);
    case IMAGE_HEIC:
    case IMAGE_AVIF:
        return heif_pixels(bytes, n);
    }
    return 0;
}
