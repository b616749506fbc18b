/* Any bytes as what a client sends: heads and bodies, as the front takes them. Whole or in pieces of any size the
 * outcome must be the same; what is accepted has one framing and texts inside its memory. The first byte is the size
 * of pieces. */
#include "server/http/chunk.h"
#include "server/http/http_exchange.h"

#include "engine/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_HEAD = 2048 };

static volatile unsigned touched; /* so that reading is not optimised away */

static unsigned touch(const char *text)
{
    return text ? (unsigned)strlen(text) : 0;
}

static void check_head(const struct head *h, const char *bytes, size_t n)
{
    BUG_ON(h->n_bytes > n || h->n_bytes < 2 || memcmp(bytes + h->n_bytes - 2, "\r\n", 2) != 0);
    BUG_ON(h->is_chunked && (h->has_length || h->minor == 0));
    BUG_ON(!h->has_length && h->length > 0);
    BUG_ON(h->path.n == 0 || (h->path.bytes[0] != '/' && h->path.bytes[0] != '*'));
    BUG_ON(h->method.n == 0 || h->method.n > HEAD_MAX_METHOD);
    for (int i = 0; i < HEADER_COUNT; i++) {
        struct head_text t = h->fields[i];
        BUG_ON(t.n && (memchr(t.bytes, '\r', t.n) || memchr(t.bytes, '\n', t.n) || memchr(t.bytes, 0, t.n)));
        BUG_ON(t.n && (t.bytes[0] == ' ' || t.bytes[t.n - 1] == ' '));
    }
}

static void check_exchange(const struct head *h)
{
    struct exchange *x;
    if (http_exchange_create(&x, h)) {
        return;
    }
    touched += touch(x->method) + touch(x->path);
    BUG_ON(x->n_query > EXCHANGE_MAX_QUERY || x->request_id[0] == '\0');
    for (int i = 0; i < x->n_query; i++) {
        touched += touch(x->query[i].name) + touch(x->query[i].value);
    }
    for (int i = 0; i < HEADER_COUNT; i++) {
        touched += touch(x->headers[i]);
    }
    exchange_destroy(x);
}

/* Scans n bytes of which `step` more are there each time. */
static enum head_state scan(struct head *h, const char *bytes, size_t n, size_t step)
{
    struct head_scan s = {0};
    enum head_state state = HEAD_MORE;
    for (size_t k = step < n ? step : n; state == HEAD_MORE; k = n - k < step ? n : k + step) {
        state = head_scan(h, &s, bytes, k, MAX_HEAD);
        if (k == n) {
            break;
        }
    }
    return state;
}

static enum chunk_state read_chunks(const char *bytes, size_t n, size_t step, char *out, size_t *n_out, size_t *n_taken)
{
    struct chunk c;
    enum chunk_state state = CHUNK_MORE;
    chunk_init(&c);
    *n_out = *n_taken = 0;
    while (*n_taken < n && state == CHUNK_MORE) {
        size_t k = n - *n_taken < step ? n - *n_taken : step, taken, data;
        memcpy(out + *n_out, bytes + *n_taken, k); /* the data ends where the next piece begins */
        state = chunk_read(&c, out + *n_out, k, &taken, &data);
        BUG_ON(data > taken || taken > k || (state == CHUNK_MORE && taken < k));
        BUG_ON(state == CHUNK_REFUSED && !c.message);
        *n_out += data;
        *n_taken += taken;
    }
    return state;
}

static void check_body(const char *bytes, size_t n, size_t step)
{
    char *whole = malloc(n + 1), *pieces = malloc(n + 1);
    size_t n_whole, n_pieces, taken, taken_in_pieces;
    if (whole && pieces) {
        enum chunk_state a = read_chunks(bytes, n, n + 1, whole, &n_whole, &taken);
        enum chunk_state b = read_chunks(bytes, n, step, pieces, &n_pieces, &taken_in_pieces);
        BUG_ON(a != b || n_whole != n_pieces || memcmp(whole, pieces, n_whole) != 0);
        BUG_ON(a == CHUNK_WHOLE && taken != taken_in_pieces);
    }
    free(whole);
    free(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head whole, pieces;
    if (size < 1) {
        return 0;
    }
    size_t n = size - 1, step = (size_t)data[0] + 1, before = mem_live_bytes();
    const char *bytes = (const char *)data + 1;
    enum head_state a = scan(&whole, bytes, n, n + 1), b = scan(&pieces, bytes, n, step);
    BUG_ON(a != b || (a == HEAD_REFUSED && (whole.why != pieces.why || !whole.message)));
    if (a == HEAD_WHOLE) {
        BUG_ON(whole.n_bytes != pieces.n_bytes || whole.length != pieces.length ||
               whole.path.bytes != pieces.path.bytes || whole.is_chunked != pieces.is_chunked ||
               whole.keeps_alive != pieces.keeps_alive);
        check_head(&whole, bytes, n);
        check_body(bytes + whole.n_bytes, n - whole.n_bytes, step);
    }
    if (a != HEAD_MORE) {
        check_exchange(&whole);
    }
    BUG_ON(mem_live_bytes() != before);
    return 0;
}
