/* What a decode worker does to a job, by hand on this thread: names, headers, limits, checks. */
#include "engine/decode_pool.c"

#include "tests/support/check.h"
#include "tests/support/slurp.h"

static struct model_config config = {.image = {.size = 224}, .roi = {.max_regions = 4}, .text = {.text_length = 8}};
static struct engine engine = {.config = &config,
                               .options = {.max_texts = 1, .max_pixels = 1 << 24, .max_progressive_pixels = 1 << 24},
                               .max_side = 224,
                               .slot_floats = 224 * 224 * 3,
                               .preprocess = {.mode = RESIZE_SQUARE, .size = 224, .divisor = 32}};
static uint8_t *picture;
static size_t n_bytes;

static void on_done(struct job *job)
{
    (void)job;
}

static struct job *make(enum job_task task)
{
    struct job *job = NULL;
    CHECK_INT(job_create(&job, &engine), OK);
    job->on_done = on_done;
    job->request.task = task;
    job->request.image = picture;
    job->request.image_bytes = n_bytes;
    return job;
}

static void test_names(void)
{
    static const uint8_t key[32] = "a key";
    struct job *job = make(JOB_REGIONS);
    uint8_t plain[32];
    sha256(picture, n_bytes, plain);
    name_image(job);
    CHECK(memcmp(job->result.id.bytes, plain, 32) == 0);
    job->request.id_key = key;
    name_image(job);
    CHECK(memcmp(job->result.id.bytes, plain, 32) != 0);
    job->request.image = NULL;
    job->request.id.bytes[0] = 7;
    name_image(job);
    CHECK_INT(job->result.id.bytes[0], 7);
    job_destroy(job);
}

static void test_header(void)
{
    struct job *job = make(JOB_REGIONS);
    engine.scheduler.decode_budget = SIZE_MAX;
    CHECK_INT(look_at_header(job->_private), OK);
    size_t need = job->_private->decode_bytes;
    CHECK(need > 0);
    engine.scheduler.decode_budget = need;
    CHECK_INT(look_at_header(job->_private), OK);
    engine.scheduler.decode_budget = need - 1;
    CHECK_INT(look_at_header(job->_private), ERR_IMAGE_TOO_LARGE);
    CHECK(strstr(job->result.error.text, "limits.decode_memory_bytes") != NULL);
    CHECK(job->_private->decode_bytes == 0);
    engine.scheduler.decode_budget = SIZE_MAX;
    job->request.image_bytes = 3;
    CHECK_INT(look_at_header(job->_private), ERR_UNSUPPORTED_IMAGE);
    job_destroy(job);
}

/* From submission to home, as run_thread would do it. */
static void run_check(size_t n, enum err expected)
{
    struct scheduler *s = &engine.scheduler;
    struct job_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    struct worker w = {.engine = &engine};
    struct job *job = make(JOB_CHECK);
    job->request.image_bytes = n;
    CHECK_INT(image_decoder_create(&w.decoder), OK);
    CHECK_INT(job_check(job, NULL), OK);
    scheduler_enter(s);
    CHECK_INT(scheduler_submit(s, job->_private, 1000, NULL), OK);
    struct job_private *j = scheduler_pop_prepare(s);
    CHECK(j == job->_private);
    scheduler_route(s, j, false);
    struct flight *f = scheduler_pop_decode(s);
    CHECK(f && f->is_check && f->slot < 0);
    if (f) {
        decode(&w, f, &leaving);
    }
    scheduler_deliver(s, &leaving);
    CHECK_INT(s->n_live + s->n_leaving + s->n_decoding, 0);
    scheduler_leave(s);
    CHECK_INT(job->result.err, expected);
    if (!expected) {
        CHECK_STR(job->result.format, "png");
        CHECK(job->result.width == 120 && job->result.height == 90);
    } else {
        CHECK_STR(job->result.stage, "decode");
    }
    image_decoder_destroy(w.decoder);
    job_destroy(job);
}

int main(void)
{
    struct scheduler_limits limits = {
        .batcher = {.max_rows = 64}, .max_jobs = 4, .n_slots = 1, .n_engine_threads = 1, .n_decode_threads = 1};
    struct feature_cache *cache;
    picture = (uint8_t *)slurp("tests/data/images/waves.png", &n_bytes);
    CHECK_INT(feature_cache_create(&cache, 0, 64), OK);
    CHECK_INT(scheduler_init(&engine.scheduler, &limits, cache), OK);
    engine.cache = cache;
    test_names();
    test_header();
    run_check(n_bytes, OK);
    run_check(n_bytes / 2, ERR_CORRUPT_IMAGE);
    scheduler_release(&engine.scheduler);
    feature_cache_destroy(cache);
    free(picture);
    return check_result();
}
