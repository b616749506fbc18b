#include "engine/image/transfer.h"

#include <stdbool.h>
#include <string.h>

static const char stripped[] =
    "the file lost its line breaks and NUL bytes on the way, as with curl -d @FILE; send it with "
    "curl --data-binary @FILE";
static const char text_mode[] =
    "the file was transferred in text mode: its line ends were changed; transfer and send it as binary";
static const char without_nul[] =
    "the file lost its NUL bytes on the way, as in a shell's $(cat FILE); send it with curl --data-binary @FILE";
static const char seven_bits[] = "the file was transferred as 7-bit text; transfer and send it as binary";
static const char only_zeros[] =
    "the file has zero bytes only: it was not written, or not sent, to its end; send it again";
static const char decoded_text[] =
    "the file was decoded as text (UTF-8 or Latin-1) on the way; read and send it as binary, without an encoding";

/* ---- by the first bytes ---- */

struct damaged {
    const char *bytes;
    size_t n;
    const char *told;
};
#define DAMAGED(bytes, told)                                                                                           \
    {                                                                                                                  \
        (bytes), sizeof(bytes) - 1, (told)                                                                             \
    }

/* What the signatures of PNG, which is made for this, and of JPEG become. */
static const struct damaged beginnings[] = {
    DAMAGED("\x89PNG\x1aI", stripped),
    DAMAGED("\x89PNG\n\x1a\n", text_mode),
    DAMAGED("\x89PNG\n\n\x1a\n", text_mode),
    DAMAGED("\x89PNG\r\r\n\x1a\r\n", text_mode),
    DAMAGED("\x89PNG\r\n\x1a\r\n", text_mode),
    DAMAGED("\x89PNG\r\x1a\r", text_mode),
    DAMAGED("\x89PNG\r\r\x1a\r", text_mode),
    DAMAGED("\tPNG\r\n\x1a\n", seven_bits),
    DAMAGED("\x7fX\x7f", seven_bits),
    DAMAGED("\xc2\x89PNG", decoded_text),
    DAMAGED("\xef\xbf\xbdPNG", decoded_text),
    DAMAGED("?PNG\r\n\x1a\n", decoded_text),
    DAMAGED("\xc3\xbf\xc3\x98\xc3\xbf", decoded_text),
    DAMAGED("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", decoded_text),
    DAMAGED("????\0\x10JFIF", decoded_text),
};

static const char *told_by_beginning(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        if (n >= beginnings[i].n && memcmp(bytes, beginnings[i].bytes, beginnings[i].n) == 0) {
            return beginnings[i].told;
        }
    }
    return NULL;
}

const char *transfer_signature(const uint8_t *p, size_t n)
{
    if (n >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0) {
        return "PNG";
    }
    if (n >= 4 && memcmp(p, "\xff\xd8\xff", 3) == 0 && p[3] >= 0xc0 && p[3] != 0xff) {
        return "JPEG";
    }
    if (n >= 12 && memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "WEBP", 4) == 0) {
        return "WebP";
    }
    return n >= 6 && (memcmp(p, "GIF87a", 6) == 0 || memcmp(p, "GIF89a", 6) == 0) ? "GIF" : NULL;
}

/* ---- by what does not happen by chance in compressed data ---- */

struct counts {
    size_t nul, cr, lf, crlf; /* lf: also those of crlf */
    size_t high;              /* 0x80 and above */
    size_t latin, replaced;   /* two bytes of UTF-8 that were one of Latin-1; the three of U+FFFD */
};

static struct counts count(const uint8_t *bytes, size_t n)
{
    struct counts c = {.nul = 0};
    for (size_t i = 0; i < n; i++) {
        uint8_t b = bytes[i], before = i > 0 ? bytes[i - 1] : 0;
        c.nul += b == 0;
        c.cr += b == '\r';
        c.lf += b == '\n';
        c.crlf += b == '\n' && before == '\r';
        c.high += b >= 0x80;
        c.latin += (before == 0xc2 || before == 0xc3) && b >= 0x80 && b <= 0xbf;
        c.replaced += b == 0xbd && before == 0xbf && i > 1 && bytes[i - 2] == 0xef;
    }
    return c;
}

static const char *told_by_counts(const uint8_t *bytes, size_t n)
{
    enum { FEW = 32, SOME = 4096, MANY = 1000000 }; /* bytes */
    struct counts c = count(bytes, n);
    if (c.nul == n && n >= FEW) {
        return only_zeros;
    }
    if (c.lf == 0 && c.cr == 0 && ((c.nul == 0 && n >= FEW && transfer_signature(bytes, n)) || n >= SOME)) {
        return stripped;
    }
    if (c.nul == 0 && n >= SOME && c.high >= n / 4) {
        return without_nul;
    }
    if ((c.lf >= 8 && c.crlf == c.lf) ||
        (n >= MANY && c.lf > 0 && 2048 * c.crlf < c.lf) /* 256 times as many lf as crlf by chance */) {
        return text_mode;
    }
    if (n >= SOME && c.high == 0) {
        return seven_bits;
    }
    if ((c.latin >= 16 && 2 * c.latin == c.high) || (c.replaced >= 8 && 3 * c.replaced > n / 8)) {
        return decoded_text;
    }
    return NULL;
}

/* A character of text in ASCII, or a line end. */
static bool is_plain(uint8_t b)
{
    return (b >= ' ' && b <= '~') || (b >= '\t' && b <= '\r');
}

bool transfer_has_dos_lines(const uint8_t *bytes, size_t n, struct errbuf *e)
{
    enum { ENOUGH = 16 };
    bool is_seen[256] = {false};
    int n_seen = 0; /* different bytes after a line end: data that repeat themselves prove nothing */
    const uint8_t *end = n ? bytes + n - 1 : bytes;
    for (const uint8_t *at = bytes; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++) {
        bool has_cr = at > bytes && at[-1] == '\r';
        const uint8_t *before = at - 1 - has_cr;
        if (before >= bytes && is_plain(*before) && is_plain(at[1])) {
            continue; /* a line of XMP, say, which may well end so */
        }
        if (!has_cr) {
            return false;
        }
        n_seen += !is_seen[at[1]];
        is_seen[at[1]] = true;
    }
    if (n_seen < ENOUGH) {
        return false;
    }
    err_set(e, ERR_CORRUPT_IMAGE, "%s", text_mode);
    return true;
}

/* ---- bytes before the picture ---- */

static bool explain_offset(const uint8_t *bytes, size_t n, struct errbuf *e)
{
    enum { FAR = 4096 };
    if (n >= 3 && memcmp(bytes, "PNG", 3) == 0) {
        err_set(e, ERR_CORRUPT_IMAGE, "the first byte of the PNG signature is missing; send the whole file");
        return true;
    }
    if (n == 0 || transfer_signature(bytes, n)) {
        return false; /* it begins as it should */
    }
    for (size_t at = 1; at < n && at <= FAR; at++) {
        const char *name = transfer_signature(bytes + at, n - at);
        if (name) {
            err_set(e, ERR_CORRUPT_IMAGE,
                    "there %s %zu byte%s before the %s signature; send the file from its first byte",
                    at == 1 ? "is" : "are", at, at == 1 ? "" : "s", name);
            return true;
        }
    }
    return false;
}

bool transfer_explain(const uint8_t *bytes, size_t n, struct errbuf *e)
{
    const char *told = told_by_beginning(bytes, n);
    if (!told && explain_offset(bytes, n, e)) {
        return true;
    }
    told = told ? told : told_by_counts(bytes, n);
    if (told) {
        err_set(e, ERR_CORRUPT_IMAGE, "%s", told);
    }
    return told != NULL;
}
