#include "engine/text/vocab.h"
#include "tests/support/check.h"
#include "tests/support/torture.h"

#include <stdlib.h>

static void check_match(const struct vocab *v, bool is_within, const char *bytes, size_t length, const char *token)
{
    int id = -1;
    CHECK_INT(vocab_match(v, is_within, bytes, strlen(bytes), &id), length);
    if (length) {
        CHECK_STR(vocab_token(v, id), token);
    }
}

static void test_matching(void)
{
    static const char text[] = "a\nab\nabcde\n##a\n##ab\n##\n###\n#\n\xc3\xa9\n##\xc3\xa9\n";
    struct vocab *v = NULL;
    CHECK_INT(vocab_parse(&v, text, strlen(text), "v.txt", NULL), OK);
    CHECK_INT(vocab_size(v), 10);
    check_match(v, false, "abcd", 2, "ab");
    check_match(v, false, "abcdef", 5, "abcde");
    check_match(v, false, "b", 0, NULL);
    check_match(v, false, "", 0, NULL);
    check_match(v, true, "abcde", 2, "##ab");
    check_match(v, true, "b", 0, NULL);
    check_match(v, true, "\xc3\xa9", 2, "##\xc3\xa9");
    check_match(v, true, "\xc3", 0, NULL);
    check_match(v, true, "#", 1, "###"); /* "###" continues a word with "#" */
    check_match(v, false, "##", 2, "##");
    for (int id = 0; id < vocab_size(v); id++) {
        CHECK_INT(vocab_find(v, vocab_token(v, id)), id);
    }
    CHECK_INT(vocab_find(v, "abc"), -1);
    CHECK_INT(vocab_find(v, ""), -1);
    CHECK_INT(vocab_find(v, "##b"), -1);
    vocab_close(v);
    vocab_close(NULL);
}

static void test_malformed(void)
{
    static const struct {
        const char *text;
        size_t n;
        const char *fragment; /* NULL: fine */
    } cases[] = {
        {"", 0, "v.txt: is empty"},
        {"\n", 1, "line 1 is empty"},
        {"a\n\nb\n", 5, "line 2 is empty"},
        {"a\nb", 3, NULL},
        {"a\nb\n\n", 5, "line 3 is empty"},
        {"a\r\nb\r\n", 6, "line 1 has a control character"},
        {"a\nb\0c\n", 6, "line 2 has a control character"},
        {"a\nb c\n", 6, "line 2 has white space"},
        {"a\nb\xc2\xa0\n", 6, "line 2 has white space"},
        {"a\n\xff\n", 4, "line 2 is not valid UTF-8"},
        {"a\nb\nc\na\n", 8, "line 4: 'a' occurs twice"},
        {"##a\n##a\n", 8, "line 2: '##a' occurs twice"},
        {"##a\na\n", 6, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vocab *v = NULL;
        struct errbuf e;
        enum err rc = vocab_parse(&v, cases[i].text, cases[i].n, "v.txt", &e);
        CHECK_INT(rc, cases[i].fragment ? ERR_BAD_MODEL : OK);
        CHECK((rc == OK) == (v != NULL));
        CHECK(!cases[i].fragment || strstr(e.text, cases[i].fragment));
        vocab_close(v);
    }
}

static void test_limits(void)
{
    enum { BIG = (8 << 20) + 1 };
    char *text = malloc(BIG);
    struct vocab *v = NULL;
    struct errbuf e;
    memset(text, 'x', BIG);
    CHECK_INT(vocab_parse(&v, text, 200, "v.txt", &e), OK);
    vocab_close(v);
    CHECK_INT(vocab_parse(&v, text, 201, "v.txt", &e), ERR_BAD_MODEL);
    CHECK(strstr(e.text, "longer than 200 bytes"));
    CHECK_INT(vocab_parse(&v, text, BIG, "v.txt", &e), ERR_BAD_MODEL);
    CHECK(strstr(e.text, "at most 8388608"));
    size_t n = 0;
    for (int i = 0; i < 1000001; i++) { /* base 64 keeps it below 8 MiB */
        for (int shift = 0; shift < 24; shift += 6) {
            text[n++] = (char)('?' + (i >> shift & 63));
        }
        text[n++] = '\n';
    }
    CHECK_INT(vocab_parse(&v, text, n, "v.txt", &e), ERR_BAD_MODEL);
    CHECK(strstr(e.text, "more than 1000000 lines"));
    free(text);
}

static enum err parse_some(void *arg)
{
    struct vocab *v = NULL;
    enum err rc = vocab_parse(&v, arg, strlen(arg), "v.txt", NULL);
    vocab_close(v);
    return rc;
}

int main(void)
{
    char text[] = "a\nb\n##c\n";
    test_matching();
    test_malformed();
    test_limits();
    CHECK_INT(torture(parse_some, text), 5);
    return check_result();
}
