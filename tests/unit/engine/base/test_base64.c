#include "engine/base/base64.h"

#include "tests/support/check.h"

#include <stdint.h>
#include <stdlib.h>

/* The room that a text needs: 3 bytes for each 4 characters, and for what is begun. */
static size_t decoded_max(size_t n)
{
    return n / 4 * 3 + (n % 4 > 1 ? n % 4 - 1 : 0);
}

/* RFC 4648, section 10. */
static const char *const pairs[][2] = {{"", ""},
                                       {"f", "Zg=="},
                                       {"fo", "Zm8="},
                                       {"foo", "Zm9v"},
                                       {"foob", "Zm9vYg=="},
                                       {"fooba", "Zm9vYmE="},
                                       {"foobar", "Zm9vYmFy"}};

static void test_examples(void)
{
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[32], bytes[32];
        size_t n = strlen(pairs[i][0]), n_text = strlen(pairs[i][1]), n_out = 99;
        CHECK_INT(base64_encoded_size(n), n_text);
        base64_encode(pairs[i][0], n, text);
        CHECK_STR(text, pairs[i][1]);
        CHECK_INT(base64_decode(text, n_text, bytes, &n_out, NULL), OK);
        CHECK_INT(n_out, n);
        CHECK(memcmp(bytes, pairs[i][0], n) == 0);
    }
}

static void test_refusals(void)
{
    static const struct {
        const char *text, *told;
    } bad[] = {{"Zg\n=", "the end is missing"},
               {"Zg=", "the end is missing"},
               {"Z", "the end is missing"},
               {"Z===", "at character 2"},
               {"====", "at character 1"},
               {"Zg===", "too many"},
               {"Zg==Zg==", "after '='"},
               {"Zm8=Zm9v", "at character 5"},
               {"Zh==", "left over"},
               {"Zm9=", "left over"},
               {"Zm9vYg-", "left over"},
               {"Zm-v+w==", "one alphabet"},
               {"Z_", "left over"},
               {"_", "the end is missing"},
               {"ab-_a", "the end is missing"},
               {"Zm_/", "one alphabet"},
               {"Zm9v!", "at character 5"},
               {"Zm\x80v", "not a character"},
               {"Zm9vZg=v", "after '='"},
               {"=Zm9", "at character 1"},
               {"Zm9v=", "at character 5"},
               {"Zh", "left over"},
               {"b'Zm", "at character 2: '"},
               {"Zm9vY mFy", "was a '+'"},
               {"Zm9vYm y", "was a '+'"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char out[32];
        size_t n = 5;
        struct errbuf e = {""};
        CHECK_INT(base64_decode(bad[i].text, strlen(bad[i].text), out, &n, &e), ERR_BAD_REQUEST);
        if (!strstr(e.text, bad[i].told)) {
            fprintf(stderr, "%s: %s\n", bad[i].text, e.text);
        }
        CHECK(strstr(e.text, bad[i].told) != NULL);
        CHECK_INT(n, 0);
    }
    char out[8];
    size_t n;
    CHECK_INT(base64_decode("Zm9\0", 4, out, &n, NULL), ERR_BAD_REQUEST); /* NUL is a character like others */
}

static void test_white_space(void)
{
    static const char *const same[] = {" Zm9vYg==",  "Zm \t9\nv\r\nYg = =", "Zm9v Yg==",    "Zm9vYg",
                                       " Zm9vYg \n", "Zm9vYg==\r\n",        "Zm9v\nYg=\n=", "Zm9\nvYg=="};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        char out[16];
        size_t n;
        CHECK_INT(base64_decode(same[i], strlen(same[i]), out, &n, NULL), OK);
        CHECK_INT(n, 4);
        CHECK(memcmp(out, "foob", 4) == 0);
    }
    char out[4];
    size_t n = 9;
    CHECK_INT(base64_decode("+ +A", 4, out, &n, NULL), OK); /* where '+' is still there, a space was none */
    char text[] = "+Pj4Zm 9v"; /* in place: the bytes of the first group are "\xf8\xf8\xf8" */
    CHECK_INT(base64_decode(text, 9, text, &n, NULL), OK);
    char lost[] = "KysrZm 9v"; /* "+++" */
    CHECK_INT(base64_decode(lost, 9, lost, &n, NULL), ERR_BAD_REQUEST);
    CHECK_INT(base64_decode(" \n ", 3, out, &n, NULL), OK);
    CHECK_INT(n, 0);
}

/* The same bytes in the other alphabet, with padding and without, in blocks that are no byte longer than promised. */
static void check_url_safe(const char *standard, const uint8_t *bytes, size_t n)
{
    size_t n_text = strlen(standard);
    for (int is_padded = 0; is_padded < 2; is_padded++) {
        char text[300];
        for (size_t i = 0; i < n_text; i++) {
            text[i] = (char)(standard[i] == '+' ? '-' : standard[i] == '/' ? '_' : standard[i]);
        }
        while (!is_padded && n_text > 0 && text[n_text - 1] == '=') {
            n_text--;
        }
        size_t n_out = 0, max = decoded_max(n_text);
        uint8_t *out = malloc(max ? max : 1);
        CHECK_INT(base64_decode(text, n_text, out, &n_out, NULL), OK);
        CHECK(n_out == n && max <= n_text && memcmp(out, bytes, n) == 0);
        free(out);
        CHECK_INT(base64_decode(text, n_text, text, &n_out, NULL), OK);
        CHECK(n_out == n && memcmp(text, bytes, n) == 0);
        n_text = strlen(standard);
    }
}

/* All lengths, in a block of exactly the promised size, and in place. */
static void test_round_trip(void)
{
    uint8_t bytes[200];
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        char text[300];
        for (size_t i = 0; i < n; i++) {
            bytes[i] = (uint8_t)((uint32_t)(i + 3 * n) * 2654435761u >> 24);
        }
        base64_encode(bytes, n, text);
        size_t n_text = strlen(text), n_out = 0, max = decoded_max(n_text);
        CHECK_INT(n_text, base64_encoded_size(n));
        uint8_t *out = malloc(max ? max : 1);
        if (!out) {
            exit(1);
        }
        CHECK_INT(base64_decode(text, n_text, out, &n_out, NULL), OK);
        CHECK(n_out == n && memcmp(out, bytes, n) == 0);
        free(out);
        check_url_safe(text, bytes, n);
        CHECK_INT(base64_decode(text, n_text, text, &n_out, NULL), OK);
        CHECK(n_out == n && memcmp(text, bytes, n) == 0);
    }
}

/* Every character that is not in the alphabet is refused or skipped, alone against the list. */
static void test_alphabet(void)
{
    const char *alphabet_and_space = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_ \t\r\n";
    for (int c = 1; c < 256; c++) {
        char text[9] = {'A', 'A', 'A', (char)c, 'A', 'A', 'A', 'A', '\0'}, out[8];
        size_t n;
        enum err rc = base64_decode(text, 4, out, &n, NULL);
        CHECK_INT(rc == OK, strchr(alphabet_and_space, c) != NULL || c == '=');
    }
}

int main(void)
{
    test_examples();
    test_refusals();
    test_white_space();
    test_round_trip();
    test_alphabet();
    return check_result();
}
