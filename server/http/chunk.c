#include "server/http/chunk.h"

#include "server/http/head.h"

#include <string.h>

enum step {
    SIZE,
    SIZE_SPACE,
    EXTENSION,
    SIZE_END,
    DATA,
    DATA_RETURN,
    DATA_END,
    TRAILER,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_END,
    LAST_END,
    WHOLE
};

void chunk_init(struct chunk *c)
{
    *c = (struct chunk){.step = SIZE};
}

static bool refuse(struct chunk *c, const char *message)
{
    c->message = message;
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool count_extra(struct chunk *c)
{
    return ++c->n_extra <= CHUNK_MAX_EXTRA || refuse(c, "chunk extensions and trailers are too long");
}

static const char *const bad_size = "a chunk must begin with its size in hex digits and CR LF";

/* Blanks behind a size belong to an extension, or nowhere. */
static bool read_size_space(struct chunk *c, char byte)
{
    c->step = byte == ';' ? EXTENSION : SIZE_SPACE;
    return byte == ';' || (is_blank(byte) ? count_extra(c) : refuse(c, bad_size));
}

static bool read_size(struct chunk *c, char byte)
{
    int digit = head_hex(byte);
    if (digit >= 0) {
        if (++c->n_digits > CHUNK_MAX_DIGITS || c->left >> 56) {
            return refuse(c, "a chunk size is too large");
        }
        c->left = c->left * 16 + (uint64_t)digit;
        return true;
    }
    if (c->n_digits == 0) {
        return refuse(c, bad_size);
    }
    c->step = SIZE_END;
    return byte == '\r' || read_size_space(c, byte);
}

/* Text that is skipped: up to its CR, then next. */
static bool skip_text(struct chunk *c, char byte, enum step next)
{
    if (byte == '\r') {
        c->step = (int)next;
        return true;
    }
    if (((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f) {
        return refuse(c, "a chunk extension or trailer has a control character");
    }
    return count_extra(c);
}

static bool read_end(struct chunk *c, char byte, char expected, enum step next)
{
    c->step = (int)next;
    return byte == expected || refuse(c, "chunks and their sizes must end in CR LF");
}

static bool read_trailer_name(struct chunk *c, char byte)
{
    bool is_first = c->step == TRAILER;
    if (byte == '\r' && is_first) {
        c->step = LAST_END;
        return true;
    }
    c->step = byte == ':' ? TRAILER_VALUE : TRAILER_NAME;
    if (!head_is_token_char((unsigned char)byte) && (byte != ':' || is_first)) {
        return refuse(c, "each trailer must be a name, a colon directly after it, and a value, on one line");
    }
    return count_extra(c);
}

/* One byte that is not data. */
static bool read_byte(struct chunk *c, char byte)
{
    switch (c->step) {
    case SIZE:
        return read_size(c, byte);
    case SIZE_SPACE:
        return read_size_space(c, byte);
    case EXTENSION:
        return skip_text(c, byte, SIZE_END);
    case SIZE_END:
        return read_end(c, byte, '\n', c->left ? DATA : TRAILER);
    case DATA_RETURN:
        return read_end(c, byte, '\r', DATA_END);
    case DATA_END:
        c->n_digits = 0;
        return read_end(c, byte, '\n', SIZE);
    case TRAILER: /* the first byte of a line after the last chunk */
    case TRAILER_NAME:
        return read_trailer_name(c, byte);
    case TRAILER_VALUE:
        return skip_text(c, byte, TRAILER_END);
    case TRAILER_END:
        return read_end(c, byte, '\n', TRAILER);
    default:
        return read_end(c, byte, '\n', WHOLE);
    }
}

enum chunk_state chunk_read(struct chunk *c, char *bytes, size_t n, size_t *n_taken, size_t *n_data)
{
    size_t at = 0, data = 0;
    bool is_good = true;
    while (at < n && c->step != WHOLE && is_good) {
        if (c->step != DATA) {
            is_good = read_byte(c, bytes[at++]);
            continue;
        }
        size_t k = n - at < c->left ? n - at : (size_t)c->left;
        if (data != at) {
            memmove(bytes + data, bytes + at, k);
        }
        data += k;
        at += k;
        c->left -= k;
        c->step = c->left ? DATA : DATA_RETURN;
    }
    *n_taken = at;
    *n_data = data;
    return !is_good ? CHUNK_REFUSED : c->step == WHOLE ? CHUNK_WHOLE : CHUNK_MORE;
}
