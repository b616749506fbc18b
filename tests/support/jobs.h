/* jobs - submits jobs and waits for them, for tests of the engine. Include check.h first. */
#ifndef TESTS_SUPPORT_JOBS_H
#define TESTS_SUPPORT_JOBS_H

#include "engine/engine.h"
#include "tests/support/slurp.h"

#include <pthread.h>

/* Counts jobs that came back, by `user` of their requests. */
struct jobs_home {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n;
};
#define JOBS_HOME_INIT                                                                                                 \
    (struct jobs_home)                                                                                                 \
    {                                                                                                                  \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                                         \
    }

static void jobs_on_done(struct job *job)
{
    struct jobs_home *home = job->request.user;
    pthread_mutex_lock(&home->lock);
    home->n++;
    pthread_cond_broadcast(&home->changed);
    pthread_mutex_unlock(&home->lock);
}

__attribute__((unused)) static void jobs_wait(struct jobs_home *home, int n)
{
    pthread_mutex_lock(&home->lock);
    while (home->n < n) {
        pthread_cond_wait(&home->changed, &home->lock);
    }
    pthread_mutex_unlock(&home->lock);
}

__attribute__((unused)) static int jobs_count(struct jobs_home *home)
{
    pthread_mutex_lock(&home->lock);
    int n = home->n;
    pthread_mutex_unlock(&home->lock);
    return n;
}

struct jobs_image {
    uint8_t *bytes;
    size_t n;
};

__attribute__((unused)) static struct jobs_image jobs_load(const char *path)
{
    struct jobs_image image;
    image.bytes = (uint8_t *)slurp(path, &image.n);
    return image;
}

__attribute__((unused)) static struct job *jobs_new(struct engine *e, struct jobs_home *home)
{
    struct job *job = NULL;
    CHECK_INT(job_create(&job, e), OK);
    job->on_done = jobs_on_done;
    job->request.user = home;
    return job;
}

__attribute__((unused)) static void jobs_set_image(struct job *job, const struct jobs_image *image)
{
    job->request.image = image->bytes;
    job->request.image_bytes = image->n;
}

/* texts: of string constants that live as long as the job. */
__attribute__((unused)) static void jobs_set_texts(struct job *job, const char *const *texts, const size_t *bytes,
                                                   int n)
{
    job->request.texts = texts;
    job->request.text_bytes = bytes;
    job->request.n_texts = n;
}

__attribute__((unused)) static void jobs_submit(struct engine *e, struct job *job)
{
    struct errbuf why = {{0}};
    enum err rc = engine_submit(e, job, &why);
    CHECK_INT(rc, OK);
    if (rc) {
        fprintf(stderr, "submit: %s\n", why.text);
    }
}

/* Submits and waits. */
__attribute__((unused)) static void jobs_run(struct engine *e, struct job *job)
{
    struct jobs_home *home = job->request.user;
    int before = jobs_count(home);
    jobs_submit(e, job);
    jobs_wait(home, before + 1);
}

#endif
