/* flight - an image on its way to region features, with all jobs that wait for it.
 *
 * Jobs that bring the same image while it is under way join its flight instead of computing it again. The first member
 * that has the bytes leads: its bytes are decoded and its memory holds the features, so it may not leave while a thread
 * is working on the flight; the others may leave at any time.
 *
 * Ownership: flights come from a pool, one for each job that can exist, so there is always one.
 * Threads:   the scheduler's lock guards everything; a busy flight's slot, shape and leader belong to its thread. */
#ifndef ENGINE_FLIGHT_H
#define ENGINE_FLIGHT_H

#include "engine/image/preprocess.h"
#include "engine/job_private.h"

enum flight_stage { FLIGHT_FREE, FLIGHT_DECODE, FLIGHT_IMAGE };

struct flight {
    TAILQ_ENTRY(flight) link; /* free, or waiting for its stage */
    enum flight_stage stage;
    bool is_busy; /* a thread is working on it: in no list */
    bool is_open; /* others may join */
    struct image_id id;
    bool tolerates_truncated;
    bool is_check;       /* of a JOB_CHECK: decoded and done */
    size_t decode_bytes; /* that decoding takes */
    struct job_list members;
    struct job_private *leader; /* while busy */
    uint64_t due_us, client;    /* of the member that is due first, */
    int priority;               /* and its priority */
    /* decoded */
    int slot; /* -1: none */
    struct preprocess_shape shape;
    int width, height;
    uint32_t warnings;
    uint64_t ready_us, decode_us;
};
TAILQ_HEAD(flight_list, flight);

struct flight_pool {
    struct flight *flights; /* [n] */
    int n;
    struct flight_list idle;
};
MUST_USE enum err flight_pool_init(struct flight_pool *p, int n);
void flight_pool_release(struct flight_pool *p);

/* A new flight with this member, in no queue. */
struct flight *flight_begin(struct flight_pool *p, struct job_private *j, bool is_open);
/* The open flight of this image, if there is one. */
struct flight *flight_find(struct flight_pool *p, const struct image_id *id, bool tolerates_truncated);
void flight_join(struct flight *f, struct job_private *j);
/* Not the leader of a busy flight. */
void flight_leave(struct flight *f, struct job_private *j);
/* Call when the order of its members has changed: finds the one that is due first. */
void flight_look(struct flight *f);
/* Back to the pool; no members, no slot. */
void flight_end(struct flight_pool *p, struct flight *f);
/* The first member with bytes; NULL when none has. */
struct job_private *flight_with_bytes(const struct flight *f);
/* In order of due time; equal ones in order of arrival. */
void flight_insert(struct flight_list *list, struct flight *f);

#endif
