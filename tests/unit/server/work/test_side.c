/* The side thread's line: clients share it, whoever came first with how much. */
#include "server/work/side.c"

#include "tests/support/check.h"

#include <semaphore.h>

static sem_t may_run;

void loop_wake(struct loop *l)
{
    (void)l;
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
    CHECK_INT(n_done, n + 1); /* what waited has run and come home */
    return order + 1;
}

int main(void)
{
    sem_init(&may_run, 0, 0);
    CHECK_STR(run_in_line(""), "");
    CHECK_STR(run_in_line("abc"), "abc");
    CHECK_STR(run_in_line("aaaaab"), "abaaaa"); /* who has one does not wait for all of another's */
    CHECK_STR(run_in_line("AAAABB"), "ABABAA");
    CHECK_STR(run_in_line("AAAbbbb"), "AbbbbAA"); /* by what they cost, not by number */
    CHECK_STR(run_in_line("aAaAa"), "aAaAa");     /* one client's in their order */
    return check_result();
}
