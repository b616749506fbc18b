/* scheduler - all jobs in progress and what each thread does next: the engine's only shared state.
 *
 *     submit -> prepare -> flight: decode -> images -> fusion -> on_done
 *                 |  given features, cache hit            ^
 *                 +---------------------------------------+
 *
 * Every queue is in order of due time (batcher.h). Once accepted, nothing is refused: there are as many flights as
 * jobs, and only images need room (slots), for which they wait.
 *
 * Threads:   a monitor (engine/base/monitor.h). Call every function inside, between scheduler_enter and
 *            scheduler_leave, unless it says otherwise; anything else is a BUG. The monitor is a leaf lock: inside,
 *            nothing takes another module's lock, calls back or runs long. */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include "engine/base/crew.h"
#include "engine/base/monitor.h"
#include "engine/batcher.h"
#include "engine/engine.h"
#include "engine/feature_cache.h"
#include "engine/flight.h"
#include "engine/forecast.h"
#include "engine/line.h"

/* A picture that takes more than this to decode counts as large: about eight megapixels, a tenth of a second. */
enum { SCHEDULER_LARGE_BYTES = 24 << 20 };

/* What threads wait for: work for a decode worker, for an engine thread, and the last job to be delivered. */
enum { SCHEDULER_DECODE_WORK, SCHEDULER_ENGINE_WORK, SCHEDULER_ALL_HOME };

/* The memory of one caption under way. */
struct caption_slot {
    TAILQ_ENTRY(caption_slot) link; /* free, or between two steps */
    struct caption_state *state;
    int max_beams, max_tokens;
    bool is_large;
    struct job_private *job;
    int rows;   /* of its next step */
    int steps;  /* so far */
    int thread; /* the engine thread that began it */
    int n_told; /* tokens reported to on_token */
};
TAILQ_HEAD(caption_list, caption_slot);

/* What an engine thread does when it is neither between two steps nor asleep. */
struct scheduler_seat {
    bool is_leading; /* in a step that others may help with */
    int n_helpers;   /* of its step */
    bool is_helping, is_recalled;
};

/* Where a client's last served job ended; clients of the same bucket overwrite it, which favours both a little. */
enum { SCHEDULER_CLIENT_BITS = 10 };
struct scheduler_client {
    uint64_t id, end_us;
};

struct scheduler {
    struct monitor monitor;
    struct batcher_limits limits;
    int max_jobs, n_engine_threads, n_decode_threads;
    bool is_draining, is_stopping;
    /* jobs */
    struct job_list live; /* submitted, not yet being delivered; a client's waiting jobs in the order of their places */
    struct line line;     /* of the same */
    int n_live, n_leaving;
    uint64_t look_us;          /* before this no job becomes late or is to be hurried: a sweep need not look */
    atomic_bool has_cancelled; /* since the last look; set by any thread (job_cancel) */
    uint64_t reached_us;       /* the place in the line reached so far: batcher.h */
    uint64_t served_us;        /* the last end of a place that was served */
    struct scheduler_client clients[1 << SCHEDULER_CLIENT_BITS];
    struct job_list prepare, fusion; /* fusion: with items not yet taken */
    struct flight_pool flights;
    struct flight_list decode, images;
    struct caption_list free_captions, captions; /* captions: between two steps, longest waiting first */
    int *free_slots, n_free_slots, n_slots;      /* input slots */
    struct feature_cache *cache;
    /* threads */
    int n_decoding;
    int n_idle_engines; /* threads that sleep or help, and take new work at once */
    int n_sleeping, n_leading, n_helping;
    struct scheduler_seat *seats; /* [n_engine_threads] */
    struct crew *crew;            /* NULL: steps are not shared */
    int split_threads;
    uint64_t held_off_until_us; /* no helper is woken before this time */
    int n_large_decoding;
    size_t decode_budget, decode_bytes; /* of pictures being decoded */
    int running_items;
    /* figures */
    struct forecast forecast;
    struct forecast_usage usage;
    uint64_t heartbeat_us;
    struct engine_stats totals; /* counters only */
};

struct scheduler_limits {
    struct batcher_limits batcher;
    int max_jobs, n_slots, n_engine_threads, n_decode_threads;
    int split_threads;   /* that may work on one step; below 2: nobody helps */
    size_t decode_bytes; /* 0: no limit */
};
/* From outside. cache is borrowed. */
MUST_USE enum err scheduler_init(struct scheduler *s, const struct scheduler_limits *l, struct feature_cache *cache);
void scheduler_release(struct scheduler *s); /* no jobs left; also fine on a zeroed one */

/* ---- entry points; call from outside unless stated otherwise ---- */
void scheduler_enter(struct scheduler *s);
void scheduler_leave(struct scheduler *s);       /* inside */
void scheduler_wait_decode(struct scheduler *s); /* inside: waits until a decode worker may find something to do */
/* Inside: the same for an engine thread, which meanwhile helps a leader or sleeps; after helping it may return without
 * new work. */
void scheduler_wait_engine(struct scheduler *s, int thread, uint64_t until_us);
void scheduler_wake_engine(struct scheduler *s); /* inside: wakes one waiter, because there may be something to do */
void scheduler_wake_next(struct scheduler *s);   /* inside: the same, if there is work not yet taken */
void scheduler_stop(struct scheduler *s);        /* tells the threads to end; also fine on a zeroed one */
/* Accepts no more jobs; waits for those in progress, and from until_us on (clock_us()) cancels them first. */
void scheduler_drain(struct scheduler *s, uint64_t until_us);

/* ---- helping: scheduler_crew.c; inside ---- */
/* A step of this thread begins: threads with nothing else to do help with loops that are cut
 * (engine/kernels/split.h). */
void scheduler_lead(struct scheduler *s, int thread);
/* The step is over. Returns what helpers did of it. */
struct crew_work scheduler_end_lead(struct scheduler *s, int thread);
/* For a thread with nothing else to do: helps until it may have work. False: there is no thread to help. */
bool scheduler_help(struct scheduler *s, int thread);
/* Recalls the helpers whose CPUs decoding needs, but at least one. */
void scheduler_trim_helpers(struct scheduler *s);
void scheduler_recall(struct scheduler *s);
void scheduler_recall_all(struct scheduler *s);

/* ---- the line: scheduler_line.c; inside ---- */
/* In order of due time; ties in order of arrival. */
void scheduler_insert(struct job_list *list, struct job_private *j);
/* The queue in which this flight waits. */
struct flight_list *scheduler_list_of(struct scheduler *s, const struct flight *f);
/* Gives a new job its place and adds it to `live`. Less urgent jobs of the same client move back for it, within that
 * client's places, so that no other client is affected. */
void scheduler_stand_in_line(struct scheduler *s, struct job_private *j, uint64_t now_us);
/* Removes the job from `live`; its place counts for its client's later jobs. */
void scheduler_leave_line(struct scheduler *s, struct job_private *j);
/* Once half of its time is over, a waiting job overtakes its client's jobs that have a later deadline or are not
 * hurried. */
void scheduler_hurry(struct scheduler *s, struct job_private *j, uint64_t now_us);

/* ---- coming and going ---- */
MUST_USE enum err scheduler_submit(struct scheduler *s, struct job_private *j, uint64_t now_us, struct errbuf *why);
/* Removes all waiting jobs that were cancelled or are too late, and hurries those that are running out of time. */
void scheduler_sweep(struct scheduler *s, uint64_t now_us, struct job_list *leaving);
/* The job is finished, failed or successful. It is in no queue and no flight. */
void scheduler_finish(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving);
/* Calls on_done for all in the list and empties it; leaves the monitor meanwhile. */
void scheduler_deliver(struct scheduler *s, struct job_list *leaving);
/* Marks a held job as failed: the first failure counts. */
void scheduler_fail(struct job_private *j, enum err why, const char *stage);

/* ---- decode workers ---- */
struct job_private *scheduler_pop_prepare(struct scheduler *s); /* NULL: none */
/* Returns a flight that is now busy, with a leader, its memory and (except for a check) a slot; NULL: none may start
 * now. */
struct flight *scheduler_pop_decode(struct scheduler *s);
/* For a prepared job whose image is not cached: it joins a flight or begins one. */
void scheduler_route(struct scheduler *s, struct job_private *j, bool may_share);
/* The picture lies in the flight's slot. */
void scheduler_decoded(struct scheduler *s, struct flight *f, uint64_t now_us);

/* ---- engine threads ---- */
/* Returns n flights that are now busy, each with a leader, most urgent first. */
void scheduler_pop_images(struct scheduler *s, struct flight **out, int n);
/* The flight is over: its slot is free again and its members are in the list, held, in order of joining. */
void scheduler_land(struct scheduler *s, struct flight *f, struct job_list *members);
/* For a job whose features are ready: it waits for fusion or, without items, is finished. */
void scheduler_enter_fusion(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving);
/* Items of the job go into a step, or come back from it (`finished` of them for good). */
void scheduler_items_begin(struct scheduler *s, struct job_private *j, int n, uint64_t now_us);
void scheduler_items_end(struct scheduler *s, struct job_private *j, int n, int finished, uint64_t now_us,
                         struct job_list *leaving);
/* Takes new items of a waiting job for a step; the job moves back in the line if it has more. */
void scheduler_pop_items(struct scheduler *s, struct job_private *j, int n);
/* Frees a slot: small ones come before large ones. */
void scheduler_return_slot(struct scheduler *s, struct caption_slot *slot);
/* The job of this slot no longer needs it. */
void scheduler_free_caption(struct scheduler *s, struct caption_slot *slot);

#endif
