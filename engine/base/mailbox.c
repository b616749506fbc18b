#include "engine/base/mailbox.h"

#include "engine/base/err.h"

void mailbox_init(struct mailbox *m)
{
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->arrived, NULL);
    m->first = NULL;
    m->end = &m->first;
}

void mailbox_release(struct mailbox *m)
{
    BUG_ON(m->first != NULL);
    pthread_cond_destroy(&m->arrived);
    pthread_mutex_destroy(&m->lock);
}

void mailbox_put(struct mailbox *m, struct mailbox_item *item)
{
    item->next = NULL;
    pthread_mutex_lock(&m->lock);
    *m->end = item;
    m->end = &item->next;
    pthread_cond_signal(&m->arrived);
    pthread_mutex_unlock(&m->lock);
}

static struct mailbox_item *empty(struct mailbox *m)
{
    struct mailbox_item *first = m->first;
    m->first = NULL;
    m->end = &m->first;
    return first;
}

struct mailbox_item *mailbox_take(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct mailbox_item *first = empty(m);
    pthread_mutex_unlock(&m->lock);
    return first;
}

struct mailbox_item *mailbox_wait(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    while (!m->first) {
        pthread_cond_wait(&m->arrived, &m->lock);
    }
    struct mailbox_item *first = empty(m);
    pthread_mutex_unlock(&m->lock);
    return first;
}
