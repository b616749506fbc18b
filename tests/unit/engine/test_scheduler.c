#include "engine/scheduler.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

enum { JOBS = 16, SLOTS = 8, MB = 1 << 20 };

static struct scheduler s;
static struct feature_cache *cache;
static struct job jobs[JOBS];
static struct job_private parts[JOBS];

static void open_scheduler(int n_decode_threads, size_t decode_bytes)
{
    struct scheduler_limits limits = {.batcher = {.max_rows = 256, .max_items = 64, .max_images = 1},
                                      .max_jobs = JOBS,
                                      .n_slots = SLOTS,
                                      .n_engine_threads = 2,
                                      .n_decode_threads = n_decode_threads,
                                      .decode_bytes = decode_bytes};
    CHECK_INT(feature_cache_create(&cache, 0, 64), OK);
    CHECK_INT(scheduler_init(&s, &limits, cache), OK);
    scheduler_enter(&s);
}

static struct job_private *submit(int i, uint64_t client, uint64_t now_us, uint64_t deadline_us)
{
    struct errbuf why;
    jobs[i] = (struct job){.request = {.task = JOB_REGIONS,
                                       .image = (const uint8_t *)"x",
                                       .image_bytes = 1,
                                       .client = client,
                                       .priority = 3,
                                       .deadline_us = deadline_us}};
    jobs[i].result.id.bytes[0] = (uint8_t)(i + 1);
    parts[i] = (struct job_private){.job = &jobs[i]};
    jobs[i]._private = &parts[i];
    CHECK_INT(scheduler_submit(&s, &parts[i], now_us, &why), OK);
    return &parts[i];
}

/* Through the preparation: its picture waits to be decoded. */
static void route_for(int i, uint64_t client, size_t decode_bytes)
{
    submit(i, client, 1000, 0);
    struct job_private *j = scheduler_pop_prepare(&s);
    CHECK(j == &parts[i]);
    j->decode_bytes = decode_bytes;
    scheduler_route(&s, j, true);
}

static void route(int i, size_t decode_bytes)
{
    route_for(i, (uint64_t)i, decode_bytes);
}

/* The job of the next picture to decode; -1: none may go. */
static int take(struct flight **f)
{
    *f = scheduler_pop_decode(&s);
    return *f ? (int)((*f)->leader - parts) : -1;
}

static void end(struct flight *f)
{
    struct job_list members = TAILQ_HEAD_INITIALIZER(members), leaving = TAILQ_HEAD_INITIALIZER(leaving);
    struct job_private *j;
    scheduler_land(&s, f, &members);
    while ((j = TAILQ_FIRST(&members))) {
        TAILQ_REMOVE(&members, j, queue);
        scheduler_finish(&s, j, 2000, &leaving);
        TAILQ_REMOVE(&leaving, j, queue);
        s.n_leaving--;
    }
}

static void close_scheduler(void)
{
    CHECK_INT(s.n_live, 0);
    CHECK_INT(s.n_decoding, 0);
    CHECK_INT(s.n_large_decoding, 0);
    CHECK(s.decode_bytes == 0);
    CHECK_INT(s.n_free_slots, SLOTS);
    scheduler_leave(&s);
    scheduler_release(&s);
    feature_cache_destroy(cache);
}

static void test_large_pictures_leave_a_lane(void)
{
    struct flight *large, *small, *other;
    open_scheduler(1, 0);
    route(0, 100 * MB);
    route(1, 100 * MB);
    route(2, 3 * MB);
    route(3, 3 * MB);
    CHECK_INT(take(&large), 0);
    CHECK_INT(take(&small), 2); /* passes the second large one */
    CHECK_INT(take(&other), -1);
    end(small);
    CHECK_INT(take(&small), 3);
    end(large);
    CHECK_INT(take(&large), 1);
    end(small);
    end(large);
    close_scheduler();

    open_scheduler(3, 0);
    for (int i = 0; i < 4; i++) {
        route(i, 100 * MB);
    }
    route(4, 3 * MB);
    struct flight *f[3];
    CHECK_INT(take(&f[0]), 0);
    CHECK_INT(take(&f[1]), 1);
    CHECK_INT(take(&f[2]), 4);
    for (int i = 0; i < 3; i++) {
        end(f[i]);
    }
    CHECK_INT(take(&f[0]), 2);
    CHECK_INT(take(&f[1]), 3);
    end(f[0]);
    end(f[1]);
    close_scheduler();
}

/* One client's pictures never take the last slot. */
static void test_the_last_slot(void)
{
    struct flight *f[SLOTS + 1];
    open_scheduler(8, 0);
    for (int i = 0; i < SLOTS; i++) {
        route_for(i, 7, MB);
    }
    for (int i = 0; i < SLOTS - 1; i++) {
        CHECK_INT(take(&f[i]), i);
        scheduler_decoded(&s, f[i], 2000);
    }
    CHECK_INT(take(&f[SLOTS]), -1);
    route_for(SLOTS, 8, MB);
    CHECK_INT(take(&f[SLOTS]), SLOTS);
    struct flight *image;
    for (int i = 0; i < SLOTS - 1; i++) {
        CHECK_INT(take(&f[SLOTS - 1]), i < 2 ? -1 : SLOTS - 1);
        if (f[SLOTS - 1]) {
            scheduler_decoded(&s, f[SLOTS - 1], 2000);
            break;
        }
        scheduler_pop_images(&s, &image, 1);
        end(image);
    }
    for (int i = 2; i < SLOTS; i++) {
        scheduler_pop_images(&s, &image, 1);
        end(image);
    }
    end(f[SLOTS]);
    close_scheduler();
}

static void test_memory(void)
{
    struct flight *a, *b, *c;
    open_scheduler(4, 30 * MB);
    route(0, 20 * MB);
    route(1, 12 * MB);
    route(2, 1 * MB);
    CHECK_INT(take(&a), 0);
    CHECK_INT(take(&b), -1); /* no memory, and the small one does not pass it */
    CHECK(s.decode_bytes == 20 * MB);
    end(a);
    CHECK_INT(take(&b), 1);
    CHECK_INT(take(&c), 2);
    CHECK(s.decode_bytes == 13 * MB && s.totals.decode_peak_bytes == 20 * MB);
    end(b);
    end(c);
    close_scheduler();
}

/* Half of the time is over: the deadline decides, whatever the place in the line. */
static void test_hurry(void)
{
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    open_scheduler(1, 0);
    for (int i = 0; i < 3; i++) {
        submit(i, 7, 1000, i == 2 ? 101000 : 1000000); /* one client: each stands behind the one before */
    }
    scheduler_sweep(&s, 50000, &leaving);
    CHECK(TAILQ_FIRST(&s.prepare) == &parts[0]);
    scheduler_sweep(&s, 51000, &leaving);
    CHECK(TAILQ_FIRST(&s.prepare) == &parts[2]);
    submit(3, 8, 52000, 1000000); /* another client's first stands before 7's second, not before who hurries */
    CHECK(scheduler_pop_prepare(&s) == &parts[2]);
    CHECK(scheduler_pop_prepare(&s) == &parts[0]);
    CHECK(scheduler_pop_prepare(&s) == &parts[3]);
    CHECK(scheduler_pop_prepare(&s) == &parts[1]);
    CHECK(TAILQ_EMPTY(&leaving));
    for (int i = 0; i < 4; i++) {
        scheduler_finish(&s, &parts[i], 60000, &leaving);
        TAILQ_REMOVE(&leaving, &parts[i], queue);
        s.n_leaving--;
    }
    close_scheduler();
}

/* A job joins others of its image while the engine, on its way back to the lock, has read the clock already. */
static void test_joined_late(void)
{
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    open_scheduler(1, 0);
    submit(0, 7, 1005, 0);
    CHECK(scheduler_pop_prepare(&s) == &parts[0]);
    parts[0].fusion_from_us = 1005;
    parts[0].n_items = 1;
    scheduler_items_begin(&s, &parts[0], 1, 1005);
    jobs[0].result.decode_us = 20;
    scheduler_items_end(&s, &parts[0], 1, 1, 1000, &leaving);
    CHECK_INT(jobs[0].result.fusion_us, 0);
    CHECK_INT(jobs[0].result.total_us, 0);
    CHECK_INT(jobs[0].result.queue_us, 0);
    TAILQ_REMOVE(&leaving, &parts[0], queue);
    s.n_leaving--;
    close_scheduler();
}

int main(void)
{
    test_joined_late();
    test_large_pictures_leave_a_lane();
    test_the_last_slot();
    test_memory();
    test_hurry();
    return check_result();
}
