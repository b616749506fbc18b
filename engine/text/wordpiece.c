/* One pass over the text, without a copy of it.
 *
 * The package normalises the whole text (clean, CJK, NFD, strip marks, lower case), then splits it, then looks words
 * up. All of its steps but one look at single characters, so they are done character by character here. The one is the
 * sorting of combining marks in NFD: marks that are not stripped can change places, within a word. They are sorted as
 * they arrive, by insertion into the word, which is at most 100 characters long: the words beyond are [UNK] whatever
 * they contain. A stripped mark of class 0 leaves a barrier that nothing is sorted past. */
#include "engine/text/wordpiece.h"

#include "engine/base/fmap.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "engine/text/unicode.h"
#include "engine/text/vocab.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

enum { MAX_WORD = 100, MAX_WORD_BYTES = 4 * MAX_WORD };

struct wordpiece {
    struct vocab *vocab;
    struct wordpiece_special special;
    bool *is_forbidden; /* [vocab size] */
};

/* ---- life cycle ---- */

static bool is_unused(const char *token)
{
    static const char prefix[] = "[unused";
    size_t n = strlen(prefix);
    if (strncmp(token, prefix, n) != 0) {
        return false;
    }
    size_t digits = strspn(token + n, "0123456789");
    return digits > 0 && strcmp(token + n + digits, "]") == 0;
}

static enum err find_special(struct wordpiece *w, const char *name, struct errbuf *e)
{
    struct wordpiece_special *s = &w->special;
    const struct {
        const char *token;
        int *id;
    } all[] = {{"[PAD]", &s->pad}, {"[UNK]", &s->unk}, {"[CLS]", &s->cls}, {"[SEP]", &s->sep}, {"[MASK]", &s->mask}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        *all[i].id = vocab_find(w->vocab, all[i].token);
        if (*all[i].id < 0) {
            return err_set(e, ERR_BAD_MODEL, "%s: the token %s is missing", name, all[i].token);
        }
    }
    return OK;
}

static enum err mark_forbidden(struct wordpiece *w, const char *name, struct errbuf *e)
{
    int n = vocab_size(w->vocab);
    enum err rc = mem_array(&w->is_forbidden, (size_t)n, sizeof(*w->is_forbidden));
    if (rc) {
        return err_set(e, rc, "%s: out of memory", name);
    }
    for (int id = 0; id < n; id++) {
        w->is_forbidden[id] = is_unused(vocab_token(w->vocab, id));
    }
    const struct wordpiece_special *s = &w->special;
    w->is_forbidden[s->pad] = w->is_forbidden[s->unk] = w->is_forbidden[s->cls] = w->is_forbidden[s->mask] = true;
    return OK;
}

enum err wordpiece_parse(struct wordpiece **out, const char *text, size_t n, const char *name, struct errbuf *e)
{
    struct wordpiece *w = NULL;
    *out = NULL;
    enum err rc = mem_alloc(&w, sizeof(*w));
    if (rc) {
        return err_set(e, rc, "%s: out of memory", name);
    }
    rc = vocab_parse(&w->vocab, text, n, name, e);
    if (!rc) {
        rc = find_special(w, name, e);
    }
    if (!rc) {
        rc = mark_forbidden(w, name, e);
    }
    if (rc) {
        wordpiece_close(w);
        return rc;
    }
    *out = w;
    return OK;
}

enum err wordpiece_open(struct wordpiece **out, const char *vocab_path, struct errbuf *e)
{
    struct fmap *map = NULL;
    *out = NULL;
    enum err rc = fmap_open(&map, vocab_path, e);
    if (!rc) {
        rc = wordpiece_parse(out, (const char *)fmap_bytes(map), fmap_size(map), vocab_path, e);
    }
    fmap_close(map);
    return rc;
}

void wordpiece_close(struct wordpiece *w)
{
    if (!w) {
        return;
    }
    mem_free(w->is_forbidden);
    vocab_close(w->vocab);
    mem_free(w);
}

int wordpiece_size(const struct wordpiece *w)
{
    return vocab_size(w->vocab);
}

struct wordpiece_special wordpiece_special(const struct wordpiece *w)
{
    return w->special;
}

bool wordpiece_is_forbidden(const struct wordpiece *w, int id)
{
    return id < 0 || id >= vocab_size(w->vocab) || w->is_forbidden[id];
}

/* ---- encoding ---- */

struct encoder {
    const struct wordpiece *w;
    int *ids;   /* [max] */
    int max, n; /* n = max + 1: there was no room for one */
    /* the word under way */
    uint32_t chars[MAX_WORD];
    uint8_t orders[MAX_WORD]; /* combining classes */
    int n_chars;              /* MAX_WORD + 1: too long */
    int barrier;              /* marks are not sorted to a place before this one */
};

static void put_id(struct encoder *e, int id)
{
    if (e->n < e->max) {
        e->ids[e->n++] = id;
    } else {
        e->n = e->max + 1;
    }
}

static void add_char(struct encoder *e, uint32_t c, uint8_t order)
{
    if (e->n_chars >= MAX_WORD) {
        e->n_chars = MAX_WORD + 1;
        return;
    }
    int place = e->n_chars++;
    if (order > 0) {
        for (; place > e->barrier && e->orders[place - 1] > order; place--) {
            e->chars[place] = e->chars[place - 1];
            e->orders[place] = e->orders[place - 1];
        }
    }
    e->chars[place] = c;
    e->orders[place] = order;
}

/* The word as pieces, or [UNK] when some part of it matches nothing. */
static void put_word(struct encoder *e, const char *word, size_t n)
{
    int pieces[MAX_WORD], n_pieces = 0;
    for (size_t at = 0; at < n;) {
        size_t length = vocab_match(e->w->vocab, at > 0, word + at, n - at, &pieces[n_pieces]);
        if (length == 0) {
            put_id(e, e->w->special.unk);
            return;
        }
        at += length;
        n_pieces++;
    }
    for (int i = 0; i < n_pieces; i++) {
        put_id(e, pieces[i]);
    }
}

static void end_word(struct encoder *e)
{
    char word[MAX_WORD_BYTES];
    size_t n = 0;
    if (e->n_chars > MAX_WORD) {
        put_id(e, e->w->special.unk);
    } else if (e->n_chars > 0) {
        for (int i = 0; i < e->n_chars; i++) {
            n += utf8_write(e->chars[i], word + n);
        }
        put_word(e, word, n);
    }
    e->n_chars = 0;
    e->barrier = 0;
}

/* A word of this one character. */
static void put_single(struct encoder *e, uint32_t c)
{
    end_word(e);
    add_char(e, c, 0);
    end_word(e);
}

static void add_folded(struct encoder *e, uint32_t c, struct unicode_traits traits)
{
    uint32_t folded[UNICODE_MAX_FOLD];
    int n = unicode_fold(c, folded);
    for (int i = 0; i < n; i++) {
        if (folded[i] != c) {
            traits = unicode_traits(folded[i]);
        }
        if (traits.flags & UNICODE_PUNCT) {
            put_single(e, folded[i]);
        } else {
            add_char(e, folded[i], traits.order);
        }
    }
}

static void add_text_char(struct encoder *e, uint32_t c)
{
    struct unicode_traits traits = unicode_traits(c);
    if (traits.flags & UNICODE_DROP) {
        return;
    }
    if (traits.flags & UNICODE_SPACE) {
        end_word(e);
    } else if (traits.flags & UNICODE_CJK) {
        end_word(e);
        add_folded(e, c, traits);
        end_word(e);
    } else if (traits.flags & UNICODE_MARK) {
        if (traits.flags & UNICODE_STARTER_MARK) {
            e->barrier = e->n_chars;
        }
    } else {
        add_folded(e, c, traits);
    }
}

int wordpiece_encode(const struct wordpiece *w, const char *text, size_t n_bytes, int *ids, int max)
{
    struct encoder e;
    BUG_ON(max < 0 || max == INT_MAX);
    e.w = w;
    e.ids = ids;
    e.max = max;
    e.n = e.n_chars = e.barrier = 0;
    for (size_t at = 0, size; at < n_bytes && e.n <= max; at += size ? size : 1) {
        uint32_t c;
        size = utf8_next(text + at, n_bytes - at, &c);
        add_text_char(&e, c);
    }
    end_word(&e);
    return e.n;
}

/* ---- decoding ---- */

enum shape { SHAPE_WORD, SHAPE_CLOSE, SHAPE_OPEN, SHAPE_JOIN, SHAPE_APOSTROPHE, SHAPE_QUOTE };

struct decoder {
    const struct wordpiece *w;
    const int *ids; /* [n_ids] */
    int n_ids;
    char *out;
    size_t size, n;
    bool is_full;
    bool is_glued;        /* no space before the next token */
    char number_mark;     /* . , or : right behind a digit, else 0 */
    bool is_open[2];      /* ' and " */
    int apostrophes_left; /* quotation marks among them */
};

/* NULL for what vanishes: special tokens and ids outside the vocabulary. */
static const char *text_of(const struct decoder *d, int i)
{
    const struct wordpiece_special *s = &d->w->special;
    int id = i >= 0 && i < d->n_ids ? d->ids[i] : -1;
    if (id < 0 || id >= vocab_size(d->w->vocab) || id == s->pad || id == s->unk || id == s->cls || id == s->sep ||
        id == s->mask) {
        return NULL;
    }
    return vocab_token(d->w->vocab, id);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || (unsigned char)c >= 0x80;
}

static bool is_continuation(const char *token)
{
    return token && token[0] == '#' && token[1] == '#' && token[2];
}

/* True for the apostrophe at i of "don ' t". */
static bool is_contraction(const struct decoder *d, int i)
{
    static const char *const endings[] = {"s", "t", "m", "d", "ll", "re", "ve"};
    const char *before = text_of(d, i - 1), *token = text_of(d, i), *after = text_of(d, i + 1);
    if (!before || !token || !after || strcmp(token, "'") != 0 || !is_letter(before[strlen(before) - 1]) ||
        is_continuation(text_of(d, i + 2))) {
        return false;
    }
    for (size_t j = 0; j < sizeof(endings) / sizeof(endings[0]); j++) {
        if (strcmp(after, endings[j]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_quotation(const struct decoder *d, int i)
{
    const char *token = text_of(d, i);
    return token && strcmp(token, "'") == 0 && !is_contraction(d, i);
}

static enum shape shape_of(const char *token)
{
    if (token[1]) {
        return SHAPE_WORD;
    }
    return strchr(".,!?;:%)]}", token[0]) ? SHAPE_CLOSE
           : strchr("([{$#", token[0])    ? SHAPE_OPEN
           : strchr("-/", token[0])       ? SHAPE_JOIN
           : token[0] == '\''             ? SHAPE_APOSTROPHE
           : token[0] == '"'              ? SHAPE_QUOTE
                                          : SHAPE_WORD;
}

static void append(struct decoder *d, const char *bytes)
{
    size_t n = strlen(bytes), room = d->size - 1 - d->n, fits = n < room ? n : room;
    while (fits > 0 && fits < n && ((unsigned char)bytes[fits] & 0xc0) == 0x80) {
        fits--;
    }
    memcpy(d->out + d->n, bytes, fits);
    d->n += fits;
    d->is_full = d->is_full || fits < n;
}

/* Opens when nothing is open and, for the apostrophe, another one follows. Returns whether it opens. */
static bool turn_quote(struct decoder *d, enum shape shape)
{
    bool *is_open = &d->is_open[shape == SHAPE_QUOTE];
    *is_open = !*is_open && (shape == SHAPE_QUOTE || d->apostrophes_left > 0);
    return *is_open;
}

/* Whether a space goes before the token at i; notes whether one may follow it. */
static bool wants_space(struct decoder *d, int i, const char *token)
{
    char mark = d->number_mark, last = d->n ? d->out[d->n - 1] : '\0';
    bool was_glued = d->is_glued,
         goes_on = mark && is_digit(token[0]) && (mark != ',' || strspn(token, "0123456789") == 3);
    enum shape shape = shape_of(token);
    d->is_glued = false;
    d->number_mark = 0;
    if (shape == SHAPE_CLOSE) {
        d->number_mark = is_digit(last) && strchr(".,:", token[0]) ? token[0] : '\0';
        return false;
    }
    if (shape == SHAPE_JOIN || is_contraction(d, i)) {
        d->is_glued = true;
        return false;
    }
    if (shape == SHAPE_APOSTROPHE || shape == SHAPE_QUOTE) {
        d->apostrophes_left -= shape == SHAPE_APOSTROPHE;
        d->is_glued = turn_quote(d, shape);
        return d->is_glued && !was_glued;
    }
    d->is_glued = shape == SHAPE_OPEN;
    return !was_glued && !goes_on;
}

size_t wordpiece_decode(const struct wordpiece *w, const int *ids, int n, char *out, size_t size)
{
    struct decoder d = {.w = w, .ids = ids, .n_ids = n, .out = out, .size = size};
    BUG_ON(size == 0);
    for (int i = 0; i < n; i++) {
        d.apostrophes_left += is_quotation(&d, i);
    }
    for (int i = 0; i < n && !d.is_full; i++) {
        const char *token = text_of(&d, i);
        if (is_continuation(token)) {
            append(&d, token + 2);
            d.is_glued = false;
            d.number_mark = 0;
        } else if (token) {
            if (wants_space(&d, i, token) && d.n > 0) {
                append(&d, " ");
            }
            append(&d, token);
        }
    }
    if (d.is_full && d.n > 0 && out[d.n - 1] == ' ') {
        d.n--;
    }
    out[d.n] = '\0';
    return d.n;
}
