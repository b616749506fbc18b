/* Watches: each is told once a turn and only what it asked for, a fault once; who is destroyed hears nothing more.
 * Wake-ups: the loop does not wait for the thread that wakes it. */
#include "server/http/loop.h"

#include "tests/support/check.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CROWD = 300 }; /* more than there is room for at first */

struct end {
    struct loop_watch *watch, *victim;
    int fds[2], n_told, told;
};

static struct loop *loop;
static struct end crowd[CROWD];
static int turns_left;

static void on_ready(void *user, int events)
{
    struct end *e = user;
    e->n_told++;
    e->told |= events;
    loop_watch_destroy(e->victim);
    e->victim = NULL;
}

static bool on_turn(void *user)
{
    (void)user;
    if (turns_left-- == 0) {
        loop_stop(loop);
    }
    return true;
}

static void run_turns(int n)
{
    for (int i = 0; i < CROWD; i++) {
        crowd[i].n_told = crowd[i].told = 0;
    }
    turns_left = n;
    loop_run(loop);
}

static void test_once_a_turn(void)
{
    for (int i = 0; i < CROWD; i++) {
        loop_watch_set(crowd[i].watch, i % 2 ? LOOP_READABLE : 0);
    }
    run_turns(3);
    for (int i = 0; i < CROWD; i++) {
        CHECK(i % 2 ? crowd[i].n_told >= 3 && crowd[i].n_told <= 4 : crowd[i].n_told == 0);
        CHECK_INT(crowd[i].told, i % 2 ? LOOP_READABLE : 0);
        loop_watch_set(crowd[i].watch, 0);
    }
    run_turns(1);
    CHECK_INT(crowd[1].n_told, 0);
}

static void test_fault_once(void)
{
    struct end broken = {.victim = NULL};
    CHECK(pipe(broken.fds) == 0);
    CHECK_INT(loop_watch_create(&broken.watch, loop, broken.fds[1], on_ready, &broken), OK);
    close(broken.fds[0]); /* nobody will ever read what is written here */
    run_turns(3);
    CHECK_INT(broken.n_told, 1);
    CHECK_INT(broken.told, LOOP_FAULT);
    loop_watch_set(broken.watch, LOOP_WRITABLE); /* who asks again is told again */
    run_turns(1);
    CHECK_INT(broken.n_told, 2);
    loop_watch_destroy(broken.watch);
    close(broken.fds[1]);
}

/* Both are ready, and whichever comes first destroys the other. */
static void test_destroyed_within_a_turn(void)
{
    struct end *a = &crowd[0], *b = &crowd[1];
    a->victim = b->watch;
    b->victim = a->watch;
    loop_watch_set(a->watch, LOOP_READABLE);
    loop_watch_set(b->watch, LOOP_READABLE);
    a->n_told = b->n_told = 0;
    turns_left = 3;
    loop_run(loop);
    CHECK((a->n_told == 0) != (b->n_told == 0));
    (a->n_told ? b : a)->watch = NULL;
}

/* ---- a thread that is stopped while it wakes the loop ---- */

static atomic_int waker; /* its thread id; 0: none */
static sem_t seen;       /* by the loop */
static bool was_seen_meanwhile;

/* Takes the place of the C library's, also for other libraries: the waker's bytes are there, and it goes on only when
 * the loop has seen them, or after a second. */
ssize_t write(int fd, const void *bytes, size_t n)
{
    ssize_t rc = syscall(SYS_write, fd, bytes, n);
    if (atomic_load(&waker) == gettid()) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        was_seen_meanwhile = sem_timedwait(&seen, &until) == 0;
    }
    return rc;
}

static void on_wake(void *user)
{
    (void)user;
    sem_post(&seen);
    loop_stop(loop);
}

static void *wake(void *user)
{
    (void)user;
    atomic_store(&waker, gettid());
    loop_wake(loop);
    atomic_store(&waker, 0);
    return NULL;
}

static void test_waker_that_is_stopped(void)
{
    pthread_t t;
    turns_left = INT32_MAX;
    sem_init(&seen, 0, 0);
    loop_on_wake(loop, on_wake, NULL);
    CHECK_INT(pthread_create(&t, NULL, wake, NULL), 0);
    loop_run(loop);
    pthread_join(t, NULL);
    CHECK(was_seen_meanwhile);
    loop_on_wake(loop, NULL, NULL);
    sem_destroy(&seen);
}

int main(void)
{
    struct loop_turn *turn;
    CHECK_INT(loop_create(&loop, NULL), OK);
    CHECK_INT(loop_turn_create(&turn, loop, on_turn, NULL), OK);
    for (int i = 0; i < CROWD; i++) {
        CHECK(pipe(crowd[i].fds) == 0 && write(crowd[i].fds[1], "x", 1) == 1);
        CHECK_INT(loop_watch_create(&crowd[i].watch, loop, crowd[i].fds[0], on_ready, &crowd[i]), OK);
    }
    test_once_a_turn();
    test_fault_once();
    test_destroyed_within_a_turn();
    test_waker_that_is_stopped();
    CHECK(loop_longest_turn_s(loop) > 0);
    for (int i = 0; i < CROWD; i++) {
        loop_watch_destroy(crowd[i].watch);
        close(crowd[i].fds[0]);
        close(crowd[i].fds[1]);
    }
    loop_turn_destroy(turn);
    loop_destroy(loop);
    return check_result();
}
