#include "server/http/stream.h"

#include "engine/base/buf.h"
#include "engine/base/mem.h"

#include <pthread.h>
#include <string.h>

struct stream {
    pthread_mutex_t lock;
    struct buf bytes;
    size_t n_taken;
    bool is_ended;
    int references;
};

enum err stream_create(struct stream **out, size_t max_bytes)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        struct stream *s = *out;
        pthread_mutex_init(&s->lock, NULL);
        buf_init(&s->bytes, max_bytes);
        s->references = 2;
    }
    return rc;
}

void stream_drop(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_last = --s->references == 0;
    pthread_mutex_unlock(&s->lock);
    if (is_last) {
        pthread_mutex_destroy(&s->lock);
        buf_release(&s->bytes);
        mem_free(s);
    }
}

void stream_add(struct stream *s, const char *bytes, size_t n)
{
    pthread_mutex_lock(&s->lock);
    buf_append(&s->bytes, bytes, n);
    s->is_ended |= !!s->bytes.err;
    pthread_mutex_unlock(&s->lock);
}

void stream_end(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_ended = true;
    pthread_mutex_unlock(&s->lock);
}

size_t stream_take(struct stream *s, char *out, size_t n, bool *is_ended)
{
    pthread_mutex_lock(&s->lock);
    size_t left = s->bytes.n - s->n_taken;
    size_t taken = left < n ? left : n;
    if (taken > 0) {
        memcpy(out, s->bytes.bytes + s->n_taken, taken);
        s->n_taken += taken;
    }
    *is_ended = s->is_ended && s->n_taken == s->bytes.n;
    if (s->n_taken == s->bytes.n && !s->bytes.err) {
        buf_reset(&s->bytes); /* the cap is on what waits */
        s->n_taken = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

bool stream_is_empty(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_empty = s->bytes.n == s->n_taken && !s->is_ended;
    pthread_mutex_unlock(&s->lock);
    return is_empty;
}
