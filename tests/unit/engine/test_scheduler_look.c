/* Random sequences in two schedulers: a sweep that looks only when it is time does what one that always looks does; and
 * what the line knows is what a walk over all jobs finds. */
#include "engine/scheduler.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <string.h>

enum { JOBS = 24, SLOTS = 5, CLIENTS = 3, STEPS = 4000, SEEDS = 30 };

struct world {
    struct scheduler s;
    struct feature_cache *cache;
    struct job jobs[JOBS];
    struct job_private parts[JOBS];
    struct flight *decoding, *imaging;
    int n_looks; /* sweeps that had to look */
    int left[STEPS * 2], n_left;
};
static struct world worlds[2];

static uint64_t random_below(uint64_t *state, uint64_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % n;
}

static void open_world(struct world *w)
{
    struct scheduler_limits limits = {.batcher = {.max_rows = 256, .max_items = 64, .max_images = 1},
                                      .max_jobs = JOBS,
                                      .n_slots = SLOTS,
                                      .n_engine_threads = 2,
                                      .n_decode_threads = 1};
    *w = (struct world){.n_left = 0};
    CHECK_INT(feature_cache_create(&w->cache, 0, 64), OK);
    CHECK_INT(scheduler_init(&w->s, &limits, w->cache), OK);
    scheduler_enter(&w->s);
}

static void deliver(struct world *w, struct job_list *leaving)
{
    struct job_private *j;
    while ((j = TAILQ_FIRST(leaving))) {
        TAILQ_REMOVE(leaving, j, queue);
        w->left[w->n_left++] = (int)(j - w->parts) | (int)j->failure << 8;
        j->state = JOB_HOME;
        w->s.n_leaving--;
    }
}

static void submit(struct world *w, int i, const struct job_request *r, uint64_t now_us, bool is_cancelled)
{
    struct errbuf why;
    if (w->parts[i].state != JOB_HOME) {
        return;
    }
    w->jobs[i] = (struct job){.request = *r, ._private = &w->parts[i]};
    memset(w->jobs[i].result.id.bytes, i % 20, sizeof(w->jobs[i].result.id.bytes)); /* some are alike */
    w->parts[i] = (struct job_private){.job = &w->jobs[i], .n_items = 1 + i % 2};
    atomic_store(&w->parts[i].is_cancelled, is_cancelled);
    CHECK_INT(scheduler_submit(&w->s, &w->parts[i], now_us, &why), OK);
}

static void cancel(struct world *w, int i)
{
    atomic_store(&w->parts[i].is_cancelled, true);
    atomic_store(&w->s.has_cancelled, true);
}

static void prepare(struct world *w)
{
    struct job_private *j = scheduler_pop_prepare(&w->s);
    if (j) {
        scheduler_route(&w->s, j, true);
    }
}

static void decode(struct world *w, uint64_t now_us)
{
    if (w->decoding) {
        scheduler_decoded(&w->s, w->decoding, now_us);
        w->decoding = NULL;
    } else {
        w->decoding = scheduler_pop_decode(&w->s);
    }
}

static void image(struct world *w, uint64_t now_us, struct job_list *leaving)
{
    struct job_list members = TAILQ_HEAD_INITIALIZER(members);
    struct job_private *j;
    if (!w->imaging && !TAILQ_EMPTY(&w->s.images)) {
        scheduler_pop_images(&w->s, &w->imaging, 1);
    } else if (w->imaging) {
        scheduler_land(&w->s, w->imaging, &members);
        w->imaging = NULL;
    }
    while ((j = TAILQ_FIRST(&members))) {
        TAILQ_REMOVE(&members, j, queue);
        scheduler_enter_fusion(&w->s, j, now_us, leaving);
    }
}

/* Begins one item, or ends that of the job with this number. */
static void fuse(struct world *w, int i, uint64_t now_us, struct job_list *leaving)
{
    struct job_private *j = &w->parts[i];
    if (j->state == JOB_FUSION && j->n_running > 0) {
        scheduler_items_end(&w->s, j, 1, 1, now_us, leaving);
    } else if ((j = TAILQ_FIRST(&w->s.fusion))) {
        scheduler_pop_items(&w->s, j, 1);
        scheduler_items_begin(&w->s, j, 1, now_us);
    }
}

static void sweep(struct world *w, bool always, uint64_t now_us, struct job_list *leaving)
{
    if (always) {
        atomic_store(&w->s.has_cancelled, true);
    }
    w->n_looks += now_us >= w->s.look_us || atomic_load(&w->s.has_cancelled);
    scheduler_sweep(&w->s, now_us, leaving);
}

static void step(struct world *w, bool always, uint64_t seed, uint64_t now_us)
{
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    uint64_t what = random_below(&seed, 20);
    int i = (int)random_below(&seed, JOBS);
    struct job_request r = {.task = JOB_CAPTION,
                            .image = (const uint8_t *)"x",
                            .image_bytes = 1,
                            .client = random_below(&seed, CLIENTS),
                            .priority = random_below(&seed, 3) ? 3 : (int)random_below(&seed, 8)};
    r.deadline_us = random_below(&seed, 3) ? now_us + random_below(&seed, 60000) : 0;
    if (what < 6) {
        submit(w, i, &r, now_us, random_below(&seed, 40) == 0);
    } else if (what < 7) {
        cancel(w, i);
    } else if (what < 10) {
        prepare(w);
    } else if (what < 13) {
        decode(w, now_us);
    } else if (what < 16) {
        image(w, now_us, &leaving);
    } else {
        fuse(w, i, now_us, &leaving);
    }
    deliver(w, &leaving);
    sweep(w, always, now_us, &leaving);
    deliver(w, &leaving);
}

/* The plain walk. */
static uint64_t first_place_us(const struct scheduler *s)
{
    uint64_t place_us = UINT64_MAX, yielding_us = UINT64_MAX;
    bool has_usual = false;
    const struct job_private *j;
    TAILQ_FOREACH(j, &s->live, live)
    {
        bool is_usual = j->job->request.priority <= BATCHER_USUAL;
        has_usual = has_usual || is_usual;
        place_us = j->due_us < place_us ? j->due_us : place_us;
        yielding_us = !is_usual && j->line_us < yielding_us ? j->line_us : yielding_us;
    }
    return has_usual ? place_us : yielding_us;
}

/* Who moves to another's place ends where that one would have. */
static void check_ends(const struct scheduler *s)
{
    const struct job_private *x, *y;
    TAILQ_FOREACH(x, &s->live, live)
    {
        TAILQ_FOREACH(y, &s->live, live)
        {
            bool is_own = x->job->request.client == y->job->request.client && x->n_taken == 0 && y->n_taken == 0;
            CHECK(!is_own || (x->line_us < y->line_us) == (x->end->us < y->end->us));
        }
    }
}

static void check_line(const struct scheduler *s)
{
    CHECK(line_first_us(&s->line) == first_place_us(s));
    CHECK(line_is_empty(&s->line) == TAILQ_EMPTY(&s->live));
    for (uint64_t client = 0; client < CLIENTS; client++) {
        uint64_t end_us = 0;
        int n = 0;
        const struct job_private *j;
        TAILQ_FOREACH(j, &s->live, live)
        {
            bool is_own = j->job->request.client == client;
            n += is_own;
            end_us = is_own && j->end->us > end_us ? j->end->us : end_us;
        }
        CHECK(line_client_end_us(&s->line, client) == end_us && line_client_jobs(&s->line, client) == n);
    }
}

static void check_same(void)
{
    struct world *a = &worlds[0], *b = &worlds[1];
    struct job_private *x = TAILQ_FIRST(&a->s.live), *y = TAILQ_FIRST(&b->s.live);
    for (; x && y; x = TAILQ_NEXT(x, live), y = TAILQ_NEXT(y, live)) {
        CHECK(x - a->parts == y - b->parts && x->due_us == y->due_us && x->state == y->state);
        CHECK(x->line_us == y->line_us && x->end->us == y->end->us);
        CHECK(x->hurry_us == y->hurry_us && x->rank_us == y->rank_us && x->failure == y->failure);
    }
    CHECK(!x && !y);
    CHECK_INT(a->n_left, b->n_left);
    CHECK_INT(memcmp(a->left, b->left, (size_t)a->n_left * sizeof(*a->left)), 0);
}

static void close_world(struct world *w)
{
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    for (int i = 0; i < JOBS; i++) {
        cancel(w, i);
    }
    for (int round = 0; round < 4 && w->s.n_live > 0; round++) { /* what is under way comes to its end */
        scheduler_sweep(&w->s, 0, &leaving);
        if (w->decoding) {
            decode(w, 0);
        }
        if (w->imaging) {
            image(w, 0, &leaving);
        }
        for (int i = 0; i < JOBS; i++) {
            if (w->parts[i].state == JOB_FUSION && w->parts[i].n_running > 0) {
                fuse(w, i, 0, &leaving);
            }
        }
    }
    deliver(w, &leaving);
    scheduler_leave(&w->s);
    scheduler_release(&w->s);
    feature_cache_destroy(w->cache);
}

static void test_equal(void)
{
    int n_looks = 0, n_all = 0, n_left = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t state = seed, now_us = 1000;
        open_world(&worlds[0]);
        open_world(&worlds[1]);
        for (int i = 0; i < STEPS && !check_failures; i++) {
            uint64_t each = random_below(&state, UINT32_MAX);
            now_us += random_below(&state, 500);
            step(&worlds[0], false, each, now_us);
            step(&worlds[1], true, each, now_us);
            check_same();
            check_line(&worlds[0].s);
            check_ends(&worlds[0].s);
        }
        n_looks += worlds[0].n_looks;
        n_all += worlds[1].n_looks;
        n_left += worlds[0].n_left;
        close_world(&worlds[0]);
        close_world(&worlds[1]);
    }
    CHECK(n_left > SEEDS * STEPS / 20);
    CHECK(n_looks < n_all / 2); /* many are spared even where deadlines and cancellations abound */
}

int main(void)
{
    test_equal();
    return check_result();
}
