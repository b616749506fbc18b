/* Statistics and load, of a scheduler whose jobs stand where the test puts them. */
#include "engine/figures.h"

#include "tests/support/check.h"

enum { JOBS = 9 };

static struct scheduler s;
static struct job jobs[JOBS];
static struct job_private parts[JOBS];
static struct flight decoding = {.stage = FLIGHT_DECODE}, waiting = {.stage = FLIGHT_IMAGE},
                     running = {.stage = FLIGHT_IMAGE, .is_busy = true};
static struct caption_slot slot;

static struct job_private *put(int i, enum job_state state, enum job_task task, struct flight *f)
{
    struct job_private *j = &parts[i];
    jobs[i] =
        (struct job){.request = {.task = task, .image = (const uint8_t *)"x", .n_texts = task == JOB_VQA ? 3 : 0}};
    *j = (struct job_private){.job = &jobs[i], .state = state, .flight = f, .n_items = task == JOB_VQA ? 3 : 1};
    TAILQ_INSERT_TAIL(&s.live, j, live);
    s.n_live++;
    if (f) {
        TAILQ_INSERT_TAIL(&f->members, j, member);
    }
    return j;
}

static void fill(void)
{
    TAILQ_INIT(&decoding.members);
    TAILQ_INIT(&waiting.members);
    TAILQ_INIT(&running.members);
    put(0, JOB_PREPARE_WAIT, JOB_CAPTION, NULL);
    put(1, JOB_IN_FLIGHT, JOB_VQA, &decoding);
    put(2, JOB_IN_FLIGHT, JOB_VQA, &waiting);
    put(3, JOB_IN_FLIGHT, JOB_REGIONS, &waiting); /* shares the picture */
    put(4, JOB_IN_FLIGHT, JOB_REGIONS, &running);
    struct job_private *j = put(5, JOB_FUSION, JOB_VQA, NULL);
    j->n_taken = 2;
    j->n_finished = 1;
    j = put(6, JOB_FUSION, JOB_CAPTION, NULL);
    j->n_taken = 1;
    j->slot = &slot;
    put(7, JOB_FUSION, JOB_CAPTION, NULL);
    put(8, JOB_HELD, JOB_RETRIEVE, NULL);
}

static void test_queues(void)
{
    struct engine_stats out;
    figures_stats(&s, 5000, &out);
    CHECK_INT(out.jobs, JOBS);
    CHECK_INT(out.queued[ENGINE_DECODE], 2);
    CHECK_INT(out.queued[ENGINE_REGIONS], 2);
    CHECK_INT(out.running[ENGINE_REGIONS], 1);
    CHECK_INT(out.queued[ENGINE_FUSION], 1 + 1 + 1); /* a question, a caption that waits, one between two steps */
}

static void test_load(void)
{
    struct forecast_load l;
    figures_load(&s, &l);
    CHECK_INT(l.decodes, 3); /* one waits, one is held, one is in flight */
    CHECK_INT(l.images, 2);
    CHECK_INT(l.captions_running, 1);
    CHECK_INT(l.captions, 1);
    CHECK_INT(l.captions_ahead, 1);
    CHECK_INT(l.pairs, 2);
    CHECK_INT(l.pairs_ahead, 6);
}

static void test_steps(void)
{
    struct engine_stats out;
    figures_begin(&s, ENGINE_FUSION, 6000);
    figures_stats(&s, 6500, &out);
    CHECK_INT(out.heartbeat_us, 6000); /* a thread is at work since */
    figures_end(&s, ENGINE_FUSION, 5, 6000, 7000);
    figures_begin(&s, ENGINE_DECODE, 7000);
    figures_end(&s, ENGINE_DECODE, 1, 7000, 7300);
    s.n_idle_engines = s.n_engine_threads;
    figures_stats(&s, 9000, &out);
    CHECK_INT(out.heartbeat_us, 9000); /* all are idle */
    CHECK_INT(out.steps[ENGINE_FUSION], 1);
    CHECK_INT(out.items[ENGINE_FUSION], 5);
    CHECK_INT(out.busy_us[ENGINE_FUSION], 1000);
    CHECK_INT(out.busy_us[ENGINE_DECODE], 300);
    CHECK_INT(out.batch_count[ENGINE_FUSION][3], 1); /* 5 to 8 */
    CHECK_INT(out.batch_count[ENGINE_DECODE][0], 1);
    figures_begin(&s, ENGINE_REGIONS, 9000);
    figures_end(&s, ENGINE_REGIONS, 1000, 9000, 9001);
    CHECK_INT(s.totals.batch_count[ENGINE_REGIONS][ENGINE_BATCH_BUCKETS - 1], 1);
    CHECK_INT(figures_helped(&s, ENGINE_REGIONS, (struct crew_work){.cuts = 7, .ns = 45000}), 45);
    CHECK_INT(figures_helped(&s, ENGINE_REGIONS, (struct crew_work){0}), 0);
    CHECK_INT(s.totals.split_steps[ENGINE_REGIONS], 1);
    CHECK_INT(s.totals.busy_us[ENGINE_REGIONS], 46);
}

int main(void)
{
    struct scheduler_limits limits = {
        .batcher = {.max_rows = 256}, .max_jobs = 16, .n_slots = 2, .n_engine_threads = 2, .n_decode_threads = 1};
    struct feature_cache *cache;
    CHECK_INT(feature_cache_create(&cache, 0, 64), OK);
    CHECK_INT(scheduler_init(&s, &limits, cache), OK);
    fill();
    test_queues();
    test_load();
    test_steps();
    s.n_live = 0; /* they were never submitted */
    scheduler_release(&s);
    feature_cache_destroy(cache);
    return check_result();
}
