#include "engine/image/heif_boxes.h"

#include "engine/image/heif_coded.h"
#include "engine/image/isobox.h"
#include "engine/image/limits.h"

#include <string.h>

/* The 192 tiles of 48 megapixels, their gain map and thumbnails fit many times. The bounds
 * keep repeated walks short here, and what the library allocates for each box small. */
enum {
    MAX_ITEMS = 1024,
    MAX_TILES = 512,
    MAX_REFERENCES = 4096,
    MAX_PROPERTIES = 2048,
    MAX_PROPERTIES_OF_ITEM = 32,
    MAX_AUXILIARIES = 64,
    MAX_BOXES = 256 /* of the file, and of its meta box */
};

/* ---- the parts of the meta box ---- */

struct file {
    struct isobox_span whole;
    struct isobox_span iinf, iloc, iref, ipma, ipco, idat; /* iref, idat may be empty; iinf, iref: the list alone */
    int n_reference_id;                                    /* bytes of an item's number in iref */
    uint32_t primary;
    bool is_sequence;
    struct errbuf *e;
};

static enum err corrupt(const struct file *f, const char *what)
{
    return err_set(f->e, ERR_CORRUPT_IMAGE, "HEIF: %s; send an undamaged copy", what);
}

static enum err unsupported(const struct file *f, const char *what)
{
    return err_set(f->e, ERR_UNSUPPORTED_IMAGE, "HEIF: %s is not supported; save it as JPEG", what);
}

/* Opens the lists of items, references and properties, none of them too long. */
static enum err open_lists(struct file *f, struct isobox_span properties)
{
    uint64_t n_items = isobox_take(&f->iinf, isobox_version(&f->iinf, NULL) == 0 ? 2 : 4);
    f->n_reference_id = isobox_version(&f->iref, NULL) == 0 ? 2 : 4;
    if (n_items > MAX_ITEMS || isobox_has_more(f->iinf, MAX_ITEMS) || isobox_has_more(f->iref, MAX_REFERENCES) ||
        isobox_has_more(f->ipco, MAX_PROPERTIES) || isobox_has_more(properties, MAX_BOXES)) {
        return err_set(f->e, ERR_IMAGE_TOO_LARGE, "HEIF: more than %d items in it; send a smaller copy", MAX_ITEMS);
    }
    return OK;
}

static enum err read_meta(struct file *f)
{
    struct isobox_span meta, part;
    bool has_many = isobox_has_more(f->whole, MAX_BOXES);
    f->is_sequence = !has_many && isobox_find(f->whole, "moov", &part);
    if (has_many || !isobox_find(f->whole, "meta", &meta)) {
        if (f->is_sequence) {
            return err_set(f->e, ERR_UNSUPPORTED_IMAGE,
                           "HEIF: a video without a still picture; send one of its frames as JPEG");
        }
        return corrupt(f, "the box that describes its pictures (meta) is missing");
    }
    isobox_version(&meta, NULL);
    if (isobox_has_more(meta, MAX_BOXES) || !isobox_find(meta, "pitm", &part)) {
        return corrupt(f, "it has no primary picture");
    }
    f->primary = (uint32_t)isobox_take(&part, isobox_version(&part, NULL) == 0 ? 2 : 4);
    isobox_find(meta, "idat", &f->idat);
    isobox_find(meta, "iref", &f->iref);
    if (part.is_short || !isobox_find(meta, "iinf", &f->iinf) || !isobox_find(meta, "iloc", &f->iloc) ||
        !isobox_find(meta, "iprp", &part) || !isobox_find(part, "ipco", &f->ipco) ||
        !isobox_find(part, "ipma", &f->ipma)) {
        return corrupt(f, "boxes that describe its pictures are missing");
    }
    return open_lists(f, part);
}

/* The four letters of an item's type; NULL for an unknown item, or two of this number. */
static const uint8_t *type_of(const struct file *f, uint32_t id)
{
    struct isobox_span list = f->iinf;
    struct isobox b;
    const uint8_t *type = NULL;
    while (isobox_next(&list, &b)) {
        int version = isobox_version(&b.body, NULL);
        uint32_t found = (uint32_t)isobox_take(&b.body, version == 2 ? 2 : 4);
        if (version >= 2 && found == id && b.body.n >= 6) {
            if (type) {
                return NULL;
            }
            type = b.body.at + 2; /* after the protection index */
        }
    }
    return type;
}

/* The bytes of an item. */
static enum err find_data(const struct file *f, uint32_t id, struct isobox_span *out)
{
    struct isobox_span s = f->iloc;
    int version = isobox_version(&s, NULL);
    uint32_t sizes = (uint32_t)isobox_take(&s, 2), n_items = (uint32_t)isobox_take(&s, version < 2 ? 2 : 4);
    int n_offset = sizes >> 12 & 15, n_length = sizes >> 8 & 15, n_base = sizes >> 4 & 15, n_index = sizes & 15;
    if (n_offset > 8 || n_length > 8 || n_base > 8 || n_index > 8 || version > 2 || n_items > MAX_ITEMS) {
        return corrupt(f, "the places of its pictures (iloc) are not valid");
    }
    for (uint32_t i = 0; i < n_items && !s.is_short; i++) {
        uint32_t found = (uint32_t)isobox_take(&s, version < 2 ? 2 : 4);
        int method = version > 0 ? (int)(isobox_take(&s, 2) & 15) : 0;
        uint32_t other_file = (uint32_t)isobox_take(&s, 2);
        uint64_t base = isobox_take(&s, n_base);
        uint32_t n_extents = (uint32_t)isobox_take(&s, 2);
        size_t n_extent = (size_t)(n_offset + n_length + (version > 0 ? n_index : 0));
        if (found != id) {
            s = isobox_skip(s, n_extents * n_extent);
            continue;
        }
        if (other_file || method > 1 || n_extents != 1) {
            return unsupported(f, "a picture in another file or in pieces");
        }
        isobox_take(&s, version > 0 ? n_index : 0);
        uint64_t offset = isobox_take(&s, n_offset) + base, length = isobox_take(&s, n_length);
        struct isobox_span from = method == 1 ? f->idat : f->whole;
        if (s.is_short || offset > from.n) {
            return corrupt(f, "the file is cut short: a picture lies beyond its end");
        }
        *out = isobox_skip(from, (size_t)offset);
        if (length > out->n) {
            return corrupt(f, "the file is cut short: the end of a picture is missing");
        }
        out->n = (size_t)length;
        return length ? OK : corrupt(f, "an empty picture");
    }
    return corrupt(f, "a picture has no place (iloc)");
}

/* Property number `index` of ipco, from 1 on. */
static bool find_property(const struct file *f, uint32_t index, struct isobox *out)
{
    struct isobox_span list = f->ipco;
    for (uint32_t i = 1; i <= index; i++) {
        if (!isobox_next(&list, out)) {
            return false;
        }
    }
    return index > 0;
}

/* ---- items ---- */

struct item {
    uint32_t id, width, height;
    const uint8_t *type;       /* four letters */
    struct isobox_span config; /* body of hvcC or av1C */
    int turns;                 /* by 90 degrees, to the left */
    int mirror;                /* -1: none, 0 or 1: the axis */
    bool is_alpha, has_icc, is_deep, is_limited;
};

static void read_property(struct item *item, struct isobox *p)
{
    struct isobox_span body = p->body;
    if (isobox_is_named(p, "ispe")) {
        isobox_version(&body, NULL);
        item->width = (uint32_t)isobox_take(&body, 4);
        item->height = (uint32_t)isobox_take(&body, 4);
    } else if (isobox_is_named(p, "hvcC") || isobox_is_named(p, "av1C")) {
        item->config = body;
    } else if (isobox_is_named(p, "irot")) {
        item->turns = (int)(isobox_take(&body, 1) & 3);
    } else if (isobox_is_named(p, "imir")) {
        item->mirror = (int)(isobox_take(&body, 1) & 1);
    } else if (isobox_is_named(p, "colr")) {
        item->has_icc |= body.n >= 4 && (memcmp(body.at, "prof", 4) == 0 || memcmp(body.at, "rICC", 4) == 0);
        item->is_limited |= body.n >= 11 && memcmp(body.at, "nclx", 4) == 0 && !(body.at[10] & 0x80);
    } else if (isobox_is_named(p, "pixi")) {
        isobox_version(&body, NULL);
        item->is_deep |= isobox_take(&body, 1) > 0 && isobox_take(&body, 1) > 8;
    } else if (isobox_is_named(p, "auxC")) {
        static const char *const names[] = {"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1",
                                            "urn:mpeg:avc:2015:auxid:1"};
        isobox_version(&body, NULL);
        for (int i = 0; i < 3; i++) {
            size_t n = strlen(names[i]);
            item->is_alpha |= body.n >= n && memcmp(body.at, names[i], n) == 0;
        }
    }
}

static bool read_properties(const struct file *f, struct item *item)
{
    uint32_t flags;
    struct isobox_span s = f->ipma;
    int version = isobox_version(&s, &flags), n_read = 0;
    uint32_t n_items = (uint32_t)isobox_take(&s, 4);
    for (uint32_t i = 0; i < n_items && !s.is_short; i++) {
        uint32_t found = (uint32_t)isobox_take(&s, version < 1 ? 2 : 4), n = (uint32_t)isobox_take(&s, 1);
        if (found != item->id) {
            s = isobox_skip(s, n * (flags & 1 ? 2 : 1));
            continue;
        }
        for (; n > 0; n--) {
            uint32_t index = flags & 1 ? isobox_take(&s, 2) & 0x7fff : isobox_take(&s, 1) & 0x7f;
            struct isobox p;
            if (n_read++ == MAX_PROPERTIES_OF_ITEM) {
                return false;
            }
            if (find_property(f, index, &p)) {
                read_property(item, &p);
            }
        }
    }
    return n_items <= MAX_ITEMS && !s.is_short;
}

static enum err find_item(const struct file *f, uint32_t id, struct item *out)
{
    *out = (struct item){.id = id, .type = type_of(f, id), .mirror = -1};
    if (!out->type) {
        return corrupt(f, "a picture that it refers to is missing");
    }
    if (!read_properties(f, out)) {
        return corrupt(f, "the list of properties (ipma) is not valid");
    }
    if (out->width == 0 || out->height == 0) {
        return corrupt(f, "a picture without a size (ispe)");
    }
    return OK;
}

static bool is_type(const struct item *item, const char *type)
{
    return memcmp(item->type, type, 4) == 0;
}

/* By the configuration of its codec. */
static bool is_grey(const struct item *item, bool is_av1)
{
    enum { AV1_AT = 2, AV1_GREY = 0x10, HEVC_AT = 16, HEVC_CHROMA = 3 };
    const struct isobox_span *c = &item->config;
    return is_av1 ? c->n > AV1_AT && c->at[AV1_AT] & AV1_GREY : c->n > HEVC_AT && !(c->at[HEVC_AT] & HEVC_CHROMA);
}

static uint64_t rounded(uint32_t side)
{
    return ((uint64_t)side + 63) / 64 * 64;
}

/* A coded picture: no larger than declared, rounded up to whole blocks. */
static enum err check_coded(const struct file *f, const struct item *item, struct heif_boxes *out)
{
    struct isobox_span data;
    struct heif_coded_size size;
    bool is_av1 = is_type(item, "av01");
    if (!is_av1 && !is_type(item, "hvc1")) {
        return err_set(f->e, ERR_UNSUPPORTED_IMAGE, "HEIF: pictures of type %.4s are not supported; save it as JPEG",
                       (const char *)item->type);
    }
    enum err rc = find_data(f, item->id, &data);
    if (rc) {
        return rc;
    }
    bool is_good = is_av1 ? heif_coded_av1(item->config.at, item->config.n, data.at, data.n, &size)
                          : heif_coded_hevc(item->config.at, item->config.n, data.at, data.n, &size);
    if (!is_good) {
        return corrupt(f, "a picture without a valid header, or a video instead of a picture");
    }
    if (size.width > rounded(item->width) || size.height > rounded(item->height)) {
        return corrupt(f, "a picture is larger than the file says");
    }
    uint32_t width = (uint32_t)rounded(size.width), height = (uint32_t)rounded(size.height);
    if ((uint64_t)width * height > (uint64_t)out->coded_width * out->coded_height) {
        out->coded_width = width;
        out->coded_height = height;
    }
    out->is_deep |= size.is_deep;
    out->is_av1 |= is_av1;
    out->is_grey |= is_grey(item, is_av1);
    out->is_limited |= item->is_limited;
    return OK;
}

/* The items that a grid is made of: their numbers, one after the other. */
static struct isobox_span tiles_of(const struct file *f, uint32_t grid)
{
    struct isobox_span list = f->iref, found = {NULL, 0, false};
    struct isobox b;
    int n_boxes = 0;
    while (isobox_next(&list, &b)) {
        if (isobox_is_named(&b, "dimg") && isobox_take(&b.body, f->n_reference_id) == grid) {
            size_t n = (size_t)isobox_take(&b.body, 2) * (size_t)f->n_reference_id;
            found = (struct isobox_span){b.body.at, n < b.body.n ? n : b.body.n, false};
            n_boxes++;
        }
    }
    return n_boxes == 1 ? found : (struct isobox_span){NULL, 0, false};
}

static bool has_twice(struct isobox_span ids, size_t n_id)
{
    for (; ids.n >= 2 * n_id; ids = isobox_skip(ids, n_id)) {
        for (struct isobox_span rest = isobox_skip(ids, n_id); rest.n >= n_id; rest = isobox_skip(rest, n_id)) {
            if (memcmp(ids.at, rest.at, n_id) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The last tiles may stick out, by less than one. */
static enum err check_tiles(const struct file *f, const struct item *grid, struct isobox_span ids, uint32_t rows,
                            uint32_t columns, struct heif_boxes *out)
{
    struct item tile, first = {.width = 0};
    for (uint32_t i = 0; i < rows * columns; i++) {
        enum err rc = find_item(f, (uint32_t)isobox_take(&ids, f->n_reference_id), &tile);
        rc = rc ? rc : check_coded(f, &tile, out);
        if (rc) {
            return rc;
        }
        first = i == 0 ? tile : first;
        if (tile.width != first.width || tile.height != first.height) {
            return corrupt(f, "a grid of pictures of different sizes");
        }
    }
    uint64_t width = (uint64_t)first.width * columns, height = (uint64_t)first.height * rows;
    if (width - first.width >= grid->width || height - first.height >= grid->height ||
        width * height > 4 * (uint64_t)grid->width * grid->height + (4 << 20)) {
        return corrupt(f, "a grid that is much smaller than its pictures");
    }
    return OK;
}

static enum err check_grid(const struct file *f, const struct item *grid, struct heif_boxes *out)
{
    struct isobox_span data, ids = tiles_of(f, grid->id);
    enum err rc = find_data(f, grid->id, &data);
    if (rc) {
        return rc;
    }
    isobox_take(&data, 1);
    int n_side = isobox_take(&data, 1) & 1 ? 4 : 2;
    uint32_t rows = (uint32_t)isobox_take(&data, 1) + 1, columns = (uint32_t)isobox_take(&data, 1) + 1;
    uint64_t width = isobox_take(&data, n_side), height = isobox_take(&data, n_side);
    if (data.is_short || width != grid->width || height != grid->height) {
        return corrupt(f, "a grid of pictures that is not as large as the file says");
    }
    if (rows * columns > MAX_TILES) {
        return err_set(f->e, ERR_IMAGE_TOO_LARGE, "HEIF: a grid of more than %d pictures; send a smaller copy",
                       MAX_TILES);
    }
    if (ids.n != (size_t)rows * columns * (size_t)f->n_reference_id || has_twice(ids, (size_t)f->n_reference_id)) {
        return corrupt(f, "a grid whose pictures are missing or there twice");
    }
    return check_tiles(f, grid, ids, rows, columns, out);
}

static enum err check_item(const struct file *f, const struct item *item, struct heif_boxes *out)
{
    return is_type(item, "grid") ? check_grid(f, item, out) : check_coded(f, item, out);
}

/* The auxiliary items of the primary one that are its alpha. */
static enum err check_alpha(const struct file *f, struct heif_boxes *out)
{
    struct isobox_span list = f->iref;
    struct isobox b;
    int n_auxiliaries = 0;
    while (isobox_next(&list, &b)) {
        struct item item;
        uint32_t from = (uint32_t)isobox_take(&b.body, f->n_reference_id);
        if (!isobox_is_named(&b, "auxl")) {
            continue;
        }
        if (n_auxiliaries++ == MAX_AUXILIARIES || isobox_take(&b.body, 2) != 1) {
            return corrupt(f, "too many auxiliary pictures");
        }
        enum err rc = find_item(f, from, &item);
        if (!rc && item.is_alpha && isobox_take(&b.body, f->n_reference_id) == f->primary) {
            rc = out->has_alpha ? corrupt(f, "two alpha pictures") : check_item(f, &item, out);
            out->has_alpha = true;
            if (!rc && (item.width != out->width || item.height != out->height)) {
                rc = unsupported(f, "an alpha picture of another size");
            }
        }
        if (rc) {
            return rc;
        }
    }
    return OK;
}

static int orientation_of(const struct item *item)
{
    static const int table[3][4] = {{1, 8, 3, 6}, {4, 5, 2, 7}, {2, 7, 4, 5}}; /* not mirrored, axis 0, axis 1 */
    return table[item->mirror + 1][item->turns];
}

enum err heif_boxes_read(const uint8_t *bytes, size_t n, uint64_t max_pixels, struct heif_boxes *out, struct errbuf *e)
{
    struct file f = {.whole = {bytes, n, false}, .e = e};
    struct item primary;
    *out = (struct heif_boxes){.width = 0};
    enum err rc = read_meta(&f);
    rc = rc ? rc : find_item(&f, f.primary, &primary);
    rc = rc ? rc : limits_check(primary.width, primary.height, max_pixels, "", e);
    if (rc) {
        return rc;
    }
    out->width = primary.width;
    out->height = primary.height;
    out->orientation = orientation_of(&primary);
    out->is_grid = is_type(&primary, "grid");
    out->is_sequence = f.is_sequence;
    out->has_icc = primary.has_icc;
    out->is_deep = primary.is_deep;
    out->is_limited = primary.is_limited;
    rc = check_item(&f, &primary, out);
    bool is_grey_picture = out->is_grey, is_limited = out->is_limited; /* alpha is always grey */
    rc = rc ? rc : check_alpha(&f, out);
    out->is_grey = is_grey_picture;
    out->is_limited = is_limited;
    return rc;
}
