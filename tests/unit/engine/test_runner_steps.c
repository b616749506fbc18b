/* The engine's threads over a network that answers at once and can be held: what runs with whom, and in which order. */
#include "tests/support/runners.h"

static int idle_engines(struct engine *e)
{
    scheduler_enter(&e->scheduler);
    int n = e->scheduler.n_idle_engines;
    scheduler_leave(&e->scheduler);
    return n;
}

/* ---- steps ---- */

static void to_the_end(struct engine_options *o)
{
    o->continuous = false;
}

/* A question comes while a caption is under way. */
static void test_new_work_joins(bool is_continuous)
{
    struct engine *e = open_engine(is_continuous ? NULL : to_the_end);
    struct jobs_home home = JOBS_HOME_INIT;
    struct engine_stats s;
    struct job *caption = new_job(e, &home, JOB_CAPTION, 0), *question = new_job(e, &home, JOB_VQA, 0);
    fake_hold(FAKE_FUSION);
    jobs_submit(e, caption);
    fake_wait_inside(FAKE_FUSION, 1);
    jobs_submit(e, question);
    WAIT_UNTIL(e, s, s.queued[ENGINE_FUSION] == 1);
    fake_release(FAKE_FUSION);
    jobs_wait(&home, 2);
    int words = caption->result.captions[0].n_tokens;
    CHECK(words >= 3);
    CHECK_INT(fake.steps[0].n_items, 1);
    if (is_continuous) {
        CHECK_INT(fake.n_steps, words);
        CHECK_INT(fake.steps[1].n_items, 2);
        CHECK_INT(fake.steps[1].n_captions, 1);
        CHECK_INT(fake.steps[2].n_items, 1);
        CHECK_INT(question->result.fusion_batch, 2);
    } else {
        CHECK_INT(fake.n_steps, words + 1);
        for (int i = 0; i <= words; i++) {
            CHECK_INT(fake.steps[i].n_items, 1);
            CHECK_INT(fake.steps[i].n_captions, i < words);
        }
    }
    job_destroy(caption);
    job_destroy(question);
    close_engine(e);
}

static void small_steps(struct engine_options *o)
{
    o->max_step_rows = 1; /* the least that the model allows: two items of the largest kind */
}

static void test_many_texts_do_not_fill_a_step(void)
{
    struct engine *e = open_engine(small_steps);
    struct jobs_home home = JOBS_HOME_INIT;
    struct engine_stats s;
    struct job *blocker = new_job(e, &home, JOB_VQA, 0);
    struct job *many = new_job(e, &home, JOB_RETRIEVE, 0), *one = new_job(e, &home, JOB_VQA, 0);
    jobs_set_texts(many, questions, question_bytes, N_QUESTIONS);
    fake_hold(FAKE_FUSION);
    jobs_submit(e, blocker);
    fake_wait_inside(FAKE_FUSION, 1);
    jobs_submit(e, many);
    WAIT_UNTIL(e, s, s.queued[ENGINE_FUSION] == N_QUESTIONS);
    jobs_submit(e, one);
    WAIT_UNTIL(e, s, s.queued[ENGINE_FUSION] == N_QUESTIONS + 1);
    fake_pass(FAKE_FUSION);
    jobs_wait(&home, 1); /* the blocker */
    fake_pass(FAKE_FUSION);
    jobs_wait(&home, 2);
    CHECK_INT(one->result.err, OK); /* with the first step, though `many` came first */
    CHECK(one->result.answers != NULL);
    fake_release(FAKE_FUSION);
    jobs_wait(&home, 3);
    CHECK_INT(many->result.err, OK);
    job_destroy(blocker);
    job_destroy(many);
    job_destroy(one);
    close_engine(e);
}

static void two_threads(struct engine_options *o)
{
    o->engine_threads = 2;
}

static void test_threads_share_large_work(void)
{
    struct engine *e = open_engine(two_threads);
    struct jobs_home home = JOBS_HOME_INIT;
    struct job *many = new_job(e, &home, JOB_VQA, 0);
    jobs_set_texts(many, questions, question_bytes, N_QUESTIONS);
    jobs_run(e, many);
    struct job_answer alone[N_QUESTIONS][5];
    memcpy(alone, many->result.answers, sizeof(alone));
    fake_reset();
    struct engine_stats s;
    WAIT_UNTIL(e, s, idle_engines(e) == 2);
    fake_hold(FAKE_FUSION);
    jobs_submit(e, many);
    fake_wait_inside(FAKE_FUSION, 2);
    fake_release(FAKE_FUSION);
    jobs_wait(&home, 2);
    CHECK_INT(fake.n_steps, 2);
    CHECK_INT(fake.steps[0].n_items, 5);
    CHECK_INT(fake.steps[1].n_items, 5);
    CHECK(fake.steps[0].session != fake.steps[1].session);
    CHECK_INT(memcmp(alone, many->result.answers, sizeof(alone)), 0);
    job_destroy(many);
    close_engine(e);
}

static int helping_engines(struct engine *e)
{
    scheduler_enter(&e->scheduler);
    int n = e->scheduler.n_helping;
    scheduler_leave(&e->scheduler);
    return n;
}

/* While one thread is in a fusion step, the other helps it until there is an image to take. */
static void test_threads_run_different_stages(void)
{
    struct engine *e = open_engine(two_threads);
    struct jobs_home home = JOBS_HOME_INIT;
    struct job *caption = new_job(e, &home, JOB_CAPTION, 0), *regions = new_job(e, &home, JOB_REGIONS, 1);
    fake_hold(FAKE_FUSION);
    jobs_submit(e, caption);
    fake_wait_inside(FAKE_FUSION, 1);
    struct engine_stats s;
    WAIT_UNTIL(e, s, helping_engines(e) == 1);
    jobs_submit(e, regions);
    jobs_wait(&home, 1);
    CHECK_INT(regions->result.err, OK);
    WAIT_UNTIL(e, s, helping_engines(e) == 1);
    fake_release(FAKE_FUSION);
    jobs_wait(&home, 2);
    CHECK_INT(caption->result.err, OK);
    WAIT_UNTIL(e, s, helping_engines(e) == 0);
    CHECK_INT(s.split_steps[ENGINE_FUSION], 0); /* it found nothing to do: the network is a fake */
    job_destroy(caption);
    job_destroy(regions);
    close_engine(e);
}

static void one_caption(struct engine_options *o)
{
    o->max_captions = 1;
    o->engine_threads = 2;
}

static void test_more_captions_than_places(void)
{
    struct engine *e = open_engine(one_caption);
    struct jobs_home home = JOBS_HOME_INIT;
    struct job *jobs[6];
    for (int i = 0; i < 6; i++) {
        jobs[i] = new_job(e, &home, i < 5 ? JOB_CAPTION : JOB_VQA, i % 4);
        jobs[i]->request.num_beams = i < 5 ? 2 * (i + 1) : 0;
        jobs_submit(e, jobs[i]);
    }
    jobs_wait(&home, 6);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(jobs[i]->result.err, OK);
        job_destroy(jobs[i]);
    }
    for (int i = 0; i < fake.n_steps; i++) {
        CHECK(fake.steps[i].n_captions <= 1);
    }
    close_engine(e);
}

/* ---- streaming ---- */

static struct {
    char text[JOB_CAPTION_BYTES];
    int n, n_wrong; /* told on another thread, checked on this one */
} told;

static void on_token(struct job_request *r, const char *text, size_t n)
{
    (void)r;
    told.n_wrong += strlen(text) != n || strncmp(text, told.text, strlen(told.text)) != 0; /* it grows */
    snprintf(told.text, sizeof(told.text), "%s", text);
    told.n++;
}

static void test_streaming(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct job *job = new_job(e, &home, JOB_CAPTION, 0);
    job->request.num_beams = 1;
    job->request.on_token = on_token;
    jobs_run(e, job);
    CHECK_INT(job->result.err, OK);
    CHECK_STR(told.text, job->result.captions[0].text);
    CHECK_INT(told.n_wrong, 0);
    CHECK_INT(told.n, job->result.captions[0].n_tokens);
    job_destroy(job);
    close_engine(e);
}

/* ---- figures ---- */

static void test_figures(void)
{
    struct engine *e = open_engine(NULL);
    struct jobs_home home = JOBS_HOME_INIT;
    struct engine_stats s;
    for (int task = 0; task < JOB_CHECK; task++) {
        struct job *job = new_job(e, &home, (enum job_task)task, 0);
        jobs_run(e, job);
        job_destroy(job);
    }
    WAIT_UNTIL(e, s, s.jobs == 0 && idle_engines(e) == 1);
    CHECK_INT(s.items[ENGINE_REGIONS], 1);
    CHECK_INT(s.items[ENGINE_DECODE], 1);
    CHECK_INT(s.batch_count[ENGINE_REGIONS][0], 1);
    CHECK_INT(s.cache_hits, 3);
    CHECK_INT(s.cache_misses, 1);
    CHECK_INT(s.cache_entries, 1);
    CHECK(s.cache_bytes >= features_bytes(e->config));
    CHECK(s.fusion_rows > 0 && s.fusion_tokens > 0);
    CHECK(s.decoded_pixels > 0 && s.decode_peak_bytes > 0 && s.decode_bytes == 0);
    CHECK_INT(s.captions, 1);
    CHECK_INT(s.caption_ends, 1);
    CHECK_INT(s.caption_tokens, s.fusion_tokens);
    CHECK(s.pairs >= 2 && s.pair_rows >= s.pairs);
    CHECK_INT(s.fusion_rows, s.pair_rows + s.caption_first_rows + s.caption_rows);
    CHECK(s.heartbeat_us + 1000000 > clock_us());
    CHECK(s.load_ratio >= 0 && s.load_ratio <= 1);
    close_engine(e);
}

int main(void)
{
    load_images();
    test_new_work_joins(true);
    test_new_work_joins(false);
    test_many_texts_do_not_fill_a_step();
    test_threads_share_large_work();
    test_threads_run_different_stages();
    test_more_captions_than_places();
    test_streaming();
    test_figures();
    return check_result();
}
