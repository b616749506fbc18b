#include "server/work/self_test.h"

#include "engine/base/fmap.h"
#include "server/work/sample_png.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Instruction sets round differently, and a beam search may take another way: far more than that is a wrong machine.
 * A number alone was written before there were lists: it is that of floats, which 8 bits part from by more. */
#define TOLERANCE       0.05
#define TOLERANCE_ALONE 0.1

struct task {
    enum job_task task;
    const char *key; /* in selftest.json */
};

static const struct task tasks[] = {
    {JOB_CAPTION, "caption_score"}, {JOB_VQA, "answer_score"}, {JOB_RETRIEVE, "match_score"}};

static const char question[] = "what is this?";

static void fill(struct job_request *r, enum job_task task)
{
    static const char *const text = question;
    static const size_t n_text = sizeof(question) - 1;
    r->task = task;
    r->image = sample_png;
    r->image_bytes = sample_png_bytes;
    r->texts = &text;
    r->text_bytes = &n_text;
    r->n_texts = task == JOB_CAPTION ? 0 : 1;
    r->top_k = 1;
    r->no_store = true;
}

/* The number that sums up a task's answer. */
static float score(const struct job_result *r, enum job_task task)
{
    return task == JOB_CAPTION ? r->captions[0].score : task == JOB_VQA ? r->answers[0].score : r->scores[0];
}

struct run {
    struct service *service;
    struct service_slot *slot;
    const atomic_bool *must_stop;
};

static enum err ask(const struct run *r, enum job_task task, float *out, struct errbuf *e)
{
    *out = 0;
    if (atomic_load(r->must_stop)) {
        return err_set(e, ERR_CANCELLED, "the service is shutting down");
    }
    job_reset(r->slot->job);
    fill(&r->slot->job->request, task);
    enum err rc = service_run_alone(r->service, r->slot, e);
    *out = rc ? 0.0F : score(&r->slot->job->result, task);
    return rc;
}

/* A number, or a list with one for each way to compute: in floats, in 8 bits. */
static bool is_numbers(const json_t *v)
{
    bool ok = json_is_number(v) || json_array_size(v) > 0;
    for (size_t i = 0; i < json_array_size(v); i++) {
        ok = ok && json_is_number(json_array_get(v, i));
    }
    return ok;
}

static double nearest(const json_t *numbers, double to)
{
    double found = json_number_value(json_is_array(numbers) ? json_array_get(numbers, 0) : numbers);
    for (size_t i = 1; i < json_array_size(numbers); i++) {
        double other = json_number_value(json_array_get(numbers, i));
        found = fabs(other - to) < fabs(found - to) ? other : found;
    }
    return found;
}

static enum err run_task(const struct run *r, const struct task *t, const json_t *stored, struct errbuf *e)
{
    float first, second = 0;
    enum err rc = ask(r, t->task, &first, e);
    rc = rc ? rc : ask(r, t->task, &second, e);
    if (rc) {
        return rc;
    }
    if (!isfinite(first) || memcmp(&first, &second, sizeof(first)) != 0) {
        return err_set(e, ERR_BAD_MODEL, "self-test failed: %s is %g, then %g, for the same image", t->key,
                       (double)first, (double)second);
    }
    const json_t *expected = json_object_get(stored, t->key);
    double wanted = nearest(expected, (double)first);
    if (expected && !(fabs((double)first - wanted) <= (json_is_array(expected) ? TOLERANCE : TOLERANCE_ALONE))) {
        return err_set(e, ERR_BAD_MODEL,
                       "self-test failed: %s is %g, and selftest.json of the model says %g: wrong weights or a machine "
                       "that computes wrongly",
                       t->key, (double)first, wanted);
    }
    return OK;
}

/* *out NULL: there is none. */
static enum err load(json_t **out, const char *model_dir, struct errbuf *e)
{
    char path[4096];
    json_error_t why;
    struct fmap *map;
    int n = snprintf(path, sizeof(path), "%s/selftest.json", model_dir);
    *out = NULL;
    if (n >= (int)sizeof(path) || access(path, F_OK) != 0) {
        return OK;
    }
    enum err rc = fmap_open(&map, path, e);
    if (rc) {
        return rc;
    }
    *out = json_loadb((const char *)fmap_bytes(map), fmap_size(map), JSON_REJECT_DUPLICATES, &why);
    fmap_close(map);
    if (!*out) {
        return err_set(e, ERR_BAD_MODEL, "selftest.json: line %d: %s", why.line, why.text);
    }
    for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        if (!is_numbers(json_object_get(*out, tasks[i].key))) {
            return err_set(e, ERR_BAD_MODEL, "selftest.json: %s must be a number, or a list of numbers", tasks[i].key);
        }
    }
    return OK;
}

enum err self_test_run(struct service *s, const char *model_dir, const atomic_bool *must_stop, struct errbuf *e)
{
    const struct run run = {s, service_take(s), must_stop};
    json_t *stored;
    enum err rc = load(&stored, model_dir, e);
    for (size_t i = 0; !rc && i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        rc = run_task(&run, &tasks[i], stored, e);
    }
    service_give(run.slot);
    json_decref(stored);
    return rc;
}
