/* service - an open engine with its pool of jobs: what a model reload replaces as a whole.
 *
 * Jobs come home on engine threads; they are put on a list and the loop is woken, which takes the list as a whole.
 *
 * Ownership: a service owns engine and jobs. A slot taken is given back by service_give.
 * Threads:   service_open and service_close block and may run on any thread; everything else is the loop thread's. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "engine/engine.h"
#include "server/http/loop.h"

struct stream;

struct service_slot {
    struct job *job;
    struct service *service;
    void *owner; /* whoever took the slot */
    void (*on_home)(struct service_slot *slot);
    int index; /* the owner's */
    struct stream *stream;
    size_t n_streamed;
    struct service_slot *next;
};

struct service {
    struct engine *engine;
    struct engine_info info;
    struct loop *loop;
    int n_slots, n_free;
    struct service_slot *slots, *free;
    struct service_slot *done; /* guarded by lock */
    struct service_lock *lock;
    struct service *next; /* older ones that wait for their last jobs */
};

MUST_USE enum err service_open(struct service **out, const struct engine_options *options, struct loop *l,
                               struct errbuf *e);
/* All slots must be back. NULL is fine. */
void service_close(struct service *s);
/* Submits the slot's job and waits for it: while nobody else, the loop neither, uses the service. */
MUST_USE enum err service_run_alone(struct service *s, struct service_slot *slot, struct errbuf *e);

struct service_slot *service_take(struct service *s); /* NULL: none is free */
void service_give(struct service_slot *slot);
/* Calls on_home of every job that has come home. */
void service_reap(struct service *s);

#endif
