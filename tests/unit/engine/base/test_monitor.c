/* The monitor knows who is inside; its waits end at their time; who wakes others does not wait for them. No sleeping:
 * times that are over already. */
#include "engine/base/monitor.h"

#include "tests/support/check.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct monitor m;
static bool is_set;

static void *set(void *arg)
{
    (void)arg;
    monitor_enter(&m);
    is_set = true;
    monitor_wake(&m, 1);
    monitor_leave(&m);
    return NULL;
}

static void test_wake(void)
{
    pthread_t t;
    monitor_init(&m);
    monitor_enter(&m);
    CHECK(!monitor_wait(&m, 0, 1)); /* a microsecond after the machine started */
    CHECK_INT(pthread_create(&t, NULL, set, NULL), 0);
    while (!is_set) {
        CHECK(monitor_wait(&m, 1, UINT64_MAX));
        monitor_check(&m);
    }
    monitor_leave(&m);
    pthread_join(t, NULL);
    monitor_release(&m);
}

#ifndef __SANITIZE_THREAD__ /* which holds signals back from a thread that waits */

/* ---- a thread that is stopped while it waits ---- */

static sem_t is_stopped, may_go;
static bool is_free; /* the stopped one: only after the others were woken, or after a second */

static void stop(int signal_number)
{
    struct timespec until;
    (void)signal_number;
    sem_post(&is_stopped);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    while (sem_timedwait(&may_go, &until) != 0 && errno == EINTR) {
    }
    is_free = true;
}

static int n_waiting, n_back;

static void *wait_once(void *arg)
{
    (void)arg;
    monitor_enter(&m);
    n_waiting++;
    (void)monitor_wait(&m, 2, UINT64_MAX);
    n_back++;
    monitor_leave(&m);
    return NULL;
}

/* Inside, when n have begun to wait. */
static void enter_when_waiting(int n)
{
    monitor_enter(&m);
    while (n_waiting < n) {
        monitor_leave(&m);
        sched_yield();
        monitor_enter(&m);
    }
}

static void test_stopped_waiter(void)
{
    enum { OTHERS = 3 };
    pthread_t first, others[OTHERS];
    struct sigaction act = {.sa_handler = stop};
    sigaction(SIGUSR1, &act, NULL);
    sem_init(&is_stopped, 0, 0);
    sem_init(&may_go, 0, 0);
    monitor_init(&m);
    CHECK_INT(pthread_create(&first, NULL, wait_once, NULL), 0);
    enter_when_waiting(1);
    monitor_leave(&m);
    pthread_kill(first, SIGUSR1);
    sem_wait(&is_stopped);
    monitor_enter(&m);
    monitor_wake(&m, 2);
    monitor_leave(&m);
    for (int i = 0; i < OTHERS; i++) {
        CHECK_INT(pthread_create(&others[i], NULL, wait_once, NULL), 0);
        enter_when_waiting(i + 2);
        monitor_wake(&m, 2);
        monitor_leave(&m);
    }
    CHECK(!is_free);
    sem_post(&may_go);
    pthread_join(first, NULL);
    enter_when_waiting(1);
    monitor_wake_all(&m, 2);
    monitor_leave(&m);
    for (int i = 0; i < OTHERS; i++) {
        pthread_join(others[i], NULL);
    }
    CHECK_INT(n_back, 1 + OTHERS);
    monitor_release(&m);
}

#endif

/* In a child, because a BUG ends the process. */
static void check_bug(void (*wrong)(void))
{
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        monitor_init(&m);
        wrong();
        _exit(0);
    }
    int status = 0;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void check_outside(void)
{
    monitor_check(&m);
}

static void leave_twice(void)
{
    monitor_enter(&m);
    monitor_leave(&m);
    monitor_leave(&m);
}

static void release_inside(void)
{
    monitor_enter(&m);
    monitor_release(&m);
}

int main(void)
{
    test_wake();
#ifndef __SANITIZE_THREAD__
    test_stopped_waiter();
#endif
    check_bug(check_outside);
    check_bug(leave_twice);
    check_bug(release_inside);
    return check_result();
}
