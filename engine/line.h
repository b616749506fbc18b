/* line - who is where in the line (batcher.h), without a walk: the place that is served next, and where a client's last
 * job ends.
 *
 * A job's place and its end are set by the scheduler; this keeps them in order: a heap of places, another one of those
 * that let others pass, and for each client a list of ends. A new job's end is beyond all others of its client, and
 * jobs of a client only exchange theirs, so that list needs no sorting.
 *
 * Ownership: borrows jobs, between line_add and line_remove. Threads: guarded by the scheduler's monitor.
 * Cost:      logarithmic in the number of jobs; a client's ends in constant time; line_due reads one small array, no
 *            job. Allocates in line_init only. */
#ifndef ENGINE_LINE_H
#define ENGINE_LINE_H

#include "engine/job_private.h"

enum { LINE_HEAPS = 2, LINE_BUCKET_BITS = 10 };

/* Where a job's place ends. Jobs of one client exchange them. */
struct line_end {
    TAILQ_ENTRY(line_end) link; /* of its client's, in order; or free */
    uint64_t us;
};
TAILQ_HEAD(line_ends, line_end);

struct line_client {
    uint64_t id;
    struct line_ends ends;
    int n;
    struct line_client *next; /* of its bucket, or of the free ones */
};

struct line_entry {
    uint64_t us;
    uint64_t look_us; /* of the first heap: line_set_look */
    struct job_private *job;
};

struct line_heap {
    struct line_entry *entries;
    int n;
};

struct line {
    struct line_heap _heaps[LINE_HEAPS]; /* by due_us; by line_us, only jobs of less than the usual urgency */
    struct line_end *_ends;              /* [max_jobs] */
    struct line_ends _free_ends;
    struct line_client *_clients, *_free_clients; /* [max_jobs] */
    struct line_client *_buckets[1 << LINE_BUCKET_BITS];
};

MUST_USE enum err line_init(struct line *l, int max_jobs);
void line_release(struct line *l); /* also fine on a zeroed one */

/* A job with line_us and due_us, which ends at end_us: beyond all others of its client. */
void line_add(struct line *l, struct job_private *j, uint64_t end_us);
/* Its line_us and due_us are others now. */
void line_move(struct line *l, struct job_private *j);
void line_remove(struct line *l, struct job_private *j);

/* When somebody must look at the job again: late, or to be hurried. 0 after line_add. */
void line_set_look(struct line *l, const struct job_private *j, uint64_t look_us);
/* How many must be looked at now; *one is one of them. *next_us: when the next of the others must, UINT64_MAX: none. */
int line_due(const struct line *l, uint64_t now_us, struct job_private **one, uint64_t *next_us);

bool line_is_empty(const struct line *l);
/* The smallest place that any job has. A job that lets others pass counts where it will be served, or where it stands
 * when there are no others: else the place would stand still for as long as it waits. */
uint64_t line_first_us(const struct line *l);
/* Where the last job of this client ends; 0: it has none. */
uint64_t line_client_end_us(const struct line *l, uint64_t client);
int line_client_jobs(const struct line *l, uint64_t client);

#endif
