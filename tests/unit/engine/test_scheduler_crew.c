/* Who helps whom, who is recalled, and who wakes. */
#include "engine/scheduler_crew.c"

#include "engine/base/thread.h"
#include "tests/support/check.h"

#include <sched.h>

enum { THREADS = 4 };

/* Instead of the kernel's: each thread has a CPU of its own. */
static _Thread_local int own_cpu;
int sched_getcpu(void)
{
    return own_cpu;
}

static struct scheduler s;
static struct feature_cache *cache;

static void open_scheduler(int split_threads)
{
    struct scheduler_limits limits = {.batcher = {.max_rows = 256, .max_items = 64, .max_images = 1},
                                      .max_jobs = 4,
                                      .n_slots = 4,
                                      .n_engine_threads = THREADS,
                                      .n_decode_threads = 2,
                                      .split_threads = split_threads};
    CHECK_INT(feature_cache_create(&cache, 0, 64), OK);
    CHECK_INT(scheduler_init(&s, &limits, cache), OK);
    scheduler_enter(&s);
}

static void close_scheduler(void)
{
    CHECK(s.n_leading == 0 && s.n_helping == 0 && s.n_idle_engines == 0 && s.n_sleeping == 0);
    scheduler_leave(&s);
    scheduler_release(&s);
    feature_cache_destroy(cache);
}

static void test_off(void)
{
    open_scheduler(1);
    CHECK(s.crew == NULL);
    scheduler_lead(&s, 0);
    CHECK(!scheduler_help(&s, 1));
    struct crew_work work = scheduler_end_lead(&s, 0);
    CHECK(work.cuts == 0);
    scheduler_wake_engine(&s); /* nobody is there */
    close_scheduler();
}

/* The books of a helper without its thread. */
static void pretend_help(int thread, int leader, int n)
{
    s.seats[thread].is_helping = n > 0;
    s.seats[thread].is_recalled = false;
    s.seats[leader].n_helpers += n;
    s.n_helping += n;
}

static void test_leaders(void)
{
    open_scheduler(3);
    CHECK_INT(choose_leader(&s), -1);
    scheduler_lead(&s, 2);
    CHECK_INT(choose_leader(&s), 2);
    scheduler_lead(&s, 1);
    CHECK_INT(choose_leader(&s), 1);
    pretend_help(0, 1, 1);
    CHECK_INT(choose_leader(&s), 2); /* it has fewer */
    pretend_help(3, 2, 1);
    CHECK_INT(choose_leader(&s), -1); /* all threads are busy */
    (void)scheduler_end_lead(&s, 2);
    pretend_help(3, 2, -1);
    CHECK_INT(choose_leader(&s), 1);
    pretend_help(3, 1, 1);
    CHECK_INT(choose_leader(&s), -1); /* three at a step are enough */
    pretend_help(3, 1, -1);
    s.n_decoding = 2; /* of four CPUs: one leads, one helps */
    CHECK_INT(choose_leader(&s), -1);
    s.n_decoding = 0;
    pretend_help(0, 1, -1);
    (void)scheduler_end_lead(&s, 1);
    close_scheduler();
}

static int recalled(void)
{
    int n = 0;
    for (int i = 0; i < THREADS; i++) {
        n += s.seats[i].is_recalled;
    }
    return n;
}

static void test_recalls(void)
{
    open_scheduler(4);
    scheduler_lead(&s, 0);
    for (int i = 1; i < THREADS; i++) {
        pretend_help(i, 0, 1);
    }
    scheduler_trim_helpers(&s);
    CHECK_INT(recalled(), 0);
    s.n_decoding = 1;
    scheduler_trim_helpers(&s);
    CHECK_INT(recalled(), 1);
    scheduler_trim_helpers(&s); /* it is on its way */
    CHECK_INT(recalled(), 1);
    scheduler_wake_engine(&s); /* nobody sleeps */
    CHECK_INT(recalled(), 2);
    scheduler_recall_all(&s);
    scheduler_recall_all(&s);
    CHECK_INT(recalled(), 3);
    s.n_decoding = 0;
    for (int i = 1; i < THREADS; i++) {
        pretend_help(i, 0, -1);
    }
    (void)scheduler_end_lead(&s, 0);
    close_scheduler();
}

/* ---- with threads ---- */

static void *idle(void *arg)
{
    int self = *(const int *)arg;
    own_cpu = self;
    scheduler_enter(&s);
    while (!s.is_stopping) {
        scheduler_wait_engine(&s, self, UINT64_MAX);
    }
    scheduler_leave(&s);
    return NULL;
}

/* Inside; until that many help and that many sleep. */
static void wait_for(int n_helping, int n_sleeping)
{
    while (s.n_helping != n_helping || s.n_sleeping != n_sleeping) {
        scheduler_leave(&s);
        sched_yield();
        scheduler_enter(&s);
    }
}

static void add_up(void *arg, int i)
{
    int *sums = arg;
    sums[i] += i;
}

static void test_threads(void)
{
    static const int numbers[THREADS] = {0, 1, 2, 3};
    pthread_t threads[THREADS];
    int sums[CREW_MAX] = {0};
    open_scheduler(3);
    for (int i = 1; i < THREADS; i++) {
        CHECK_INT(thread_start(&threads[i], "engine", idle, (void *)&numbers[i]), OK);
    }
    wait_for(0, 3);
    scheduler_lead(&s, 0); /* wakes one, which wakes the next; two are enough */
    wait_for(2, 1);
    CHECK_INT(s.n_idle_engines, 3);
    scheduler_leave(&s);
    for (int i = 0; i < 100; i++) {
        crew_run(s.crew, 0, CREW_MAX, add_up, sums);
    }
    scheduler_enter(&s);
    s.n_decoding = 2;
    scheduler_trim_helpers(&s);
    wait_for(1, 2);
    s.n_decoding = 0;
    (void)scheduler_end_lead(&s, 0);
    wait_for(0, 3);
    own_cpu = 2; /* thread 2 would be in the way: it goes to sleep again, and for a while nobody is woken */
    while (s.held_off_until_us == 0) {
        scheduler_lead(&s, 0);
        for (int i = 0; i < 100 && s.held_off_until_us == 0; i++) {
            scheduler_leave(&s);
            sched_yield();
            scheduler_enter(&s);
        }
        (void)scheduler_end_lead(&s, 0);
        wait_for(0, 3);
    }
    own_cpu = 0;
    s.held_off_until_us = UINT64_MAX;
    scheduler_lead(&s, 0);
    wait_for(0, 3);
    (void)scheduler_end_lead(&s, 0);
    s.held_off_until_us = 0;
    for (int i = 0; i < CREW_MAX; i++) {
        CHECK_INT(sums[i], 100 * i);
    }
    scheduler_lead(&s, 0);
    wait_for(2, 1);
    scheduler_leave(&s);
    scheduler_stop(&s); /* while they help */
    for (int i = 1; i < THREADS; i++) {
        thread_join(threads[i]);
    }
    scheduler_enter(&s);
    (void)scheduler_end_lead(&s, 0);
    close_scheduler();
}

int main(void)
{
    test_off();
    test_leaders();
    test_recalls();
    test_threads();
    return check_result();
}
