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

static struct job_private *submit_as(int i, uint64_t client, int priority, uint64_t now_us, uint64_t deadline_us)
{
    struct errbuf why;
    jobs[i] = (struct job){.request = {.task = JOB_REGIONS,
                                       .image = (const uint8_t *)"x",
                                       .image_bytes = 1,
                                       .client = client,
                                       .priority = priority,
                                       .deadline_us = deadline_us}};
    jobs[i].result.id.bytes[0] = (uint8_t)(i + 1);
    parts[i] = (struct job_private){.job = &jobs[i]};
    jobs[i]._private = &parts[i];
    CHECK_INT(scheduler_submit(&s, &parts[i], now_us, &why), OK);
    return &parts[i];
}

static struct job_private *submit(int i, uint64_t client, uint64_t now_us, uint64_t deadline_us)
{
    return submit_as(i, client, 3, now_us, deadline_us);
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

/* Takes them all out of the line. */
static void finish_all(int n)
{
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    for (int i = 0; i < n; i++) {
        scheduler_finish(&s, &parts[i], 60000, &leaving);
        TAILQ_REMOVE(&leaving, &parts[i], queue);
        s.n_leaving--;
    }
}

static void check_order(const int *expected, int n)
{
    for (int i = 0; i < n; i++) {
        struct job_private *j = scheduler_pop_prepare(&s);
        CHECK_INT(j ? (int)(j - parts) : -1, expected[i]);
    }
}

/* Half of the time is over: the deadline decides among those of a client, and moves none before another client's. */
static void test_hurry(void)
{
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    static const int order[] = {2, 3, 0, 1};
    open_scheduler(1, 0);
    for (int i = 0; i < 3; i++) {
        submit(i, 7, 1000, i == 2 ? 101000 : 1000000); /* one client: each stands behind the one before */
    }
    scheduler_sweep(&s, 50000, &leaving);
    CHECK(TAILQ_FIRST(&s.prepare) == &parts[0]);
    scheduler_sweep(&s, 51000, &leaving);
    CHECK(TAILQ_FIRST(&s.prepare) == &parts[2]);
    submit(3, 8, 52000, 1000000); /* another client's first stands before all but 7's first */
    check_order(order, 4);
    CHECK(TAILQ_EMPTY(&leaving));
    finish_all(4);
    close_scheduler();
}

/* However short a client's deadlines are, its jobs stay behind another client's first one. */
static void test_nobody_hurries_past_others(void)
{
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    static const int order[] = {0, 5, 1, 2, 3, 4};
    open_scheduler(1, 0);
    for (int i = 0; i < 5; i++) {
        submit(i, 7, 1000, 21000);
    }
    submit(5, 8, 1000, 0);
    scheduler_sweep(&s, 20000, &leaving);
    CHECK(TAILQ_EMPTY(&leaving));
    check_order(order, 6);
    finish_all(6);
    close_scheduler();
}

/* Priority orders what a client has waiting; its places in the line stay what they were. */
static void test_priority_is_ones_own(void)
{
    open_scheduler(1, 0);
    for (int i = 0; i < 3; i++) {
        submit_as(i, 7, i == 2 ? 7 : 3, 1000, 0);
    }
    uint64_t line_us[3] = {parts[0].line_us, parts[1].line_us, parts[2].line_us};
    submit_as(3, 7, 1, 1000, 0);
    submit_as(4, 7, 0, 1000, 0);
    submit_as(5, 7, 1, 1000, 0);
    CHECK(parts[4].line_us == line_us[0] && parts[3].line_us == line_us[1] && parts[5].line_us == line_us[2]);
    submit_as(6, 8, 3, 1000, 0); /* of another client: behind one of 7's, whatever 7 says */
    submit_as(7, 7, 3, 1000, 0);
    CHECK(parts[2].line_us > parts[7].line_us && parts[7].line_us > parts[1].line_us);
    CHECK(parts[6].due_us == parts[4].due_us);
    CHECK(TAILQ_FIRST(&s.prepare) == &parts[4] && TAILQ_NEXT(&parts[4], queue) == &parts[6]);
    static const int order[] = {4, 6, 3, 5, 0, 1, 7, 2};
    check_order(order, 8);
    finish_all(8);
    close_scheduler();
}

/* The same where they wait for their pictures, whose queue is in order too; what a thread has taken stays. */
static void test_priority_of_pictures(void)
{
    struct flight *f[3];
    open_scheduler(2, 0);
    for (int i = 0; i < 3; i++) {
        route_for(i, 7, MB);
    }
    CHECK_INT(take(&f[0]), 0);
    submit_as(3, 7, 0, 1000, 0);
    CHECK(parts[3].line_us < parts[1].line_us && parts[3].line_us > parts[0].line_us);
    struct job_private *j = scheduler_pop_prepare(&s);
    j->decode_bytes = MB;
    scheduler_route(&s, j, true);
    CHECK_INT(take(&f[1]), 3);
    end(f[0]);
    end(f[1]);
    CHECK_INT(take(&f[0]), 1);
    CHECK_INT(take(&f[1]), 2);
    end(f[0]);
    end(f[1]);
    close_scheduler();
}

/* A client that asks for one thing after the other stands behind others' second jobs in the end; one whose job was not
 * served stands where it would. */
static void test_one_after_the_other(void)
{
    open_scheduler(1, 0);
    submit(0, 7, 1000, 0);
    submit(1, 7, 1000, 0);
    submit(2, 8, 1000, 0);
    CHECK(parts[2].line_us == parts[0].line_us);
    static const int order[] = {0, 2, 1};
    check_order(order, 3);
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    scheduler_finish(&s, &parts[2], 2000, &leaving);
    TAILQ_REMOVE(&leaving, &parts[2], queue);
    s.n_leaving--;
    submit(3, 8, 2000, 0);
    CHECK(parts[3].line_us >= parts[1].line_us);
    submit(4, 9, 2000, 0);
    CHECK(parts[4].line_us == parts[0].line_us);
    scheduler_fail(&parts[4], ERR_CANCELLED, "queue");
    scheduler_finish(&s, &parts[4], 2000, &leaving);
    TAILQ_REMOVE(&leaving, &parts[4], queue);
    s.n_leaving--;
    submit(5, 9, 2000, 0);
    CHECK(parts[5].line_us == parts[0].line_us);
    for (int i = 0; i < 6; i++) {
        if (i != 2 && i != 4) {
            scheduler_finish(&s, &parts[i], 3000, &leaving);
            TAILQ_REMOVE(&leaving, &parts[i], queue);
            s.n_leaving--;
        }
    }
    close_scheduler();
}

/* Who says that a job may wait lets others pass, and nobody else's place moves for it. */
static void test_yielding(void)
{
    static const int order[] = {1, 2, 0};
    open_scheduler(1, 0);
    submit_as(0, 7, 7, 1000, 0);
    submit_as(1, 8, 3, 1000, 0);
    submit_as(2, 8, 3, 1000, 0);
    check_order(order, 3);
    finish_all(3);
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
    test_nobody_hurries_past_others();
    test_priority_is_ones_own();
    test_priority_of_pictures();
    test_yielding();
    test_one_after_the_other();
    return check_result();
}
