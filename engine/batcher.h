/* batcher - what an engine thread does next, and with whom: policy only.
 *
 * Pure functions: no clock, no threads, no memory of their own, no failure. The rules:
 *   - A step runs as soon as a thread is free; a lone request waits for nobody. Only an image may wait for mates, at
 *     most image_wait_us and only while others are being decoded.
 *   - Where images and fusion items both wait, a thread does them in turn: one step, one take of images. This bounds
 * the wait of both, and it fills the fusion steps: a step costs nearly the same for one caption as for ten, so running
 *     a caption to its end before the next image is looked at would run every caption alone.
 *   - One side goes first four times in five: fusion when more waits than one step can hold, else the side with the
 *     more urgent work.
 *   - In a step, captions under way come first, but leave room for new work. New work joins item by item, one of every
 *     job in turn, so a job with many texts only fills what others leave.
 *   - Order among jobs is by their due time, which contains priority, age and fairness between clients. */
#ifndef ENGINE_BATCHER_H
#define ENGINE_BATCHER_H

#include <stdbool.h>
#include <stdint.h>

/* ---- order ---- */

enum { BATCHER_LEVEL_US = 1000000 }; /* a level of priority is worth this much waiting */

/* The due time of a new job: least is served first, everywhere. A client whose jobs already wait gets a place behind
 * the latest due of them, `spacing_us` apart (what a job costs); so its hundredth job does not stand before another
 * client's first. client_due_us: 0 when the client has none; without `priority`'s part. Returns the same part. */
uint64_t batcher_line_us(uint64_t now_us, uint64_t client_due_us, uint64_t spacing_us);
uint64_t batcher_due_us(uint64_t line_us, int priority);

/* ---- next step ---- */

enum batcher_action { BATCHER_WAIT, BATCHER_IMAGES, BATCHER_FUSION };

struct batcher_limits {
    int max_rows, max_items; /* of one fusion step */
    int max_images;          /* taken in one go */
    uint64_t image_wait_us;
    bool is_continuous; /* false: a thread's fusion batch runs to its end before others join or images are taken */
};

/* What waits, as one thread sees it. */
struct batcher_view {
    int images;          /* ready for the TEE */
    int images_upstream; /* before that */
    uint64_t oldest_image_us;
    int image_priority; /* of the most urgent */
    int items, rows;    /* fusion: captions under way and new items that could join, and their rows */
    int fusion_priority;
    bool batch_is_open; /* is_continuous false: this thread's batch has unfinished captions */
};

/* Of one thread; begins as zeros. */
struct batcher_history {
    enum batcher_action last;
    int turns; /* times in a row while the other side waited too */
};

struct batcher_choice {
    enum batcher_action action;
    int n_images;
    uint64_t until_us; /* BATCHER_WAIT: look again then; UINT64_MAX: when something changes */
};
struct batcher_choice batcher_choose(const struct batcher_limits *l, const struct batcher_view *v,
                                     struct batcher_history *h, uint64_t now_us);

/* ---- members of a fusion step ---- */

struct batcher_source {
    int rows;    /* of one item, 1..max_rows */
    int n_items; /* waiting, >= 1 */
};

/* sources: first n_running captions under way (one item each, longest waiting first), then jobs in order of due time.
 * n_helpers: other threads that have nothing else to do; large work is shared with them. Writes how many items of each
 * source join to take and returns the sum: at least one where there is a source. */
int batcher_compose(const struct batcher_limits *l, const struct batcher_source *sources, int n_running, int n_sources,
                    int n_helpers, int *take);

#endif
