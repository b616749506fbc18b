/* mailbox - finished things on their way back to one thread: any thread puts, the owner takes all of them in order.
 *
 * An item is a struct mailbox_item inside the caller's own struct, so putting never fails and never allocates.
 *
 * Ownership: an item belongs to the mailbox from mailbox_put until mailbox_take returns it.
 * Threads:   mailbox_put on any thread; mailbox_take on the owner's. */
#ifndef ENGINE_BASE_MAILBOX_H
#define ENGINE_BASE_MAILBOX_H

#include <pthread.h>

struct mailbox_item {
    struct mailbox_item *next;
};

struct mailbox {
    pthread_mutex_t _lock; /* guards what follows; a leaf */
    pthread_cond_t _arrived;
    struct mailbox_item *_first, **_end;
};

void mailbox_init(struct mailbox *m);
void mailbox_release(struct mailbox *m); /* must be empty */

void mailbox_put(struct mailbox *m, struct mailbox_item *item);
/* All items, the oldest first, linked by next; NULL: none. */
struct mailbox_item *mailbox_take(struct mailbox *m);
/* Waits until there is at least one. */
struct mailbox_item *mailbox_wait(struct mailbox *m);

#endif
