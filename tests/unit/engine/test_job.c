/* A job without an engine's threads: what is asked is checked, results are emptied, cancelling is a flag. */
#include "engine/engine_private.h"
#include "tests/support/check.h"

#include <math.h>

static struct model_config config = {.roi = {.max_regions = 4},
                                     .caption = {.num_beams = 3, .max_tokens = 9, .length_penalty = 0.5F},
                                     .text = {.text_length = 12, .caption_length = 21}};
static struct engine engine = {.config = &config, .options = {.max_texts = 2, .max_text_bytes = 8}, .max_tokens = 20};
static const char *const texts[] = {"a dog", "a cat", "a pig"};
static const size_t short_bytes[] = {5, 5, 5}, long_bytes[] = {5, 9, 5};

static void on_done(struct job *job)
{
    (void)job;
}

static void on_token(struct job_request *request, const char *text, size_t n)
{
    (void)request, (void)text, (void)n;
}

static struct job *make(enum job_task task)
{
    struct job *job = NULL;
    CHECK_INT(job_create(&job, &engine), OK);
    job->on_done = on_done;
    job->request.task = task;
    job->request.image = (const uint8_t *)"x";
    job->request.image_bytes = 1;
    if (task == JOB_VQA || task == JOB_RETRIEVE) {
        job->request.texts = texts;
        job->request.text_bytes = short_bytes;
        job->request.n_texts = 2;
    }
    return job;
}

#define CHECK_REFUSED(task, change, err, words)                                                                        \
    do {                                                                                                               \
        struct job *job = make(task);                                                                                  \
        struct errbuf why = {{0}};                                                                                     \
        job->request.change;                                                                                           \
        CHECK_INT(job_check(job, &why), err);                                                                          \
        CHECK_STR(why.text, words);                                                                                    \
        job_destroy(job);                                                                                              \
    } while (0)

static void test_refusals(void)
{
    CHECK_REFUSED(JOB_REGIONS, image_bytes = 0, ERR_BAD_REQUEST, "the image is empty");
    CHECK_REFUSED(JOB_CHECK, image = NULL, ERR_BAD_REQUEST, "a check needs the bytes of the image");
    CHECK_REFUSED(JOB_REGIONS, priority = JOB_PRIORITIES, ERR_BAD_REQUEST, "the task or the priority is out of range");
    CHECK_REFUSED(JOB_REGIONS, features = (const struct features *)texts, ERR_BAD_REQUEST,
                  "a job has either an image or features, not both; leave one out");
    CHECK_REFUSED(JOB_CAPTION, n_texts = 1, ERR_BAD_REQUEST, "this task does not accept text");
    CHECK_REFUSED(JOB_VQA, n_texts = 0, ERR_BAD_REQUEST, "at least one text is needed");
    CHECK_REFUSED(JOB_RETRIEVE, n_texts = 3, ERR_TOO_MANY_INPUTS, "3 texts; at most 2 are allowed");
    CHECK_REFUSED(JOB_VQA, text_bytes = long_bytes, ERR_TEXT_TOO_LONG, "text 1 has 9 bytes; at most 8 are allowed");
    CHECK_REFUSED(JOB_VQA, top_k = 21, ERR_BAD_REQUEST, "top_k is 21; allowed are 1 to 20");
    CHECK_REFUSED(JOB_CAPTION, num_beams = 11, ERR_BAD_REQUEST, "num_beams is 11; allowed are 1 to 10");
    CHECK_REFUSED(JOB_CAPTION, num_captions = 4, ERR_BAD_REQUEST, "num_captions is 4; allowed are 1 to num_beams, 3");
    CHECK_REFUSED(JOB_CAPTION, max_tokens = 21, ERR_BAD_REQUEST, "max_tokens is 21; this model allows 1 to 20");
    CHECK_REFUSED(JOB_CAPTION, length_penalty = INFINITY, ERR_BAD_REQUEST, "length_penalty must be a finite number");
    CHECK_REFUSED(JOB_CAPTION, on_token = on_token, ERR_BAD_REQUEST, "tokens are streamed with num_beams=1 only");
}

static void test_defaults(void)
{
    struct job *job = make(JOB_CAPTION);
    CHECK_INT(job_check(job, NULL), OK);
    const struct caption_params *p = &job->_private->caption;
    CHECK(p->num_beams == 3 && p->num_captions == 1 && p->max_tokens == 9 && p->length_penalty == 0.5F);
    CHECK_INT(job->_private->n_items, 1);
    job_destroy(job);
    job = make(JOB_RETRIEVE);
    CHECK_INT(job_check(job, NULL), OK);
    CHECK_INT(job->_private->n_items, 2);
    job_destroy(job);
}

static void test_reset(void)
{
    struct job *job = make(JOB_CAPTION);
    job_cancel(job);
    CHECK(atomic_load(&job->_private->is_cancelled));
    job->result.n_regions = 3;
    job->_private->failure = ERR_INTERNAL;
    job_reset(job);
    CHECK(!atomic_load(&job->_private->is_cancelled));
    CHECK(job->result.n_regions == 0 && job->_private->failure == OK && !job->request.image);
    CHECK(job->request.top_k == 5 && job->request.priority == 3 && isnan(job->request.length_penalty));
    job_destroy(job);
    job_destroy(NULL);
}

/* A failure takes all results away and has words of its own where nobody found better ones. */
static void test_conclude(void)
{
    struct job *job = make(JOB_REGIONS);
    job->result.n_regions = 2;
    job->result.regions = job->_private->regions;
    job->_private->failure = ERR_DEADLINE;
    job_conclude(job->_private);
    CHECK(job->result.n_regions == 0 && !job->result.regions);
    CHECK_STR(job->result.error.text, err_text(ERR_DEADLINE));
    job_destroy(job);
}

static void test_warnings(void)
{
    CHECK(job_warning_text(0) != NULL && job_warning_text(-1) == NULL && job_warning_text(1000) == NULL);
}

int main(void)
{
    test_refusals();
    test_defaults();
    test_reset();
    test_conclude();
    test_warnings();
    return check_result();
}
