/* bqueue - bounded FIFO of pointers between threads.
 *
 * Ownership: push takes the item, pop gives it to the caller. The queue never frees items.
 * Threads:   any thread may push or pop. close() wakes all poppers; they drain, then get NULL.
 * Failure:   try_push refuses when full or closed. It never blocks on room, so the loop thread may call it. */
#ifndef ENGINE_BASE_BQUEUE_H
#define ENGINE_BASE_BQUEUE_H

#include "engine/base/err.h"

struct bqueue;

MUST_USE enum err bqueue_create(struct bqueue **out, size_t capacity); /* gives *out; capacity >= 1 */
void bqueue_destroy(struct bqueue *q);                                 /* NULL is fine; must be empty and unused */

MUST_USE bool bqueue_try_push(struct bqueue *q, void *item); /* takes item if true; item is not NULL */
void *bqueue_pop(struct bqueue *q);                          /* blocks; NULL once closed and empty */
void *bqueue_try_pop(struct bqueue *q);                      /* NULL when empty */
void bqueue_close(struct bqueue *q);                         /* may be called again */
size_t bqueue_count(struct bqueue *q);                       /* items waiting */

#endif
