/* archive - the thread that owns the collections: tasks in, tasks out, the loop never waits for the disk.
 *
 * A task's `work` runs on the archive thread, then its `on_done` on the loop thread. Tasks run in the order of adding,
 * also while the service drains: what was taken is done.
 *
 * Ownership: a task belongs to the archive from archive_add until on_done, which must free it.
 * Threads:   archive_* on the loop thread. Errors: archive_open says why the file cannot be used. */
#ifndef SERVER_ARCHIVE_H
#define SERVER_ARCHIVE_H

#include "server/collections/collection.h"
#include "server/http/loop.h"

struct archive;

struct archive_task {
    void (*work)(struct archive_task *t, struct collections *cs);
    void (*on_done)(struct archive_task *t);
    struct archive_task *next;
    enum err err;
    struct errbuf error;
};

MUST_USE enum err archive_open(struct archive **out, const char *path, const char *model_sha256, size_t features_bytes,
                               struct loop *l, struct errbuf *e);
/* The model has changed: opens the file anew for it, after the tasks there are. */
void archive_set_model(struct archive *a, const char *model_sha256, size_t features_bytes);
/* Runs what waits, then ends the thread; on_done of the last tasks is called. NULL is fine. */
void archive_close(struct archive *a);
/* False: too many wait. */
bool archive_add(struct archive *a, struct archive_task *t);
void archive_reap(struct archive *a);

#endif
