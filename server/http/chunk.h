/* chunk - the chunked coding of a request's body (RFC 9112 section 7.1), checked and removed, byte by byte.
 *
 * Strict: sizes are 1 to 16 hex digits and lie below 2^60; lines end in CR LF; trailers are header fields. Chunk
 * extensions and trailers are skipped, and bounded (CHUNK_MAX_EXTRA bytes of them in one body).
 *
 * Threads: any. Errors: CHUNK_REFUSED with a message that says what is wrong. Allocates nothing. */
#ifndef SERVER_CHUNK_H
#define SERVER_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHUNK_MAX_DIGITS = 16, CHUNK_MAX_EXTRA = 8192 };

enum chunk_state { CHUNK_MORE, CHUNK_WHOLE, CHUNK_REFUSED };

struct chunk {
    uint64_t left; /* data bytes of this chunk still to come */
    size_t n_extra;
    int n_digits, step;
    const char *message; /* of CHUNK_REFUSED */
};

void chunk_init(struct chunk *c);
/* Decodes in place: the data is moved to the front (*n_data bytes). *n_taken of n were consumed; less than n only with
 * CHUNK_WHOLE, when the rest belongs to the next request. */
enum chunk_state chunk_read(struct chunk *c, char *bytes, size_t n, size_t *n_taken, size_t *n_data);

#endif
