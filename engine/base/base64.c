#include "engine/base/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value of a character, or one of these. */
enum { BAD = 0x80, SPACE = 0x40, PAD = 0x41 };

/* Values are stored plus one, so that every character not named here is BAD. */
#define V(c, value) [(unsigned char)(c)] = (value) + 1
static const uint8_t table[256] = {
    V('A', 0),  V('B', 1),  V('C', 2),   V('D', 3),     V('E', 4),      V('F', 5),      V('G', 6),     V('H', 7),
    V('I', 8),  V('J', 9),  V('K', 10),  V('L', 11),    V('M', 12),     V('N', 13),     V('O', 14),    V('P', 15),
    V('Q', 16), V('R', 17), V('S', 18),  V('T', 19),    V('U', 20),     V('V', 21),     V('W', 22),    V('X', 23),
    V('Y', 24), V('Z', 25), V('a', 26),  V('b', 27),    V('c', 28),     V('d', 29),     V('e', 30),    V('f', 31),
    V('g', 32), V('h', 33), V('i', 34),  V('j', 35),    V('k', 36),     V('l', 37),     V('m', 38),    V('n', 39),
    V('o', 40), V('p', 41), V('q', 42),  V('r', 43),    V('s', 44),     V('t', 45),     V('u', 46),    V('v', 47),
    V('w', 48), V('x', 49), V('y', 50),  V('z', 51),    V('0', 52),     V('1', 53),     V('2', 54),    V('3', 55),
    V('4', 56), V('5', 57), V('6', 58),  V('7', 59),    V('8', 60),     V('9', 61),     V('+', 62),    V('/', 63),
    V('-', 62), V('_', 63), V('=', PAD), V(' ', SPACE), V('\t', SPACE), V('\r', SPACE), V('\n', SPACE)};
#undef V

static unsigned value_of(char c)
{
    uint8_t stored = table[(unsigned char)c];
    return stored ? stored - 1u : BAD;
}

size_t base64_encoded_size(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* What has been read of the current group of four characters. */
struct group {
    uint32_t bits;
    int n_values, n_pads;
};

/* Takes one character that is not a space. Returns what is wrong with it, or NULL. */
static const char *add_value(struct group *g, unsigned value)
{
    if (value == PAD) {
        if (g->n_values < 2) {
            return "'=' where a character is due";
        }
        g->n_pads++;
        return g->n_values + g->n_pads > 4 ? "an '=' too many" : NULL;
    }
    if (value == BAD) {
        return "not a character of base64";
    }
    if (g->n_pads) {
        return "a character after '='";
    }
    g->bits = g->bits << 6 | value;
    g->n_values++;
    return NULL;
}

/* Writes the bytes of a full group and begins the next; a group with padding stays, so that nothing may follow. */
static const char *finish(struct group *g, uint8_t **to)
{
    if (g->n_values + g->n_pads != 4) {
        return NULL;
    }
    uint32_t bits = g->bits << 6 * g->n_pads;
    uint32_t unused = g->n_pads == 2 ? bits & 0xffff : g->n_pads == 1 ? bits & 0xff : 0;
    if (unused) {
        return "bits left over at the end";
    }
    for (int i = 0; i < 3 - g->n_pads; i++) {
        *(*to)++ = (uint8_t)(bits >> (16 - 8 * i));
    }
    if (g->n_pads == 0) {
        *g = (struct group){.n_values = 0};
    }
    return NULL;
}

static bool has_either(const char *text, size_t n, char a, char b)
{
    return n && (memchr(text, a, n) || memchr(text, b, n));
}

/* A space in the middle of four characters, where lines do not end: query strings and forms turn each '+' into a
 * space. */
static bool was_plus(const char *text, size_t n, size_t at, const struct group *g)
{
    return text[at] == ' ' && g->n_values > 0 && g->n_pads == 0 && at + 1 < n && value_of(text[at - 1]) < 64 &&
           value_of(text[at + 1]) < 64;
}

static enum err refuse(const char *wrong, const char *text, size_t at, struct errbuf *e)
{
    unsigned char c = (unsigned char)text[at];
    if (value_of(text[at]) == BAD && c > ' ' && c < 0x7f) {
        return err_set(e, ERR_BAD_REQUEST, "base64: %s at character %zu: %c", wrong, at + 1, c);
    }
    return err_set(e, ERR_BAD_REQUEST, "base64: %s at character %zu", wrong, at + 1);
}

enum err base64_decode(const char *text, size_t n, void *out, size_t *n_out, struct errbuf *e)
{
    uint8_t *to = out;
    struct group g = {.n_values = 0};
    bool has_plus = has_either(text, n, '+', '-'); /* before it is overwritten */
    *n_out = 0;
    if (has_either(text, n, '-', '_') && has_either(text, n, '+', '/')) {
        return err_set(e, ERR_BAD_REQUEST,
                       "base64: both '+' or '/' and '-' or '_'; use the characters of one alphabet");
    }
    for (size_t i = 0; i < n;) {
        /* The common case: four plain characters, three bytes. Writing never overtakes reading. */
        if (g.n_values == 0 && n - i >= 4) {
            unsigned a = value_of(text[i]), b = value_of(text[i + 1]), c = value_of(text[i + 2]),
                     d = value_of(text[i + 3]);
            if ((a | b | c | d) < 64) {
                uint32_t bits = a << 18 | b << 12 | c << 6 | d;
                to[0] = (uint8_t)(bits >> 16);
                to[1] = (uint8_t)(bits >> 8);
                to[2] = (uint8_t)bits;
                to += 3;
                i += 4;
                continue;
            }
        }
        unsigned value = value_of(text[i]);
        const char *wrong = value == SPACE ? NULL : add_value(&g, value);
        wrong = wrong || value == SPACE ? wrong : finish(&g, &to);
        if (value == SPACE && !has_plus && was_plus(text, n, i, &g)) {
            wrong = "a space that was a '+' (write it as %2B in query strings and forms)";
        }
        if (wrong) {
            return refuse(wrong, text, i, e);
        }
        i++;
    }
    if (g.n_pads == 0 && (g.n_values == 2 || g.n_values == 3)) { /* without padding */
        g.n_pads = 4 - g.n_values;
        const char *wrong = finish(&g, &to);
        if (wrong) {
            return refuse(wrong, text, n - 1, e);
        }
    }
    if (g.n_values + g.n_pads != 0 && g.n_values + g.n_pads != 4) {
        return err_set(e, ERR_BAD_REQUEST, "base64: the end is missing: %d of 4 characters in the last group",
                       g.n_values + g.n_pads);
    }
    *n_out = (size_t)(to - (uint8_t *)out);
    return OK;
}

void base64_encode(const void *bytes, size_t n, char *out)
{
    const uint8_t *from = bytes;
    for (; n >= 3; n -= 3, from += 3) {
        uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = alphabet[bits >> 6 & 63];
        *out++ = alphabet[bits & 63];
    }
    if (n) {
        uint32_t bits = (uint32_t)from[0] << 16 | (n == 2 ? (uint32_t)from[1] << 8 : 0);
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = n == 2 ? alphabet[bits >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '\0';
}
