#include "engine/image/png_text.h"

#include "engine/image/exif.h"
#include "engine/image/xmp.h"

#include <stdbool.h>
#include <string.h>

#include <zlib.h>

enum { UNPACKED_BYTES = 16384, PROFILE_BYTES = 4096, MAX_UNPACKED = 4 };

struct span {
    const uint8_t *at;
    size_t n;
};

static void drop(struct span *s, size_t n)
{
    n = n < s->n ? n : s->n;
    s->at += n;
    s->n -= n;
}

/* Moves past the next byte of this value; false if there is none. */
static bool drop_through(struct span *s, uint8_t value)
{
    const uint8_t *found = s->n ? memchr(s->at, value, s->n) : NULL;
    drop(s, found ? (size_t)(found - s->at) + 1 : s->n);
    return found != NULL;
}

/* The beginning of a compressed text; as much as could be unpacked. */
static struct span unpack(struct span packed, uint8_t *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.at,
                  .avail_in = (uInt)packed.n,
                  .next_out = out,
                  .avail_out = UNPACKED_BYTES};
    if (inflateInit(&z) != Z_OK) {
        return (struct span){out, 0};
    }
    inflate(&z, Z_SYNC_FLUSH);
    inflateEnd(&z);
    return (struct span){out, UNPACKED_BYTES - z.avail_out};
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "\nexif\n     1234\n" and the digits, broken into lines. */
static size_t read_profile(struct span text, uint8_t block[PROFILE_BYTES])
{
    size_t n = 0;
    int high = -1;
    if (!drop_through(&text, '\n') || !drop_through(&text, '\n') || !drop_through(&text, '\n')) {
        return 0;
    }
    for (; text.n && n < PROFILE_BYTES; drop(&text, 1)) {
        int digit = hex_digit(*text.at);
        if (digit >= 0 && high >= 0) {
            block[n++] = (uint8_t)(high << 4 | digit);
            high = -1;
        } else if (digit >= 0) {
            high = digit;
        }
    }
    return n;
}

/* What is called APP1 may be either. */
static void add_profile(struct png_text *t, struct span text)
{
    uint8_t block[PROFILE_BYTES];
    size_t n = read_profile(text, block);
    t->exif = t->exif ? t->exif : exif_orientation(block, n);
    t->xmp = t->xmp ? t->xmp : xmp_orientation(block, n);
}

static bool is_key(struct span body, const char *key)
{
    size_t n = strlen(key) + 1; /* with its NUL */
    return body.n > n && memcmp(body.at, key, n) == 0;
}

bool png_text_is_one(const uint8_t *name)
{
    return memcmp(name, "tEXt", 4) == 0 || memcmp(name, "zTXt", 4) == 0 || memcmp(name, "iTXt", 4) == 0;
}

void png_text_read(struct png_text *t, const uint8_t *name, const uint8_t *body, size_t n)
{
    uint8_t unpacked[UNPACKED_BYTES];
    struct span text = {body, n};
    bool is_profile = is_key(text, "Raw profile type exif") || is_key(text, "Raw profile type APP1") ||
                      is_key(text, "Raw profile type xmp");
    if (!is_profile && !is_key(text, "XML:com.adobe.xmp")) {
        return;
    }
    bool is_packed = memcmp(name, "zTXt", 4) == 0;
    drop_through(&text, 0);
    if (memcmp(name, "iTXt", 4) == 0) { /* flag, method, language, translated key */
        is_packed = text.n > 0 && text.at[0] == 1;
        drop(&text, 2);
        drop_through(&text, 0);
        drop_through(&text, 0);
    } else if (is_packed) {
        drop(&text, 1);
    } else if (memcmp(name, "tEXt", 4) != 0) {
        return;
    }
    if (is_packed) {
        if (t->_n_unpacked++ >= MAX_UNPACKED) {
            return;
        }
        text = unpack(text, unpacked);
    }
    if (is_profile) {
        add_profile(t, text);
    } else if (!is_profile && !t->xmp) {
        t->xmp = xmp_orientation(text.at, text.n);
    }
}
