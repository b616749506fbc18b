/* The words of a query and what they weigh.
 *
 * The query is cut into words by the very tokeniser that cuts the stored words; each is quoted, so nothing in a query
 * is syntax of FTS5. A word weighs ln(1 + (N - n + 1/2) / (n + 1/2)) where n of N images have it: an article weighs
 * next to nothing where captions have articles. Function words are left out unless the query has no others, since where
 * few captions have them they would weigh much and say nothing. A word also stands for what it is another name of
 * (collection_synonyms.c), and one that no image has and that is no other name for the words of the collection that
 * share its first two letters and most of its trigrams; both at half their weight.
 *
 * The score of an image: the sum of weight * t / (t + 1/2) over the words, where the image has the word t times, at
 * most MAX_TIMES. Its length does not count: many things in a picture are no fault of it.
 *
 * Which images are scored: all that have at least one of the deciding words. Those are the rarest words of the query,
 * as many as have MAX_POSTINGS images together; beyond that a common word does not make an image a candidate, it only
 * adds to the score of those that are. So the time of a search is bounded by about max(MAX_POSTINGS, images of the
 * rarest word); what is done where even that is in too many images, collection_search.c knows. */
#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    WORD_MAX = 128, /* bytes; a longer word is passed over */
    MAX_TIMES = 3,
    MAX_POSTINGS = COLLECTION_MAX_POSTINGS,
    UNKNOWN_WORDS = 8, /* of a query that are looked for by their letters */
    LIKE_EACH = 4,     /* words that stand for one of them */
    LIKE_MIN = 4,      /* bytes of a word that is looked for */
    SYNONYMS = 32,     /* of all words of a query together */
    MAX_TERMS = COLLECTION_QUERY_WORDS + SYNONYMS + UNKNOWN_WORDS * LIKE_EACH
};
_Static_assert(2 * MAX_TERMS <= sizeof(((struct collection_words *)0)->weight) / sizeof(double), "weights of all");
static const double like_weight = 0.5, like_threshold = 0.5;

struct term {
    char text[WORD_MAX + 1];
    int n;
    int64_t images; /* that have it */
    double weight;
};

struct words {
    const char *query;
    bool want_function_words;
    struct term *terms; /* stems, then what is matched */
    int n;
    int start[COLLECTION_QUERY_WORDS], end[COLLECTION_QUERY_WORDS]; /* in the query */
};

/* ---- function words ---- */

static const char *const function_words[] = {
    "a",    "about", "above", "after", "all",  "am",    "an",    "and",   "any",   "are",   "as",    "at",
    "be",   "been",  "being", "below", "but",  "by",    "can",   "could", "did",   "do",    "does",  "for",
    "from", "had",   "has",   "have",  "he",   "her",   "here",  "hers",  "him",   "his",   "how",   "i",
    "if",   "in",    "into",  "is",    "it",   "its",   "me",    "my",    "no",    "not",   "of",    "off",
    "on",   "or",    "our",   "out",   "over", "s",     "she",   "so",    "some",  "such",  "t",     "than",
    "that", "the",   "their", "them",  "then", "there", "these", "they",  "this",  "those", "to",    "under",
    "up",   "us",    "very",  "was",   "we",   "were",  "what",  "when",  "where", "which", "while", "who",
    "whom", "whose", "why",   "will",  "with", "would", "you",   "your"};

static int compare_word(const void *key, const void *entry)
{
    const struct collection_text *word = key;
    const char *other = *(const char *const *)entry;
    int c = strncasecmp(word->text, other, word->n);
    return c ? c : other[word->n] ? -1 : 0;
}

static bool is_function_word(const char *text, int n)
{
    const struct collection_text word = {text, (size_t)n};
    return bsearch(&word, function_words, sizeof(function_words) / sizeof(function_words[0]), sizeof(char *),
                   compare_word) != NULL;
}

/* ---- cutting ---- */

static int on_word(void *user, int flags, const char *word, int n, int start, int end)
{
    struct words *w = user;
    (void)flags;
    if (n <= 0 || n > WORD_MAX || end - start > WORD_MAX || memchr(word, '"', (size_t)n) ||
        memchr(word, 0, (size_t)n) || is_function_word(w->query + start, end - start) != w->want_function_words) {
        return SQLITE_OK;
    }
    for (int i = 0; i < w->n; i++) {
        if (w->terms[i].n == n && memcmp(w->terms[i].text, word, (size_t)n) == 0) {
            return SQLITE_OK;
        }
    }
    struct term *t = &w->terms[w->n];
    *t = (struct term){.n = n};
    memcpy(t->text, word, (size_t)n);
    w->start[w->n] = start;
    w->end[w->n++] = end;
    return w->n == COLLECTION_QUERY_WORDS ? SQLITE_DONE : SQLITE_OK;
}

static int on_surface(void *user, int flags, const char *word, int n, int start, int end)
{
    struct term *t = user;
    (void)flags, (void)start, (void)end;
    t->n = n > 0 && n <= WORD_MAX && !memchr(word, '"', (size_t)n) && !memchr(word, 0, (size_t)n) ? n : 0;
    memcpy(t->text, word, (size_t)t->n);
    return SQLITE_DONE;
}

static enum err get_api(struct collections *cs, fts5_api **api, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    *api = NULL;
    enum err rc = collection_db_prepare(cs, &s, "SELECT fts5(?1)", 0, e);
    if (!rc) {
        sqlite3_bind_pointer(s, 1, api, "fts5_api_ptr", NULL);
        sqlite3_step(s);
    }
    sqlite3_finalize(s);
    if (!rc && !*api) {
        rc = collection_db_fail(cs, SQLITE_ERROR, "search the words", e);
    }
    return rc;
}

typedef int on_token(void *user, int flags, const char *word, int n, int start, int end);

/* is_stemmed: as the stored words are; else as they are before the stemming. */
static enum err cut(struct collections *cs, bool is_stemmed, const char *text, int n, on_token *callback, void *user,
                    struct errbuf *e)
{
    static const char *args[] = {"unicode61", "remove_diacritics", "2"};
    fts5_api *api;
    fts5_tokenizer tokenizer;
    Fts5Tokenizer *own = NULL;
    void *context;
    enum err rc = get_api(cs, &api, e);
    if (rc || n == 0) {
        return rc;
    }
    int skip = is_stemmed ? 0 : 1;
    int code = api->xFindTokenizer(api, is_stemmed ? "porter" : "unicode61", &context, &tokenizer);
    if (code == SQLITE_OK) {
        code = tokenizer.xCreate(context, args + skip, 3 - skip, &own);
    }
    if (code == SQLITE_OK) {
        code = tokenizer.xTokenize(own, user, FTS5_TOKENIZE_QUERY, text, n, callback);
    }
    if (own) {
        tokenizer.xDelete(own);
    }
    return code == SQLITE_OK || code == SQLITE_DONE ? OK : collection_db_fail(cs, code, "read the query", e);
}

/* The words that count, stemmed. */
static enum err read_words(struct collections *cs, struct collection_text query, struct words *w, struct errbuf *e)
{
    int n = query.n > COLLECTION_QUERY_MAX ? COLLECTION_QUERY_MAX : (int)query.n;
    enum err rc = OK;
    for (int pass = 0; pass < 2 && !rc && w->n == 0; pass++) {
        w->want_function_words = pass == 1;
        rc = cut(cs, true, query.text, n, on_word, w, e);
    }
    return rc;
}

/* The order of the words does not count. */
static uint64_t seed_of(const struct words *w)
{
    uint64_t seed = 0;
    for (int i = 0; i < w->n; i++) {
        uint8_t digest[SHA256_BYTES];
        uint64_t part;
        sha256(w->terms[i].text, (size_t)w->terms[i].n, digest);
        memcpy(&part, digest, sizeof(part));
        seed += part;
    }
    return seed;
}

/* ---- weighing ---- */

static enum err count_images(struct collections *cs, struct sqlite3_stmt *s, struct term *t, struct errbuf *e)
{
    char phrase[WORD_MAX + 3];
    bool found;
    int n = snprintf(phrase, sizeof(phrase), "\"%s\"", t->text);
    sqlite3_bind_text(s, 1, phrase, n, SQLITE_STATIC);
    return collection_db_numbers(cs, s, &found, &t->images, NULL, e);
}

static double rarity(int64_t images, uint64_t n_images)
{
    double n = (double)images, all = (double)n_images;
    return log1p((all > n ? all - n + 0.5 : 0.5) / (n + 0.5));
}

static uint32_t trigram(const char *text, int n, int at)
{
    uint32_t t = 0;
    for (int i = at - 2; i <= at; i++) { /* two blanks before, one behind */
        t = t << 8 | (i < 0 || i >= n ? ' ' : (unsigned char)text[i]);
    }
    return t;
}

/* Of two words: trigrams that both have, over the mean of what they have; 0 to 1. */
static double likeness_of(const char *a, int n_a, const char *b, int n_b)
{
    bool is_used[WORD_MAX + 1] = {false};
    int same = 0;
    for (int i = 0; i <= n_a; i++) {
        for (int j = 0; j <= n_b; j++) {
            if (!is_used[j] && trigram(a, n_a, i) == trigram(b, n_b, j)) {
                is_used[j] = true;
                same++;
                break;
            }
        }
    }
    return 2.0 * same / (n_a + n_b + 2);
}

/* Keeps the LIKE_EACH best at `best`, best first; equal ones in the order of their bytes, in which they come. */
static void keep_like(struct term *best, int *n, const struct term *t)
{
    int at = *n;
    while (at > 0 && best[at - 1].weight < t->weight) {
        at--;
    }
    if (at == LIKE_EACH) {
        return;
    }
    *n += *n < LIKE_EACH;
    memmove(best + at + 1, best + at, (size_t)(*n - 1 - at) * sizeof(*best));
    best[at] = *t;
}

/* The words of the collection most like a stem, into `best`. */
static enum err find_like(struct collections *cs, const struct term *stem, struct term *best, int *n_best,
                          struct errbuf *e)
{
    struct sqlite3_stmt *s;
    char until[2] = {stem->text[0], (char)(stem->text[1] + 1)};
    int code = SQLITE_DONE;
    *n_best = 0;
    enum err rc =
        collection_db_prepare(cs, &s, "SELECT term, doc FROM temp.vocabulary WHERE term >= ?1 AND term < ?2", 0, e);
    if (!rc) {
        sqlite3_bind_text(s, 1, stem->text, 2, SQLITE_STATIC);
        sqlite3_bind_text(s, 2, until, 2, SQLITE_STATIC);
    }
    while (!rc && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct term t = {.images = sqlite3_column_int64(s, 1)};
        const void *text = sqlite3_column_text(s, 0);
        t.n = sqlite3_column_bytes(s, 0);
        if (text && t.n <= WORD_MAX && !memchr(text, '"', (size_t)t.n)) {
            memcpy(t.text, text, (size_t)t.n);
            t.weight = likeness_of(stem->text, stem->n, t.text, t.n);
        }
        if (t.weight >= like_threshold) {
            keep_like(best, n_best, &t);
        }
    }
    if (!rc && code != SQLITE_DONE) {
        rc = collection_db_fail(cs, code, "search the words", e);
    }
    sqlite3_finalize(s);
    return rc;
}

/* Puts words like them in the place of stems that no image has. unknown[i]: a copy of the stem of term i. */
static enum err add_like(struct collections *cs, int64_t collection, struct words *w, const struct term *unknown,
                         int n_unknown, struct errbuf *e)
{
    enum err rc = collection_db_exec(cs, "DROP TABLE IF EXISTS temp.vocabulary", 0, e);
    if (!rc) {
        rc = collection_db_exec(cs, "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'words_%lld', 'row')",
                                collection, e);
    }
    for (int i = 0; i < n_unknown && !rc; i++) {
        int n = 0;
        rc = find_like(cs, &unknown[i], &w->terms[w->n], &n, e);
        w->n += n;
    }
    return rc;
}

static bool has_term(const struct words *w, const struct term *t)
{
    for (int i = 0; i < w->n; i++) {
        if (w->terms[i].n == t->n && memcmp(w->terms[i].text, t->text, (size_t)t->n) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds what a word is another name of, as far as the collection has it. */
static enum err add_synonyms(struct collections *cs, struct sqlite3_stmt *s, uint64_t n_images, const struct term *word,
                             struct words *w, int *n_left, bool *any, struct errbuf *e)
{
    const char *names[SYNONYMS];
    int n = collection_synonyms(word->text, word->n, names, *n_left);
    enum err rc = OK;
    *any = false;
    for (int i = 0; i < n && !rc; i++) {
        struct term t = {.n = 0};
        t.n = snprintf(t.text, sizeof(t.text), "%s", names[i]);
        rc = count_images(cs, s, &t, e);
        t.weight = like_weight * rarity(t.images, n_images);
        *any |= t.images > 0;
        if (!rc && t.images > 0 && !has_term(w, &t)) {
            w->terms[w->n++] = t;
            --*n_left;
        }
    }
    return rc;
}

/* Puts the words as they are said, not stemmed, in the place of the stems; adds what they stand for. */
static enum err weigh_said(struct collections *cs, struct sqlite3_stmt *s, uint64_t n_images,
                           struct collection_text query, struct words *w, struct term *unknown, int *n_unknown,
                           struct errbuf *e)
{
    struct term stems[COLLECTION_QUERY_WORDS], said[COLLECTION_QUERY_WORDS];
    int n = w->n, n_synonyms = SYNONYMS;
    enum err rc = OK;
    memcpy(stems, w->terms, (size_t)n * sizeof(*stems));
    w->n = 0;
    for (int i = 0; i < n && !rc; i++) {
        said[i] = (struct term){.n = 0};
        rc = cut(cs, false, query.text + w->start[i], w->end[i] - w->start[i], on_surface, &said[i], e);
        if (!rc && said[i].n) {
            rc = count_images(cs, s, &said[i], e);
        }
        said[i].weight = rarity(said[i].images, n_images);
        if (!rc && said[i].images > 0) {
            w->terms[w->n++] = said[i];
        }
    }
    for (int i = 0; i < n && !rc; i++) {
        bool any;
        rc = add_synonyms(cs, s, n_images, &said[i], w, &n_synonyms, &any, e);
        if (!any && said[i].images == 0 && *n_unknown < UNKNOWN_WORDS && stems[i].n >= LIKE_MIN) {
            unknown[(*n_unknown)++] = stems[i];
        }
    }
    return rc;
}

/* Counts the images of each word and weighs it; what nobody has goes, or stands for others. */
static enum err weigh(struct collections *cs, int64_t collection, uint64_t n_images, struct collection_text query,
                      struct words *w, struct errbuf *e)
{
    struct term unknown[UNKNOWN_WORDS];
    struct sqlite3_stmt *s;
    int n_unknown = 0;
    enum err rc = collection_db_prepare(cs, &s, "SELECT count(*) FROM words_%lld WHERE words MATCH ?1", collection, e);
    if (!rc) {
        rc = weigh_said(cs, s, n_images, query, w, unknown, &n_unknown, e);
    }
    sqlite3_finalize(s);
    int known = w->n;
    if (!rc && n_unknown && !w->want_function_words) {
        rc = add_like(cs, collection, w, unknown, n_unknown, e);
    }
    for (int i = known; i < w->n; i++) {
        w->terms[i].weight *= like_weight * rarity(w->terms[i].images, n_images);
    }
    return rc;
}

static int by_images(const void *left, const void *right)
{
    const struct term *a = left, *b = right;
    return a->images != b->images ? (a->images > b->images) - (a->images < b->images) : strcmp(a->text, b->text);
}

/* How many of the terms, rarest first, decide. */
static int deciding(const struct words *w, int limit)
{
    int64_t sum = 0;
    int n = 0;
    while (n < w->n && (n == 0 || w->terms[n - 1].images < limit || sum + w->terms[n].images <= MAX_POSTINGS)) {
        sum += w->terms[n++].images;
    }
    return n;
}

/* "a" OR "b" ... of terms [from, to); their weights, or none where they are counted elsewhere. */
static void write_terms(struct collections *cs, const struct words *w, int from, int to, bool count, struct buf *match)
{
    for (int i = from; i < to; i++) {
        buf_printf(match, "%s\"%s\"", i > from ? " OR " : "", w->terms[i].text);
        cs->words.weight[cs->words.n++] = count ? w->terms[i].weight : 0;
    }
}

/* D OR ((D) AND (the others)): FTS5 has no word that may but need not be there. */
static void write_match(struct collections *cs, const struct words *w, int n_deciding, struct buf *match)
{
    cs->words.n = 0;
    write_terms(cs, w, 0, n_deciding, true, match);
    if (n_deciding < w->n) {
        buf_text(match, " OR ((");
        write_terms(cs, w, 0, n_deciding, false, match);
        buf_text(match, ") AND (");
        write_terms(cs, w, n_deciding, w->n, true, match);
        buf_text(match, "))");
    }
}

enum err collection_words_read(struct collections *cs, int64_t collection, uint64_t n_images,
                               struct collection_text query, int limit, struct buf *match, uint64_t *seed,
                               int64_t *rarest, struct errbuf *e)
{
    struct words w = {.query = query.text};
    enum err rc = mem_array(&w.terms, MAX_TERMS + 1, sizeof(*w.terms));
    if (!rc) {
        rc = read_words(cs, query, &w, e);
    }
    *seed = seed_of(&w);
    *rarest = 0;
    if (!rc && w.n) {
        rc = weigh(cs, collection, n_images, query, &w, e);
    }
    if (!rc && w.n) {
        qsort(w.terms, (size_t)w.n, sizeof(*w.terms), by_images);
        *rarest = w.terms[0].images;
        write_match(cs, &w, deciding(&w, limit), match);
    }
    mem_free(w.terms);
    return rc ? rc : match->err;
}

/* ---- scoring ---- */

/* words_sampled(rowid): whether this image is to be scored. Rows come in rising order. */
static void sampled(sqlite3_context *result, int n, sqlite3_value **args)
{
    struct collection_words *w = &((struct collections *)sqlite3_user_data(result))->words;
    int64_t id = sqlite3_value_int64(args[0]);
    (void)n;
    while (w->at < w->n_sample && w->sample[w->at] < id) {
        w->at++;
    }
    sqlite3_result_int(result, !w->sample || (w->at < w->n_sample && w->sample[w->at] == id));
}

/* words_score(words_N): the score of the current row. */
static void score(const Fts5ExtensionApi *api, Fts5Context *row, sqlite3_context *result, int n, sqlite3_value **args)
{
    const struct collections *cs = api->xUserData(row);
    int phrases = api->xPhraseCount(row);
    double sum = 0;
    (void)n, (void)args;
    for (int i = 0; i < phrases && i < cs->words.n; i++) {
        Fts5PhraseIter at;
        int column, offset, times = 0;
        if (cs->words.weight[i] == 0) {
            continue;
        }
        int code = api->xPhraseFirst(row, i, &at, &column, &offset);
        if (code != SQLITE_OK) {
            sqlite3_result_error_code(result, code);
            return;
        }
        for (; column >= 0 && times < MAX_TIMES; api->xPhraseNext(row, &at, &column, &offset)) {
            times++;
        }
        sum += cs->words.weight[i] * times / (times + 0.5);
    }
    sqlite3_result_double(result, sum);
}

enum err collection_words_register(struct collections *cs, struct errbuf *e)
{
    fts5_api *api;
    enum err rc = get_api(cs, &api, e);
    if (rc) {
        return rc;
    }
    int code = api->xCreateFunction(api, "words_score", cs, score, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_create_function(cs->db, "words_sampled", 1, SQLITE_UTF8, cs, sampled, NULL, NULL);
    }
    return code == SQLITE_OK ? OK : collection_db_fail(cs, code, "search the words", e);
}
