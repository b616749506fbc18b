/* multipart/form-data (RFC 7578) over a body that is all there. Parts are found by their boundary, nothing is copied.
 */
#include "server/input/input.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_BOUNDARY = 70, MAX_PART_HEAD = 8192, MAX_PARTS = 1024 };

struct part {
    char name[96];
    const char *bytes;
    size_t n;
};

/* boundary=x or boundary="x" out of the content type, with the two dashes before it. */
static bool take_boundary(const char *content_type, char *out, size_t *n_out, struct input_fault *f)
{
    const char *b = strcasestr(content_type, "boundary=");
    size_t n = 0;
    if (b) {
        b += strlen("boundary=");
        bool is_quoted = *b == '"';
        b += is_quoted;
        n = strcspn(b, is_quoted ? "\"" : "; \t");
    }
    if (n < 1 || n > MAX_BOUNDARY) {
        return input_fail(f, FAULT_BAD_REQUEST, "Content-Type",
                          "multipart/form-data needs boundary= of 1 to %d characters", MAX_BOUNDARY);
    }
    memcpy(out, "--", 2);
    memcpy(out + 2, b, n);
    *n_out = n + 2;
    return true;
}

/* name="..." or name=... of a Content-Disposition line. */
static bool take_name(const char *line, size_t n, char *out, size_t size)
{
    for (size_t i = 1; i + 5 < n; i++) {
        if (!memchr("; \t", line[i - 1], 3) || strncasecmp(line + i, "name=", 5) != 0) {
            continue;
        }
        bool is_quoted = line[i + 5] == '"';
        const char *from = line + i + 5 + is_quoted, *stop = line + n, *end = from;
        while (end < stop && !(is_quoted ? *end == '"' : memchr("; \t", *end, 3) != NULL)) {
            end++;
        }
        size_t n_name = (size_t)(end - from);
        if ((is_quoted && end == stop) || n_name >= size) {
            return false;
        }
        memcpy(out, from, n_name);
        out[n_name] = '\0';
        return true;
    }
    return false;
}

static bool take_part_head(const char *head, size_t n, struct part *p)
{
    const char *end = head + n;
    for (const char *line = head; line < end;) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        size_t n_line = stop ? (size_t)(stop - line) : (size_t)(end - line);
        if (n_line > 20 && strncasecmp(line, "Content-Disposition:", 20) == 0) {
            return take_name(line, n_line, p->name, sizeof(p->name));
        }
        line += n_line + 2;
    }
    return false;
}

static bool take_part(struct input *in, struct part *p, struct input_fault *f)
{
    if (strcmp(p->name, "image") == 0 || strcmp(p->name, "images") == 0 || strcmp(p->name, "images[]") == 0) {
        in->has_image_list |= p->name[5] == 's';
        return input_add_image(in, &(struct input_image){.bytes = (const uint8_t *)p->bytes, .n_bytes = p->n}, f);
    }
    if (p->n >= 65536) {
        return input_fail(f, FAULT_TEXT_TOO_LONG, p->name, "part %s is too long for a parameter", p->name);
    }
    /* Parameters are read as C strings; the byte after a part is the CR of its boundary, and nobody reads it again. */
    ((char *)(uintptr_t)p->bytes)[p->n] = '\0';
    return input_param_text(in, p->name, p->bytes, p->n, f);
}

bool input_form(struct input *in, const char *content_type, struct input_fault *f)
{
    char boundary[MAX_BOUNDARY + 6] = "\r\n";
    size_t n_boundary = 0;
    if (!take_boundary(content_type, boundary + 2, &n_boundary, f)) {
        return false;
    }
    const char *at = in->body.n ? in->body.bytes : "", *end = at + in->body.n;
    if (in->body.n < n_boundary || memcmp(at, boundary + 2, n_boundary) != 0) {
        at = memmem(at, in->body.n, boundary, n_boundary + 2);
        at = at ? at + 2 : NULL;
    }
    for (int i = 0; at && i < MAX_PARTS; i++) {
        struct part p = {.name = ""};
        at += n_boundary;
        if (end - at >= 2 && memcmp(at, "--", 2) == 0) {
            return true;
        }
        const char *head = end - at >= 2 && memcmp(at, "\r\n", 2) == 0 ? at + 2 : NULL;
        const char *next = head ? memmem(at, (size_t)(end - at), boundary, n_boundary + 2) : NULL;
        /* the empty line may end with the CRLF of the next boundary */
        size_t n_head = next ? (size_t)(next + 2 - head) : 0;
        const char *blank =
            n_head ? memmem(head, n_head < MAX_PART_HEAD ? n_head : MAX_PART_HEAD, "\r\n\r\n", 4) : NULL;
        if (!blank || !take_part_head(head, (size_t)(blank - head), &p)) {
            return input_fail(f, FAULT_BAD_REQUEST, NULL, "part %d of the form is not complete, or has no name", i + 1);
        }
        p.bytes = blank + 4 <= next ? blank + 4 : next;
        p.n = (size_t)(next - p.bytes);
        at = next + 2;
        if (!take_part(in, &p, f)) {
            return false;
        }
    }
    return input_fail(f, FAULT_BAD_REQUEST, NULL, at ? "the form has more than %d parts" : "the form has no boundary",
                      MAX_PARTS);
}
