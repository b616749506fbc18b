/* service - an open engine with its pool of jobs: the unit that a model reload replaces.
 *
 *     LOADING -> CURRENT -> RETIRING -> GONE
 *        \-> FAILED
 *
 * A service is reference-counted: everything that may still touch its engine holds it (each piece of work, and the
 * table of services while it is current). The last service_drop reports it to on_idle, and only then may it be closed.
 *
 * Engine threads return jobs through a mailbox; the loop is woken and takes them all. A slot is a job that can be lent;
 * if none is free, the caller waits in line (service_wait) and is called back.
 *
 * Ownership: a service owns engine and jobs. A slot taken is given back by service_give.
 * Threads:   service_open and service_close block and may run on any thread; everything else is the loop thread's. */
#ifndef SERVER_WORK_SERVICE_H
#define SERVER_WORK_SERVICE_H

#include "engine/base/mailbox.h"
#include "engine/engine.h"
#include "server/http/loop.h"
#include "server/work/side.h"

struct stream;

struct service_slot {
    struct mailbox_item item; /* the first member */
    struct job *job;
    struct service *service;
    void *owner; /* the owner of the slot */
    void (*on_home)(struct service_slot *slot);
    int index; /* the owner's, and what follows too */
    struct side_task making;
    void *made;
    struct stream *stream; /* for the owner: where tokens go */
    struct service_slot *next_free;
};

/* A place in the line for slots, inside the waiter's own struct. */
struct service_waiter {
    void (*on_free)(struct service_waiter *w);
    struct service_waiter *next;
    bool is_waiting;
};

enum service_state { SERVICE_LOADING, SERVICE_CURRENT, SERVICE_RETIRING, SERVICE_GONE, SERVICE_FAILED };

struct service {
    struct engine *engine;
    struct engine_info info;
    enum service_state state;
    int references;
    uint64_t loaded_us;                             /* when it became current */
    uint64_t weights_bytes;                         /* of its file */
    size_t overlap_bytes;                           /* what the ledger counts until the service is gone */
    void (*on_idle)(struct service *s, void *user); /* the last reference has been dropped */
    void *on_idle_user;
    struct loop *loop;
    int n_slots, n_free;
    struct service_slot *slots, *free;
    struct service_waiter *waiting, **waiting_end;
    struct mailbox home;
    struct mailbox_item *rest; /* removed from it, and still to be called back */
    struct service *next;      /* in the table of services */
};

const char *service_state_name(enum service_state s);

MUST_USE enum err service_open(struct service **out, const struct engine_options *options, struct loop *l,
                               struct errbuf *e);
/* All slots must have been returned and nothing may hold it. NULL is fine. */
void service_close(struct service *s);
/* Submits the slot's job and waits for it; only while nothing else, including the loop, uses the service. */
MUST_USE enum err service_run_alone(struct service *s, struct service_slot *slot, struct errbuf *e);

struct service *service_hold(struct service *s); /* the same */
void service_drop(struct service *s);

struct service_slot *service_take(struct service *s); /* NULL: none is free */
void service_give(struct service_slot *slot);
/* Waits in line; service_reap calls on_free after removing it from the line. */
void service_wait(struct service *s, struct service_waiter *w);
void service_leave_line(struct service *s, struct service_waiter *w); /* also fine when not waiting */
/* Calls on_home for finished jobs in order of arrival, until until_us or all are done; for the rest the loop is woken
 * again. Then serves the line while slots are free. */
void service_reap(struct service *s, uint64_t until_us);

#endif
