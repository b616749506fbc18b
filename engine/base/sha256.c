#include "engine/base/sha256.h"

#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <string.h>

/* The library's state lies in our struct, so that no other file needs its headers. */
_Static_assert(sizeof(struct sha256_ctx) <= sizeof(struct sha256), "struct sha256 is too small for the library");
_Static_assert(_Alignof(struct sha256_ctx) <= _Alignof(struct sha256), "struct sha256 is aligned too weakly");

static struct sha256_ctx *ctx_of(struct sha256 *s)
{
    return (struct sha256_ctx *)(void *)s->_state;
}

void sha256_begin(struct sha256 *s)
{
    nettle_sha256_init(ctx_of(s));
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    if (n) {
        nettle_sha256_update(ctx_of(s), n, bytes);
    }
}

void sha256_end(struct sha256 *s, uint8_t digest[SHA256_BYTES])
{
    nettle_sha256_digest(ctx_of(s), SHA256_BYTES, digest);
}

void sha256(const void *bytes, size_t n, uint8_t digest[SHA256_BYTES])
{
    struct sha256 s;
    sha256_begin(&s);
    sha256_add(&s, bytes, n);
    sha256_end(&s, digest);
}

void sha256_hmac(const void *key, size_t n_key, const void *bytes, size_t n, uint8_t digest[SHA256_BYTES])
{
    struct hmac_sha256_ctx ctx;
    hmac_sha256_set_key(&ctx, n_key, n_key ? key : (const void *)"");
    if (n) {
        hmac_sha256_update(&ctx, n, bytes);
    }
    hmac_sha256_digest(&ctx, SHA256_BYTES, digest);
    explicit_bzero(&ctx, sizeof(ctx));
}

void sha256_hex(const uint8_t digest[SHA256_BYTES], char hex[SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SHA256_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[SHA256_HEX - 1] = '\0';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool sha256_from_hex(const char *hex, uint8_t digest[SHA256_BYTES])
{
    if (strnlen(hex, SHA256_HEX) != SHA256_HEX - 1) {
        return false;
    }
    for (int i = 0; i < SHA256_BYTES; i++) {
        int high = digit_of(hex[2 * i]), low = digit_of(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool sha256_equal(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES])
{
    uint8_t difference = 0;
    for (int i = 0; i < SHA256_BYTES; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference == 0;
}
