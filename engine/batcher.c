#include "engine/batcher.h"

#include <limits.h>
#include <stddef.h>

enum {
    FAVOUR = 4,        /* turns in a row of the side that goes first */
    RIVAL_FAVOUR = 12, /* the same where it is another client's */
    CATCH_UP = 20,     /* small steps in a row, shared out among the images that wait */
    SMALL_ROWS = 32,   /* so small, a step takes as long as reading the weights, and sharing it helps nobody */
};

uint64_t batcher_line_us(uint64_t reached_us, uint64_t client_end_us)
{
    return client_end_us > reached_us ? client_end_us : reached_us;
}

uint64_t batcher_due_us(uint64_t line_us, int priority)
{
    return line_us + (uint64_t)(priority > BATCHER_USUAL ? priority - BATCHER_USUAL : 0) * BATCHER_LEVEL_US;
}

uint64_t batcher_rank_us(uint64_t line_us, int priority)
{
    return line_us + (uint64_t)priority * BATCHER_LEVEL_US;
}

uint64_t batcher_hurry_us(uint64_t now_us, uint64_t deadline_us)
{
    if (deadline_us == 0) {
        return UINT64_MAX;
    }
    return deadline_us > now_us ? now_us + (deadline_us - now_us) / 2 : now_us;
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

/* ---- next step ---- */

static bool images_are_ready(const struct batcher_limits *l, const struct batcher_view *v, uint64_t now_us)
{
    return v->images > 0 &&
           (v->images >= l->max_images || v->images_upstream == 0 || now_us >= v->oldest_image_us + l->image_wait_us);
}

/* Both sides could run. */
static enum batcher_action alternate(const struct batcher_limits *l, const struct batcher_view *v,
                                     const struct batcher_history *h)
{
    enum batcher_action first = BATCHER_WAIT;
    bool are_rivals = v->image_client != v->fusion_client && v->image_due_us != v->fusion_due_us;
    if (v->rows > l->max_rows || are_rivals) {
        first = v->image_due_us < v->fusion_due_us ? BATCHER_IMAGES : BATCHER_FUSION;
    } else if (v->image_client == v->fusion_client && v->image_priority != v->fusion_priority) {
        first = v->image_priority < v->fusion_priority ? BATCHER_IMAGES : BATCHER_FUSION;
    }
    if (first == BATCHER_WAIT) {
        bool is_own = v->image_client == v->fusion_client;
        int n_steps = v->rows <= SMALL_ROWS && is_own ? CATCH_UP / v->images : 1;
        bool goes_on = n_steps > 1 && h->turns < n_steps;
        return h->last == BATCHER_FUSION && !goes_on ? BATCHER_IMAGES : BATCHER_FUSION;
    }
    if (h->last == first && h->turns >= (are_rivals ? RIVAL_FAVOUR : FAVOUR)) {
        return h->last == BATCHER_FUSION ? BATCHER_IMAGES : BATCHER_FUSION;
    }
    return first;
}

static enum batcher_action choose_action(const struct batcher_limits *l, const struct batcher_view *v,
                                         const struct batcher_history *h, bool images_ready)
{
    if (!l->is_continuous) {
        bool is_full = v->items >= l->max_items || v->rows >= l->max_rows;
        if (v->batch_is_open || (v->items > 0 && (is_full || !images_ready))) {
            return BATCHER_FUSION;
        }
        return images_ready ? BATCHER_IMAGES : BATCHER_WAIT;
    }
    if (images_ready && v->items > 0) {
        return alternate(l, v, h);
    }
    if (v->items > 0) {
        return BATCHER_FUSION;
    }
    return images_ready ? BATCHER_IMAGES : BATCHER_WAIT;
}

struct batcher_choice batcher_choose(const struct batcher_limits *l, const struct batcher_view *v,
                                     struct batcher_history *h, uint64_t now_us)
{
    bool images_ready = images_are_ready(l, v, now_us);
    struct batcher_choice c = {.action = choose_action(l, v, h, images_ready), .until_us = UINT64_MAX};
    if (c.action == BATCHER_WAIT) {
        c.until_us = v->images > 0 ? v->oldest_image_us + l->image_wait_us : UINT64_MAX;
        return c;
    }
    bool both = images_ready && v->items > 0;
    h->turns = both ? (h->last == c.action ? h->turns + 1 : 1) : 0;
    h->last = c.action;
    c.n_images = c.action == BATCHER_IMAGES ? min(v->images, l->max_images) : 0;
    return c;
}

/* ---- helping ---- */

int batcher_helpers(int n_threads, int n_leading, int n_decoding, int split_threads)
{
    int wanted = n_leading * (split_threads - 1), free = n_threads - n_leading - n_decoding;
    return max(min(wanted, free), 0);
}

/* ---- members of a fusion step ---- */

struct room {
    int rows, items;
};

static bool enter(struct room *r, int rows)
{
    if (rows > r->rows || r->items < 1) {
        return false;
    }
    r->rows -= rows;
    r->items--;
    return true;
}

/* Rows for this step: everything that fits, or a part when others can take the rest. */
static int rows_for_step(const struct batcher_limits *l, const struct batcher_source *sources, int n, int n_helpers)
{
    long long total = 0;
    int largest = 0;
    for (int i = 0; i < n; i++) {
        total += (long long)sources[i].rows * sources[i].n_items;
        largest = max(largest, sources[i].rows);
    }
    long long shares = total / SMALL_ROWS;
    shares = shares > n_helpers + 1 ? n_helpers + 1 : shares;
    if (shares > 1) {
        total = (total + shares - 1) / shares;
    }
    int rows = total > l->max_rows ? l->max_rows : (int)total;
    return max(rows, min(largest, l->max_rows));
}

/* Rows that the captions of a step may have. All wait for the whole step; so where several clients meet, each may have
 * as many as the one that has the fewest, or what a step takes in the time that it needs anyhow. */
static int rows_of_captions(const struct batcher_source *sources, int n)
{
    int n_clients = 0, fewest = INT_MAX;
    for (int i = 0; i < n; i++) {
        int rows = 0;
        bool is_known = !sources[i].is_caption;
        for (int k = 0; k < i && !is_known; k++) {
            is_known = sources[k].is_caption && sources[k].client == sources[i].client;
        }
        for (int k = i; k < n && !is_known; k++) {
            rows += sources[k].is_caption && sources[k].client == sources[i].client ? sources[k].rows : 0;
        }
        n_clients += !is_known;
        fewest = is_known ? fewest : min(fewest, rows);
    }
    return n_clients > 1 ? max(n_clients * fewest, SMALL_ROWS) : INT_MAX;
}

/* Captions under way, in order, leaving a quarter of the room, or the room of the most urgent new item, free. */
static void admit_running(const struct batcher_source *sources, int n_running, int n_sources, int caption_rows,
                          struct room *room, int *take)
{
    struct room running = *room;
    if (n_sources > n_running) {
        const struct batcher_source *next = &sources[n_running];
        running.rows -= max(room->rows / 4, next->rows);
        running.items -= max(room->items / 4, 1);
        if (next->is_caption && n_running > 0 && caption_rows < INT_MAX && next->due_us <= sources[0].due_us) {
            caption_rows -= next->rows;
        }
    }
    running.rows = min(running.rows, caption_rows);
    for (int i = 0; i < n_running; i++) {
        bool is_first = i == 0 && sources[0].rows <= room->rows;
        take[i] = enter(&running, sources[i].rows) || is_first;
        if (take[i]) {
            room->rows -= sources[i].rows;
            room->items--;
        }
    }
}

/* The captions of this step that are due first: of one client, and of any other. New ones count: their first step is
 * the longest, and nobody else makes it longer. */
struct rivals {
    const struct batcher_source *first, *other;
    int rows; /* of all captions in the step */
};

static struct rivals find_rivals(const struct batcher_source *sources, int n_running, int n_sources, const int *take)
{
    struct rivals r = {0};
    for (int i = 0; i < n_sources; i++) {
        const struct batcher_source *s = &sources[i];
        if (i < n_running ? !take[i] : !s->is_caption) {
            continue;
        }
        r.rows += s->rows;
        if (!r.first || s->due_us < r.first->due_us) {
            r.other = r.first && r.first->client != s->client ? r.first : r.other;
            r.first = s;
        } else if (s->client != r.first->client && (!r.other || s->due_us < r.other->due_us)) {
            r.other = s;
        }
    }
    return r;
}

static const struct batcher_source *rival_of(const struct rivals *r, const struct batcher_source *s)
{
    return r->first && r->first->client == s->client ? r->other : r->first;
}

/* Rows that this job's texts may add to the step, those of one item at least where any may. */
static int rows_beside(const struct rivals *r, const struct batcher_source *s)
{
    const struct batcher_source *rival = rival_of(r, s);
    if (!rival || rival->due_us > s->due_us) {
        return INT_MAX;
    }
    return rival->n_steps == 0 || rival->n_steps % 2 ? 0 : max(2 * max(r->rows, SMALL_ROWS) - r->rows, s->rows);
}

/* Rows of a step so far, and what it may have. */
struct fill {
    struct rivals rivals;
    int caption_rows, n_caption_rows;
    int pair_rows, n_pair_rows;
    const struct batcher_source *first; /* of the new ones, if it is one of texts */
    int first_rows;                     /* of those, its client's */
};

/* While a client with texts is due first, those of all others have no more of the step than its own. */
static bool is_fair_to_first(const struct fill *f, const struct batcher_source *s, int first_left)
{
    bool is_other = f->first && s->client != f->first->client;
    return !is_other || first_left <= 0 || f->n_pair_rows - f->first_rows + s->rows <= f->first_rows;
}

/* May it join as far as other clients' captions are concerned? Who is due before all of them may. */
static bool is_welcome(const struct fill *f, const struct batcher_source *s)
{
    if (!s->is_caption) {
        return f->n_pair_rows + s->rows <= rows_beside(&f->rivals, s);
    }
    const struct batcher_source *rival = rival_of(&f->rivals, s);
    return !rival || rival->due_us >= s->due_us || f->n_caption_rows + s->rows <= f->caption_rows;
}

/* One item of every job in turn. In the first round nobody jumps over a job that found no room: else large items would
 * wait as long as small ones keep coming. */
static void admit_new(const struct batcher_source *sources, int n_running, int n_sources, struct fill *f,
                      struct room *room, int *take)
{
    int n_in = 1;
    for (int round = 0; n_in > 0; round++) {
        n_in = 0;
        for (int i = n_running; i < n_sources; i++) {
            const struct batcher_source *s = &sources[i];
            bool has_more = s->n_items > round, is_pair = !s->is_caption;
            if (!has_more || !is_welcome(f, s)) {
                continue;
            }
            bool is_held_back = is_pair && f->n_pair_rows >= f->pair_rows;
            if (is_pair && !is_fair_to_first(f, s, f->first ? f->first->n_items - take[n_running] : 0)) {
                continue;
            }
            if (!is_held_back && enter(room, s->rows)) {
                take[i]++;
                n_in++;
                *(is_pair ? &f->n_pair_rows : &f->n_caption_rows) += s->rows;
                f->first_rows += is_pair && f->first && s->client == f->first->client ? s->rows : 0;
            } else if (round == 0) {
                break;
            }
        }
    }
}

int batcher_compose(const struct batcher_limits *l, const struct batcher_source *sources, int n_running, int n_sources,
                    int n_helpers, int *take)
{
    struct room room = {.rows = rows_for_step(l, sources, n_sources, n_helpers), .items = l->max_items};
    struct fill f = {.caption_rows = rows_of_captions(sources, n_sources),
                     .pair_rows = n_running > 0 ? l->max_rows / 3 : l->max_rows};
    admit_running(sources, n_running, n_sources, f.caption_rows, &room, take);
    for (int i = 0; i < n_running; i++) {
        f.n_caption_rows += take[i] * sources[i].rows;
    }
    for (int i = n_running; i < n_sources; i++) {
        take[i] = 0;
    }
    f.rivals = find_rivals(sources, n_running, n_sources, take);
    f.first = n_sources > n_running && !sources[n_running].is_caption ? &sources[n_running] : NULL;
    admit_new(sources, n_running, n_sources, &f, &room, take);
    int sum = 0;
    for (int i = 0; i < n_sources; i++) {
        sum += take[i];
    }
    return sum;
}
