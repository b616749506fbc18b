/* app - the service: configuration, loop, listeners, the engine, and what is under way.
 *
 *     LOADING --(model open, warm)--> READY --SIGTERM--> LEAVING --drain.delay_ms--> DRAINING --> stopped
 *        \--(model bad)--> exit 1
 *
 * LOADING answers health and metrics only. LEAVING serves on while readiness says no. DRAINING takes nothing new,
 * finishes what is in flight up to drain.timeout_ms, then cuts off. A second SIGTERM or SIGINT exits at once.
 *
 * Threads: the loop thread owns all of it; the loader thread opens an engine and hands it over. */
#ifndef SERVER_APP_H
#define SERVER_APP_H

#include "config/config.h"
#include "server/gate/auth.h"
#include "server/http/exchange.h"
#include "server/http/http.h"
#include "server/http/loop.h"
#include "server/http/tls.h"
#include "server/watch/metrics.h"
#include "server/work/service.h"

enum app_state { APP_LOADING, APP_READY, APP_LEAVING, APP_DRAINING };

struct loader;
struct history;
struct archive;

struct app {
    struct config config;
    char **argv, **environ; /* for SIGHUP */
    int argc;
    enum app_state state;
    int exit_code;
    const char *loading_step;
    struct loop *loop;
    struct loop_timer *tick, *drain;
    uint64_t tick_at_us;       /* when the sweep runs next */
    struct http *http, *admin; /* admin: NULL when it has no port of its own */
    struct service *service;   /* NULL until loaded */
    struct service *retired;   /* replaced, with jobs still out */
    struct loader *loader;     /* NULL: nothing is being loaded */
    struct auth auth;
    struct tls tls;
    struct archive *archive; /* collections; NULL: none */
    struct history *history;
    struct metrics metrics;
    uint64_t started_us, reloads;
    /* admission */
    struct exchange *live;
    int n_live, n_counted;
    uint64_t body_bytes;
};

/* Runs until a signal ends it; the exit code. */
int app_run(struct app *a);
/* Some work came home or an answer is ready: lets everything that waits go on. */
void app_pump(struct app *a);
/* The sweep runs no later than this. */
void app_tick_by(struct app *a, uint64_t at_us);
/* Loads the configured model again and swaps. False: one is being loaded already. */
bool app_reload(struct app *a);

/* ---- admission.c ---- */

/* The gate, at the headers: route, key, limits, load. Answers what it refuses. */
void admission_headers(struct app *a, struct exchange *x);
/* Into the list of live exchanges: what was refused before it got to the gate. */
void admission_enlist(struct app *a, struct exchange *x);
void admission_body(struct app *a, struct exchange *x, const char *bytes, size_t n);
void admission_release(struct app *a, struct exchange *x);
/* Deadlines, slow uploads, vanished clients. Returns microseconds until it wants to run again. */
uint64_t admission_sweep(struct app *a);
/* Answers everything that still waits with `draining`. */
void admission_cut_all(struct app *a);

/* ---- app_load.c ---- */

void app_engine_options(const struct app *a, struct engine_options *o);
bool app_load_begin(struct app *a);
void app_load_reap(struct app *a); /* takes what it has loaded, if it is done */
void app_load_join(struct app *a);

#endif
