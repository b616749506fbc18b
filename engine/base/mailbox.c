#include "engine/base/mailbox.h"

#include "engine/base/err.h"

void mailbox_init(struct mailbox *m)
{
    pthread_mutex_init(&m->_lock, NULL);
    pthread_cond_init(&m->_arrived, NULL);
    m->_first = NULL;
    m->_end = &m->_first;
}

void mailbox_release(struct mailbox *m)
{
    BUG_ON(m->_first != NULL);
    pthread_cond_destroy(&m->_arrived);
    pthread_mutex_destroy(&m->_lock);
}

void mailbox_put(struct mailbox *m, struct mailbox_item *item)
{
    item->next = NULL;
    pthread_mutex_lock(&m->_lock);
    *m->_end = item;
    m->_end = &item->next;
    pthread_cond_signal(&m->_arrived);
    pthread_mutex_unlock(&m->_lock);
}

static struct mailbox_item *empty(struct mailbox *m)
{
    struct mailbox_item *first = m->_first;
    m->_first = NULL;
    m->_end = &m->_first;
    return first;
}

struct mailbox_item *mailbox_take(struct mailbox *m)
{
    pthread_mutex_lock(&m->_lock);
    struct mailbox_item *first = empty(m);
    pthread_mutex_unlock(&m->_lock);
    return first;
}

struct mailbox_item *mailbox_wait(struct mailbox *m)
{
    pthread_mutex_lock(&m->_lock);
    while (!m->_first) {
        pthread_cond_wait(&m->_arrived, &m->_lock);
    }
    struct mailbox_item *first = empty(m);
    pthread_mutex_unlock(&m->_lock);
    return first;
}
