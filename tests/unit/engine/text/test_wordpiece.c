/* The tokeniser against the ids of the public package (tests/data/tokenizer, scripts/make_tokenizer_golden.py), and
 * what the package does not define: limits, broken UTF-8, decoding, hostile lengths. */
#include "engine/text/vocab.h"
#include "engine/text/wordpiece.h"
#include "tests/support/check.h"
#include "tests/support/slurp.h"
#include "tests/support/torture.h"

#include <time.h>

#define VOCAB "tests/data/tokenizer/vocab.txt"

static struct wordpiece *words;
static struct vocab *tokens; /* the same file, to look into */

enum { MAX_IDS = 4096 };

/* ---- the package's answers ---- */

static size_t from_hex(const char *hex, const char *end, char *out)
{
    size_t n = 0;
    for (; hex < end; hex += 2) {
        char two[3] = {hex[0], hex[1], '\0'};
        out[n++] = (char)strtol(two, NULL, 16);
    }
    return n;
}

static int read_ids(const char *at, const char *end, int *ids)
{
    int n = 0;
    while (at < end) {
        char *next;
        ids[n++] = (int)strtol(at, &next, 10);
        at = next + 1;
    }
    return n;
}

/* With less room, the same ids and max + 1. */
static void check_prefixes(const char *text, size_t n_bytes, const int *all, int n)
{
    int ids[MAX_IDS];
    for (int max = n < 40 ? n : 40; max >= 0; max--) {
        ids[max] = -7;
        int got = wordpiece_encode(words, text, n_bytes, ids, max);
        CHECK(got == (max < n ? max + 1 : n) && memcmp(ids, all, (size_t)max * sizeof(int)) == 0 && ids[max] == -7);
    }
}

static void test_every_case_of_the_package(void)
{
    size_t size;
    char *cases = slurp("tests/data/tokenizer/cases.tsv", &size), text[4096];
    int n_cases = 0, n_bad = 0, ids[MAX_IDS], expected[MAX_IDS];
    for (char *line = cases; line < cases + size; n_cases++) {
        char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
        size_t n_bytes = from_hex(line, tab, text);
        int n_expected = read_ids(tab + 1, end, expected);
        int n = wordpiece_encode(words, text, n_bytes, ids, MAX_IDS);
        if (n != n_expected || memcmp(ids, expected, (size_t)n * sizeof(int)) != 0) {
            n_bad++;
            fprintf(stderr, "line %d: %d ids, expected %d, of %.*s\n", n_cases + 1, n, n_expected, (int)(tab - line),
                    line);
        }
        check_prefixes(text, n_bytes, ids, n);
        line = end + 1;
    }
    CHECK_INT(n_bad, 0);
    CHECK(n_cases >= 2000);
    free(cases);
}

/* ---- what is ours ---- */

static void check_tokens(const char *text, const char *expected)
{
    int ids[64];
    char got[1024] = "";
    int n = wordpiece_encode(words, text, strlen(text), ids, 64);
    CHECK(n <= 64);
    for (int i = 0; i < n; i++) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof(got) - used, "%s%s", i ? " " : "", vocab_token(tokens, ids[i]));
    }
    CHECK_STR(got, expected);
}

static void test_special_tokens_are_text(void)
{
    struct wordpiece_special s = wordpiece_special(words);
    CHECK_STR(vocab_token(tokens, s.pad), "[PAD]");
    CHECK_STR(vocab_token(tokens, s.unk), "[UNK]");
    CHECK_STR(vocab_token(tokens, s.cls), "[CLS]");
    CHECK_STR(vocab_token(tokens, s.sep), "[SEP]");
    CHECK_STR(vocab_token(tokens, s.mask), "[MASK]");
    check_tokens("[MASK]", "[ m ##a ##s ##k ]");
    check_tokens("[UNK]", "[ un ##k ]");
    check_tokens("[unused3]", "[ un ##u ##s ##ed ##3 ]");
    check_tokens("##ing", "# # in ##g");
}

static void test_forbidden(void)
{
    int n = 0;
    for (int id = 0; id < wordpiece_size(words); id++) {
        n += wordpiece_is_forbidden(words, id);
    }
    CHECK_INT(n, 4 + 10);
    CHECK(!wordpiece_is_forbidden(words, wordpiece_special(words).sep));
    CHECK(wordpiece_is_forbidden(words, -1) && wordpiece_is_forbidden(words, wordpiece_size(words)));
    static const char vocab[] =
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[unused]\n[unused1]\n[unused1a]\n[unused12]x\nunused1\n";
    struct wordpiece *w = NULL;
    CHECK_INT(wordpiece_parse(&w, vocab, strlen(vocab), "v.txt", NULL), OK);
    static const bool expected[] = {true, true, true, false, true, false, true, false, false, false};
    for (int id = 0; id < 10; id++) {
        CHECK_INT(wordpiece_is_forbidden(w, id), expected[id]);
    }
    wordpiece_close(w);
    wordpiece_close(NULL);
}

static void test_missing_special_tokens(void)
{
    static const char *const names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (int missing = 0; missing < 5; missing++) {
        char vocab[64] = "";
        struct wordpiece *w = NULL;
        struct errbuf e;
        for (int i = 0; i < 5; i++) {
            size_t used = strlen(vocab);
            snprintf(vocab + used, sizeof(vocab) - used, "%s\n", i == missing ? "x" : names[i]);
        }
        CHECK_INT(wordpiece_parse(&w, vocab, strlen(vocab), "v.txt", &e), ERR_BAD_MODEL);
        CHECK(!w && strstr(e.text, "v.txt: the token ") && strstr(e.text, names[missing]));
    }
    struct wordpiece *w = NULL;
    struct errbuf e;
    CHECK_INT(wordpiece_open(&w, "tests/data/absent.txt", &e), ERR_IO);
    CHECK(!w && strstr(e.text, "absent.txt"));
}

static void test_empty_text(void)
{
    int id = -7;
    CHECK_INT(wordpiece_encode(words, "", 0, &id, 1), 0);
    CHECK_INT(wordpiece_encode(words, NULL, 0, &id, 1), 0);
    CHECK_INT(wordpiece_encode(words, " \xff\n ", 4, &id, 1), 0);
    CHECK_INT(wordpiece_encode(words, "a", 1, NULL, 0), 1);
    CHECK_INT(wordpiece_encode(words, " ", 1, NULL, 0), 0);
    CHECK_INT(id, -7);
}

/* ---- decoding ---- */

static void check_decoded(const char *text, const char *expected)
{
    int ids[64];
    char out[256];
    int n = wordpiece_encode(words, text, strlen(text), ids, 64);
    CHECK_INT(wordpiece_decode(words, ids, n, out, sizeof(out)), strlen(out));
    CHECK_STR(out, expected);
}

static void test_decoding(void)
{
    check_decoded("a dog .", "a dog.");
    check_decoded("A Dog , a cat ; and a bird : no !", "a dog, a cat; and a bird: no!");
    check_decoded("internationalized skateboards", "internationalized skateboards");
    check_decoded("don ' t", "don't");
    check_decoded("the man ' s dogs ' s we ' re they ' ve i ' ll i ' m she ' d",
                  "the man's dogs's we're they've i'll i'm she'd");
    check_decoded("the dogs ' tails", "the dogs' tails");
    check_decoded("a sign saying ' no ' .", "a sign saying 'no'.");
    check_decoded("the man ' s ' red ' car", "the man's 'red' car");
    check_decoded("a \" stop \" sign and \" yes \"", "a \"stop\" sign and \"yes\"");
    check_decoded("don ' tion", "don' tion"); /* t ##ion is a word of its own */
    check_decoded("a black - and - white cat / dog", "a black-and-white cat/dog");
    check_decoded("one ( two ) [ three ] { no }", "one (two) [three] {no}");
    check_decoded("$ 10 , 000 and 3 . 10 and 5 : 30", "$10,000 and 3.10 and 5:30");
    check_decoded("in 2010 , 3 dogs", "in 2010, 3 dogs");
    check_decoded("# 1 and 10 %", "#1 and 10%");
    check_decoded("yes . . . no", "yes... no");
    check_decoded(". a", ". a");
    check_decoded("", "");
    check_decoded("'", "'");
    check_decoded("\"", "\"");
    check_decoded("\xc3\xa9t\xc3\xa9", "ete");
}

static void test_decoding_what_is_no_word(void)
{
    struct wordpiece_special s = wordpiece_special(words);
    int a, b;
    char out[64];
    CHECK_INT(wordpiece_encode(words, "cat", 3, &a, 1), 1);
    CHECK_INT(wordpiece_encode(words, "dog", 3, &b, 1), 1);
    int ids[] = {s.cls, a, -1, s.mask, b, s.pad, s.unk, wordpiece_size(words), s.sep};
    CHECK_INT(wordpiece_decode(words, ids, 9, out, sizeof(out)), 7);
    CHECK_STR(out, "cat dog");
    int pieces[16]; /* continuations alone */
    int n = wordpiece_encode(words, "catinging", 9, pieces, 16);
    CHECK_INT(wordpiece_decode(words, pieces + 1, n - 1, out, sizeof(out)), 6);
    CHECK_STR(out, "inging");
    int glued[3];
    CHECK_INT(wordpiece_encode(words, "(", 1, glued, 1), 1);
    glued[1] = pieces[1];
    glued[2] = a;
    CHECK_INT(wordpiece_decode(words, glued, 3, out, sizeof(out)), 8);
    CHECK_STR(out, "(ing cat");
}

static void test_decoding_into_little_room(void)
{
    const char *text = "a \xd0\xbc\xd0\xb8\xd1\x80 , a cat";
    int ids[16];
    char whole[64], out[64];
    int n = wordpiece_encode(words, text, strlen(text), ids, 16);
    size_t length = wordpiece_decode(words, ids, n, whole, sizeof(whole));
    for (size_t size = 1; size < sizeof(out); size++) {
        memset(out, '#', sizeof(out));
        size_t got = wordpiece_decode(words, ids, n, out, size);
        CHECK(got < size && out[got] == '\0' && memcmp(out, whole, got) == 0);
        CHECK(got == length || ((unsigned char)whole[got] & 0xc0) != 0x80); /* no half characters */
        CHECK(got == 0 || out[got - 1] != ' ');
        for (size_t i = size; i < sizeof(out); i++) {
            CHECK(out[i] == '#');
        }
    }
}

/* ---- hostile texts ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A megabyte takes well below 50 ms in a release build; the bound leaves room for sanitizers and slow machines. A word
 * looked up in quadratic time would take minutes. */
static void test_a_megabyte_of_anything(void)
{
    static const char *const parts[] = {"a",
                                        "a ",
                                        "internationa",
                                        "\xcc\x81",
                                        "e\xcc\x81",
                                        "\xe4\xb8\xad",
                                        "\xed\x95\x9c",
                                        "!",
                                        "\xff",
                                        "\xe0\xa3\x94",
                                        "\xe1\xad\x84\xe0\xa3\x94",
                                        "\xe2\x80\x8d",
                                        "\xf0\x9f\x99\x82"};
    enum { N = 1 << 20 };
    char *text = malloc(N);
    int *ids = malloc(N * sizeof(int));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t n = 0, length = strlen(parts[i]);
        for (; n + length <= N; n += length) {
            memcpy(text + n, parts[i], length);
        }
        double start = seconds();
        CHECK(wordpiece_encode(words, text, n, ids, N) <= N);
        CHECK(seconds() - start < 2.0);
        start = seconds();
        CHECK(wordpiece_encode(words, text, n, ids, 30) <= 31);
        CHECK(seconds() - start < 2.0);
    }
    free(text);
    free(ids);
}

static void test_no_allocation(void)
{
    const char *text = "a dog, a cat";
    int ids[16];
    char out[64];
    uint64_t before = mem_count();
    int n = wordpiece_encode(words, text, strlen(text), ids, 16);
    wordpiece_decode(words, ids, n, out, sizeof(out));
    CHECK_INT(mem_count(), before);
}

static enum err open_small(void *arg)
{
    struct wordpiece *w = NULL;
    struct errbuf e;
    (void)arg;
    enum err rc = wordpiece_open(&w, "tests/data/tiny/vocab.txt", &e);
    CHECK((rc == OK) == (w != NULL));
    wordpiece_close(w);
    return rc;
}

int main(void)
{
    struct errbuf e;
    size_t n_text;
    char *text = slurp(VOCAB, &n_text);
    if (vocab_parse(&tokens, text, n_text, VOCAB, &e) || wordpiece_open(&words, VOCAB, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    test_every_case_of_the_package();
    test_special_tokens_are_text();
    test_forbidden();
    test_missing_special_tokens();
    test_empty_text();
    test_decoding();
    test_decoding_what_is_no_word();
    test_decoding_into_little_room();
    test_a_megabyte_of_anything();
    test_no_allocation();
    CHECK(torture(open_small, NULL) >= 7);
    wordpiece_close(words);
    vocab_close(tokens);
    free(text);
    return check_result();
}
