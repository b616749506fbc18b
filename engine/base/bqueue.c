#include "engine/base/bqueue.h"

#include "engine/base/mem.h"

#include <pthread.h>

struct bqueue {
    pthread_mutex_t lock; /* guards everything below; a leaf: nothing is called while it is held */
    pthread_cond_t not_empty;
    size_t capacity, first, n;
    bool is_closed;
    void *items[]; /* [capacity] ring: the n items from `first` on */
};

enum err bqueue_create(struct bqueue **out, size_t capacity)
{
    struct bqueue *q = NULL;
    size_t n_bytes;
    *out = NULL;
    BUG_ON(capacity == 0);
    if (__builtin_mul_overflow(capacity, sizeof(void *), &n_bytes) ||
        __builtin_add_overflow(n_bytes, sizeof(*q), &n_bytes)) {
        return ERR_NOMEM;
    }
    enum err rc = mem_alloc(&q, n_bytes);
    if (rc) {
        return rc;
    }
    q->capacity = capacity;
    pthread_mutex_init(&q->lock, NULL); /* cannot fail with default attributes on Linux */
    pthread_cond_init(&q->not_empty, NULL);
    *out = q;
    return OK;
}

void bqueue_destroy(struct bqueue *q)
{
    if (q) {
        BUG_ON(q->n != 0);
        pthread_cond_destroy(&q->not_empty);
        pthread_mutex_destroy(&q->lock);
        mem_free(q);
    }
}

bool bqueue_try_push(struct bqueue *q, void *item)
{
    BUG_ON(!item);
    pthread_mutex_lock(&q->lock);
    bool has_room = !q->is_closed && q->n < q->capacity;
    if (has_room) {
        q->items[(q->first + q->n) % q->capacity] = item;
        q->n++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return has_room;
}

/* With the lock held. */
static void *take_first(struct bqueue *q)
{
    if (q->n == 0) {
        return NULL;
    }
    void *item = q->items[q->first];
    q->first = (q->first + 1) % q->capacity;
    q->n--;
    return item;
}

void *bqueue_pop(struct bqueue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->is_closed) {
        pthread_cond_wait(&q->not_empty, &q->lock);
    }
    void *item = take_first(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *bqueue_try_pop(struct bqueue *q)
{
    pthread_mutex_lock(&q->lock);
    void *item = take_first(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void bqueue_close(struct bqueue *q)
{
    pthread_mutex_lock(&q->lock);
    q->is_closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
}

size_t bqueue_count(struct bqueue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->n;
    pthread_mutex_unlock(&q->lock);
    return n;
}
