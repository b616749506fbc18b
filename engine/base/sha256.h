/* sha256 - SHA-256 and HMAC-SHA-256 of memory.
 *
 * Ownership: borrows everything. Threads: thread-safe; a struct sha256 belongs to one thread at a time. */
#ifndef ENGINE_BASE_SHA256_H
#define ENGINE_BASE_SHA256_H

#include "engine/base/err.h"

#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_HEX = 2 * SHA256_BYTES + 1 /* with the NUL */ };

void sha256(const void *bytes, size_t n, uint8_t digest[SHA256_BYTES]);
void sha256_hmac(const void *key, size_t n_key, const void *bytes, size_t n, uint8_t digest[SHA256_BYTES]);

/* Piece by piece: begin, add as often as needed, end. */
struct sha256 {
    uint64_t _state[16];
};
void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
void sha256_end(struct sha256 *s, uint8_t digest[SHA256_BYTES]);

void sha256_hex(const uint8_t digest[SHA256_BYTES], char hex[SHA256_HEX]); /* lower case */
bool sha256_from_hex(const char *hex, uint8_t digest[SHA256_BYTES]);       /* exactly 64 digits, either case */
/* Constant time, wherever the first difference is: for secrets. */
bool sha256_equal(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES]);

#endif
