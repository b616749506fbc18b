#include "engine/image/heif_coded.h"

/* ---- bits ---- */

struct bits {
    const uint8_t *bytes;
    size_t n, at;    /* at: in bits */
    bool is_escaped; /* HEVC: a 3 after two zero bytes is not data */
    bool is_short;   /* read beyond the end */
};

static unsigned bit(struct bits *b)
{
    size_t byte = b->at / 8;
    if (b->is_escaped && b->at % 8 == 0 && byte >= 2 && byte < b->n && b->bytes[byte] == 3 && b->bytes[byte - 1] == 0 &&
        b->bytes[byte - 2] == 0) {
        b->at += 8;
        byte++;
    }
    if (byte >= b->n) {
        b->is_short = true;
        return 0;
    }
    unsigned value = b->bytes[byte] >> (7 - b->at % 8) & 1;
    b->at++;
    return value;
}

static uint32_t number(struct bits *b, int n)
{
    uint32_t value = 0;
    while (n-- > 0) {
        value = value << 1 | bit(b);
    }
    return value;
}

/* Exponential Golomb code, ue(v) of HEVC and uvlc() of AV1. */
static uint32_t golomb(struct bits *b)
{
    int zeros = 0;
    while (zeros < 32 && !bit(b) && !b->is_short) {
        zeros++;
    }
    if (zeros >= 32) {
        b->is_short = true;
        return 0;
    }
    return (1u << zeros) - 1 + number(b, zeros);
}

static void enlarge(struct heif_coded_size *s, uint32_t width, uint32_t height)
{
    s->width = width > s->width ? width : s->width;
    s->height = height > s->height ? height : s->height;
}

static size_t read_16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* ---- HEVC ---- */

enum { NAL_SPS = 33, NAL_LAST_SLICE = 31, HVCC_BYTES = 23 };

static void skip_profile(struct bits *b, unsigned max_sub_layers_minus_1)
{
    bool has_profile[8] = {false}, has_level[8] = {false};
    number(b, 32), number(b, 32), number(b, 32);
    for (unsigned i = 0; max_sub_layers_minus_1 > 0 && i < 8; i++) {
        has_profile[i] = bit(b) && i < max_sub_layers_minus_1;
        has_level[i] = bit(b) && i < max_sub_layers_minus_1;
    }
    for (unsigned i = 0; i < max_sub_layers_minus_1; i++) {
        number(b, has_profile[i] ? 32 : 0), number(b, has_profile[i] ? 32 : 0), number(b, has_profile[i] ? 24 : 0);
        number(b, has_level[i] ? 8 : 0);
    }
}

static bool read_sps(const uint8_t *nal, size_t n, struct heif_coded_size *out)
{
    struct bits b = {.bytes = nal, .n = n, .is_escaped = true};
    number(&b, 16 + 4);
    unsigned max_sub_layers_minus_1 = number(&b, 3);
    number(&b, 1);
    skip_profile(&b, max_sub_layers_minus_1);
    golomb(&b);
    if (golomb(&b) == 3) {
        number(&b, 1);
    }
    uint32_t width = golomb(&b), height = golomb(&b);
    enlarge(out, width, height);
    for (int i = bit(&b) ? 4 : 0; i > 0; i--) { /* the visible part */
        golomb(&b);
    }
    out->is_deep |= golomb(&b) > 0;
    return !b.is_short && width > 0 && height > 0;
}

static bool read_config(const uint8_t *config, size_t n, struct heif_coded_size *out)
{
    bool has_size = false;
    size_t at = HVCC_BYTES;
    for (int arrays = n >= HVCC_BYTES ? config[HVCC_BYTES - 1] : 0; arrays > 0; arrays--) {
        if (n - at < 3) {
            return false;
        }
        size_t n_nals = read_16(config + at + 1);
        for (at += 3; n_nals > 0; n_nals--) {
            if (n - at < 2 || n - at - 2 < read_16(config + at)) {
                return false;
            }
            size_t length = read_16(config + at);
            const uint8_t *nal = config + at + 2;
            if (length >= 2 && (nal[0] >> 1 & 63) == NAL_SPS) {
                has_size = true;
                if (!read_sps(nal, length, out)) {
                    return false;
                }
            }
            at += 2 + length;
        }
    }
    return has_size;
}

bool heif_coded_hevc(const uint8_t *config, size_t n_config, const uint8_t *data, size_t n, struct heif_coded_size *out)
{
    *out = (struct heif_coded_size){.width = 0};
    if (!read_config(config, n_config, out)) {
        return false;
    }
    enum { LENGTH_BYTES = 4 }; /* the library takes no other */
    if ((config[HVCC_BYTES - 2] & 3) != LENGTH_BYTES - 1) {
        return false;
    }
    int n_pictures = 0;
    for (size_t at = 0; n - at > LENGTH_BYTES;) {
        size_t length = 0;
        for (size_t i = 0; i < LENGTH_BYTES; i++) {
            length = length << 8 | data[at + i];
        }
        at += LENGTH_BYTES;
        if (length > n - at) {
            return n_pictures == 1; /* cut short: the decoder will say */
        }
        int kind = length >= 3 ? data[at] >> 1 & 63 : 63;
        if (kind == NAL_SPS) {
            return false;
        }
        n_pictures += kind <= NAL_LAST_SLICE && data[at + 2] & 0x80; /* the first slice of a picture */
        if (n_pictures > 1) {
            return false;
        }
        at += length;
    }
    return true;
}

/* ---- AV1 ---- */

enum { OBU_SEQUENCE = 1, OBU_FRAME_HEADER = 3, OBU_FRAME = 6, AV1C_BYTES = 4, MAX_FRAMES = 8 /* layers, not a film */ };

static void skip_operating_points(struct bits *b)
{
    int n_delay = 0;
    if (bit(b)) { /* timing */
        number(b, 32), number(b, 32);
        if (bit(b)) {
            golomb(b);
        }
        if (bit(b)) { /* decoder model */
            n_delay = (int)number(b, 5) + 1;
            number(b, 32), number(b, 10);
        }
    }
    bool has_display_delay = bit(b);
    for (int n = (int)number(b, 5) + 1; n > 0; n--) {
        number(b, 12);
        if (number(b, 5) > 7) {
            bit(b);
        }
        if (n_delay && bit(b)) {
            number(b, n_delay), number(b, n_delay), bit(b);
        }
        if (has_display_delay && bit(b)) {
            number(b, 4);
        }
    }
}

static bool read_sequence(const uint8_t *body, size_t n, struct heif_coded_size *out)
{
    struct bits b = {.bytes = body, .n = n};
    number(&b, 4);
    if (bit(&b)) { /* reduced header of a still picture */
        number(&b, 5);
    } else {
        skip_operating_points(&b);
    }
    int n_width = (int)number(&b, 4) + 1, n_height = (int)number(&b, 4) + 1;
    uint32_t width = number(&b, n_width) + 1, height = number(&b, n_height) + 1;
    enlarge(out, width, height);
    return !b.is_short;
}

/* The size of an OBU after its header; false for a number that does not end. */
static bool read_leb128(const uint8_t *bytes, size_t n, size_t *at, size_t *out)
{
    *out = 0;
    for (int i = 0; i < 5 && *at < n; i++) {
        uint8_t b = bytes[(*at)++];
        *out |= (size_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            return true;
        }
    }
    return false;
}

static bool read_obus(const uint8_t *bytes, size_t n, struct heif_coded_size *out, bool *has_size, int *n_frames)
{
    for (size_t at = 0; at < n;) {
        uint8_t header = bytes[at++];
        size_t length;
        int kind = header >> 3 & 15;
        at += header >> 2 & 1; /* extension */
        if (at > n || (header & 2 && !read_leb128(bytes, n, &at, &length))) {
            return false;
        }
        length = header & 2 && length < n - at ? length : n - at; /* cut short: the decoder will say */
        if (kind == OBU_SEQUENCE) {
            *has_size = true;
            if (!read_sequence(bytes + at, length, out)) {
                return false;
            }
        }
        *n_frames += kind == OBU_FRAME_HEADER || kind == OBU_FRAME;
        at += length;
    }
    return true;
}

bool heif_coded_av1(const uint8_t *config, size_t n_config, const uint8_t *data, size_t n, struct heif_coded_size *out)
{
    bool has_size = false;
    int n_frames = 0;
    *out = (struct heif_coded_size){.width = 0};
    out->is_deep = n_config >= AV1C_BYTES && config[2] & 0x40;
    return n_config >= AV1C_BYTES && read_obus(config + AV1C_BYTES, n_config - AV1C_BYTES, out, &has_size, &n_frames) &&
           read_obus(data, n, out, &has_size, &n_frames) && has_size && n_frames <= MAX_FRAMES;
}
