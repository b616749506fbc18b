/* archive - the threads of the collections: requests go in and answers come out on the loop thread, which itself never
 * touches the disk.
 *
 *     struct archive_request r = {.kind = ARCHIVE_SEARCH, .model = model_of(service), .name = ..., .query = ...,
 *                                 .limit = 64, .client = client, .deadline_us = deadline,
 *                                 .on_done = on_found, .user = work};
 *     rc = archive_submit(a, &r, &task, &e);      OK: on_found is called exactly once, whatever happens
 *     archive_cancel(a, task);                    the client is gone
 *     next = archive_reap(a, now_us);             calls on_done for all that are done or out of time
 *
 * One thread writes, ARCHIVE_READERS threads read beside it, each with a connection of its own: a write that waits for
 * a lock holds up no search and no list.
 *
 *   order      by client, in turns: however many requests one client has waiting, another client's next request starts
 *              after at most one of them. The writes of one client (PUT, REMOVE, DROP) run in the order of submitting,
 *              and so do its reads; a read may overtake a write that has not been answered.
 *   deadline   absolute, by clock_us(). A request that has not begun by then fails with ERR_DEADLINE at the next
 *              archive_reap; a read in progress is aborted with ERR_DEADLINE; a write that waits for a locked file
 *              gives up with ERR_BUSY. A lock that lasts longer than COLLECTION_BUSY_MS is not waited for any more:
 *              writes fail with ERR_BUSY at once until it is gone.
 *   cancel     what has not begun is skipped; a read in progress is aborted; a write in progress is finished. on_done
 *              is called in any case, with ERR_CANCELLED or the result.
 *   bounds     ARCHIVE_MAX_WAITING requests wait, ARCHIVE_CLIENT_WAITING of one client, else ERR_OVERLOADED.
 *   memory     archive_request_bytes says before submitting what a request and its answer can hold at most until
 *              on_done has returned; archive_own_bytes what the archive holds besides.
 *   models     the archive has none: each request names the model whose features it stores or reads. Requests of two
 *              models (a reload) may wait side by side.
 *
 * Ownership: archive_submit copies everything the request points to, including features. A task belongs to the archive:
 *            valid until its on_done returns. on_done may keep `hits` by copying the struct and zeroing it in the task.
 * Threads:   archive_* and on_done on the loop thread; `wake` is called by any thread and must be safe there.
 * Errors:    of archive_submit: ERR_BAD_REQUEST (name or key), ERR_TEXT_TOO_LONG (words), ERR_OVERLOADED (bounds),
 *            ERR_DRAINING (archive_close has begun), ERR_NOMEM; then on_done is not called. Of a task: those of
 *            collection.h, and ERR_DEADLINE, ERR_CANCELLED, ERR_DRAINING. */
#ifndef SERVER_ARCHIVE_H
#define SERVER_ARCHIVE_H

#include "server/collections/collection.h"

enum {
    ARCHIVE_READERS = 2,
    ARCHIVE_MAX_WAITING = 1024,
    ARCHIVE_CLIENT_WAITING = 64,
    ARCHIVE_LIST_MAX = 1000,
    ARCHIVE_SEARCH_MAX = 4096
};

struct archive;
struct archive_task;

typedef void archive_on_done(struct archive_task *t);

enum archive_kind {
    ARCHIVE_NAMES,  /* all collections           -> names, n_names */
    ARCHIVE_LIST,   /* name, key (after), limit  -> found, count, entries, n_entries */
    ARCHIVE_SEARCH, /* name, query, limit        -> found, hits */
    ARCHIVE_PUT,    /* name, key, image, max_images -> replaced */
    ARCHIVE_REMOVE, /* name, key                 -> found */
    ARCHIVE_DROP    /* name                      -> found */
};

struct archive_request {
    enum archive_kind kind;
    struct collection_model model; /* of all but REMOVE and DROP */
    struct collection_text name, key, query;
    const struct collection_image *image;
    uint64_t max_images;
    int limit;            /* LIST: 1..ARCHIVE_LIST_MAX; SEARCH: 0..ARCHIVE_SEARCH_MAX */
    uint64_t client;      /* for taking turns: any number that tells clients apart */
    uint64_t deadline_us; /* 0: none */
    archive_on_done *on_done;
    void *user;
};

struct archive_name {
    char name[COLLECTION_NAME_MAX + 1];
    struct collection_count count;
};

struct archive_entry {
    char key[COLLECTION_KEY_MAX + 1]; /* ends with a NUL that n_key does not count */
    size_t n_key;
    uint8_t id[COLLECTION_ID_BYTES];
    int width, height;
    bool is_stale;
};

/* To be read in on_done. */
struct archive_task {
    void *user;
    enum archive_kind kind;
    enum err err;
    struct errbuf error;           /* says what to change; errbuf_text(&t->error, t->err) */
    uint64_t waited_us, ran_us;    /* before it began, and after */
    struct collection_model model; /* of the request */
    char name[COLLECTION_NAME_MAX + 1];
    char key[COLLECTION_KEY_MAX + 1];
    struct collection_image image; /* PUT: as it was stored; words and features are the task's */
    bool found, replaced;
    struct collection_count count;
    struct archive_name *names;
    int n_names;
    struct archive_entry *entries;
    int n_entries;
    struct collection_hits hits;
};

struct archive_options {
    const char *path;
    void (*wake)(void *user); /* called when there is something to reap */
    void *user;
    uint64_t (*now_us)(void); /* NULL: clock_us */
};

/* Opens the file (makes it when it is missing) and starts the threads. The file may take a second per 100,000 images
 * to be brought up to date; errors as collections_open. */
MUST_USE enum err archive_open(struct archive **out, const struct archive_options *options, struct errbuf *e);
/* Waits for what is in progress (waits for a lock end at once); what has not begun fails with ERR_DRAINING; all on_done
 * are called before it returns. NULL is fine. */
void archive_close(struct archive *a);

/* Name and key of a PUT, before there is a picture: ERR_BAD_REQUEST. */
MUST_USE enum err archive_check(struct collection_text name, struct collection_text key, struct errbuf *e);
MUST_USE enum err archive_submit(struct archive *a, const struct archive_request *r, struct archive_task **out,
                                 struct errbuf *e);
void archive_cancel(struct archive *a, struct archive_task *t);
/* Returns the earliest deadline among waiting requests, the latest time to call it again; UINT64_MAX: none. */
uint64_t archive_reap(struct archive *a, uint64_t now_us);

size_t archive_request_bytes(const struct archive_request *r);
size_t archive_own_bytes(void);

struct archive_state {
    int n_waiting_reads, n_waiting_writes;
    bool is_locked;   /* the last write found the file locked by another process */
    bool is_writable; /* false: the last write failed with ERR_UNAVAILABLE or ERR_DISK_FULL */
};
void archive_state(struct archive *a, struct archive_state *out);

#endif
