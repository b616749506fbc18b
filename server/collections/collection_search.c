/* The first pass: scores by words, then a sample.
 *
 * Equal scores and the sample follow one order: the images stand on a ring by a hash of their content (the table
 * spread), and the query's words say where to begin.
 *
 * Where even the rarest word is a common one, in every eighth image or more, the images are not all scored: a piece
 * of the ring is that holds about SAMPLE_TIMES * limit that match, and the best of them are taken. */
#include "engine/base/buf.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum {
    HASH_BYTES = 8,
    MATCH_MAX = 64 * 1024,
    LOOK_EACH = 256, /* rows between looks at the limits */
    SAMPLE_TIMES = 4,
    COMMON = 8,
    SAMPLE_MAX = 16384,
    MAX_ROUNDS = 8
};

struct pick {
    double score;
    uint64_t order; /* on the ring, from the query's place on */
    int64_t id;
};

struct search {
    struct collections *cs;
    int64_t collection, model;
    int limit;
    uint64_t seed;
    struct pick *picks; /* a heap, the worst first; then sorted, the best first */
    int n_picks;
    int64_t *seen; /* ids that were taken or found damaged, sorted */
    size_t n_seen, seen_room;
    int64_t *sample; /* ids, for add_common */
    size_t n_sample, sample_room;
    struct collection_hits *out;
};

/* ---- an image ---- */

/* Why a row cannot be used; NULL: it can. */
static const char *fault_of(const struct search *q, struct sqlite3_stmt *s)
{
    struct collection_image image = {.width = sqlite3_column_int(s, 2), .height = sqlite3_column_int(s, 3)};
    uint8_t digest[SHA256_BYTES];
    struct collection_text key = {(const char *)sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
    const void *id = sqlite3_column_blob(s, 1), *stored = sqlite3_column_blob(s, 4);
    image.features = sqlite3_column_blob(s, 5);
    image.features_bytes = (size_t)sqlite3_column_bytes(s, 5);
    if (!key.text || key.n > COLLECTION_KEY_MAX) {
        return "the key is too long";
    }
    if (!id || sqlite3_column_bytes(s, 1) != COLLECTION_ID_BYTES) {
        return "the image id has a wrong size";
    }
    if (!image.features || image.features_bytes != q->out->model.features_bytes) {
        return "the block has a wrong size";
    }
    if (!stored || sqlite3_column_bytes(s, 4) != SHA256_BYTES) {
        return "the checksum has a wrong size";
    }
    if (sqlite3_column_int64(s, 6) != q->collection || sqlite3_column_int64(s, 7) != q->model) {
        return "the image is of another collection or model";
    }
    memcpy(image.id, id, COLLECTION_ID_BYTES);
    collection_db_digest(key, &image, digest);
    return memcmp(digest, stored, SHA256_BYTES) == 0 ? NULL : "the image does not fit its checksum";
}

static enum err add_row(struct search *q, struct sqlite3_stmt *s)
{
    struct collection_hits *out = q->out;
    const char *fault = fault_of(q, s);
    if (fault) {
        out->n_damaged++;
        log_limited(LOG_ERROR, LOG_HERE, "collection_image_damaged", LOG_STR("path", collection_file_path(q->cs)),
                    LOG_STR("key", (const char *)sqlite3_column_text(s, 0)), LOG_STR("reason", fault));
        return OK;
    }
    struct collection_hit *hit = &out->hits[out->n];
    enum err rc = mem_alloc(&hit->features, out->model.features_bytes);
    if (rc) {
        return rc;
    }
    out->n++;
    hit->n_key = (size_t)sqlite3_column_bytes(s, 0);
    memcpy(hit->key, sqlite3_column_text(s, 0), hit->n_key);
    memcpy(hit->id, sqlite3_column_blob(s, 1), COLLECTION_ID_BYTES);
    hit->width = sqlite3_column_int(s, 2);
    hit->height = sqlite3_column_int(s, 3);
    memcpy(hit->features, sqlite3_column_blob(s, 5), out->model.features_bytes);
    return OK;
}

/* Reads the image and appends it, unless it is damaged. */
static enum err add_image(struct search *q, int64_t id, struct errbuf *e)
{
    struct sqlite3_stmt *s = q->cs->sql[SQL_READ];
    enum err rc = collection_db_limits(q->cs, e);
    if (rc) {
        return rc;
    }
    sqlite3_bind_int64(s, 1, id);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        rc = add_row(q, s);
    } else if (code != SQLITE_DONE) {
        rc = collection_db_fail(q->cs, code, "read an image", e);
    }
    sqlite3_reset(s);
    return rc;
}

/* ---- ids that were seen ---- */

static int by_id(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static bool is_seen(const struct search *q, int64_t id)
{
    return q->n_seen && bsearch(&id, q->seen, q->n_seen, sizeof(id), by_id);
}

static enum err add_seen(struct search *q)
{
    if (q->n_seen + (size_t)q->n_picks > q->seen_room) {
        size_t room = 2 * q->seen_room + (size_t)q->n_picks;
        int64_t *more;
        enum err rc = mem_array(&more, room, sizeof(*more));
        if (rc) {
            return rc;
        }
        if (q->n_seen) {
            memcpy(more, q->seen, q->n_seen * sizeof(*more));
        }
        mem_free(q->seen);
        q->seen = more;
        q->seen_room = room;
    }
    for (int i = 0; i < q->n_picks; i++) {
        q->seen[q->n_seen++] = q->picks[i].id;
    }
    if (q->n_seen) {
        qsort(q->seen, q->n_seen, sizeof(*q->seen), by_id);
    }
    return OK;
}

/* ---- the best by their words ---- */

static int best_first(const void *left, const void *right)
{
    const struct pick *a = left, *b = right;
    if (a->score != b->score) {
        return a->score > b->score ? -1 : 1;
    }
    return (a->order > b->order) - (a->order < b->order);
}

/* Moves picks[at] down to where it is worse than what is below it. */
static void sift(struct pick *picks, int n, int at)
{
    struct pick moving = picks[at];
    for (int child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && best_first(&picks[child], &picks[child + 1]) < 0) {
            child++;
        }
        if (best_first(&moving, &picks[child]) >= 0) {
            break;
        }
        picks[at] = picks[child];
        at = child;
    }
    picks[at] = moving;
}

static void keep(struct search *q, struct pick pick)
{
    if (q->n_picks < q->limit) {
        q->picks[q->n_picks++] = pick;
        for (int i = q->n_picks / 2 - 1; q->n_picks == q->limit && i >= 0; i--) {
            sift(q->picks, q->n_picks, i);
        }
    } else if (best_first(&pick, &q->picks[0]) < 0) {
        q->picks[0] = pick;
        sift(q->picks, q->n_picks, 0);
    }
}

static uint64_t number_of(const void *hash)
{
    const uint8_t *h = hash;
    uint64_t n = 0;
    for (int i = 0; i < HASH_BYTES; i++) {
        n = n << 8 | h[i];
    }
    return n;
}

/* An image that the ring does not know is first on it; what add_row makes of it is seen later. */
static enum err look_up(struct search *q, int64_t id, int64_t *model, uint64_t *order, struct errbuf *e)
{
    struct sqlite3_stmt *s = q->cs->sql[SQL_SPREAD];
    enum err rc = OK;
    sqlite3_bind_int64(s, 1, id);
    int code = sqlite3_step(s);
    *model = q->model;
    *order = 0;
    if (code == SQLITE_ROW && sqlite3_column_bytes(s, 1) == HASH_BYTES) {
        *model = sqlite3_column_int64(s, 0);
        *order = number_of(sqlite3_column_blob(s, 1)) - q->seed;
    } else if (code != SQLITE_ROW && code != SQLITE_DONE) {
        rc = collection_db_fail(q->cs, code, "search", e);
    }
    sqlite3_reset(s);
    return rc;
}

static enum err on_match(struct search *q, int64_t id, double score, uint64_t *n_matching, struct errbuf *e)
{
    struct pick pick = {.score = score, .id = id};
    bool is_worse = q->n_picks == q->limit && score < q->picks[0].score;
    int64_t model = q->model;
    enum err rc = OK;
    if (!is_worse || q->out->n_stale) {
        rc = look_up(q, id, &model, &pick.order, e);
    }
    if (rc || model != q->model) {
        return rc;
    }
    ++*n_matching;
    if (!is_worse && !is_seen(q, id)) {
        keep(q, pick);
    }
    return OK;
}

/* The best that were not seen yet. */
static enum err scan(struct search *q, struct sqlite3_stmt *s, struct errbuf *e)
{
    uint64_t n_matching = 0;
    enum err rc = OK;
    int code = SQLITE_DONE;
    q->n_picks = 0;
    q->cs->words.at = 0;
    for (int row = 1; !rc && (code = sqlite3_step(s)) == SQLITE_ROW; row++) {
        rc = row % LOOK_EACH ? OK : collection_db_limits(q->cs, e);
        if (!rc) {
            rc = on_match(q, sqlite3_column_int64(s, 0), sqlite3_column_double(s, 1), &n_matching, e);
        }
    }
    if (!rc && code != SQLITE_DONE) {
        rc = collection_db_fail(q->cs, code, "search", e);
    }
    sqlite3_reset(s);
    q->out->n_matching = n_matching;
    q->out->n_scanned = q->cs->words.sample ? q->n_sample : q->out->n_images - q->out->n_stale;
    return rc;
}

static enum err add_picks(struct search *q, struct errbuf *e)
{
    enum err rc = OK;
    if (q->n_picks) {
        qsort(q->picks, (size_t)q->n_picks, sizeof(*q->picks), best_first);
    }
    for (int i = 0; i < q->n_picks && !rc && q->out->n < q->limit; i++) {
        rc = add_image(q, q->picks[i].id, e);
    }
    return rc ? rc : add_seen(q);
}

/* Damaged images make it scan again for what comes after them, within reason. */
static enum err add_matching(struct search *q, const struct buf *match, struct errbuf *e)
{
    struct sqlite3_stmt *s;
    enum err rc = collection_db_prepare(
        q->cs, &s,
        "SELECT rowid, words_score(words_%lld) FROM words_%lld WHERE words MATCH ?1 AND words_sampled(rowid)",
        q->collection, e);
    if (!rc) {
        sqlite3_bind_text(s, 1, match->bytes, (int)match->n, SQLITE_STATIC);
    }
    bool more = true;
    for (int round = 0; round < MAX_ROUNDS && more && !rc && q->out->n < q->limit; round++) {
        rc = scan(q, s, e);
        more = q->n_picks == q->limit;
        if (!rc) {
            rc = add_picks(q, e);
        }
    }
    sqlite3_finalize(s);
    return rc;
}

/* ---- along the ring ---- */

/* An image that was not seen. *more false: enough. */
typedef enum err on_image(struct search *q, int64_t id, bool *more, struct errbuf *e);

static enum err walk_half(struct search *q, enum collection_sql half, on_image *callback, bool *more, struct errbuf *e)
{
    struct sqlite3_stmt *s = q->cs->sql[half];
    uint8_t hash[HASH_BYTES];
    int code = SQLITE_DONE;
    enum err rc = OK;
    for (int i = 0; i < HASH_BYTES; i++) {
        hash[i] = (uint8_t)(q->seed >> (8 * (HASH_BYTES - 1 - i)));
    }
    sqlite3_bind_int64(s, 1, q->collection);
    sqlite3_bind_int64(s, 2, q->model);
    sqlite3_bind_blob(s, 3, hash, HASH_BYTES, SQLITE_STATIC);
    while (!rc && *more && (code = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(s, 0);
        rc = collection_db_limits(q->cs, e);
        if (!rc && !is_seen(q, id)) {
            rc = callback(q, id, more, e);
        }
    }
    if (!rc && code != SQLITE_DONE && code != SQLITE_ROW) {
        rc = collection_db_fail(q->cs, code, "search", e);
    }
    sqlite3_reset(s);
    return rc;
}

/* From the query's place on, once around. */
static enum err walk(struct search *q, on_image *callback, struct errbuf *e)
{
    bool more = q->out->n < q->limit;
    enum err rc = walk_half(q, SQL_SAMPLE_FROM, callback, &more, e);
    return !rc && more ? walk_half(q, SQL_SAMPLE_UNTIL, callback, &more, e) : rc;
}

static enum err add_any(struct search *q, int64_t id, bool *more, struct errbuf *e)
{
    enum err rc = add_image(q, id, e);
    *more = q->out->n < q->limit;
    return rc;
}

static enum err add_to_sample(struct search *q, int64_t id, bool *more, struct errbuf *e)
{
    (void)e;
    q->sample[q->n_sample++] = id;
    *more = q->n_sample < q->sample_room;
    return OK;
}

/* The best of a sample of the collection. */
static enum err add_common(struct search *q, const struct buf *match, struct errbuf *e)
{
    struct collection_words *words = &q->cs->words;
    q->sample_room = (size_t)SAMPLE_TIMES * COMMON * (size_t)q->limit;
    q->sample_room = q->sample_room > SAMPLE_MAX ? SAMPLE_MAX : q->sample_room;
    enum err rc = mem_array(&q->sample, q->sample_room, sizeof(*q->sample));
    if (!rc) {
        rc = walk(q, add_to_sample, e);
    }
    if (!rc && q->n_sample) {
        qsort(q->sample, q->n_sample, sizeof(*q->sample), by_id);
        words->sample = q->sample;
        words->n_sample = q->n_sample;
        rc = add_matching(q, match, e);
        words->sample = NULL;
        words->n_sample = 0;
    }
    mem_free(q->sample);
    return rc;
}

enum err collection_search(struct collections *cs, int64_t collection, int64_t model, struct collection_text query,
                           int limit, struct collection_hits *out, struct errbuf *e)
{
    struct search q = {.cs = cs, .collection = collection, .model = model, .limit = limit, .out = out};
    struct buf match;
    int64_t rarest = 0;
    out->n_scanned = out->n_images - out->n_stale;
    if (limit == 0) {
        return OK;
    }
    buf_init(&match, MATCH_MAX);
    enum err rc = mem_array(&q.picks, (size_t)limit, sizeof(*q.picks));
    if (!rc) {
        rc = collection_words_read(cs, collection, out->n_images, query, limit, &match, &q.seed, &rarest, e);
    }
    if (!rc && rarest > COLLECTION_MAX_POSTINGS && (uint64_t)rarest >= out->n_images / COMMON) {
        rc = add_common(&q, &match, e);
    }
    if (!rc && match.n && out->n < limit) {
        rc = add_matching(&q, &match, e);
    }
    out->n_by_words = out->n;
    if (!rc) {
        rc = walk(&q, add_any, e);
    }
    out->n_by_sample = out->n - out->n_by_words;
    mem_free(q.seen);
    mem_free(q.picks);
    buf_release(&match);
    return rc;
}
