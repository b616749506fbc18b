/* side - a thread for tasks too long for the loop: parsing large bodies, printing and freeing large answers, closing
 * engines.
 *
 * Tasks run one after the other, each bounded by the limits on what it works on; then their on_done is called on the
 * loop thread. Clients share the thread by the costs of their tasks, whoever has added how many; the tasks of one
 * client run in the order of adding.
 *
 * Ownership: a task belongs to the side from side_add until on_done, which may free it.
 * Threads:   side_* on the loop thread; task->run on the side's. side_close runs what waits first. */
#ifndef SERVER_WORK_SIDE_H
#define SERVER_WORK_SIDE_H

#include "engine/base/mailbox.h"
#include "server/http/loop.h"

struct side;

struct side_task {
    struct mailbox_item item; /* the first member */
    void (*run)(struct side_task *t);
    void (*on_done)(struct side_task *t);
    uint64_t client, cost; /* for whom; bytes that are worked on. 0: for the service itself */
    uint64_t _place;
};

/* nice: how far its thread stands behind the caller's (thread.h). */
MUST_USE enum err side_open(struct side **out, struct loop *l, int nice, struct errbuf *e);
void side_close(struct side *s); /* NULL is fine */
void side_add(struct side *s, struct side_task *t);
/* Calls on_done for finished tasks. */
void side_reap(struct side *s);

#endif
