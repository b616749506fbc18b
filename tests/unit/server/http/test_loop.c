/* Watches: each is told once a turn and only what it asked for, a fault once; who is destroyed hears nothing more. */
#include "server/http/loop.h"

#include "tests/support/check.h"

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
