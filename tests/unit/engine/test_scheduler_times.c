/* Times of a job whose clock and its engine's were read in the other order. */
#include "engine/scheduler.c"

#include "tests/support/check.h"

/* A job joins others of the same image while the engine, on its way back to the lock, has read the clock already. */
static void test_joined_late(void)
{
    static struct scheduler s;
    static struct job job;
    static struct job_private j = {.job = &job, .submitted_us = 1005, .state = JOB_IN_FLIGHT};
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    monitor_init(&s.monitor);
    scheduler_enter(&s);
    TAILQ_INIT(&s.live);
    TAILQ_INSERT_TAIL(&s.live, &j, live);
    CHECK_INT(line_init(&s.line, 1), OK);
    line_add(&s.line, &j, 1);
    s.n_live = 1;
    job.result.decode_us = 20;
    scheduler_finish(&s, &j, 1000, &leaving);
    CHECK_INT(job.result.total_us, 0);
    CHECK_INT(job.result.queue_us, 0);
    CHECK(TAILQ_FIRST(&leaving) == &j && s.n_live == 0 && s.n_leaving == 1);
    j.fusion_from_us = 1005;
    j.n_running = 1;
    j.n_items = 2;
    scheduler_items_end(&s, &j, 1, 1, 1000, &leaving);
    CHECK_INT(job.result.fusion_us, 0);
    scheduler_leave(&s);
    line_release(&s.line);
    monitor_release(&s.monitor);
}

int main(void)
{
    test_joined_late();
    return check_result();
}
