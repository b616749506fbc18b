/* api - the handlers that api_routes.c names, and what they share. Each answers the exchange, or hands it to a piece of
 * work that answers later.
 *
 * Threads: the loop thread. */
#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include "server/collections/archive.h"
#include "server/gate/admission.h"
#include "server/gate/plan.h"
#include "server/watch/history.h"
#include "server/watch/metrics.h"
#include "server/work/work.h"

/* What handlers may use; owned by the application (app.h). */
struct api {
    const struct config *config;
    struct desk desk;
    struct admission admission;
    struct archive *archive; /* NULL: none, or not yet */
    struct history *history;
    struct metrics metrics;
    const struct plan *plan;
    const char *loading_step;
    double load_1m;           /* the engine's load ratio, smoothed over a minute */
    uint64_t engine_moved_us; /* its heartbeat at the application's last look; 0: none yet */
    bool is_leaving;          /* SIGTERM was received */
    uint64_t started_us;
    const struct sandbox_state *sandbox;
    struct http *http, *admin; /* admin: NULL when it has no port of its own */
    void *user;
    enum err (*reload)(void *user, struct errbuf *e); /* starts loading the configured model */
};

/* For work_kind callbacks, which have only the desk. */
static inline struct api *api_of(const struct work *w)
{
    return (struct api *)((char *)w->desk - offsetof(struct api, desk));
}

extern const struct route_table api_routes;
/* Routes and errors as JSON (--print-api); "public": without a key, "work": it waits for the engine. */
void api_print(struct buf *b);

/* api_predict.c */
void api_caption(struct api *a, struct exchange *x);
void api_vqa(struct api *a, struct exchange *x);
void api_retrieve(struct api *a, struct exchange *x);
void api_image_check(struct api *a, struct exchange *x); /* POST /images/check */
void api_image_known(struct api *a, struct exchange *x); /* HEAD /images/{id} */

/* For all kinds with pictures, after the round: true when it failed and w has been answered and finished. A request
 * with one picture fails as a whole; one with several only if a part missed its deadline or its texts are at fault. */
bool api_predict_fault(struct work *w);
void api_predict_headers(struct work *w); /* of an answer with a prediction */
/* For clients that ask for as many tokens as other models allow: the request is lowered to this model's maximum. */
void api_predict_bound_tokens(struct work *w);

/* api_rerank.c */
void api_rerank(struct api *a, struct exchange *x); /* POST /rerank */
void api_rerank_done(struct work *w);               /* the round is over: index and score of each document */

/* api_openai.c */
void api_openai_chat(struct api *a, struct exchange *x);   /* POST /v1/chat/completions */
void api_openai_models(struct api *a, struct exchange *x); /* GET /v1/models */
void api_openai_model(struct api *a, struct exchange *x);  /* GET /v1/models/{id} */

/* api_kserve.c: the Open Inference Protocol, version 2 */
void api_kserve_server(struct api *a, struct exchange *x); /* GET /v2 */
void api_kserve_live(struct api *a, struct exchange *x);
void api_kserve_ready(struct api *a, struct exchange *x);
void api_kserve_model(struct api *a, struct exchange *x); /* GET /v2/models/{name} */
void api_kserve_model_ready(struct api *a, struct exchange *x);
void api_kserve_infer(struct api *a, struct exchange *x);

/* api_huggingface.c */
void api_huggingface(struct api *a, struct exchange *x);      /* POST /: the input says which task */
void api_huggingface_task(struct api *a, struct exchange *x); /* POST /pipeline/{task} */

/* api_collections.c */
void api_collections_list(struct api *a, struct exchange *x);
void api_collection_show(struct api *a, struct exchange *x);
void api_collection_drop(struct api *a, struct exchange *x);
void api_collection_put(struct api *a, struct exchange *x);
bool api_collection_put_check(struct api *a, struct exchange *x); /* at the headers; false: x has been refused */
void api_collection_remove(struct api *a, struct exchange *x);
/* POST /retrieve with a collection: the kind's callbacks. */
void api_collection_search(struct work *w);
void api_collection_abandon(struct work *w);
void api_collection_release(struct work *w);

/* api_collection_path.c */
struct api_collection_path {
    char name[COLLECTION_NAME_MAX + 2]; /* empty: too long, refused like any bad name */
    char key[COLLECTION_KEY_MAX + 2];   /* all after /images/; empty: none; cut to a byte too many if too long */
};
void api_collection_path_of(struct api_collection_path *out, const char *path);
/* False: there are no collections (yet), and x has been answered. */
bool api_collection_path_is_served(const struct api *a, struct exchange *x);

/* api_ops.c */
void api_live(struct api *a, struct exchange *x);
void api_ready(struct api *a, struct exchange *x);
void api_startup(struct api *a, struct exchange *x);
void api_metrics(struct api *a, struct exchange *x);
void api_version(struct api *a, struct exchange *x);
void api_openapi(struct api *a, struct exchange *x);
void api_debug(struct api *a, struct exchange *x);
void api_debug_one(struct api *a, struct exchange *x);
/* False: x has been answered with the reason. */
bool api_ops_is_live(struct api *a, struct exchange *x);
bool api_ops_is_ready(struct api *a, struct exchange *x);

/* api_page.c: the playground, from web/ */
void api_page(struct api *a, struct exchange *x);

/* api_status.c */
void api_status(struct api *a, struct exchange *x); /* GET /status: for people */

/* api_model.c */
void api_reload(struct api *a, struct exchange *x); /* POST /admin/reload */
void api_model(struct api *a, struct exchange *x);  /* GET /admin/model */

/* api_result.c: the result of each job in a round (built by engine/answer/answer.h) */
json_t *api_result_caption(struct work *w, const struct job *job, int index);
json_t *api_result_vqa(struct work *w, const struct job *job, int index);
json_t *api_result_retrieve(struct work *w, const struct job *job, int index);
json_t *api_result_check(struct work *w, const struct job *job, int index);

#endif
