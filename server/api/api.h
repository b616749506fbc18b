/* api - the handlers that route.c names. Each answers the exchange, or keeps it and answers later.
 *
 * Threads: the loop thread. */
#ifndef SERVER_API_H
#define SERVER_API_H

#include "server/app.h"
#include "server/input/input.h"

/* api_predict.c */
/* The request as input reads it; its body is taken over. */
struct input_source api_source(const struct app *a, struct exchange *x, enum input_route route);
void api_caption(struct app *a, struct exchange *x);
void api_vqa(struct app *a, struct exchange *x);
void api_retrieve(struct app *a, struct exchange *x);
void api_image_check(struct app *a, struct exchange *x); /* POST /images/check */
void api_image_known(struct app *a, struct exchange *x); /* HEAD /images/{id} */

/* api_collections.c */
void api_collections_list(struct app *a, struct exchange *x);
void api_collection_show(struct app *a, struct exchange *x);
void api_collection_drop(struct app *a, struct exchange *x);
void api_collection_put(struct app *a, struct exchange *x);
void api_collection_remove(struct app *a, struct exchange *x);

/* api_ops.c */
void api_live(struct app *a, struct exchange *x);
void api_ready(struct app *a, struct exchange *x);
void api_startup(struct app *a, struct exchange *x);
void api_metrics(struct app *a, struct exchange *x);
void api_version(struct app *a, struct exchange *x);
void api_openapi(struct app *a, struct exchange *x);
void api_reload(struct app *a, struct exchange *x);
void api_debug(struct app *a, struct exchange *x);
void api_debug_one(struct app *a, struct exchange *x);

#endif
