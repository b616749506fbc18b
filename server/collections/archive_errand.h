/* archive_errand - a request of the archive with all its inputs and results: created on the loop thread, executed on
 * another.
 *
 * Ownership: archive_errand_create copies what the request points to; archive_errand_destroy releases that and what is
 *            left of the results. Threads: one at a time; only is_cancelled may be set by another. */
#ifndef SERVER_ARCHIVE_ERRAND_H
#define SERVER_ARCHIVE_ERRAND_H

#include "server/collections/archive.h"
#include "server/collections/archive_queue.h"

enum archive_stage { ARCHIVE_WAITING, ARCHIVE_RUNNING, ARCHIVE_DONE };

/* A task and all it owns. */
struct archive_errand {
    struct archive_task task; /* first: archive_submit gives it, on_done gets it */
    struct archive_queue_item item;
    struct archive_errand *next; /* done ones */
    enum archive_stage stage;    /* guarded by the archive's lock */
    atomic_bool is_cancelled;
    archive_on_done *on_done;
    struct collection_text query;
    uint64_t max_images;
    int limit;
    uint64_t submitted_us;
    void *texts, *features; /* copies that query, image.words, image.features point into */
};

MUST_USE enum err archive_errand_create(struct archive_errand **out, const struct archive_request *r, struct errbuf *e);
void archive_errand_destroy(struct archive_errand *r);
bool archive_errand_is_write(enum archive_kind kind);
/* Executes it within its limits; the result is in the task. */
MUST_USE enum err archive_errand_work(struct archive_errand *r, struct collections *cs);

#endif
