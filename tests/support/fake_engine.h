/* fake_engine - engine.h and job.h without an engine: jobs wait until the test says how they end.
 *
 * For unit tests of the server that link it in the place of the real one. One test thread; engine_open may be called
 * by a loading thread. */
#ifndef TESTS_SUPPORT_FAKE_ENGINE_H
#define TESTS_SUPPORT_FAKE_ENGINE_H

#include "engine/base/mem.h"
#include "engine/engine.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { FAKE_JOBS = 64, FAKE_FEATURES = 16 };

struct engine {
    char version[64], sha256[65];
    int n_jobs;
};
struct job_private {
    bool is_cancelled;
};

static struct {
    struct job *jobs[FAKE_JOBS]; /* submitted and not yet finished, oldest first */
    struct engine *of[FAKE_JOBS];
    int n;
    int n_submitted;
    int n_asked; /* engine_stats */
    uint64_t heartbeat_us;
    enum err refuse;    /* of engine_submit; OK: takes */
    enum err fail_open; /* of engine_open */
    atomic_int n_open;  /* engines that exist */
} fake_engine;

/* The model's version is the last part of its folder. */
enum err engine_open(struct engine **out, const struct engine_options *o, struct errbuf *e)
{
    *out = NULL;
    if (fake_engine.fail_open) {
        return err_set(e, fake_engine.fail_open, "this model is broken");
    }
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        const char *name = strrchr(o->model_dir, '/');
        snprintf((*out)->version, sizeof((*out)->version), "%s", name ? name + 1 : o->model_dir);
        snprintf((*out)->sha256, sizeof((*out)->sha256), "%064x", (unsigned)(*out)->version[0]);
        fake_engine.n_open++;
    }
    return rc;
}

void engine_close(struct engine *e)
{
    if (e) {
        BUG_ON(e->n_jobs > 0);
        fake_engine.n_open--;
        mem_free(e);
    }
}

void engine_info(const struct engine *e, struct engine_info *out)
{
    *out = (struct engine_info){.model_name = "fake",
                                .model_version = e->version,
                                .model_sha256 = e->sha256,
                                .model_identity = e->sha256,
                                .isa = "ref",
                                .gemm = "own",
                                .precision = "fp32",
                                .engine_threads = 1,
                                .decode_threads = 1,
                                .features_bytes = FAKE_FEATURES,
                                .memory_bytes = 1 << 20,
                                .max_regions = 4,
                                .num_beams = 3,
                                .max_tokens = 20,
                                .longest_caption = 40};
}

enum err engine_submit(struct engine *e, struct job *job, struct errbuf *why)
{
    if (fake_engine.refuse) {
        return err_set(why, fake_engine.refuse, "refused");
    }
    BUG_ON(fake_engine.n == FAKE_JOBS);
    fake_engine.jobs[fake_engine.n] = job;
    fake_engine.of[fake_engine.n++] = e;
    fake_engine.n_submitted++;
    e->n_jobs++;
    return OK;
}

/* Ends the oldest job. */
static inline void fake_engine_finish(enum err rc)
{
    static struct job_caption caption = {.text = "a cat", .score = -1, .n_tokens = 2};
    static float scores[8] = {0.5F, 0.25F};
    static const char features[FAKE_FEATURES] = "features";
    BUG_ON(fake_engine.n == 0);
    struct job *job = fake_engine.jobs[0];
    struct engine *e = fake_engine.of[0];
    fake_engine.n--;
    memmove(fake_engine.jobs, fake_engine.jobs + 1, (size_t)fake_engine.n * sizeof(fake_engine.jobs[0]));
    memmove(fake_engine.of, fake_engine.of + 1, (size_t)fake_engine.n * sizeof(fake_engine.of[0]));
    rc = job->_private->is_cancelled ? ERR_CANCELLED : rc;
    job->result = (struct job_result){.err = rc,
                                      .width = 4,
                                      .height = 3,
                                      .n_captions = 1,
                                      .captions = &caption,
                                      .scores = scores,
                                      .features = (const void *)features,
                                      .decode_us = 1,
                                      .regions_us = 2,
                                      .fusion_us = 3};
    if (rc) {
        err_set(&job->result.error, rc, "it went wrong");
    }
    e->n_jobs--;
    job->on_done(job);
}

void engine_drain(struct engine *e, uint64_t timeout_us)
{
    (void)e, (void)timeout_us;
    while (fake_engine.n > 0) {
        fake_engine_finish(ERR_CANCELLED);
    }
}

void engine_stats(struct engine *e, struct engine_stats *out)
{
    (void)e;
    fake_engine.n_asked++;
    *out = (struct engine_stats){.jobs = fake_engine.n, .heartbeat_us = fake_engine.heartbeat_us};
}

uint64_t engine_pixels(const uint8_t *image, size_t n_bytes)
{
    (void)image, (void)n_bytes;
    return 12;
}

bool engine_cache_has(struct engine *e, const struct image_id *id)
{
    (void)e;
    return id->bytes[0] == 1;
}

void engine_leave_out(const struct engine *e, const struct features *from, int index, struct features *out)
{
    (void)e, (void)index;
    memcpy(out, from, FAKE_FEATURES);
}

/* ---- jobs ---- */

enum err job_create(struct job **out, struct engine *e)
{
    (void)e;
    enum err rc = mem_alloc(out, sizeof(**out));
    rc = rc ? rc : mem_alloc(&(*out)->_private, sizeof(*(*out)->_private));
    return rc;
}

void job_destroy(struct job *job)
{
    if (job) {
        mem_free(job->_private);
        mem_free(job);
    }
}

void job_reset(struct job *job)
{
    job->request = (struct job_request){.priority = 3};
    job->result = (struct job_result){.err = OK};
    job->_private->is_cancelled = false;
}

void job_cancel(struct job *job)
{
    job->_private->is_cancelled = true;
}

const char *job_warning_text(int bit)
{
    return bit == 0 ? "a warning" : NULL;
}

#endif
