#include "engine/base/sha256.h"

#include "tests/support/check.h"

static const char *hex_of(const uint8_t digest[SHA256_BYTES])
{
    static char hex[SHA256_HEX];
    sha256_hex(digest, hex);
    return hex;
}

/* FIPS 180-2, appendix B. */
static void test_digests(void)
{
    uint8_t digest[SHA256_BYTES];
    sha256("abc", 3, digest);
    CHECK_STR(hex_of(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(NULL, 0, digest);
    CHECK_STR(hex_of(digest), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    sha256(two_blocks, strlen(two_blocks), digest);
    CHECK_STR(hex_of(digest), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* RFC 4231, cases 1, 2 and 6 (a key longer than a block). */
static void test_hmac(void)
{
    uint8_t digest[SHA256_BYTES], key[131];
    memset(key, 0x0b, 20);
    sha256_hmac(key, 20, "Hi There", 8, digest);
    CHECK_STR(hex_of(digest), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    sha256_hmac("Jefe", 4, "what do ya want for nothing?", 28, digest);
    CHECK_STR(hex_of(digest), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    sha256_hmac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, digest);
    CHECK_STR(hex_of(digest), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    sha256_hmac(NULL, 0, NULL, 0, digest);
    CHECK_STR(hex_of(digest), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_pieces(void)
{
    uint8_t whole[SHA256_BYTES], pieces[SHA256_BYTES];
    char text[1000];
    memset(text, 'a', sizeof(text));
    sha256(text, sizeof(text), whole);
    for (size_t step = 1; step < 200; step += 9) {
        struct sha256 s;
        sha256_begin(&s);
        for (size_t at = 0; at < sizeof(text); at += step) {
            size_t left = sizeof(text) - at;
            sha256_add(&s, text + at, left < step ? left : step);
        }
        sha256_add(&s, NULL, 0);
        sha256_end(&s, pieces);
        CHECK(sha256_equal(whole, pieces));
    }
}

static void test_hex(void)
{
    uint8_t digest[SHA256_BYTES], again[SHA256_BYTES];
    char hex[SHA256_HEX + 1];
    sha256("abc", 3, digest);
    sha256_hex(digest, hex);
    CHECK(sha256_from_hex(hex, again) && sha256_equal(digest, again));
    CHECK(sha256_from_hex("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", again));
    CHECK(sha256_equal(digest, again));
    again[31] ^= 1;
    CHECK(!sha256_equal(digest, again));
    again[31] ^= 1;
    again[0] ^= 0x80;
    CHECK(!sha256_equal(digest, again));
    for (int i = 0; i < 64; i++) {
        char c = hex[i];
        hex[i] = i % 2 ? 'g' : '/';
        CHECK(!sha256_from_hex(hex, again));
        hex[i] = c;
    }
    hex[64] = '0';
    hex[65] = '\0';
    CHECK(!sha256_from_hex(hex, again)); /* too long */
    hex[63] = '\0';
    CHECK(!sha256_from_hex(hex, again)); /* too short */
    CHECK(!sha256_from_hex("", again));
}

int main(void)
{
    test_digests();
    test_hmac();
    test_pieces();
    test_hex();
    return check_result();
}
