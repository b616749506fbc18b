#include "server/collections/archive_queue.h"

#include <stddef.h>

bool archive_queue_add(struct archive_queue *q, struct archive_queue_item *item, int max)
{
    struct archive_queue_item **at = &q->_first;
    int of_client = 0;
    item->_turn = q->_turn + 1;
    for (const struct archive_queue_item *i = q->_first; i; i = i->_next) {
        if (i->client == item->client) {
            item->_turn = i->_turn + 1;
            of_client++;
        }
    }
    if (of_client >= max) {
        return false;
    }
    while (*at && (*at)->_turn <= item->_turn) {
        at = &(*at)->_next;
    }
    item->_next = *at;
    *at = item;
    q->n++;
    return true;
}

static struct archive_queue_item *unlink_at(struct archive_queue *q, struct archive_queue_item **at)
{
    struct archive_queue_item *item = *at;
    *at = item->_next;
    item->_next = NULL;
    q->n--;
    return item;
}

struct archive_queue_item *archive_queue_pop(struct archive_queue *q)
{
    if (!q->_first) {
        return NULL;
    }
    q->_turn = q->_first->_turn;
    return unlink_at(q, &q->_first);
}

bool archive_queue_remove(struct archive_queue *q, struct archive_queue_item *item)
{
    for (struct archive_queue_item **at = &q->_first; *at; at = &(*at)->_next) {
        if (*at == item) {
            unlink_at(q, at);
            return true;
        }
    }
    return false;
}

struct archive_queue_item *archive_queue_pop_late(struct archive_queue *q, uint64_t now_us)
{
    for (struct archive_queue_item **at = &q->_first; *at; at = &(*at)->_next) {
        if ((*at)->deadline_us <= now_us) {
            return unlink_at(q, at);
        }
    }
    return NULL;
}

uint64_t archive_queue_earliest(const struct archive_queue *q)
{
    uint64_t earliest = UINT64_MAX;
    for (const struct archive_queue_item *i = q->_first; i; i = i->_next) {
        earliest = i->deadline_us < earliest ? i->deadline_us : earliest;
    }
    return earliest;
}
