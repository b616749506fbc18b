#include "server/collections/archive_queue.h"

#include <stddef.h>

bool archive_queue_add(struct archive_queue *q, struct archive_queue_item *item, int max)
{
    struct archive_queue_item **at = &q->first;
    int of_client = 0;
    item->turn = q->turn + 1;
    for (const struct archive_queue_item *i = q->first; i; i = i->next) {
        if (i->client == item->client) {
            item->turn = i->turn + 1;
            of_client++;
        }
    }
    if (of_client >= max) {
        return false;
    }
    while (*at && (*at)->turn <= item->turn) {
        at = &(*at)->next;
    }
    item->next = *at;
    *at = item;
    q->n++;
    return true;
}

static struct archive_queue_item *unlink_at(struct archive_queue *q, struct archive_queue_item **at)
{
    struct archive_queue_item *item = *at;
    *at = item->next;
    item->next = NULL;
    q->n--;
    return item;
}

struct archive_queue_item *archive_queue_pop(struct archive_queue *q)
{
    if (!q->first) {
        return NULL;
    }
    q->turn = q->first->turn;
    return unlink_at(q, &q->first);
}

bool archive_queue_remove(struct archive_queue *q, struct archive_queue_item *item)
{
    for (struct archive_queue_item **at = &q->first; *at; at = &(*at)->next) {
        if (*at == item) {
            unlink_at(q, at);
            return true;
        }
    }
    return false;
}

struct archive_queue_item *archive_queue_pop_late(struct archive_queue *q, uint64_t now_us)
{
    for (struct archive_queue_item **at = &q->first; *at; at = &(*at)->next) {
        if ((*at)->deadline_us <= now_us) {
            return unlink_at(q, at);
        }
    }
    return NULL;
}

uint64_t archive_queue_earliest(const struct archive_queue *q)
{
    uint64_t earliest = UINT64_MAX;
    for (const struct archive_queue_item *i = q->first; i; i = i->next) {
        earliest = i->deadline_us < earliest ? i->deadline_us : earliest;
    }
    return earliest;
}
