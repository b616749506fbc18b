/* scheduler - all jobs under way and who does what next: the one shared state of the engine.
 *
 *     submit -> prepare -> flight: decode -> images -> fusion -> on_done
 *                 |  given features, cache hit            ^
 *                 +---------------------------------------+
 *
 * Every queue is in order of due time (batcher.h). Nothing is ever refused behind the door: there are as many flights
 * as jobs, and only images need room (slots), for which they wait.
 *
 * Threads:   a monitor (engine/base/monitor.h). Every function is called inside, between scheduler_enter and
 *            scheduler_leave, unless it says otherwise; one that is not is a BUG. The monitor is a leaf: no function of
 *            another module that locks, no callback, and nothing long happens inside. */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include "engine/base/crew.h"
#include "engine/base/monitor.h"
#include "engine/batcher.h"
#include "engine/engine.h"
#include "engine/feature_cache.h"
#include "engine/flight.h"
#include "engine/forecast.h"

/* A picture that takes more than this to decode is a large one: about eight megapixels, a tenth of a second. */
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
    int n_told; /* tokens that on_token knows */
};
TAILQ_HEAD(caption_list, caption_slot);

/* What an engine thread does when it is neither between two steps nor asleep. */
struct scheduler_seat {
    bool is_leading; /* in a step that others may help with */
    int n_helpers;   /* of its step */
    bool is_helping, is_recalled;
};

/* Where a client's last job that was served ended; others of its bucket overwrite it, which favours both a little. */
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
    struct job_list live; /* submitted, not on the way out; those of a client that wait in the order of their places */
    int n_live, n_leaving;
    uint64_t reached_us; /* the place in the line that work has reached: batcher.h */
    uint64_t served_us;  /* the last end of a place that was served */
    struct scheduler_client clients[1 << SCHEDULER_CLIENT_BITS];
    struct job_list prepare, fusion; /* fusion: with items that nobody took */
    struct flight_pool flights;
    struct flight_list decode, images;
    struct caption_list free_captions, captions; /* captions: between two steps, longest waiting first */
    int *free_slots, n_free_slots, n_slots;      /* input slots */
    struct feature_cache *cache;
    /* threads */
    int n_decoding;
    int n_idle_engines; /* they sleep or help, and do what comes at once */
    int n_sleeping, n_leading, n_helping;
    struct scheduler_seat *seats; /* [n_engine_threads] */
    struct crew *crew;            /* NULL: a step is one thread's */
    int split_threads;
    uint64_t held_off_until_us; /* until then no helper is woken */
    int n_large_decoding;
    size_t decode_budget, decode_bytes; /* of pictures being decoded */
    int running_items;
    /* figures */
    struct forecast forecast;
    struct forecast_usage usage;
    uint64_t heartbeat_us;
    struct engine_stats totals; /* only what counts up */
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

/* ---- the door; from outside where nothing else is said ---- */
void scheduler_enter(struct scheduler *s);
void scheduler_leave(struct scheduler *s);       /* inside */
void scheduler_wait_decode(struct scheduler *s); /* inside: until a decode worker may find something to do */
/* Inside: the same for an engine thread. It helps one that leads or sleeps, and what there is to help with may let it
 * come back for no reason. */
void scheduler_wait_engine(struct scheduler *s, int thread, uint64_t until_us);
void scheduler_wake_engine(struct scheduler *s); /* inside: one that waits, because there may be something to do */
void scheduler_wake_next(struct scheduler *s);   /* inside: the same, if there is work that nobody has taken */
void scheduler_stop(struct scheduler *s);        /* threads shall end; also fine on a zeroed one */
/* No more jobs; waits for those there are, from until_us on (clock_us()) after cancelling them. */
void scheduler_drain(struct scheduler *s, uint64_t until_us);

/* ---- helping: scheduler_crew.c; inside ---- */
/* A step of this thread begins: threads that have nothing else to do help with what is cut (engine/kernels/split.h). */
void scheduler_lead(struct scheduler *s, int thread);
/* It is over. Returns what others did of it. */
struct crew_work scheduler_end_lead(struct scheduler *s, int thread);
/* A thread with nothing else to do: until it may have. False: there is nobody whom it could help. */
bool scheduler_help(struct scheduler *s, int thread);
/* Helpers go whose CPUs decoding wants, or one in any case. */
void scheduler_trim_helpers(struct scheduler *s);
void scheduler_recall(struct scheduler *s);
void scheduler_recall_all(struct scheduler *s);

/* ---- the line: scheduler_line.c; inside ---- */
/* In order of due time; alike ones as they came. */
void scheduler_insert(struct job_list *list, struct job_private *j);
/* The queue that this flight waits in. */
struct flight_list *scheduler_list_of(struct scheduler *s, const struct flight *f);
/* Gives a new job its place and adds it to `live`. Others of its client that are less urgent move back for it, into
 * places of that client, so that nobody else notices. */
void scheduler_stand_in_line(struct scheduler *s, struct job_private *j, uint64_t now_us);
/* It is no longer in `live`, and its place counts for those of its client that come. */
void scheduler_leave_line(struct scheduler *s, struct job_private *j);
/* Once half of its time is over, a job that waits passes those of its client that have a later deadline or no hurry. */
void scheduler_hurry(struct scheduler *s, struct job_private *j, uint64_t now_us);

/* ---- coming and going ---- */
MUST_USE enum err scheduler_submit(struct scheduler *s, struct job_private *j, uint64_t now_us, struct errbuf *why);
/* Takes all waiting jobs out that were cancelled or are too late, and lets those hurry whose time gets short. */
void scheduler_sweep(struct scheduler *s, uint64_t now_us, struct job_list *leaving);
/* The job's work is over, with its failure or with success. It is in no queue and no flight. */
void scheduler_finish(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving);
/* Calls on_done of all in the list and empties it; steps outside meanwhile. */
void scheduler_deliver(struct scheduler *s, struct job_list *leaving);
/* Marks a job that is held: the first failure counts. */
void scheduler_fail(struct job_private *j, enum err why, const char *stage);

/* ---- decode workers ---- */
struct job_private *scheduler_pop_prepare(struct scheduler *s); /* NULL: none */
/* A flight that is now busy, with a leader, its memory and (but for a check) a slot; NULL: none may go now. */
struct flight *scheduler_pop_decode(struct scheduler *s);
/* Its decoding is over, one way or the other. */
void scheduler_end_decode(struct scheduler *s, const struct flight *f);
/* A prepared job whose image is not known: it joins a flight or begins one. */
void scheduler_route(struct scheduler *s, struct job_private *j, bool may_share);
/* The picture lies in the flight's slot. */
void scheduler_decoded(struct scheduler *s, struct flight *f, uint64_t now_us);

/* ---- engine threads ---- */
/* n flights that are now busy, each with a leader, most urgent first. */
void scheduler_pop_images(struct scheduler *s, struct flight **out, int n);
/* The flight is over: its slot is free again and its members are in the list, held, in order of joining. */
void scheduler_land(struct scheduler *s, struct flight *f, struct job_list *members);
/* A job whose features are there: it waits for fusion or, without items, is finished. */
void scheduler_enter_fusion(struct scheduler *s, struct job_private *j, uint64_t now_us, struct job_list *leaving);
/* Items of the job go into a step, or come back from it (`finished` of them for good). */
void scheduler_items_begin(struct scheduler *s, struct job_private *j, int n, uint64_t now_us);
void scheduler_items_end(struct scheduler *s, struct job_private *j, int n, int finished, uint64_t now_us,
                         struct job_list *leaving);
/* New items of a waiting job are taken for a step; the job moves back in the line if it has more. */
void scheduler_pop_items(struct scheduler *s, struct job_private *j, int n);
/* A slot is free: the small ones stand before the large ones. */
void scheduler_return_slot(struct scheduler *s, struct caption_slot *slot);
/* The job of this slot needs it no more. */
void scheduler_free_caption(struct scheduler *s, struct caption_slot *slot);

#endif
