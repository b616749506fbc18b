/* isobox - the boxes of ISO media files (ISO/IEC 14496-12) as spans of bytes: big-endian numbers, lists of boxes.
 *
 * Reading beyond an end gives zeros and marks the span; nothing is allocated.
 *
 * Ownership: borrows the bytes. Threads: thread-safe. Failure: as said. */
#ifndef ENGINE_IMAGE_ISOBOX_H
#define ENGINE_IMAGE_ISOBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct isobox_span {
    const uint8_t *at;
    size_t n;
    bool is_short; /* read beyond the end */
};

struct isobox {
    const uint8_t *name; /* four letters */
    struct isobox_span body;
};

/* The next number of up to eight bytes. */
uint64_t isobox_take(struct isobox_span *s, int n_bytes);
struct isobox_span isobox_skip(struct isobox_span s, size_t n); /* to the end at most */
/* Version of a full box; its body then begins after version and flags. flags may be NULL. */
int isobox_version(struct isobox_span *body, uint32_t *flags);

bool isobox_is_named(const struct isobox *b, const char *name);
/* The next box of the list, which advances past it; false at its end. A box that extends beyond the list is cut. */
bool isobox_next(struct isobox_span *list, struct isobox *out);
/* The only box of this name; false where there are none or several. */
bool isobox_find(struct isobox_span list, const char *name, struct isobox_span *out);
bool isobox_has_more(struct isobox_span list, int max);

#endif
