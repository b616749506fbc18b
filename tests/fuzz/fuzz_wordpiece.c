/* Any bytes as text: with less room the same ids; decoding never leaves its buffer and cuts what it would have written.
 * Any bytes as a vocabulary, when the first byte is 0xff: an error or tokens that are found again. */
#include "engine/text/vocab.h"
#include "engine/text/wordpiece.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_IDS = 1 << 14 };

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[unused0]\n!\n\"\n#\n$\n%\n'\n(\n)\n,\n-\n.\n/"
    "\n:\n;\n?\n[\n]\n##\n0\n1\n10\n000\n"
    "##0\n##1\n##00\na\nb\nab\nabba\n##a\n##b\n##ab\n##ba\nd\ns\nt\nll\nve\ndon\ndog\n##g\n##ion\n"
    "\xc3\x9f\n##\xc3\x9f\n\xd0\xbc\n##\xd0\xb8\n\xe4\xb8\xad\n\xe0\xa3\x94\n##\xe0\xa3\x94\n\xe1\xad\x84\n##"
    "\xe1\xad\x84\n"
    "\xe1\x84\x80\n##\xe1\x85\xa1\n##\xe1\x86\xa8\n\xf0\x9f\x99\x82\n##\xf0\x9d\x85\xa5\n\xf0\x9d\x85\x98\n";

static void fuzz_vocabulary(const char *text, size_t n)
{
    struct vocab *v = NULL;
    struct errbuf e;
    errbuf_clear(&e);
    enum err rc = vocab_parse(&v, text, n, "input", &e);
    BUG_ON(rc != OK && (rc != ERR_BAD_MODEL || v || !e.text[0]));
    for (int id = 0; rc == OK && id < vocab_size(v); id++) {
        BUG_ON(vocab_find(v, vocab_token(v, id)) != id);
    }
    vocab_close(v);
}

/* In a block of exactly `max` ids. */
static void check_prefix(const struct wordpiece *w, const char *text, size_t n_bytes, const int *all, int n, int max)
{
    int *ids = malloc((size_t)max * sizeof(int) + 1);
    int got = wordpiece_encode(w, text, n_bytes, ids, max);
    BUG_ON(got != (n > max ? max + 1 : n));
    BUG_ON(memcmp(ids, all, (size_t)(got < max ? got : max) * sizeof(int)) != 0);
    free(ids);
}

static void check_decoding(const struct wordpiece *w, const int *ids, int n, size_t size)
{
    static char whole[MAX_IDS * 16];
    size_t length = wordpiece_decode(w, ids, n, whole, sizeof(whole));
    BUG_ON(length != strlen(whole) || length + 1 >= sizeof(whole));
    char *out = malloc(size);
    size_t got = wordpiece_decode(w, ids, n, out, size);
    BUG_ON(got >= size || out[got] || memcmp(out, whole, got) != 0 || (got == length) != (length < size));
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wordpiece *w;
    static int ids[MAX_IDS], raw[MAX_IDS];
    if (!w && wordpiece_parse(&w, vocabulary, strlen(vocabulary), "vocabulary", NULL) != OK) {
        abort();
    }
    const char *text = (const char *)data;
    if (size > 0 && data[0] == 0xff) {
        fuzz_vocabulary(text + 1, size - 1);
        return 0;
    }
    int n = wordpiece_encode(w, text, size, ids, MAX_IDS);
    BUG_ON(n > MAX_IDS + 1 || (size_t)n > 2 * size + 1);
    n = n < MAX_IDS ? n : MAX_IDS;
    for (int i = 0; i < n; i++) {
        BUG_ON(ids[i] < 0 || ids[i] >= wordpiece_size(w));
    }
    for (int max = 0; max <= n && max < 20; max++) {
        check_prefix(w, text, size, ids, n, max);
    }
    check_prefix(w, text, size, ids, n, n / 2 + 1);
    check_decoding(w, ids, n, 1 + (size > 2 ? data[1] : 0));
    n = (int)(size < MAX_IDS ? size : MAX_IDS); /* bytes as ids: every pair of tokens, some of them no tokens at all */
    for (int i = 0; i < n; i++) {
        raw[i] = data[i] - 2;
    }
    check_decoding(w, raw, n, 1 + size / 2);
    return 0;
}
