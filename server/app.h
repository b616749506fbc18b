/* app - the service as a whole: configuration, loop, listeners, and the parts that handlers use (api.h).
 *
 *     LOADING --(model open, warm)--> OPEN --SIGTERM--> leaving --drain.delay_ms--> DRAINING --> stopped
 *        \--(model bad)--> exit 1
 *
 * LOADING answers health and metrics only. A leaving service keeps serving while readiness says no and connections are
 * closed after their answers. DRAINING accepts nothing new, finishes what is in flight within drain.timeout_ms, then
 * cuts off; a second later the process exits whatever clients do. A second SIGTERM or SIGINT exits at once.
 *
 * Threads: the loop thread owns all of it. */
#ifndef SERVER_APP_H
#define SERVER_APP_H

#include "server/api/api.h"
#include "server/http/tls.h"
#include "server/sandbox/sandbox.h"

struct app {
    struct config config;
    char **argv, **environ; /* for SIGHUP */
    int argc;
    const char *config_file; /* "": none */
    int exit_code;
    struct loop *loop;
    struct loop_timer *tick, *drain;
    struct loop_turn *clearing;
    uint64_t tick_at_us;     /* when the sweep runs next */
    uint64_t learned_us;     /* when the gate last saw the engine's figures */
    uint64_t drain_until_us; /* while DRAINING: when what is left is cut off */
    bool is_cut;
    struct http *http, *admin; /* admin: NULL when it has no port of its own */
    struct api api;
    struct ledger ledger;
    struct plan plan;
    struct auth auth;
    struct tls tls;
    struct sandbox_state sandbox;
    struct networks trusted; /* server.trusted_proxies */
    int n_live;              /* exchanges */
};

/* Runs until a signal ends it; the exit code. */
int app_run(struct app *a);

/* ---- app_check.c ---- */

/* --check-config: 0, or 1 with a line on standard error for each thing that cannot be opened or understood. */
int app_check(const struct config *c);

/* ---- app_model.c: which model, with what memory ---- */

MUST_USE enum err app_model_open(struct app *a, struct errbuf *e);
/* Starts loading the configured model. */
MUST_USE enum err app_model_load(struct app *a, struct errbuf *e);

/* ---- app_exchange.c: what happens to an exchange on its way ---- */

extern const struct http_handler app_exchange_handler; /* `user` to be set */

/* For struct desk: ends the upload that has stalled for longest. */
bool app_exchange_make_room(void *user, const struct exchange *x);

/* ---- app_drain.c: signals and the end ---- */

void app_drain_on_stop(void *user, int signal_number);
void app_drain_on_timer(void *user);
void app_drain_on_hangup(void *user, int signal_number);
struct http_rates app_drain_rates(const struct config *c);

/* ---- app.c ---- */

/* The sweep runs no later than this. */
void app_tick_by(struct app *a, uint64_t at_us);
/* Tells the gate what the engine has measured. */
void app_learn(struct app *a, uint64_t now_us);
/* Some work has returned or an answer is ready: lets everything that waits continue. */
void app_pump(struct app *a);

#endif
