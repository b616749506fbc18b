#include "engine/image/sniff.h"

#include "tests/support/check.h"

#include <stdlib.h>

static const struct {
    const char *bytes;
    size_t n;
    const char *told; /* part of the message */
} refused[] = {
    {"GIF8......", 10, "a GIF"},
    {"\0\0\0\x1c"
     "ftypisom",
     12, "MP4"},
    {"\0\0\0\x0cJXL \r\n\x87\n", 12, "JPEG XL"},
    {"\xff\x0a", 2, "JPEG XL"},
    {"BM\x36\0", 4, "BMP"},
    {"%PDF-1.4", 8, "PDF"},
    {"PK\3\4....", 8, "ZIP"},
    {"RIFF....AVI ", 12, "AVI"},
    {"RIFF....WAVE", 12, "WAV"},
    {"\xef\xbb\xbf\n <SVG>", 10, "SVG"},
    {"<?xml ?>", 8, "XML"},
    {"<!DOCTYPE html>", 15, "HTML"},
    {"  {\"image\"", 10, "JSON"},
    {"data:image/jpeg;base64,", 23, "data URI"},
    {"/9j/4AAQ", 8, "base64"},
    {"", 0, "no bytes"},
    {"\xff\xd8", 2, "send JPEG, PNG"},
    {"\x89PNG\r\n\x1a", 7, "send JPEG, PNG"},
    {"XXXX....WEBP", 12, "send JPEG, PNG"},
    {"RIFF....WEB", 11, "send JPEG, PNG"},
    {"    ", 4, "send JPEG, PNG"},
    {"undefined", 9, "text (\"undefined\")"},
    {"hi\nyou\r\n", 8, "text (\"hi you\"), not"},
    {"https://example.org/a.jpg", 25, "address"},
    {"[object File]", 13, "JavaScript"},
    {"version https://git-lfs.github.com/spec/v1", 42, "Git LFS"},
    {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF", 64, "image id"},
    {"II+\0\10\0\0\0", 8, "BigTIFF"},
    {"\xfd"
     "7zXZ..",
     7, "xz"},
    {"BZh91AY", 7, "bzip2"},
    {"89504E470D0A", 12, "hexadecimal"},
    {"b'\\xff\\xd8", 10, "as Python prints them"},
    {"\0\0\0\x18"
     "ftypcrx ",
     12, "Canon raw"},
    {"BPG\xfb\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 40, "BPG"},
    {"\1\2\3\4\5\6\7\1\1\2\3\4\5\6\7\1\1\2\3\4\5\6\7\1\1\2\3\4\5\6\7\1\1\2\3\4", 36, "not those of an image"},
};

/* Bytes in a block of exactly their length, so that a sanitizer sees any read behind them. */
static enum err sniff(const char *bytes, size_t n, enum image_format *format, struct errbuf *e)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) {
        exit(1);
    }
    memcpy(copy, bytes, n);
    enum err rc = sniff_format(copy, n, format, e);
    free(copy);
    return rc;
}

int main(void)
{
    enum image_format format;
    struct errbuf e;
    CHECK_INT(sniff("\xff\xd8\xff\xe0", 4, &format, &e), OK);
    CHECK_INT(format, IMAGE_JPEG);
    CHECK_INT(sniff("\x89PNG\r\n\x1a\n", 8, &format, &e), OK);
    CHECK_INT(format, IMAGE_PNG);
    CHECK_INT(sniff("RIFF\x10\0\0\0WEBP", 12, &format, &e), OK);
    CHECK_INT(format, IMAGE_WEBP);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        CHECK_INT(sniff(refused[i].bytes, refused[i].n, &format, &e), ERR_UNSUPPORTED_IMAGE);
        if (!strstr(e.text, refused[i].told)) {
            fprintf(stderr, "%zu: %s\n", i, e.text);
        }
        CHECK(strstr(e.text, refused[i].told) != NULL);
        for (size_t n = 0; n < refused[i].n; n++) {
            CHECK_INT(sniff(refused[i].bytes, n, &format, &e), ERR_UNSUPPORTED_IMAGE);
        }
    }
    return check_result();
}
