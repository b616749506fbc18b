/* batcher - what an engine thread does next, and for which jobs: policy only.
 *
 * Pure functions: no clock, no threads, no memory of their own, no failure. The rules:
 *   - A step runs as soon as a thread is free; a lone request never waits. Only an image may wait for others, at
 *     most image_wait_us and only while others are being decoded.
 *   - Where images and fusion items both wait, a thread does them in turn: fusion steps, then one take of images. With
 *     a long queue it is one step: this fills the steps, which cost nearly the same for one caption as for ten; running
 *     a caption to its end before taking the next image would run every caption alone. With a short queue there is time
 *     to spare, and a caption that waited for an image at every word would be the slowest answer of all; so up to
 *     twenty small steps, more than a caption needs, are shared out among the waiting images (SPEED.md).
 *   - One side goes first four times in five: the one whose work is due first when more waits for fusion than one step
 *     can hold; otherwise, within one client's work, the side with the more urgent priority. Where two clients compete,
 *     the one that is due first goes first twelve times in thirteen: about a caption's steps, which together take as
 *     long as an image.
 *   - In a step, captions under way come first, but leave room for new work. They wait for the whole step at every
 *     token, so questions and sentences fill only about a third of it. New work joins item by item, one from each job
 *     in turn, so a job with many texts only fills what others leave.
 *   - Where another client's captions are due first, questions and sentences join only every other step after the
 *     first, and only as many as at most double the cost of the step: one long step after another would slow a caption
 *     of a dozen steps to a fraction of its pace, although its client is owed an equal share.
 *   - Where captions of several clients meet in a step, each client gets as many rows as the one with the fewest, or as
 *     many as fit without lengthening the step; new captions that are due before all others always join. Other clients'
 *     texts get no more of a step than those of the client that is due first.
 *   - A thread that finds nothing to do helps one that is in a step, as long as that leaves a CPU for each picture
 *     being decoded; it leaves as soon as there is work of its own. So a lone request gets several threads, and with a
 *     full queue each request gets one.
 *   - Order among jobs is by their due time: clients in turn. A client's own jobs are ordered by priority, and by
 *     deadline once half of a job's allotted time is over; neither moves a job ahead of other clients' jobs. */
#ifndef ENGINE_BATCHER_H
#define ENGINE_BATCHER_H

#include <stdbool.h>
#include <stdint.h>

/* ---- order ---- */

enum {
    BATCHER_LEVEL_US = 1000000, /* one priority level moves a job by this much of the line */
    BATCHER_USUAL = 3           /* the priority of a request that does not name one */
};

/* Clients are served in turn (start-time fair queueing). The line is measured in microseconds of work: a job's position
 * is the smallest that any waiting job has (`reached_us`; when none waits, where the last one ended) or, if its client
 * had other jobs beyond that, where the last of them ends (`client_end_us`, 0 when there is none). So a client's
 * hundredth job is far behind another client's first, whatever the first client did before and however wrong the cost
 * estimates are, and many clients that each send one request at a time cannot starve another client's second job. */
enum { BATCHER_ORIGIN_SHIFT = 62 };
#define BATCHER_ORIGIN_US ((uint64_t)1 << BATCHER_ORIGIN_SHIFT) /* where the line begins */
uint64_t batcher_line_us(uint64_t reached_us, uint64_t client_end_us);
/* The due time of a job at this position: the smallest is served first, everywhere. Nothing that a client says about a
 * job moves it ahead of other clients' jobs; a job marked less urgent than usual lets them pass. */
uint64_t batcher_due_us(uint64_t line_us, int priority);
/* Which of a client's own jobs takes the first of its positions (smallest rank first): by priority, but only for a
 * time. */
uint64_t batcher_rank_us(uint64_t line_us, int priority);
/* When a job stops waiting its turn among its client's jobs: from then on its deadline is its rank, which is smaller
 * than every other. deadline_us 0: never. */
uint64_t batcher_hurry_us(uint64_t now_us, uint64_t deadline_us);

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
    uint64_t image_due_us, fusion_due_us; /* the minimum, */
    uint64_t image_client, fusion_client; /* whose it is, */
    int image_priority, fusion_priority;  /* and the urgency of that one */
    int items, rows;                      /* fusion: captions under way and new items that could join, and their rows */
    bool batch_is_open;                   /* is_continuous false: this thread's batch has unfinished captions */
};

/* Of one thread; begins as zeros. */
struct batcher_history {
    enum batcher_action last;
    int turns; /* times in a row while the other side waited too */
};

struct batcher_choice {
    enum batcher_action action;
    int n_images;
    uint64_t until_us; /* BATCHER_WAIT: decide again at this time; UINT64_MAX: when something changes */
};
struct batcher_choice batcher_choose(const struct batcher_limits *l, const struct batcher_view *v,
                                     struct batcher_history *h, uint64_t now_us);

/* ---- helping ---- */

/* How many of n_threads may help others with their steps, given how many are in a step of their own and how many
 * pictures are being decoded, each needing a CPU; a step uses at most split_threads in all. */
int batcher_helpers(int n_threads, int n_leading, int n_decoding, int split_threads);

/* ---- members of a fusion step ---- */

struct batcher_source {
    int rows;    /* of one item, 1..max_rows */
    int n_items; /* waiting, >= 1 */
    bool is_caption;
    uint64_t due_us, client;
    int n_steps; /* of a caption under way: so far */
};

/* sources: first n_running captions under way (one item each, in order of due time), then jobs in order of due time.
 * n_helpers: other threads with nothing else to do, with which large work is shared. Writes to `take` how many items of
 * each source join and returns the sum: at least one if there is any source. */
int batcher_compose(const struct batcher_limits *l, const struct batcher_source *sources, int n_running, int n_sources,
                    int n_helpers, int *take);

#endif
