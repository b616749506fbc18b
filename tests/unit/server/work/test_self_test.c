/* What the self-test accepts and refuses, over a service that answers as the test says. */
#include "server/work/self_test.c"

#include "tests/support/check.h"
#include "tests/support/scratch_folder.h"

/* ---- a service ---- */

static struct service_slot slot;
static struct job job;
static struct job_caption caption;
static struct job_answer answer;
static float scores[JOB_TASK_COUNT], match; /* of the next run of each task */
static float change;                        /* of every score from one run to the next */
static int n_runs, n_given;
static enum job_task failing;
static atomic_bool must_stop;

void job_reset(struct job *j)
{
    CHECK(j == &job);
    memset(&j->request, 0, sizeof(j->request));
}

struct service_slot *service_take(struct service *s)
{
    (void)s;
    slot.job = &job;
    return &slot;
}

void service_give(struct service_slot *given)
{
    CHECK(given == &slot);
    n_given++;
}

enum err service_run_alone(struct service *s, struct service_slot *taken, struct errbuf *e)
{
    enum job_task task = job.request.task;
    (void)s;
    CHECK(taken == &slot && job.request.image_bytes > 0 && job.request.no_store);
    CHECK_INT(job.request.n_texts, task == JOB_CAPTION ? 0 : 1);
    n_runs++;
    if (task == failing) {
        return err_set(e, ERR_NOMEM, "no memory");
    }
    caption.score = answer.score = match = scores[task];
    scores[task] += change;
    job.result = (struct job_result){.captions = &caption, .answers = &answer, .scores = &match};
    return OK;
}

/* ---- a model ---- */

static char folder[SCRATCH_FOLDER_MAX], path[SCRATCH_FOLDER_MAX + 32];

static enum err run_with(const char *stored, struct errbuf *e)
{
    unlink(path);
    if (stored) {
        FILE *file = fopen(path, "wb");
        fputs(stored, file);
        fclose(file);
    }
    n_runs = n_given = 0;
    errbuf_clear(e);
    enum err rc = self_test_run(NULL, folder, &must_stop, e);
    CHECK_INT(n_given, 1); /* the slot goes back, whatever happened */
    CHECK(!rc || e->text[0]);
    return rc;
}

static void reset(void)
{
    scores[JOB_CAPTION] = -1.5F;
    scores[JOB_VQA] = 0.5F;
    scores[JOB_RETRIEVE] = 0.25F;
    change = 0;
    failing = JOB_TASK_COUNT;
    atomic_store(&must_stop, false);
}

/* ---- tests ---- */

static void test_good(void)
{
    struct errbuf e;
    static const char *const good[] = {
        NULL, /* an older model: compared with itself only */
        "{\"caption_score\": -1.5, \"answer_score\": 0.5, \"match_score\": 0.25}",
        "{\"caption_score\": -1.59, \"answer_score\": 0.41, \"match_score\": 0.34}", /* alone: 0.1 apart at most */
        "{\"caption_score\": [-9, -1.54], \"answer_score\": [0.46, 7], \"match_score\": [0.25]}"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        reset();
        CHECK_INT(run_with(good[i], &e), OK);
        CHECK_INT(n_runs, 6); /* every task twice */
    }
}

static void test_wrong_numbers(void)
{
    struct errbuf e;
    static const char *const bad[] = {
        "{\"caption_score\": -1.39, \"answer_score\": 0.5, \"match_score\": 0.25}",
        "{\"caption_score\": [-1.5], \"answer_score\": [0.44, 0.56], \"match_score\": [0.25]}", /* of a list: 0.05 */
        "{\"caption_score\": -1.5, \"answer_score\": 0.5, \"match_score\": 0.4}"};
    static const char *const told[] = {"caption_score", "answer_score", "match_score"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        reset();
        CHECK_INT(run_with(bad[i], &e), ERR_BAD_MODEL);
        CHECK(strstr(e.text, told[i]) && strstr(e.text, "wrong weights or a machine"));
    }
}

static void test_unsteady(void)
{
    struct errbuf e;
    reset();
    change = 1e-6F;
    CHECK_INT(run_with(NULL, &e), ERR_BAD_MODEL);
    CHECK(strstr(e.text, "for the same image") != NULL);
    reset();
    scores[JOB_VQA] = NAN;
    CHECK_INT(run_with(NULL, &e), ERR_BAD_MODEL);
    CHECK(strstr(e.text, "answer_score") != NULL);
}

static void test_bad_file(void)
{
    struct errbuf e;
    static const char *const bad[] = {"{", "[]", "{\"caption_score\": -1.5}",
                                      "{\"caption_score\": [], \"answer_score\": 0.5, \"match_score\": 0.25}",
                                      "{\"caption_score\": [\"x\"], \"answer_score\": 0.5, \"match_score\": 0.25}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        reset();
        CHECK_INT(run_with(bad[i], &e), ERR_BAD_MODEL);
        CHECK(strstr(e.text, "selftest.json") != NULL);
        CHECK_INT(n_runs, 0);
    }
}

static void test_failures(void)
{
    struct errbuf e;
    reset();
    failing = JOB_RETRIEVE;
    CHECK_INT(run_with(NULL, &e), ERR_NOMEM);
    CHECK_STR(e.text, "no memory");
    CHECK_INT(n_runs, 5);
    reset();
    atomic_store(&must_stop, true);
    CHECK_INT(run_with(NULL, &e), ERR_CANCELLED);
    CHECK_INT(n_runs, 0);
}

int main(void)
{
    scratch_folder(folder, "self_test");
    snprintf(path, sizeof(path), "%s/selftest.json", folder);
    test_good();
    test_wrong_numbers();
    test_unsteady();
    test_bad_file();
    test_failures();
    unlink(path);
    rmdir(folder);
    return check_result();
}
