/* The engine's threads over a network that answers at once and can be held: what runs with whom, and in which order. */
#include "engine/runner.c"

#include "tests/support/check.h"
#include "tests/support/fake_model.h"
#include "tests/support/jobs.h"

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

/* ---- all tasks ---- */

static void test_tasks(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    for (enum job_task task = 0; task < JOB_TASK_COUNT; task++) {
        struct job *job = new_job(e, &home, task, 0);
        job->request.explain = true;
        jobs_run(e, job);
        const struct job_result *r = &job->result;
        CHECK_INT(r->err, OK);
        CHECK_INT(r->width, 120);
        CHECK_INT(r->height, 90);
        CHECK(r->n_regions >= 1 && r->features && r->regions[0].label);
        CHECK_INT(r->cache, task == 0 ? JOB_CACHE_MISS : JOB_CACHE_HIT);
        CHECK_INT(r->captions != NULL, task == JOB_CAPTION);
        CHECK_INT(r->answers != NULL, task == JOB_VQA);
        CHECK_INT(r->scores != NULL, task == JOB_RETRIEVE);
        CHECK_INT(r->region_weights != NULL, task != JOB_REGIONS);
        float sum = 0;
        for (int i = 0; r->region_weights && i < r->n_regions; i++) {
            sum += r->region_weights[i];
        }
        CHECK_NEAR(sum, task == JOB_REGIONS ? 0 : 1, 1e-5);
        CHECK(r->total_us >= r->decode_us + r->regions_us + r->fusion_us);
        job_destroy(job);
    }
    engine_drain(e, UINT64_MAX);
    engine_close(e);
}

int main(void)
{
    images[0] = jobs_load("tests/data/images/waves.png");
    images[1] = jobs_load("tests/data/images/discs.png");
    images[2] = jobs_load("tests/data/images/stripes.png");
    images[3] = jobs_load("tests/data/images/small.png");
    for (int i = 0; i < N_QUESTIONS; i++) {
        question_bytes[i] = strlen(questions[i]);
    }
    test_tasks();
    return check_result();
}
