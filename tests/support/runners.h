/* An engine over the fake network of fake_model.h: open, ask, wait, close. For tests that include engine/runner.c. */
#ifndef TESTS_SUPPORT_RUNNERS_H
#define TESTS_SUPPORT_RUNNERS_H

#include "engine/runner.c"

#include "tests/support/check.h"
#include "tests/support/fake_model.h"
#include "tests/support/jobs.h"

#include <sched.h>

/* Instead of the kernel's: each thread has a CPU of its own, so that helpers are never in the way. */
int sched_getcpu(void)
{
    static atomic_int n;
    static _Thread_local int own;
    own = own ? own : 1 + atomic_fetch_add(&n, 1);
    return own;
}

static struct jobs_image images[4];
static const char *const questions[] = {"what is red ?", "is a dog red ?", "cat",      "dog runs", "cat sits",
                                        "a a a a",       "red red",        "what ? a", "dog",      "sits"};
enum { N_QUESTIONS = 10 };
static size_t question_bytes[N_QUESTIONS];

static struct engine *open_engine(void (*change)(struct engine_options *o))
{
    struct engine *e = NULL;
    struct engine_options o;
    struct errbuf why;
    engine_default_options(&o);
    o.model_dir = "fake";
    o.engine_threads = o.decode_threads = 1;
    if (change) {
        change(&o);
    }
    fake_reset();
    enum err rc = engine_open(&e, &o, &why);
    CHECK_INT(rc, OK);
    if (rc) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return e;
}

static struct job *new_job(struct engine *e, struct jobs_home *home, enum job_task task, int image)
{
    struct job *job = jobs_new(e, home);
    job->request.task = task;
    jobs_set_image(job, &images[image]);
    if (task == JOB_VQA || task == JOB_RETRIEVE) {
        jobs_set_texts(job, questions, question_bytes, 1);
    }
    return job;
}

/* Looks again and again; what is waited for happens on other threads. */
#define WAIT_UNTIL(e, stats, condition)                                                                                \
    do {                                                                                                               \
        sched_yield();                                                                                                 \
        engine_stats((e), &(stats));                                                                                   \
    } while (!(condition))

static void close_engine(struct engine *e)
{
    struct engine_stats s;
    engine_drain(e, UINT64_MAX);
    engine_stats(e, &s);
    CHECK_INT(s.jobs, 0);
    for (int i = 0; i < ENGINE_STAGE_COUNT; i++) {
        CHECK_INT(s.queued[i], 0);
        CHECK_INT(s.running[i], 0);
    }
    engine_close(e);
}

/* Before the first job. */
static void load_images(void)
{
    images[0] = jobs_load("tests/data/images/waves.png");
    images[1] = jobs_load("tests/data/images/discs.png");
    images[2] = jobs_load("tests/data/images/stripes.png");
    images[3] = jobs_load("tests/data/images/small.png");
    for (int i = 0; i < N_QUESTIONS; i++) {
        question_bytes[i] = strlen(questions[i]);
    }
}

#endif
