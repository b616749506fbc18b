/* A crew: every cut once and seen by the leader, with helpers that come, sleep, are recalled, or are not there. */
#include "engine/base/crew.c"

#include "engine/base/thread.h"
#include "tests/support/check.h"

#include <sched.h>
#include <stdatomic.h>

enum { THREADS = 4, LOOPS = 3000, LONG_NS = 1000000 };

static struct crew *crew;

/* Instead of the kernel's: each thread has a CPU of its own. */
static _Thread_local int own_cpu;
int sched_getcpu(void)
{
    return own_cpu;
}

struct loop {
    int done[CREW_MAX]; /* plain: the crew orders them */
};

static void count(void *arg, int i)
{
    ((struct loop *)arg)->done[i]++;
}

static void check_loop(int self, int n_cuts, int times)
{
    struct loop l = {{0}};
    int wrong = 0;
    for (int t = 0; t < times; t++) {
        crew_run(crew, self, n_cuts, count, &l);
        for (int i = 0; i < CREW_MAX; i++) {
            wrong += l.done[i] != (i < n_cuts ? t + 1 : 0);
        }
    }
    CHECK_INT(wrong, 0);
}

static void test_alone(void)
{
    crew_open(crew, 0);
    CHECK_INT(crew_cuts(crew, 0, LONG_NS, CREW_MAX), 1); /* nobody is there */
    check_loop(0, 1, 1);
    check_loop(0, CREW_MAX, 3);
    struct crew_work work = crew_close(crew, 0);
    CHECK(work.cuts == 0 && work.ns == 0);
}

static void test_how_many(void)
{
    crew_pretend(crew, 1, 3);
    CHECK_INT(crew_cuts(crew, 1, LONG_NS, CREW_MAX), 4);
    CHECK_INT(crew_cuts(crew, 1, LONG_NS, 2), 2);                /* no more units than that */
    CHECK_INT(crew_cuts(crew, 1, 3 * CREW_CUT_NS, CREW_MAX), 3); /* a cut has a least size */
    CHECK_INT(crew_cuts(crew, 1, CREW_CUT_NS, CREW_MAX), 1);
    CHECK_INT(crew_cuts(crew, 1, 0, CREW_MAX), 1);
    CHECK_INT(crew_cuts(crew, 1, LONG_NS, 0), 1);
    crew_pretend(crew, 1, 100);
    CHECK_INT(crew_cuts(crew, 1, LONG_NS, 100), CREW_MAX);
    crew_pretend(crew, 1, 0);
}

static atomic_bool is_over;
static atomic_int n_back;

static void *help(void *arg)
{
    int self = *(const int *)arg;
    own_cpu = self;
    while (!atomic_load(&is_over)) {
        (void)crew_help(crew, self, 0);
        atomic_fetch_add(&n_back, 1);
    }
    return NULL;
}

/* A cut that waits for somebody in another one, for a while. */
static atomic_int n_in, n_met;
static void meet(void *arg, int i)
{
    (void)arg;
    (void)i;
    atomic_fetch_add(&n_in, 1);
    for (int looks = 0; atomic_load(&n_in) < 2 && looks < 1000; looks++) {
        sched_yield();
    }
    atomic_fetch_add(&n_met, atomic_load(&n_in) == 2);
}

/* Until two threads were in one loop at the same time. */
static void check_meeting(void)
{
    for (atomic_store(&n_met, 0); atomic_load(&n_met) < 2;) {
        atomic_store(&n_in, 0);
        atomic_store(&n_met, 0);
        (void)crew_cuts(crew, 0, LONG_NS, CREW_MAX); /* wakes those who sleep */
        crew_run(crew, 0, 2, meet, NULL);
    }
}

static void recall_all(void)
{
    for (int i = 1; i < THREADS; i++) {
        crew_recall(crew, i);
    }
}

static void test_helpers(void)
{
    static const int numbers[THREADS] = {0, 1, 2, 3};
    pthread_t threads[THREADS];
    atomic_store(&is_over, false);
    crew_open(crew, 0);
    for (int i = 1; i < THREADS; i++) {
        CHECK_INT(thread_start(&threads[i], "helper", help, (void *)&numbers[i]), OK);
    }
    check_meeting();
    check_loop(0, 2, LOOPS);
    check_loop(0, 4, LOOPS);
    check_loop(0, CREW_MAX, LOOPS);
    recall_all(); /* they come back to the open board */
    check_loop(0, 4, LOOPS);
    check_meeting();
    struct crew_work work = crew_close(crew, 0);
    CHECK(work.cuts >= 2);
    crew_open(crew, 0); /* counts from nothing again */
    work = crew_close(crew, 0);
    crew_open(crew, 0);
    check_meeting();
    atomic_store(&is_over, true); /* some sleep, some look: all come back */
    crew_close(crew, 0);
    recall_all();
    for (int i = 1; i < THREADS; i++) {
        thread_join(threads[i]);
    }
    CHECK(atomic_load(&n_back) >= THREADS - 1);
    CHECK_INT(crew_cuts(crew, 0, LONG_NS, CREW_MAX), 1);
}

/* Loops too short to wake anybody do so together; not while everybody is awake. */
static void test_short_loops(void)
{
    struct board *b = &crew->boards[2];
    crew_open(crew, 2);
    uint32_t bell = atomic_load(&crew->bell);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(crew_cuts(crew, 2, CREW_WAKE_NS / 2, CREW_MAX), 1);
    }
    CHECK(atomic_load(&crew->bell) == bell);
    atomic_store(&b->n_asleep, 1);
    CHECK_INT(crew_cuts(crew, 2, CREW_WAKE_NS / 2, CREW_MAX), 1);
    CHECK(atomic_load(&crew->bell) == bell);
    CHECK_INT(crew_cuts(crew, 2, CREW_WAKE_NS / 2, CREW_MAX), 1); /* it will not be in time for this one */
    CHECK(atomic_load(&crew->bell) == bell + 1);
    CHECK_INT(crew_cuts(crew, 2, CREW_WAKE_NS / 2, CREW_MAX), 1);
    CHECK(atomic_load(&crew->bell) == bell + 1); /* they are counted anew */
    CHECK_INT(crew_cuts(crew, 2, CREW_WAKE_NS, CREW_MAX), 2);
    CHECK(atomic_load(&crew->bell) == bell + 2);
    atomic_store(&b->n_asleep, 0);
    crew_close(crew, 2);
}

static void test_in_the_way(void)
{
    own_cpu = 3;
    crew_open(crew, 0);
    CHECK(!crew_help(crew, 1, 0)); /* this very thread */
    crew_close(crew, 0);
    CHECK(crew_help(crew, 1, 0)); /* there is nothing more to do */
    own_cpu = 0;
}

int main(void)
{
    CHECK_INT(crew_create(&crew, THREADS), OK);
    test_in_the_way();
    test_alone();
    test_how_many();
    test_short_loops();
    test_helpers();
    crew_destroy(crew);
    return check_result();
}
