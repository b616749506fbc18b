/* stream - bytes of an answer on their way from any thread to the connection.
 *
 * Ownership: the exchange's; the work that feeds it holds a second reference while it runs, so that it outlives a
 *            client that disconnects while an engine thread uses it: created with two, each side calls stream_drop
 *            once.
 * Threads:   any; guarded inside. Bounded: if a reader is so slow that the cap is reached, the stream ends. */
#ifndef SERVER_STREAM_H
#define SERVER_STREAM_H

#include "engine/base/err.h"

struct stream;

MUST_USE enum err stream_create(struct stream **out, size_t max_bytes);
void stream_drop(struct stream *s);
void stream_add(struct stream *s, const char *bytes, size_t n);
void stream_end(struct stream *s);
/* Takes up to n bytes; *is_ended: nothing is left and nothing more will come. */
size_t stream_take(struct stream *s, char *out, size_t n, bool *is_ended);
bool stream_is_empty(struct stream *s); /* nothing added so far and not ended */

#endif
