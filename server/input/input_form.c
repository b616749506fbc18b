/* multipart/form-data (RFC 7578) over a body that is all there. Parts are found by their boundary, nothing is
 * copied. */
#include "server/input/input_private.h"

#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_BOUNDARY = 70, MAX_PART_HEAD = 8192, MAX_PARTS = 1024, MAX_VALUE = 65536, NAME_SIZE = 96, WORD_MAX = 40 };

struct part {
    char name[NAME_SIZE];
    bool has_name, has_star_name; /* star: name*=, which counts where there is no name= */
    bool is_unfilled;             /* filename="": a file field that nobody filled in */
    bool has_filename;
    char transfer[WORD_MAX], type[WORD_MAX]; /* Content-Transfer-Encoding, Content-Type */
    char *bytes;
    size_t n;
};

/* ---- parameters of a header field: ; name=value; name="value" ---- */

struct field {
    const char *at, *end;
    const char *name;
    size_t n_name;
    char value[NAME_SIZE];
    bool is_whole;       /* the value was closed and fits */
    bool has_no_escapes; /* backslashes are of paths, and escape nothing */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n'; /* line ends: folded fields */
}

static void put(struct field *f, size_t *n, char c)
{
    if (*n + 1 < sizeof(f->value)) {
        f->value[(*n)++] = c;
    } else {
        f->is_whole = false;
    }
}

static void read_quoted(struct field *f)
{
    size_t n = 0;
    bool is_closed = false;
    f->is_whole = true;
    for (f->at++; f->at < f->end && !is_closed; f->at++) {
        char c = *f->at;
        bool is_escape = c == '\\' && f->at + 1 < f->end && (f->at[1] == '"' || f->at[1] == '\\');
        if (is_escape && !f->has_no_escapes) {
            put(f, &n, *++f->at);
        } else if (c == '"') {
            is_closed = true;
        } else {
            put(f, &n, c);
        }
    }
    f->value[n] = '\0';
    f->is_whole &= is_closed;
}

static void read_token(struct field *f)
{
    size_t n = 0;
    f->is_whole = true;
    for (; f->at < f->end && *f->at != ';' && !is_space(*f->at); f->at++) {
        put(f, &n, *f->at);
    }
    f->value[n] = '\0';
}

/* The next parameter behind f->at; false: there is none. What has no value is passed over. */
static bool next_parameter(struct field *f)
{
    while ((f->at = memchr(f->at, ';', (size_t)(f->end - f->at)))) {
        for (f->at++; f->at < f->end && is_space(*f->at); f->at++) {
        }
        f->name = f->at;
        while (f->at < f->end && *f->at != '=' && *f->at != ';') {
            f->at++;
        }
        f->n_name = (size_t)(f->at - f->name);
        while (f->n_name > 0 && is_space(f->name[f->n_name - 1])) {
            f->n_name--;
        }
        if (f->at == f->end) {
            return false;
        }
        if (*f->at == ';') {
            continue;
        }
        for (f->at++; f->at < f->end && is_space(*f->at); f->at++) {
        }
        if (f->at < f->end && *f->at == '"') {
            read_quoted(f);
        } else {
            read_token(f);
        }
        return true;
    }
    return false;
}

static bool is_named(const struct field *f, const char *name)
{
    return f->n_name == strlen(name) && strncasecmp(f->name, name, f->n_name) == 0;
}

/* ---- boundary ---- */

/* boundary=x or boundary="x" out of the content type, with the two dashes before it. */
static bool read_boundary(const char *content_type, char *out, size_t *n_out, struct input_fault *f)
{
    struct field field = {.at = content_type, .end = content_type + strlen(content_type)};
    while (next_parameter(&field)) {
        size_t n = strlen(field.value);
        if (is_named(&field, "boundary") && field.is_whole && n >= 1 && n <= MAX_BOUNDARY) {
            memcpy(out, "--", 2);
            memcpy(out + 2, field.value, n);
            *n_out = n + 2;
            return true;
        }
    }
    return input_fail(f, FAULT_BAD_REQUEST, "Content-Type",
                      "multipart/form-data needs boundary= of 1 to %d characters; HTTP clients write this header "
                      "themselves when it is not set by hand",
                      MAX_BOUNDARY);
}

/* ---- the head of a part ---- */

/* name*=UTF-8''image%5B0%5D (RFC 5987); false when it is none. */
static bool read_star_value(const char *value, char *out)
{
    const char *mark = strchr(value, '\''), *at = mark ? strchr(mark + 1, '\'') : NULL;
    size_t n = 0;
    if (!at) {
        return false;
    }
    for (at++; *at; at++) {
        int high = at[0] == '%' ? input_hex(at[1]) : -1, low = high >= 0 ? input_hex(at[2]) : -1;
        if (at[0] == '%' && (low < 0 || high + low == 0)) {
            return false;
        }
        out[n++] = at[0] == '%' ? (char)(high << 4 | low) : at[0];
        at += at[0] == '%' ? 2 : 0;
    }
    out[n] = '\0';
    return true;
}

/* The line of Content-Disposition. False when its name cannot be read. */
static bool read_disposition(const char *line, size_t n, struct part *p, bool has_no_escapes)
{
    struct field f = {.at = line, .end = line + n, .has_no_escapes = has_no_escapes};
    while (next_parameter(&f)) {
        if (is_named(&f, "filename")) {
            p->has_filename = true;
            p->is_unfilled = f.is_whole && !f.value[0];
        } else if (is_named(&f, "name") && !p->has_name) {
            memcpy(p->name, f.value, sizeof(p->name));
            p->has_name = f.is_whole;
            if (!f.is_whole) {
                return false;
            }
        } else if (is_named(&f, "name*") && !p->has_name) {
            p->has_star_name = f.is_whole && read_star_value(f.value, p->name);
        }
    }
    return (p->has_name || p->has_star_name) && p->name[0];
}

/* Length of the line at head, folded ones joined. */
static size_t line_length(const char *head, const char *end)
{
    const char *from = head, *stop;
    while ((stop = memmem(from, (size_t)(end - from), "\r\n", 2))) {
        if (stop + 2 >= end || (stop[2] != ' ' && stop[2] != '\t')) {
            return (size_t)(stop - head);
        }
        from = stop + 2;
    }
    return (size_t)(end - head);
}

static void read_value(const char *value, size_t n, char out[WORD_MAX])
{
    while (n > 0 && is_space(*value)) {
        value++;
        n--;
    }
    while (n > 0 && is_space(value[n - 1])) {
        n--;
    }
    snprintf(out, WORD_MAX, "%.*s", (int)(n < WORD_MAX ? n : WORD_MAX - 1), value);
}

static bool read_part_head(const char *head, size_t n, struct part *p)
{
    static const char disposition[] = "Content-Disposition:", transfer[] = "Content-Transfer-Encoding:",
                      type[] = "Content-Type:";
    const char *end = head + n;
    bool is_good = false;
    for (const char *line = head; line < end;) {
        size_t n_line = line_length(line, end), n_d = sizeof(disposition) - 1, n_t = sizeof(transfer) - 1,
               n_c = sizeof(type) - 1;
        if (n_line > n_d && strncasecmp(line, disposition, n_d) == 0) {
            /* filename="C:\" ends here for those who escape nothing */
            is_good = read_disposition(line + n_d, n_line - n_d, p, false) ||
                      read_disposition(line + n_d, n_line - n_d, p, true);
        } else if (n_line > n_t && strncasecmp(line, transfer, n_t) == 0) {
            read_value(line + n_t, n_line - n_t, p->transfer);
        } else if (n_line > n_c && strncasecmp(line, type, n_c) == 0) {
            read_value(line + n_c, n_line - n_c, p->type);
        }
        line += n_line;
        line += end - line >= 2 ? 2 : end - line;
    }
    return is_good;
}

/* ---- parts ---- */

static bool add_image(struct input_parser *ip, struct part *p, bool is_list, bool has_place, int index)
{
    if (p->is_unfilled && p->n == 0) {
        return true;
    }
    ip->in->has_image_list |= has_place;
    ip->n_image_parts[is_list]++;
    if (p->n == 0 && !p->has_filename && !has_place) {
        ip->empty_image[is_list] = ip->in->n_images + 1;
    }
    if (!input_transfer_decode(p->transfer, p->name, p->bytes, &p->n, ip->fault)) {
        return input_add_bad_image(ip, p->name, index);
    }
    if (strncasecmp(p->type, "multipart/", 10) == 0) {
        input_fail(ip->fault, FAULT_UNSUPPORTED_IMAGE, p->name,
                   "part %s is a form of its own (%s); give each image a part of this form", p->name, p->type);
        return input_add_bad_image(ip, p->name, index);
    }
    if (p->n == 0) {
        input_fail(ip->fault, FAULT_UNSUPPORTED_IMAGE, p->name, "%s is empty: 0 bytes are no image", p->name);
        return input_add_bad_image(ip, p->name, index);
    }
    return input_add_image(ip, p->name, &(struct input_image){.bytes = (const uint8_t *)p->bytes, .n_bytes = p->n},
                           index);
}

static bool add_part(struct input_parser *ip, struct part *p)
{
    size_t n_name;
    int index;
    bool has_place = input_param_place(p->name, &n_name, &index);
    bool is_one = n_name == 5 && memcmp(p->name, "image", 5) == 0,
         is_list = n_name == 6 && memcmp(p->name, "images", 6) == 0;
    if (is_one || is_list) {
        return add_image(ip, p, is_list, has_place, index);
    }
    if (p->n >= MAX_VALUE) {
        return input_fail(ip->fault, FAULT_TEXT_TOO_LONG, p->name, "part %s is too long for a parameter; shorten it",
                          p->name);
    }
    if (p->n > 0 && p->bytes[0] == '"' && input_is_json_type(p->type)) {
        return input_fail(ip->fault, FAULT_BAD_REQUEST, p->name,
                          "part %s is a string in JSON; send it as plain text, without quotes and Content-Type",
                          p->name);
    }
    return input_transfer_decode(p->transfer, p->name, p->bytes, &p->n, ip->fault) &&
           input_param_text(ip, p->name, p->bytes, p->n);
}

/* One empty text field of a name, beside pictures of the other name: a field that nobody filled in. */
static bool finish_images(struct input_parser *ip)
{
    struct input *in = ip->in;
    for (int k = 0; k < 2; k++) {
        int at = ip->empty_image[k] - 1;
        if (at < 0 || ip->n_image_parts[k] > 1 || in->n_images < 2) {
            continue;
        }
        mem_free(in->images[at].fault);
        for (int i = at; i + 1 < in->n_images; i++) {
            in->images[i] = in->images[i + 1];
            ip->image_index[i] = ip->image_index[i + 1];
        }
        in->n_images--;
        ip->n_image_parts[k] = 0;
        ip->empty_image[!k] -= ip->empty_image[!k] > at;
    }
    in->has_image_list |= ip->n_image_parts[1] > 0;
    return true;
}

/* ---- the form ---- */

struct form {
    char *at, *end;
    char boundary[MAX_BOUNDARY + 6]; /* CR LF -- boundary */
    size_t n_boundary;               /* without CR LF */
};

/* A mark whose first byte (CR or LF) is nowhere else in it: places where it begins cannot overlap, so that this is
 * linear whatever the body is; memmem is not. */
static char *find_mark(char *from, const char *end, const char *mark, size_t n)
{
    while ((size_t)(end - from) >= n && (from = memchr(from, mark[0], (size_t)(end - from) - (n - 1)))) {
        if (memcmp(from, mark, n) == 0) {
            return from;
        }
        from++;
    }
    return NULL;
}

static char *find_boundary(const struct form *f, char *from)
{
    return find_mark(from, f->end, f->boundary, f->n_boundary + 2);
}

/* Whether this stretch has the boundary after LF alone. */
static bool has_bare_newlines(const struct form *f, char *from, const char *end)
{
    size_t n = f->n_boundary;
    return ((size_t)(end - from) >= n && memcmp(from, f->boundary + 2, n) == 0) ||
           find_mark(from, end, f->boundary + 1, n + 1);
}

/* Goes past the first boundary; whatever comes before it is ignored. */
static bool find_first(struct form *f)
{
    if ((size_t)(f->end - f->at) >= f->n_boundary && memcmp(f->at, f->boundary + 2, f->n_boundary) == 0) {
        f->at += f->n_boundary;
        return true;
    }
    char *found = find_boundary(f, f->at);
    if (!found || has_bare_newlines(f, f->at, found)) { /* the first part must not pass for nobody's */
        return false;
    }
    f->at = found + 2 + f->n_boundary;
    return true;
}

/* Behind a boundary: spaces may follow, then the line ends. NULL: it does not. */
static char *line_end(const struct form *f)
{
    char *at = f->at;
    while (at < f->end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    return f->end - at >= 2 && memcmp(at, "\r\n", 2) == 0 ? at : NULL;
}

/* The part that begins at f->at, after its boundary; goes past the next one. */
static bool read_part(struct form *f, struct part *p)
{
    char *line = line_end(f), *head = line ? line + 2 : NULL;
    char *next = head ? find_boundary(f, line) : NULL;
    if (!next) {
        return false;
    }
    size_t n_head = (size_t)(next + 2 - head); /* the empty line may end with the CR LF of the next boundary */
    char *blank = n_head ? memmem(head, n_head < MAX_PART_HEAD ? n_head : MAX_PART_HEAD, "\r\n\r\n", 4) : NULL;
    if (!blank) {
        return false;
    }
    p->bytes = blank + 4 <= next ? blank + 4 : next;
    p->n = (size_t)(next - p->bytes);
    if (!read_part_head(head, (size_t)(blank - head), p)) {
        return false;
    }
    f->at = next + 2 + f->n_boundary;
    return true;
}

static bool fail_without_boundary(const struct form *f, char *body, struct input_fault *fault)
{
    const char *const wanted = f->boundary + 2;
    size_t n_line = 0;
    while (body + n_line < f->end && body[n_line] > ' ' && body[n_line] < 0x7f && n_line < MAX_BOUNDARY + 2) {
        n_line++;
    }
    if (f->end == body) {
        return input_fail(fault, FAULT_BAD_REQUEST, NULL,
                          "the form is empty (0 bytes); add the image as a part: curl -F image=@file");
    }
    if (has_bare_newlines(f, body, f->end)) {
        return input_fail(fault, FAULT_BAD_REQUEST, NULL,
                          "the form has no boundary after CR LF; its lines must end with CR LF");
    }
    return input_fail(fault, FAULT_BAD_REQUEST, n_line > 2 ? "Content-Type" : NULL,
                      "the form has no line %s, the boundary that Content-Type names%s%.*s; HTTP clients write this "
                      "header themselves when it is not set by hand",
                      wanted, n_line > 2 ? ": it begins with " : "", n_line > 2 ? (int)n_line : 0, body);
}

/* Why part i cannot be read. */
static bool fail_part(const struct form *f, const struct part *p, int i, struct input_fault *fault)
{
    if (f->at < f->end && *f->at == '\n') {
        return input_fail(fault, FAULT_BAD_REQUEST, NULL,
                          "part %d of the form is not complete; its lines must end with CR LF", i);
    }
    return p->bytes ? input_fail(fault, FAULT_BAD_REQUEST, NULL,
                                 "part %d of the form has no name of 1 to %d bytes; each needs a line "
                                 "Content-Disposition: form-data; name=\"...\"",
                                 i, NAME_SIZE - 1)
                    : input_fail(fault, FAULT_BAD_REQUEST, NULL,
                                 "part %d of the form is not complete: the empty line after its head or the boundary "
                                 "after its end is missing",
                                 i);
}

bool input_form(struct input_parser *ip)
{
    struct buf *b = &ip->in->body;
    char nothing[1] = "";
    struct form f = {.boundary = "\r\n"};
    if (!read_boundary(ip->content_type, f.boundary + 2, &f.n_boundary, ip->fault)) {
        return false;
    }
    f.at = b->n ? b->bytes : nothing;
    f.end = f.at + b->n;
    if (!find_first(&f)) {
        return fail_without_boundary(&f, b->n ? b->bytes : nothing, ip->fault);
    }
    for (int i = 0; i < MAX_PARTS; i++) {
        struct part p = {.name = ""};
        if (f.end - f.at >= 2 && memcmp(f.at, "--", 2) == 0) {
            return finish_images(ip);
        }
        if (!read_part(&f, &p)) {
            return fail_part(&f, &p, i + 1, ip->fault);
        }
        if (!add_part(ip, &p)) {
            return false;
        }
    }
    return input_fail(ip->fault, FAULT_BAD_REQUEST, NULL,
                      "the form has more than %d parts; send them in several requests", MAX_PARTS);
}
