/* archive_queue - requests that wait, in turns by client.
 *
 * Each item has the number of the turn in which it is served: one more than its client's last waiting item, or than the
 * turn under way. Items are taken by turn, within a turn in the order of adding. So a client with one item waits for at
 * most one item of each other client, however many those have waiting.
 *
 * Ownership: items are embedded in what the caller owns. Threads: one at a time. Adding walks the queue, which its
 * bound keeps short. */
#ifndef SERVER_ARCHIVE_QUEUE_H
#define SERVER_ARCHIVE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct archive_queue_item {
    uint64_t client;
    uint64_t deadline_us; /* UINT64_MAX: none */
    uint64_t _turn;
    struct archive_queue_item *_next;
};

struct archive_queue {
    struct archive_queue_item *_first; /* by turn */
    uint64_t _turn;                    /* of the item taken last */
    int n;                             /* how many wait */
};

/* A zeroed queue is empty. False: the client already has its maximum waiting. */
bool archive_queue_add(struct archive_queue *q, struct archive_queue_item *item, int max);
struct archive_queue_item *archive_queue_pop(struct archive_queue *q); /* NULL: empty */
bool archive_queue_remove(struct archive_queue *q, struct archive_queue_item *item);
/* Takes one whose deadline is not after now; NULL: there is none. */
struct archive_queue_item *archive_queue_pop_late(struct archive_queue *q, uint64_t now_us);
uint64_t archive_queue_earliest(const struct archive_queue *q); /* deadline; UINT64_MAX: none */

#endif
