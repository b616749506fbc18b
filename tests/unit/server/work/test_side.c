/* Tasks of the side thread: each run once there and done once here, whatever the close meets; and its line, which
 * clients share, whoever came first with how much. */
#include "server/work/side.c"

#include "tests/support/check.h"

#include <semaphore.h>

static sem_t woken, may_run;

void loop_wake(struct loop *l)
{
    (void)l;
    sem_post(&woken);
}

struct named {
    struct side_task task; /* the first member */
    char name;
};

static char order[64];
static int n_run;

static void on_run(struct side_task *t)
{
    order[n_run++] = ((struct named *)t)->name;
}

static void on_run_first(struct side_task *t)
{
    on_run(t);
    sem_wait(&may_run);
}

static int n_done;

static void on_done(struct side_task *t)
{
    (void)t;
    n_done++;
}

/* `names` in the order of adding behind a task that holds the thread; a client's tasks have its letter, large ones in
 * capitals. -> the order of running */
static const char *run_in_line(const char *names)
{
    static struct named tasks[32];
    struct named first = {.task = {.run = on_run_first, .on_done = on_done}, .name = '-'};
    struct errbuf e;
    struct side *s;
    memset(order, 0, sizeof(order));
    n_run = n_done = 0;
    CHECK_INT(side_open(&s, NULL, 0, &e), OK);
    side_add(s, &first.task);
    int n = (int)strlen(names);
    for (int i = 0; i < n; i++) {
        bool is_large = names[i] < 'a';
        tasks[i] = (struct named){.task = {.run = on_run,
                                           .on_done = on_done,
                                           .client = (uint64_t)(names[i] | 32),
                                           .cost = is_large ? 10 << 20 : 10 << 10},
                                  .name = names[i]};
        side_add(s, &tasks[i].task);
    }
    sem_post(&may_run);
    side_close(s);
    CHECK_INT(n_done, n + 1); /* what waited has run and come back */
    return order + 1;
}

/* ---- on_done ---- */

struct test_task {
    struct side_task task; /* the first member */
    char name;
    struct test_task *then; /* added by on_done */
};

static struct side *side;
static char done[16];
static pthread_t here;

static void on_run_named(struct side_task *t)
{
    order[n_run++] = ((struct test_task *)t)->name;
}

static void on_done_here(struct side_task *t)
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
    return (struct test_task){.task = {.run = on_run_named, .on_done = on_done_here}, .name = name, .then = then};
}

static void open_side(void)
{
    struct errbuf e;
    memset(order, 0, sizeof(order));
    memset(done, 0, sizeof(done));
    n_run = n_done = 0;
    here = pthread_self();
    CHECK_INT(side_open(&side, NULL, 0, &e), OK);
}

static void test_reaped(void)
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
    CHECK_STR(order, "abc");
    CHECK_STR(done, "abc");
    side_close(side);
    CHECK_INT(n_done, 3);
}

/* What waits is run and done before the close returns; so is what those add meanwhile. */
static void test_closed(void)
{
    struct test_task last = task('z', NULL), next = task('y', &last);
    struct test_task tasks[] = {task('a', NULL), task('b', &next)};
    open_side();
    side_add(side, &tasks[0].task);
    side_add(side, &tasks[1].task);
    side_close(side);
    CHECK_STR(order, "abyz");
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
    CHECK_INT(side_open(&side, NULL, 0, &e), ERR_INTERNAL);
    thread_set_guard(NULL);
    CHECK(side == NULL && strstr(e.text, "side thread"));
}

int main(void)
{
    sem_init(&woken, 0, 0);
    sem_init(&may_run, 0, 0);
    CHECK_STR(run_in_line(""), "");
    CHECK_STR(run_in_line("abc"), "abc");
    CHECK_STR(run_in_line("aaaaab"), "abaaaa"); /* who has one does not wait for all of another's */
    CHECK_STR(run_in_line("AAAABB"), "ABABAA");
    CHECK_STR(run_in_line("AAAbbbb"), "AbbbbAA"); /* by what they cost, not by number */
    CHECK_STR(run_in_line("aAaAa"), "aAaAa");     /* one client's in their order */
    test_reaped();
    test_closed();
    test_no_thread();
    return check_result();
}
