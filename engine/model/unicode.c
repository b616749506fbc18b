#include "engine/model/unicode.h"

#include "engine/model/unicode_tables.h"

/* Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12). */
enum {
    HANGUL_FIRST = 0xac00,
    HANGUL_LAST = 0xd7a3,
    JAMO_L = 0x1100,
    JAMO_V = 0x1161,
    JAMO_T = 0x11a7,
    N_VT = 21 * 28,
    N_T = 28
};

struct unicode_traits unicode_traits(uint32_t c)
{
    if (c < 0x80) {
        return (struct unicode_traits){.flags = unicode_tables_ascii[c]};
    }
    int low = 0, high = unicode_tables_n_ranges; /* the range is in [low, high), if there is one */
    while (low < high) {
        int middle = (low + high) / 2;
        const struct unicode_tables_range *r = &unicode_tables_ranges[middle];
        if (c < r->first) {
            high = middle;
        } else if (c > r->last) {
            low = middle + 1;
        } else {
            return (struct unicode_traits){.flags = (uint8_t)r->flags, .order = (uint8_t)(r->flags >> 8)};
        }
    }
    return (struct unicode_traits){.flags = 0};
}

static int fold_hangul(uint32_t c, uint32_t out[UNICODE_MAX_FOLD])
{
    uint32_t index = c - HANGUL_FIRST;
    out[0] = JAMO_L + index / N_VT;
    out[1] = JAMO_V + index % N_VT / N_T;
    if (index % N_T == 0) {
        return 2;
    }
    out[2] = JAMO_T + index % N_T;
    return 3;
}

static int fold_entry(uint32_t to, uint32_t out[UNICODE_MAX_FOLD])
{
    int n = (int)(to >> 24 & 0x7f);
    if (!(to >> 31)) {
        out[0] = to;
        return 1;
    }
    for (int i = 0; i < n; i++) {
        out[i] = unicode_tables_parts[(to & 0xffffff) + (uint32_t)i];
    }
    return n;
}

int unicode_fold(uint32_t c, uint32_t out[UNICODE_MAX_FOLD])
{
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
        return 1;
    }
    if (c >= HANGUL_FIRST && c <= HANGUL_LAST) {
        return fold_hangul(c, out);
    }
    int low = 0, high = unicode_tables_n_folds;
    while (low < high) {
        int middle = (low + high) / 2;
        if (unicode_tables_folds[middle].from < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < unicode_tables_n_folds && unicode_tables_folds[low].from == c) {
        return fold_entry(unicode_tables_folds[low].to, out);
    }
    out[0] = c;
    return 1;
}

uint32_t unicode_next(const char **at, const char *end)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* of a form that long */
    const unsigned char *p = (const unsigned char *)*at;
    size_t left = (size_t)(end - *at), n = 0;
    uint32_t c = p[0];
    *at += 1;
    if (c < 0x80) {
        return c;
    }
    if (c >= 0xc2 && c < 0xf5) {
        n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    }
    if (n == 0 || n > left) {
        return UNICODE_REPLACEMENT;
    }
    c &= 0x7fu >> n;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return UNICODE_REPLACEMENT;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[n] || c > UNICODE_MAX || (c >= 0xd800 && c < 0xe000)) {
        return UNICODE_REPLACEMENT;
    }
    *at += n - 1;
    return c;
}

size_t unicode_put(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}
