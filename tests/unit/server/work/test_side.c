/* Tasks of the side thread: in order, each run once there and done once here, whatever the close meets. */
#include "server/work/side.c"

#include "tests/support/check.h"

#include <semaphore.h>

static sem_t woken;

void loop_wake(struct loop *l)
{
    (void)l;
    sem_post(&woken);
}

struct test_task {
    struct side_task task; /* the first member */
    char name;
    struct test_task *then; /* added by on_done */
};

static struct side *side;
static char ran[16], done[16];
static int n_ran, n_done;
static pthread_t here;

static void run_task(struct side_task *t)
{
    ran[n_ran++] = ((struct test_task *)t)->name;
}

static void on_done(struct side_task *t)
{
    struct test_task *task = (struct test_task *)t;
    CHECK(pthread_equal(pthread_self(), here));
    done[n_done++] = task->name;
    if (task->then) {
        side_add(side, &task->then->task);
    }
}

static struct test_task task(char name, struct test_task *then)
{
    return (struct test_task){.task = {.run = run_task, .on_done = on_done}, .name = name, .then = then};
}

static void open_side(void)
{
    struct errbuf e;
    memset(ran, 0, sizeof(ran));
    memset(done, 0, sizeof(done));
    n_ran = n_done = 0;
    here = pthread_self();
    sem_init(&woken, 0, 0);
    CHECK_INT(side_open(&side, NULL, &e), OK);
}

static void test_order(void)
{
    struct test_task tasks[] = {task('a', NULL), task('b', NULL), task('c', NULL)};
    open_side();
    for (int i = 0; i < 3; i++) {
        side_add(side, &tasks[i].task);
    }
    while (n_done < 3) { /* the loop is woken for each */
        sem_wait(&woken);
        side_reap(side);
    }
    CHECK_STR(ran, "abc");
    CHECK_STR(done, "abc");
    side_close(side);
    CHECK_INT(n_done, 3);
}

/* What waits is run and done before the close returns; so is what those add meanwhile. */
static void test_close(void)
{
    struct test_task last = task('z', NULL), next = task('y', &last);
    struct test_task tasks[] = {task('a', NULL), task('b', &next)};
    open_side();
    side_add(side, &tasks[0].task);
    side_add(side, &tasks[1].task);
    side_close(side);
    CHECK_STR(ran, "abyz");
    CHECK_STR(done, "abyz");
    side_close(NULL);
}

static enum err refuse(const char *name)
{
    CHECK_STR(name, "side");
    return ERR_INTERNAL;
}

static void test_no_thread(void)
{
    struct errbuf e;
    thread_set_guard(refuse);
    CHECK_INT(side_open(&side, NULL, &e), ERR_INTERNAL);
    thread_set_guard(NULL);
    CHECK(side == NULL && strstr(e.text, "side thread"));
}

int main(void)
{
    test_order();
    test_close();
    test_no_thread();
    return check_result();
}
