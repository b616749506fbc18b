/* resize - bilinear with antialias, bit for bit as in Pillow (Image.resize with BILINEAR, 8 bits per channel).
 *
 * Two passes, across first (Pillow itself chooses the order from version 13 on), each with weights of 22 bits and
 * rounded to 8 bits. A pass that would not change the length is left out. Source: Pillow's Resample.c.
 *
 * Rows are handed to `put` from top to bottom as they are done. No whole picture is kept in between: memory is one row
 * for each output row in progress.
 *
 * Ownership: a resize owns weights and rows; memory is allocated only when a picture needs more than any before it.
 * Threads:   one resize per thread. Errors: ERR_NOMEM. */
#ifndef ENGINE_IMAGE_RESIZE_H
#define ENGINE_IMAGE_RESIZE_H

#include "engine/base/err.h"

#include <stdint.h>

struct resize_job {
    const uint8_t *rgb; /* [height, width, 3] */
    int width, height;  /* >= 1, at most 65535 */
    /* 0, or how much of it is picture: above width - 1 and at most width; likewise for the height. A picture decoded
     * smaller may end within its last column. */
    double used_width, used_height;
    int to_width, to_height;                            /* >= 1 */
    void (*put)(void *user, int y, const uint8_t *row); /* row: [to_width, 3], valid during the call */
    void *user;
};

struct resize;
MUST_USE enum err resize_create(struct resize **out);
void resize_destroy(struct resize *r); /* NULL is fine */
MUST_USE enum err resize_run(struct resize *r, const struct resize_job *job);

#endif
