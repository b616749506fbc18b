/* The engine's threads over a network that answers at once and can be held: jobs, images, errors, opening. */
#include "tests/support/runners.h"

#include "engine/base/sha256.h"
#include "tests/support/torture.h"

/* ---- all tasks ---- */

static void test_tasks(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    for (enum job_task task = 0; task < JOB_CHECK; task++) {
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

/* ---- one image, many jobs ---- */

static void test_equal_images_are_computed_once(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct engine_stats s;
    struct job *jobs[4];
    fake_hold(FAKE_TEE);
    for (int i = 0; i < 4; i++) {
        jobs[i] = new_job(e, &home, i == 2 ? JOB_VQA : JOB_REGIONS, 0);
    }
    jobs_submit(e, jobs[0]);
    fake_wait_inside(FAKE_TEE, 1);
    jobs_submit(e, jobs[1]);
    jobs_submit(e, jobs[2]);
    sha256(images[0].bytes, images[0].n, jobs[3]->request.id.bytes);
    jobs[3]->request.image = NULL; /* an id is enough, the image is under way */
    jobs_submit(e, jobs[3]);
    WAIT_UNTIL(e, s, s.cache_coalesced == 3);
    fake_release(FAKE_TEE);
    jobs_wait(&home, 4);
    CHECK_INT(fake.n_tee, 1);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(jobs[i]->result.err, OK);
        CHECK_INT(jobs[i]->result.cache, i == 0 ? JOB_CACHE_MISS : JOB_CACHE_COALESCED);
        CHECK_INT(memcmp(jobs[i]->result.features, jobs[0]->result.features, features_bytes(e->config)), 0);
        CHECK_INT(memcmp(&jobs[i]->result.id, &jobs[0]->result.id, sizeof(struct image_id)), 0);
    }
    for (int i = 0; i < 4; i++) {
        job_destroy(jobs[i]);
    }
    close_engine(e);
}

static void test_others_go_on_when_the_first_is_cancelled(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct engine_stats s;
    struct job *blocker = new_job(e, &home, JOB_REGIONS, 1);
    struct job *first = new_job(e, &home, JOB_REGIONS, 0), *second = new_job(e, &home, JOB_REGIONS, 0);
    fake_hold(FAKE_TEE);
    jobs_submit(e, blocker);
    fake_wait_inside(FAKE_TEE, 1);
    jobs_submit(e, first);
    WAIT_UNTIL(e, s, s.queued[ENGINE_REGIONS] == 1);
    jobs_submit(e, second);
    WAIT_UNTIL(e, s, s.cache_coalesced == 1);
    job_cancel(first);
    fake_release(FAKE_TEE);
    jobs_wait(&home, 3);
    CHECK_INT(first->result.err, ERR_CANCELLED);
    CHECK_STR(first->result.stage, "queue");
    CHECK(first->result.features == NULL);
    CHECK_INT(second->result.err, OK);
    CHECK(second->result.n_regions > 0);
    CHECK_INT(fake.n_tee, 2);
    engine_stats(e, &s);
    CHECK_INT(s.cancelled[ENGINE_REGIONS], 1);
    job_destroy(blocker);
    job_destroy(first);
    job_destroy(second);
    close_engine(e);
}

/* The last one with bytes goes before they were decoded: who has only the id cannot go on. */
static void test_id_alone_cannot_lead(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct job *with_bytes = new_job(e, &home, JOB_REGIONS, 0), *with_id = new_job(e, &home, JOB_REGIONS, 0);
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    struct scheduler *s = &e->scheduler;
    with_id->request.image = NULL;
    /* By hand, with the threads kept out, as no decoder can be held. */
    scheduler_enter(s);
    CHECK_INT(job_check(with_bytes, NULL), OK);
    CHECK_INT(job_check(with_id, NULL), OK);
    CHECK_INT(scheduler_submit(s, with_bytes->_private, 1000, NULL), OK);
    CHECK_INT(scheduler_submit(s, with_id->_private, 1000, NULL), OK);
    scheduler_route(s, scheduler_pop_prepare(s), true);
    scheduler_route(s, scheduler_pop_prepare(s), true);
    job_cancel(with_bytes);
    scheduler_sweep(s, 2000, &leaving);
    scheduler_deliver(s, &leaving);
    scheduler_leave(s);
    jobs_wait(&home, 2);
    CHECK_INT(with_bytes->result.err, ERR_CANCELLED);
    CHECK_INT(with_id->result.err, ERR_IMAGE_NOT_CACHED);
    job_destroy(with_bytes);
    job_destroy(with_id);
    close_engine(e);
}

static void test_cache_and_ids(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    static const uint8_t key[32] = {1, 2, 3};
    struct job *job = new_job(e, &home, JOB_REGIONS, 0), *again = new_job(e, &home, JOB_REGIONS, 0);
    job->request.no_store = true;
    jobs_run(e, job);
    CHECK(!engine_cache_has(e, &job->result.id));
    job->request.no_store = false;
    jobs_run(e, job);
    CHECK(engine_cache_has(e, &job->result.id));
    again->request.image = NULL;
    again->request.id = job->result.id;
    jobs_run(e, again);
    CHECK_INT(again->result.cache, JOB_CACHE_HIT);
    CHECK_INT(memcmp(again->result.features, job->result.features, features_bytes(e->config)), 0);
    again->request.id.bytes[5] ^= 1;
    jobs_run(e, again);
    CHECK_INT(again->result.err, ERR_IMAGE_NOT_CACHED);
    CHECK(again->result.error.text[0] != '\0');
    job_reset(again);
    again->request.user = &home;
    jobs_set_image(again, &images[0]);
    again->request.id_key = key;
    jobs_run(e, again);
    CHECK_INT(again->result.cache, JOB_CACHE_MISS); /* another name space */
    CHECK(memcmp(&again->result.id, &job->result.id, sizeof(struct image_id)) != 0);
    job_reset(again);
    again->request.user = &home;
    again->request.features = job->result.features;
    again->request.task = JOB_CAPTION;
    jobs_run(e, again);
    CHECK_INT(again->result.err, OK);
    CHECK(again->result.features == job->result.features);
    CHECK_INT(fake.n_tee, 3);
    struct features other = *job->result.features; /* as a file may hold that somebody else has written */
    other.dim++;
    job_reset(again);
    again->request.user = &home;
    again->request.features = &other;
    again->request.task = JOB_CAPTION;
    jobs_run(e, again);
    CHECK_INT(again->result.err, ERR_INTERNAL);
    CHECK(strstr(again->result.error.text, "send the image again") && !again->result.captions);
    job_destroy(again);
    job_destroy(job);
    close_engine(e);
}

/* ---- errors ---- */

static void test_bad_images(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct job *job = new_job(e, &home, JOB_CAPTION, 0);
    job->request.image = (const uint8_t *)"not a picture";
    job->request.image_bytes = 13;
    jobs_run(e, job);
    CHECK_INT(job->result.err, ERR_UNSUPPORTED_IMAGE);
    CHECK_STR(job->result.stage, "decode");
    CHECK(job->result.captions == NULL && job->result.features == NULL);
    CHECK(job->result.error.text[0] != '\0');
    job_reset(job);
    job->request.user = &home;
    job->request.task = JOB_REGIONS;
    job->request.image = images[0].bytes;
    job->request.image_bytes = images[0].n / 2;
    jobs_run(e, job);
    CHECK_INT(job->result.err, ERR_CORRUPT_IMAGE);
    fake.tee_error = ERR_INTERNAL;
    jobs_set_image(job, &images[0]);
    jobs_run(e, job);
    CHECK_INT(job->result.err, ERR_INTERNAL);
    CHECK_STR(job->result.stage, "regions");
    CHECK(!engine_cache_has(e, &job->result.id));
    job_destroy(job);
    close_engine(e);
}

static void test_one_bad_item_fails_alone(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    static const char *const texts[] = {"dog", "nan", "cat"};
    static const size_t bytes[] = {3, 3, 3};
    struct job *bad = new_job(e, &home, JOB_VQA, 0), *good = new_job(e, &home, JOB_VQA, 0);
    struct engine_stats s;
    jobs_set_texts(bad, texts, bytes, 3);
    fake_hold(FAKE_FUSION);
    jobs_submit(e, good);
    fake_wait_inside(FAKE_FUSION, 1);
    jobs_submit(e, bad);
    WAIT_UNTIL(e, s, s.queued[ENGINE_FUSION] == 3);
    fake_release(FAKE_FUSION);
    jobs_wait(&home, 2);
    CHECK_INT(good->result.err, OK);
    CHECK_INT(bad->result.err, ERR_INTERNAL);
    CHECK_STR(bad->result.stage, "fusion");
    CHECK(bad->result.answers == NULL);
    job_destroy(bad);
    job_destroy(good);
    close_engine(e);
}

static void few_jobs(struct engine_options *o)
{
    o->max_jobs = 2;
}

static void test_overload_and_drain(void)
{
    struct engine *e = open_engine(few_jobs);
    struct jobs_home home = JOBS_HOME_INIT;
    struct errbuf why = {{0}};
    struct engine_stats s;
    struct job *jobs[3];
    fake_hold(FAKE_TEE);
    for (int i = 0; i < 3; i++) {
        jobs[i] = new_job(e, &home, JOB_REGIONS, i);
    }
    jobs_submit(e, jobs[0]);
    jobs_submit(e, jobs[1]);
    CHECK_INT(engine_submit(e, jobs[2], &why), ERR_OVERLOADED);
    CHECK(why.text[0] != '\0');
    fake_wait_inside(FAKE_TEE, 1);
    WAIT_UNTIL(e, s, s.queued[ENGINE_REGIONS] == 1);
    CHECK_INT(s.jobs, 2);
    CHECK_INT(s.running[ENGINE_REGIONS], 1);
    fake_pass(FAKE_TEE);
    jobs_wait(&home, 1);
    jobs_submit(e, jobs[2]); /* there is room again */
    fake_wait_inside(FAKE_TEE, 1);
    fake_release(FAKE_TEE);
    engine_drain(e, UINT64_MAX);
    CHECK_INT(jobs_count(&home), 3);
    CHECK_INT(engine_submit(e, jobs[0], &why), ERR_DRAINING);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(jobs[i]->result.err, OK);
        job_destroy(jobs[i]);
    }
    close_engine(e);
}

static void *release_when_drained(void *arg)
{
    struct engine *e = arg;
    struct engine_stats s;
    bool all = false;
    while (!all) { /* until the drain has marked them */
        struct job_private *j;
        all = true;
        WAIT_UNTIL(e, s, true);
        scheduler_enter(&e->scheduler);
        TAILQ_FOREACH(j, &e->scheduler.live, live)
        {
            all = all && atomic_load(&j->is_cancelled);
        }
        scheduler_leave(&e->scheduler);
    }
    fake_release(FAKE_TEE);
    return NULL;
}

static void test_drain_cancels_in_the_end(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct job *jobs[4];
    pthread_t thread;
    fake_hold(FAKE_TEE);
    for (int i = 0; i < 4; i++) {
        jobs[i] = new_job(e, &home, JOB_CAPTION, i);
        jobs_submit(e, jobs[i]);
    }
    fake_wait_inside(FAKE_TEE, 1);
    pthread_create(&thread, NULL, release_when_drained, e);
    engine_drain(e, 0);
    pthread_join(thread, NULL);
    CHECK_INT(jobs_count(&home), 4);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(jobs[i]->result.err, ERR_CANCELLED);
        job_destroy(jobs[i]);
    }
    close_engine(e);
}

static void test_deadline(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct engine_stats s;
    struct job *job = new_job(e, &home, JOB_CAPTION, 0);
    job->request.deadline_us = 1;
    jobs_run(e, job);
    CHECK_INT(job->result.err, ERR_DEADLINE);
    CHECK_STR(job->result.stage, "queue");
    engine_stats(e, &s);
    CHECK_INT(s.cancelled[ENGINE_DECODE], 1);
    CHECK_INT(fake.n_tee, 0);
    job->request.deadline_us = UINT64_MAX;
    jobs_run(e, job);
    CHECK_INT(job->result.err, OK);
    job_destroy(job);
    close_engine(e);
}

/* ---- opening ---- */

static enum err open_and_close(void *arg)
{
    struct engine *e = NULL;
    struct engine_options o;
    engine_default_options(&o);
    (void)arg;
    o.model_dir = "fake";
    o.engine_threads = o.decode_threads = 2;
    o.max_captions = 2;
    enum err rc = engine_open(&e, &o, NULL);
    engine_close(e);
    return rc;
}

static void test_opening(void)
{
    struct engine *e = NULL;
    struct engine_options o;
    struct errbuf why;
    CHECK(torture(open_and_close, NULL) > 10);
    engine_default_options(&o);
    o.model_dir = "missing";
    CHECK_INT(engine_open(&e, &o, &why), ERR_BAD_MODEL);
    CHECK(strstr(why.text, "config.json") != NULL);
    CHECK(e == NULL);
    o.model_dir = "fake";
    o.max_jobs = 0;
    CHECK_INT(engine_open(&e, &o, &why), ERR_BAD_CONFIG);
    CHECK(strstr(why.text, "max_jobs") != NULL);
    engine_close(NULL);
}

int main(void)
{
    load_images();
    test_tasks();
    test_equal_images_are_computed_once();
    test_others_go_on_when_the_first_is_cancelled();
    test_id_alone_cannot_lead();
    test_cache_and_ids();
    test_bad_images();
    test_one_bad_item_fails_alone();
    test_overload_and_drain();
    test_drain_cancels_in_the_end();
    test_deadline();
    test_opening();
    return check_result();
}
