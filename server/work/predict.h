/* predict - one request's work in the engine: a job for each image, and the answer when all are home.
 *
 *     predict_begin -> jobs, as many at once as there are free slots -> on_item for each -> finish -> answer
 *
 * A predict holds its request's place in the admission gate and its body until its last job is home, also when the
 * exchange has been answered before (deadline, client gone): then it only waits for its jobs, which were cancelled.
 *
 * Ownership: predict owns input and items and destroys itself. Threads: the loop thread. */
#ifndef SERVER_PREDICT_H
#define SERVER_PREDICT_H

#include "server/app.h"
#include "server/input/input.h"

struct predict {
    struct app *app;
    struct exchange *x; /* NULL: abandoned */
    struct service *service;
    struct input input;
    enum job_task task;
    int n_items; /* images */
    int next_item, n_running, n_done;
    struct service_slot **running;    /* [n_items] */
    json_t **items;                   /* [n_items]: result, or {"error": ...} */
    bool *has_failed;                 /* [n_items] */
    float *scores;                    /* retrieve: [n_items, n_texts] */
    const struct features **features; /* [n_items]: instead of images; NULL: images */
    struct stream *stream;
    bool is_waiting; /* for a free slot */
    struct predict *next_waiting;
    /* the kind of work */
    json_t *(*item)(struct predict *p, const struct job *job, int index); /* NULL: only scores matter */
    void (*finish)(struct predict *p);                                    /* answers p->x */
    void (*release)(struct predict *p);                                   /* may be NULL */
    void *user;
    /* taken over from the exchange */
    bool is_counted;
    size_t reserved_bytes;
};

/* Takes over the input. Answers the exchange itself when there is no memory. */
struct predict *predict_create(struct app *a, struct exchange *x, struct input *in, enum job_task task, int n_items);
/* A second round of the same request: takes over the input and the first one's place in the admission gate. */
struct predict *predict_follow(struct predict *first, struct input *in, enum job_task task, int n_items);
void predict_begin(struct predict *p);
/* Frees a predict whose work never began or is over. */
void predict_destroy(struct predict *p);
/* Work that waits for slots goes on; after jobs came home. */
void predict_resume(struct app *a);

/* ---- api_collections.c ---- */
/* POST /retrieve with a collection; takes over the input. */
void api_collection_search(struct app *a, struct exchange *x, struct input *in);

/* ---- api_result.c: pieces of answers ---- */
json_t *api_result_image(const struct exchange *x, const struct job_result *r);
json_t *api_result_regions(const struct job_result *r);
json_t *api_result_caption(struct predict *p, const struct job *job, int index);
json_t *api_result_vqa(struct predict *p, const struct job *job, int index);
json_t *api_result_retrieve(struct predict *p, const struct job *job, int index);
json_t *api_result_check(struct predict *p, const struct job *job, int index);
json_t *api_result_model(const struct service *s);

#endif
