/* The monitor knows who is inside; its waits end at their time. No sleeping: times that are over already. */
#include "engine/base/monitor.h"

#include "tests/support/check.h"

#include <signal.h>
#include <sys/wait.h>
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
    check_bug(check_outside);
    check_bug(leave_twice);
    check_bug(release_inside);
    return check_result();
}
