/* job_private - the engine's side of a job: its state, what it waits for, and the resources it holds.
 *
 * Ownership: a job's memory, struct job and features included, is one block of pages. While it is submitted, it belongs
 *            to the scheduler (waiting: guarded by the scheduler's lock) or to the one thread that took it.
 *            A job with several texts may be worked on by several threads at once, each on its own items; the lock
 *            guards the item counts.
 * Threads:   `is_cancelled` is the only field that any thread may touch at any time. */
#ifndef ENGINE_JOB_PRIVATE_H
#define ENGINE_JOB_PRIVATE_H

#include "engine/base/pages.h"
#include "engine/job.h"
#include "engine/model/model.h"

#include <sys/queue.h>

struct line_end;

enum job_state {
    JOB_HOME,         /* the caller's */
    JOB_PREPARE_WAIT, /* in the scheduler's `prepare` */
    JOB_HELD,         /* a thread works on it or hands it over */
    JOB_IN_FLIGHT,    /* waits for its image's features, member of a flight */
    JOB_FUSION,       /* items wait or run */
    JOB_LEAVING,      /* done, on its way to on_done */
};

struct job_private {
    struct job *job;
    struct engine *engine;
    atomic_bool is_cancelled;
    enum job_state state;
    TAILQ_ENTRY(job_private) live;   /* of all submitted jobs */
    TAILQ_ENTRY(job_private) queue;  /* prepare, fusion, or being delivered */
    TAILQ_ENTRY(job_private) member; /* of its flight */
    struct flight *flight;
    /* order */
    uint64_t line_us, due_us; /* batcher.h; the smallest due_us goes first */
    uint64_t rank_us;         /* among its client's jobs: the smallest first */
    uint64_t hurry_us;        /* UINT64_MAX: never, or already hurried */
    struct line_end *end;     /* where its place ends; while it is in the line (line.h) */
    int line_at[2];           /* line.h's */
    /* memory of the job */
    struct pages pages;   /* all of it */
    struct features *own; /* features_bytes, for everything but given features */
    struct job_region *regions;
    struct job_caption *captions;
    struct job_answer *answers;
    int *n_answers;
    float *scores, *weights;
    int *tokens, *n_tokens; /* [max_texts, text_length], [max_texts] */
    /* work */
    size_t decode_bytes;             /* that its picture takes */
    const struct features *features; /* own, or the caller's */
    struct caption_params caption;
    int n_items, n_taken, n_running, n_finished;
    int item_rows;             /* of one new item, at most */
    struct caption_slot *slot; /* of a caption under way */
    enum err failure;          /* why the rest is dropped; OK while it runs */
    const char *failure_stage;
    /* times */
    uint64_t submitted_us, fusion_from_us;
};
TAILQ_HEAD(job_list, job_private);

/* Bytes of one job, with everything allocated for it. */
size_t job_bytes(const struct engine *e);
/* Checks the request against the engine's limits and fills in defaults. */
MUST_USE enum err job_check(struct job *job, struct errbuf *why);
/* The job's own thread: ids of the texts' tokens. */
/* ERR_TEXT_TOO_LONG with the text in the result; never without request.whole_texts. */
MUST_USE enum err job_tokenize(struct job_private *j);
/* The job's own thread, which may take a while: ERR_INTERNAL if request.features were not written for this model. */
MUST_USE enum err job_check_features(struct job_private *j);
/* The job's own thread, once `features` is set: image, regions and rows of its items. */
void job_present(struct job_private *j);
/* Called by the last holder, before on_done: after an error no result is left to read. */
void job_conclude(struct job_private *j);

#endif
